"""Streams of Responses to events, whatever the provider makes of the format."""

from collections.abc import Iterator, Mapping
from typing import NoReturn

from tollhouse.ir.events import AnswerExtend, AnswerStart, ChoiceFinish, StreamEvent, UsageReport
from tollhouse.ir.fault import FaultError
from tollhouse.ir.plain import is_array, is_object
from tollhouse.ir.response import ChatResponse
from tollhouse.wire.fields import parse_answer, unreadable_answer
from tollhouse.wire.framing import MAX_FRAME_BYTES, Frame, SseReader
from tollhouse.wire.leftovers import kept
from tollhouse.wire.openai_fault import decode_stream_fault
from tollhouse.wire.openai_responses.parts import NAME
from tollhouse.wire.openai_responses.response import decode_answer_usage, decode_head
from tollhouse.wire.openai_responses.status import decode_finish, raise_failure
from tollhouse.wire.openai_responses.stream_growth import MAX_PARTS, Parts
from tollhouse.wire.openai_responses.stream_items import Item, open_item

BEGINNINGS = frozenset({"response.created", "response.queued", "response.in_progress"})
ENDINGS = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})

# The kind of item that events are about whose item was never announced.
_KINDS = (
    ("response.output_text.", "message"),
    ("response.refusal.", "message"),
    ("response.content_part.", "message"),
    ("response.reasoning_", "reasoning"),
)


