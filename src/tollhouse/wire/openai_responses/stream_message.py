"""Messages of a Responses stream: texts and refusals that open, grow and are settled by the whole item."""

from collections.abc import Iterator, Mapping

import msgspec

from tollhouse.ir.events import (
    PartAdd,
    RefusalDelta,
    RefusalEnd,
    RefusalStart,
    StreamEvent,
    TextCitation,
    TextDelta,
    TextEnd,
    TextStart,
)
from tollhouse.ir.fault import FaultError
from tollhouse.ir.parts import Part, RefusalPart, TextPart
from tollhouse.ir.plain import is_object
from tollhouse.wire.fields import Fields, unreadable_answer
from tollhouse.wire.openai_responses.citations import decode_annotation, decode_logprobs
from tollhouse.wire.openai_responses.output import decode_output_item, marked, with_item
from tollhouse.wire.openai_responses.parts import decode_content_part
from tollhouse.wire.openai_responses.stream_growth import MAX_PARTS, Grown, Parts


class _Said:
    """A text or refusal of a message."""

    __slots__ = ("citations", "grown", "index", "logprobs", "refusal")

    def __init__(self, index: int, *, refusal: bool) -> None:
        self.index = index
        self.refusal = refusal
        self.grown = Grown()
        self.logprobs = 0
        self.citations = 0

    def delta(self, text: str, logprobs: tuple[dict[str, object], ...] = ()) -> Iterator[StreamEvent]:
        self.logprobs += len(logprobs)
        if not text and not logprobs:
            return
        if self.refusal:
            yield RefusalDelta(index=self.index, text=text)
        else:
            yield TextDelta(index=self.index, text=text, logprobs=logprobs)

    def settle(self, part: TextPart | RefusalPart) -> Iterator[StreamEvent]:
        """What the whole part has that was not streamed."""
        if isinstance(part, RefusalPart) or self.refusal:
            yield from self.delta(self.grown.rest(part.text) if self.refusal == isinstance(part, RefusalPart) else "")
            return
        yield from self.delta(self.grown.rest(part.text), part.logprobs[self.logprobs :])
        for citation in part.citations[self.citations :]:
            yield TextCitation(index=self.index, citation=citation)

    def end(self) -> StreamEvent:
        return RefusalEnd(index=self.index) if self.refusal else TextEnd(index=self.index)


class Message:
    """A message: texts and refusals by their place in its content."""

    def __init__(self, item: dict[str, object], parts: Parts) -> None:
        self.done = False
        self._parts = parts
        fields = Fields(item)
        self._id = fields.text("id")
        fields.drop("type", "role", "status", "content")
        self._left = fields.rest()
        self._said: dict[int, _Said] = {}

    def event(self, name: str, event: Mapping[str, object]) -> Iterator[StreamEvent]:
        """What an event of the item adds."""
        place = event.get("content_index", 0)
        if type(place) is not int or not 0 <= place < MAX_PARTS:
            unreadable_answer("A text in the provider's stream has an impossible place.")
        match name:
            case "response.content_part.added":
                part = event.get("part")
                yield from self._open(place, _proto(part if is_object(part) else {}))
            case "response.output_text.delta" | "response.refusal.delta":
                yield from self._delta(place, event, refusal=name == "response.refusal.delta")
            case "response.output_text.done" | "response.refusal.done":
                said = self._said.get(place)
                whole = event.get("refusal" if said is not None and said.refusal else "text")
                if said is not None:
                    yield from said.delta(said.grown.rest(whole))
            case "response.output_text.annotation.added":
                said, annotation = self._said.get(place), event.get("annotation")
                if said is not None and not said.refusal and is_object(annotation):
                    said.citations += 1
                    yield TextCitation(index=said.index, citation=decode_annotation(annotation))
            case _:
                return

    def _delta(self, place: int, event: Mapping[str, object], *, refusal: bool) -> Iterator[StreamEvent]:
        text = event.get("delta")
        if place not in self._said:
            yield from self._open(place, RefusalPart(text="") if refusal else TextPart(text=""))
        said = self._said[place]
        if isinstance(text, str) and said.refusal == refusal:
            logprobs = () if refusal else decode_logprobs(Fields({"logprobs": event.get("logprobs")}))
            yield from said.delta(said.grown.add(text), logprobs)

    def _open(self, place: int, proto: TextPart | RefusalPart | None) -> Iterator[StreamEvent]:
        """Open a part; None for a kind that is taken from the whole item."""
        if proto is None or place in self._said:
            return
        proto = msgspec.structs.replace(proto, item_id=self._id)
        begun = with_item(proto, {} if self._said else self._left)
        if not self._said:
            begun = _as_said(marked([begun], self._parts.last)[0], begun)
        index = self._parts.begin(begun)
        refusal = isinstance(begun, RefusalPart)
        self._said[place] = _Said(index, refusal=refusal)
        start = RefusalStart if refusal else TextStart
        yield start(index=index, item_id=begun.item_id, extensions=begun.extensions)

    def settle(self, item: dict[str, object]) -> Iterator[StreamEvent]:
        """What the whole item has that was not streamed; then it closes."""
        self.done = True
        parts = decode_output_item(item) if item.get("type") == "message" else []
        # Bedrock counts the places of a message that follows reasoning from 1 (recorded 2026).
        shift = min(self._said) if self._said and max(self._said) >= len(parts) else 0
        for place, part in enumerate(parts, shift):
            if not isinstance(part, TextPart | RefusalPart):
                yield PartAdd(index=self._parts.begin(part), part=part)
                continue
            if place not in self._said:
                yield from self._open(place, _without_growth(part))
            yield from self._said[place].settle(part)
        yield from self._ends()

    def close(self) -> Iterator[StreamEvent]:
        """It will never be whole: what has begun ends."""
        self.done = True
        yield from self._ends()

    def _ends(self) -> Iterator[StreamEvent]:
        for said in self._said.values():
            yield said.end()


def _proto(value: dict[str, object]) -> TextPart | RefusalPart | None:
    """A part that has just been added, without any text; None for a kind that is taken from the whole item."""
    kind = value.get("type")
    if kind not in ("output_text", "text", "refusal"):
        return None
    fields = Fields({**value, "text": "", "refusal": ""})
    fields.drop("text" if kind == "refusal" else "refusal")
    try:
        part = decode_content_part(fields)
    except FaultError:
        return None
    return _without_growth(part) if isinstance(part, TextPart | RefusalPart) else None


def _without_growth(part: TextPart | RefusalPart) -> TextPart | RefusalPart:
    """`part` as it begins."""
    if isinstance(part, TextPart):
        return msgspec.structs.replace(part, text="", citations=(), logprobs=())
    return msgspec.structs.replace(part, text="")


def _as_said(part: Part, otherwise: TextPart | RefusalPart) -> TextPart | RefusalPart:
    return part if isinstance(part, TextPart | RefusalPart) else otherwise
