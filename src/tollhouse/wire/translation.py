"""Translation: an answer of one format on its way to a caller of another, through the internal representation."""

from collections.abc import Mapping

import msgspec

from tollhouse.ir.events import AnswerExtend, AnswerStart, ReasoningEnd, StreamEvent, TextDelta, UsageReport
from tollhouse.ir.fault import Fault, FaultError, FaultKind
from tollhouse.ir.loss import Loss
from tollhouse.ir.parts import ReasoningOrigin
from tollhouse.ir.response import ChatResponse
from tollhouse.ir.usage import Usage
from tollhouse.wire.custom_tools import CustomCalls, answered_as_custom
from tollhouse.wire.envelope import answer_handed_out, wrap
from tollhouse.wire.format import Answered, AnswerPolicy, Peek, WireFormat
from tollhouse.wire.pipe import Pipe
from tollhouse.wire.tool_groups import Grouped, answer_grouped, event_grouped

MAX_BODY_BYTES = 64 * 1024 * 1024


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer has of its own once it is translated: an id, a creation time (Unix seconds) for providers that
    tell none, the creator of the model, who alone can read its sealed reasoning, the names of the caller's custom
    tools that the provider knows as functions, and of the tools whose groups it does not know. `input_tokens`
    is about what the prompt has, for a format that says so before the provider does. What cannot be carried over is
    added to `losses`."""

    id: str
    created: int
    creator: str
    custom_tools: frozenset[str] = frozenset()
    losses: list[Loss]
    grouped: Grouped = msgspec.field(default_factory=dict[str, tuple[str, str]])
    input_tokens: int = 0


class _Translated:
    """What both kinds share. Inside, the caller's own pipe does for the translated bytes what it does for bytes of a
    provider of his format: ids, usage, frame order, and holding terminal frames back."""

    tool_uses: Mapping[str, int] | None = None
    """The tools of a provider of another format are never told of."""

    def __init__(self, target: WireFormat, policy: AnswerPolicy, peek: Peek, made: Made) -> None:
        self._target = target
        self._made = made
        # What a provider of another format told is not the caller's to read: he sees what he is charged for.
        self._inner: Pipe = target.pipe(msgspec.structs.replace(policy, settled_usage=True), peek)
        self.usage: Usage | None = None
        self.service_tier: str | None = None
        self.reported_at_bytes = 0

    @property
    def received_bytes(self) -> int:
        """About how many UTF-8 bytes of text, reasoning and tool arguments have been received."""
        return self._inner.received_bytes

    @property
    def has_content(self) -> bool:
        """Whether bytes returned so far hold generated content."""
        return self._inner.has_content

    @property
    def finish_reason(self) -> str | None:
        """As the caller sees it."""
        return self._inner.finish_reason

    def release(self) -> bytes:
        """What was held back, let go although nothing has been generated yet."""
        return self._inner.release()

    def finish(self, answered: Answered) -> bytes:
        """The terminal frames, or the whole body."""
        return self._inner.finish(answered)


class StreamTranslation(_Translated):
    """A streamed answer, event by event."""

    def __init__(self, source: WireFormat, target: WireFormat, policy: AnswerPolicy, peek: Peek, made: Made) -> None:
        super().__init__(target, policy, peek, made)
        self._decoder = source.stream_decoder()
        self._encoder = target.stream_encoder(made.losses, made.input_tokens)
        self._custom_calls = CustomCalls(made.custom_tools)

    def feed(self, data: bytes) -> bytes:
        """Bytes for the caller. Raises FaultError on an error frame, garbled or oversized input."""
        return self._passed(self._decoder.feed(data))

    @property
    def is_complete(self) -> bool:
        """Whether the provider has told the end of its answer."""
        return self._decoder.is_complete

    def close(self) -> bytes:
        """Bytes left over. Raises FaultError when the answer was cut short."""
        out = self._passed(self._decoder.flush())
        return out + self._inner.feed(self._encoder.flush()) + self._inner.close()

    def _passed(self, events: list[StreamEvent]) -> bytes:
        out: list[bytes] = []
        frames: list[bytes] = []
        for event in self._custom_calls.adapted(events):
            if type(event) is TextDelta:
                # Most of a stream is this, and nothing in it is ever told otherwise.
                frames.append(self._encoder.feed(event))
                continue
            frames.append(self._encoder.feed(self._adapted(event)))
            if isinstance(event, UsageReport):
                # Only what came before a report can be in it.
                out.append(self._inner.feed(b"".join(frames)))
                frames.clear()
                self._reported(event)
        out.append(self._inner.feed(b"".join(frames)))
        return out[0] if len(out) == 1 else b"".join(out)

    def _reported(self, report: UsageReport) -> None:
        self.usage = report.usage
        self.reported_at_bytes = self._inner.received_bytes

    def _adapted(self, event: StreamEvent) -> StreamEvent:
        if isinstance(event, AnswerStart | AnswerExtend):
            self.service_tier = event.service_tier or self.service_tier
        if isinstance(event, AnswerStart):
            return msgspec.structs.replace(event, id=self._made.id, created=event.created or self._made.created)
        if isinstance(event, ReasoningEnd) and event.opaque is not None:
            origin = event.origin or ReasoningOrigin(format=self._target.name)
            sealed = wrap(event.opaque, msgspec.structs.replace(origin, creator=self._made.creator))
            return msgspec.structs.replace(event, opaque=sealed, origin=ReasoningOrigin(format=self._target.name))
        return event_grouped(event, self._made.grouped) if self._made.grouped else event


class BodyTranslation(_Translated):
    """An answer in one piece."""

    def __init__(self, source: WireFormat, target: WireFormat, policy: AnswerPolicy, peek: Peek, made: Made) -> None:
        super().__init__(target, policy, peek, made)
        self._source = source
        self.is_complete = False
        self._parts: list[bytes] = []
        self._size_bytes = 0

    def feed(self, data: bytes) -> bytes:
        """Nothing yet. Raises FaultError (provider_unavailable) above the cap."""
        self._weigh(data)
        self._parts.append(data)
        return b""

    def close(self) -> bytes:
        """Nothing yet. Raises FaultError when the body is no answer of the provider's format."""
        answer = self._source.decode_response(b"".join(self._parts))
        self._parts.clear()
        return self._handed_over(answer)

    def _weigh(self, data: bytes) -> None:
        self._size_bytes += len(data)
        if self._size_bytes > MAX_BODY_BYTES:
            message = f"The provider's answer is larger than {MAX_BODY_BYTES} bytes."
            raise FaultError(Fault(kind=FaultKind.PROVIDER_UNAVAILABLE, source="provider", message=message))

    def _handed_over(self, answer: ChatResponse) -> bytes:
        self.usage = answer.usage
        self.service_tier = answer.service_tier
        answer = answered_as_custom(answer, self._made.custom_tools)
        answer = answer_handed_out(answer, self._made.creator, self._target.name)
        answer = answer_grouped(answer, self._made.grouped)
        answer = msgspec.structs.replace(answer, id=self._made.id, created=answer.created or self._made.created)
        self._inner.feed(self._target.encode_response(answer, self._made.losses))
        out = self._inner.close()
        self.reported_at_bytes = self._inner.received_bytes
        return out


def open_translation(
    source: WireFormat, target: WireFormat, policy: AnswerPolicy, peek: Peek, made: Made
) -> StreamTranslation | BodyTranslation:
    """The pipe for an answer of `source` to a caller of `target`."""
    return (StreamTranslation if peek.stream else BodyTranslation)(source, target, policy, peek, made)