class ResponsesStreamDecoder:
    """Decodes one stream; `feed` takes any split of the bytes.

    The answer ends with `response.completed` or one of its like. Without it the answer was cut short, unless every
    item is whole and one of them is more than reasoning. A fault that comes after events of the same bytes is raised by
    the next call, so that the events are not lost.
    """

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._reader = SseReader(max_frame_bytes)
        self._parts = Parts()
        self._items: dict[int, Item] = {}
        self._names: dict[int, tuple[object, object]] = {}
        """Type and id of each item."""
        self._head: ChatResponse | None = None
        self._done = False
        self._fault: FaultError | None = None

    def feed(self, data: bytes) -> list[StreamEvent]:
        """Events that `data` completes. Raises FaultError on an error frame, garbled or oversized input."""
        self._raise_held()
        events: list[StreamEvent] = []
        try:
            for frame in self._reader.feed(data):
                events.extend(self._frame(frame))
        except FaultError as error:
            self._fault = error
            if not events:
                raise
        return events

    def flush(self) -> list[StreamEvent]:
        """Events left at the end of the stream. Raises FaultError when the answer was cut short."""
        self._raise_held()
        return list(self._flush())

    @property
    def is_complete(self) -> bool:
        """Whether the stream has told its end, well or not."""
        return self._done or self._fault is not None

    def _raise_held(self) -> None:
        if self._fault is not None:
            raise self._fault

    def _flush(self) -> Iterator[StreamEvent]:
        for frame in self._reader.flush():
            yield from self._frame(frame)
        if self._done:
            return
        if self._head is None:
            unreadable_answer("The provider's stream ended before an answer began.")
        if not self._is_whole():
            unreadable_answer("The provider's stream ended in the middle of the answer.")
        yield from self._finish({})

    def _is_whole(self) -> bool:
        answered = any(kind != "reasoning" for kind, _ in self._names.values())
        return answered and all(item.done for item in self._items.values())

    def _frame(self, frame: Frame) -> Iterator[StreamEvent]:
        data = None if frame.data is None else frame.data.strip()
        if not data or self._done or data == b"[DONE]":
            return
        try:
            event = parse_answer(data)
        except ValueError as error:
            unreadable_answer("The provider sent a frame that is not valid JSON.", str(error))
        if not is_object(event):
            unreadable_answer("The provider sent a frame that is not a JSON object.")
        kind = event.get("type")
        name = kind if isinstance(kind, str) else (frame.event or b"").decode(errors="replace")
        if name == "error" or (kind is None and event.get("error")):
            raise_stream_error(event)
        yield from self._event(name, event)

    def _event(self, name: str, event: dict[str, object]) -> Iterator[StreamEvent]:
        response = event.get("response")
        if name in BEGINNINGS:
            yield from self._begin(response if is_object(response) else {})
        elif name in ENDINGS:
            whole: dict[str, object] = dict(response) if is_object(response) else {}
            whole.setdefault("status", name.removeprefix("response."))
            yield from self._begin(whole)
            yield from self._finish(whole)
        elif event.get("output_index") is not None:
            yield from self._begin({})
            yield from self._item_event(name, event, _place(event))

    def _begin(self, response: dict[str, object]) -> Iterator[StreamEvent]:
        if self._head is None:
            self._head = head = decode_head(response)
            yield AnswerStart(
                id=head.id,
                model=head.model,
                created=head.created,
                service_tier=head.service_tier,
                extensions=head.extensions,
            )

    def _item_event(self, name: str, event: dict[str, object], place: int) -> Iterator[StreamEvent]:
        value = event.get("item")
        item = value if is_object(value) else None
        if name == "response.output_item.added":
            if item is not None:
                yield from self._open(place, item)
        elif name == "response.output_item.done":
            if item is not None:
                yield from self._settle(place, item)
        else:
            if place not in self._items and (kind := _kind_of(name)) is not None:
                yield from self._open(place, {"type": kind, "id": event.get("item_id")})
            open_one = self._items.get(place)
            if open_one is not None and not open_one.done:
                yield from open_one.event(name, event)

    def _open(self, place: int, item: dict[str, object]) -> Iterator[StreamEvent]:
        if place in self._items:
            return
        if len(self._items) >= MAX_PARTS:
            unreadable_answer("The provider's stream holds more than one answer can have.")
        self._items[place], begun = open_item(item, self._parts)
        self._names[place] = (item.get("type"), item.get("id"))
        yield from begun

    def _settle(self, place: int, item: dict[str, object]) -> Iterator[StreamEvent]:
        yield from self._open(place, item)
        if not self._items[place].done:
            yield from self._items[place].settle(item)

    def _finish(self, response: dict[str, object]) -> Iterator[StreamEvent]:
        """The answer is complete: `response` tells what the stream has left out."""
        status = response.get("status")
        if status in ("failed", "cancelled") or response.get("error"):
            # It may have used something all the same.
            if (usage := decode_answer_usage(response)) is not None:
                yield UsageReport(usage=usage)
            raise_failure(response)
        self._done = True
        output = response.get("output")
        yield from self._settle_all([item for item in output if is_object(item)] if is_array(output) else [])
        if (usage := decode_answer_usage(response)) is not None:
            yield UsageReport(usage=usage)
        head, told = decode_head(response), self._head or ChatResponse()
        before = told.extensions.get(NAME, {})
        news = {key: value for key, value in head.extensions.get(NAME, {}).items() if before.get(key) != value}
        tier = None if head.service_tier == told.service_tier else head.service_tier
        if news or tier is not None:
            yield AnswerExtend(service_tier=tier, extensions=kept(NAME, news))
        yield ChoiceFinish(finish=decode_finish(response, has_tool_calls=self._parts.calls_tools))

    def _settle_all(self, output: list[dict[str, object]]) -> Iterator[StreamEvent]:
        places = self._matched(output)
        for number, item in enumerate(output):
            place = places.get(number)
            if place is None:
                place = max(self._items, default=-1) + 1
            yield from self._settle(place, item)
        for item in self._items.values():
            if not item.done:
                yield from item.close()

    def _matched(self, output: list[dict[str, object]]) -> dict[int, int]:
        """Where the items of the whole output were streamed: at their own place, or else under their id."""
        free = set(self._items)
        matched: dict[int, int] = {}
        for number, item in enumerate(output):
            if number in free and self._fits(number, item):
                matched[number] = number
                free.discard(number)
        ids = {name: place for place, name in self._names.items() if place in free and _hashable(name)}
        for number, item in enumerate(output):
            name = (item.get("type"), item.get("id"))
            if number in matched or not _hashable(name):
                continue
            place = ids.pop(name, None)
            # An item of that kind stands there: its id was changed on the way.
            if place is None and number in free and self._names[number][0] == item.get("type"):
                place = number
            if place is not None and place in free:
                matched[number] = place
                free.discard(place)
        return matched

    def _fits(self, place: int, item: Mapping[str, object]) -> bool:
        kind, name = self._names[place]
        return kind == item.get("type") and (name is None or item.get("id") in (None, name))


def raise_stream_error(event: Mapping[str, object]) -> NoReturn:
    """Raise the FaultError that an `error` event means, whether it nests an error object or is one."""
    nested = event.get("error")
    told = nested or {key: value for key, value in event.items() if key not in ("type", "sequence_number")}
    raise FaultError(decode_stream_fault(told))


def _kind_of(name: str) -> str | None:
    return next((kind for start, kind in _KINDS if name.startswith(start)), None)


def _place(event: Mapping[str, object]) -> int:
    place = event.get("output_index")
    if type(place) is not int or not 0 <= place < MAX_PARTS:
        unreadable_answer("An item in the provider's stream has an impossible place.")
    return place


def _hashable(name: tuple[object, object]) -> bool:
    return all(isinstance(each, str) for each in name)
