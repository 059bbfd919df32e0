"""Streams of Chat Completions to events, whatever the provider makes of the format."""

from collections.abc import Iterator

from tollhouse.ir.events import AnswerExtend, AnswerStart, StreamEvent, UsageReport
from tollhouse.ir.fault import FaultError
from tollhouse.ir.plain import is_object
from tollhouse.ir.usage import Usage
from tollhouse.wire.failed_usage import usage_in
from tollhouse.wire.fields import Fields, parse_answer, render, unreadable_answer
from tollhouse.wire.framing import MAX_FRAME_BYTES, Frame, SseReader
from tollhouse.wire.leftovers import kept
from tollhouse.wire.openai_chat.chunk import find_usage
from tollhouse.wire.openai_chat.parts import NAME
from tollhouse.wire.openai_chat.response import raise_error_in
from tollhouse.wire.openai_chat.stream_choice import ChoiceDecoder
from tollhouse.wire.openai_chat.usage import decode_usage

_MAX_CHOICES = 128
_MAX_LEFT_BYTES = 16 * 1024 * 1024

# Padding that hides the length of tokens from listeners: OpenAI's and Cloudflare's (recorded 2025).
_PADDING = ("obfuscation", "p")


class ChatStreamDecoder:
    """Decodes one stream; `feed` takes any split of the bytes.

    The answer starts with the first chunk that holds a choice. Its choices finish when the stream ends: with `[DONE]`,
    or without it when every choice has told its finish reason; otherwise the answer was cut short. A fault that comes
    after events of the same bytes is raised by the next call, so that the events are not lost.
    """

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._reader = SseReader(max_frame_bytes)
        self._choices: dict[int, ChoiceDecoder] = {}
        self._started = False
        self._done = False
        self._ended = False
        self._id: str | None = None
        self._model: str | None = None
        self._created: int | None = None
        self._tier: str | None = None
        self._usage: Usage | None = None
        self._left: dict[str, object] = {}
        self._left_bytes: dict[str, int] = {}
        self._told: dict[str, object] = {}
        self._told_tier: str | None = None
        self._fault: FaultError | None = None

    def feed(self, data: bytes) -> list[StreamEvent]:
        """Events that `data` completes. Raises FaultError on an error frame, garbled or oversized input."""
        self._raise_held()
        events: list[StreamEvent] = []
        try:
            events.extend(self._feed(data))
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

    def _feed(self, data: bytes) -> Iterator[StreamEvent]:
        for frame in self._reader.feed(data):
            yield from self._frame(frame)

    def _flush(self) -> Iterator[StreamEvent]:
        self._ended = True
        for frame in self._reader.flush():
            yield from self._frame(frame)
        if self._done:
            return
        if not self._started:
            unreadable_answer("The provider's stream ended before an answer began.")
        if not self._is_complete():
            unreadable_answer("The provider's stream ended in the middle of the answer.")
        yield from self._finish()

    def _is_complete(self) -> bool:
        return self._started and all(choice.raw_finish is not None for choice in self._choices.values())

    def _frame(self, frame: Frame) -> Iterator[StreamEvent]:
        data = None if frame.data is None else frame.data.strip()
        if not data:
            return
        if self._done:
            yield from _late_usage(data)
            return
        if data == b"[DONE]":
            if not self._started:
                unreadable_answer("The provider's stream ended before an answer began.")
            yield from self._finish()
            return
        try:
            chunk = parse_answer(data)
        except ValueError as error:
            if self._ended and self._is_complete():
                return  # only what comes after the answer was cut off
            unreadable_answer("The provider sent a frame that is not valid JSON.", str(error))
        if not is_object(chunk):
            unreadable_answer("The provider sent a frame that is not a JSON object.")
        yield from self._failure(frame, chunk)
        yield from self._chunk(Fields(chunk), find_usage(chunk)[1])

    def _failure(self, frame: Frame, chunk: dict[str, object]) -> Iterator[UsageReport]:
        """Raises FaultError when the chunk is an error; what it says was used all the same comes first."""
        if self._started and chunk.get("error") and (told := usage_in(chunk)) is not None:
            usage = decode_usage(told)
            if usage is not None:
                yield UsageReport(usage=usage)
        if frame.event == b"error" or chunk.get("object") == "error":
            raise_error_in({"error": chunk.get("error") or chunk})
        raise_error_in(chunk)

    def _chunk(self, fields: Fields, usage: Usage | None) -> Iterator[StreamEvent]:
        fields.drop("object", *_PADDING)
        self._id = self._id or fields.text("id")
        self._model = self._model or fields.text("model")
        self._created = self._created or fields.integer("created")
        self._tier = fields.text("service_tier") or self._tier
        choices = fields.array("choices")
        fields.drop("id", "model", "created", "usage")
        self._keep(fields.rest())
        news = usage is not None and usage != self._usage
        self._usage = usage or self._usage
        if choices and not self._started:
            yield self._start()
            if self._usage is not None:
                yield UsageReport(usage=self._usage)
        for place, value in enumerate(choices or ()):
            yield from self._choice(value, place)
        # After the content, since a report counts what comes with it.
        if usage is not None and self._started and (news or choices):
            yield UsageReport(usage=usage)

    def _start(self) -> AnswerStart:
        self._started = True
        self._told, self._told_tier = dict(self._left), self._tier
        return AnswerStart(
            id=self._id or None,
            model=self._model or None,
            created=self._created or None,
            service_tier=self._tier,
            extensions=kept(NAME, self._told),
        )

    def _choice(self, value: object, place: int) -> Iterator[StreamEvent]:
        if not is_object(value):
            unreadable_answer("A choice in the provider's stream is not a JSON object.")
        fields = Fields(value)
        number = fields.integer("index")
        number = place if number is None else number
        if number not in self._choices:
            if not 0 <= number < _MAX_CHOICES:
                unreadable_answer("A choice in the provider's stream has an impossible index.")
            self._choices[number] = ChoiceDecoder(number)
        yield from self._choices[number].feed(fields, self._id)

    def _finish(self) -> Iterator[StreamEvent]:
        self._done = True
        for number in sorted(self._choices):
            yield from self._choices[number].finish()
        news = {
            key: value for key, value in self._left.items() if self._told.get(key) != value or key not in self._told
        }
        tier = None if self._tier == self._told_tier else self._tier
        if news or tier is not None:
            yield AnswerExtend(service_tier=tier, extensions=kept(NAME, news))

    def _keep(self, left: dict[str, object]) -> None:
        """Keep what was not understood; of a field that comes with several chunks the last value counts."""
        for key, value in left.items():
            if value is None and key in self._left:
                continue
            if self._left.get(key) != value:
                self._left_bytes[key] = len(render(value))
                if sum(self._left_bytes.values()) > _MAX_LEFT_BYTES:
                    unreadable_answer("The provider's stream holds more than one answer can have.")
            self._left[key] = value


def _late_usage(data: bytes) -> Iterator[UsageReport]:
    """After [DONE] only usage is of interest."""
    try:
        chunk = parse_answer(data)
    except ValueError:
        return
    usage = find_usage(chunk)[1] if is_object(chunk) else None
    if usage is not None:
        yield UsageReport(usage=usage)
