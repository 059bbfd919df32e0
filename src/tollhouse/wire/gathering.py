"""Gathering: several calls of a format with one answer per call, on their way to a caller who gets one answer.

What comes from the provider comes in pieces, each of which says of which call it is.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import msgspec

from tollhouse.ir.events import AnswerExtend, AnswerStart, StreamEvent, UsageReport
from tollhouse.ir.response import ChatResponse
from tollhouse.ir.usage import Usage
from tollhouse.wire.format import AnswerPolicy, Peek, WireFormat
from tollhouse.wire.translation import BodyTranslation, Made, StreamTranslation

_COUNTERS = tuple(name for name in Usage.__struct_fields__ if name.endswith("_tokens"))
_OUTPUT_COUNTERS = (
    "output_tokens",
    "reasoning_tokens",
    "audio_output_tokens",
    "image_output_tokens",
    "unplaced_tokens",
)


def piece(call: int, data: bytes) -> bytes:
    """`data` of the call with this number, 0 to 255; without data, the call's answer has ended."""
    return bytes((call,)) + data


class Gathering(ABC):
    """What both kinds share."""

    def __init__(self, calls: int) -> None:
        self._told = _Told(calls)

    @property
    def complete_usage(self) -> Usage | None:
        """What the calls have used whose answers are complete; None without any."""
        return self._told.complete

    @property
    def complete_calls(self) -> int:
        """How many these are."""
        return self._told.complete_calls

    @abstractmethod
    def feed(self, data: bytes) -> bytes:
        """Bytes for the caller, of a piece. Raises FaultError on an error frame, garbled or oversized input of any of
        the calls, and when the answer of one was cut short."""


class GatheredStreams(StreamTranslation, Gathering):
    """Streams that run side by side; each call is the choice of its number."""

    def __init__(self, source: WireFormat, target: WireFormat, policy: AnswerPolicy, peek: Peek, made: Made) -> None:
        StreamTranslation.__init__(self, source, target, policy, peek, made)
        Gathering.__init__(self, peek.choices)
        self._decoders = [source.stream_decoder() for _ in range(peek.choices)]
        self._begun = False
        self._call = 0
        self._counted_bytes = 0

    @property
    def is_complete(self) -> bool:
        """Whether every call has told the end of its answer."""
        return all(decoder.is_complete for decoder in self._decoders)

    def feed(self, data: bytes) -> bytes:
        """Bytes for the caller. Raises FaultError on an error frame, garbled or oversized input of any of the calls,
        and when the answer of one was cut short."""
        self._call, rest = data[0], data[1:]
        decoder = self._decoders[self._call]
        out = self._passed(self._numbered(decoder.feed(rest) if rest else decoder.flush()))
        self._count()
        if not rest:
            self._told.ended(self._call)
        return out

    def close(self) -> bytes:
        """Bytes left over; each call has ended by itself."""
        return self._inner.feed(self._encoder.flush()) + self._inner.close()

    def _reported(self, report: UsageReport) -> None:
        self._count()
        self._told.note(self._call, report.usage)
        self.usage = self._told.likely
        self.reported_at_bytes = self._told.reported_at_bytes

    def _count(self) -> None:
        """What has come since the last count is of the call at hand."""
        self._told.received(self._call, self.received_bytes - self._counted_bytes)
        self._counted_bytes = self.received_bytes

    def _numbered(self, events: list[StreamEvent]) -> list[StreamEvent]:
        found: list[StreamEvent] = []
        for event in events:
            match event:
                case AnswerStart():
                    # The caller sees one beginning, that of the call which began first.
                    if not self._begun:
                        self._begun = True
                        found.append(event)
                case AnswerExtend() | UsageReport():
                    found.append(event)
                case _:
                    found.append(msgspec.structs.replace(event, choice=self._call))
        return found


class GatheredBodies(BodyTranslation, Gathering):
    """Whole answers; each call is the choice of its number."""

    def __init__(self, source: WireFormat, target: WireFormat, policy: AnswerPolicy, peek: Peek, made: Made) -> None:
        BodyTranslation.__init__(self, source, target, policy, peek, made)
        Gathering.__init__(self, peek.choices)
        self._bodies: list[list[bytes]] = [[] for _ in range(peek.choices)]
        self._answers: dict[int, ChatResponse] = {}

    def feed(self, data: bytes) -> bytes:
        """Nothing yet. Raises FaultError (provider_unavailable) above the cap, or when the body of a call that has
        ended is no answer of the provider's format."""
        call, rest = data[0], data[1:]
        self._weigh(rest)
        if rest:
            self._bodies[call].append(rest)
            return b""
        answer = self._answers[call] = self._source.decode_response(b"".join(self._bodies[call]))
        self._bodies[call].clear()
        if answer.usage is not None:
            self._told.note(call, answer.usage)
        self._told.ended(call)
        return b""

    def close(self) -> bytes:
        """Nothing yet."""
        answers = [self._answers[call] for call in range(len(self._bodies))]
        choices = tuple(
            msgspec.structs.replace(choice, index=call)
            for call, answer in enumerate(answers)
            for choice in answer.choices[:1]
        )
        # Where one call tells nothing, all of it is estimated.
        usage = self._told.complete if all(answer.usage for answer in answers) else None
        return self._handed_over(msgspec.structs.replace(answers[0], choices=choices, usage=usage))


class _Told:
    """What the calls have reported, and how much of their answers that counts."""

    def __init__(self, calls: int) -> None:
        self._usages: list[Usage | None] = [None] * calls
        self._ended = [False] * calls
        self._received_bytes = [0] * calls
        self._counted_bytes = [0] * calls

    @property
    def complete(self) -> Usage | None:
        """The sum over the calls that have ended."""
        return _sum(self._complete())

    @property
    def complete_calls(self) -> int:
        """How many have ended and told what they used."""
        return len(self._complete())

    @property
    def likely(self) -> Usage | None:
        """The sum over all calls; None while none has reported. One that has not yet counts with the prompt of another,
        since all were sent the same."""
        told = [usage for usage in self._usages if usage is not None]
        if not told:
            return None
        nothing: dict[str, int] = dict.fromkeys(_OUTPUT_COUNTERS, 0)
        prompt = msgspec.structs.replace(told[0], **nothing)
        return _sum([*told, *[prompt] * (len(self._usages) - len(told))])

    @property
    def reported_at_bytes(self) -> int:
        """How many bytes of the answers had come, call by call, when the calls reported."""
        return sum(self._counted_bytes)

    def _complete(self) -> list[Usage]:
        pairs = zip(self._usages, self._ended, strict=True)
        return [usage for usage, ended in pairs if usage is not None and ended]

    def note(self, call: int, usage: Usage) -> None:
        """A report of one call, which replaces its last one."""
        self._usages[call] = usage
        self._counted_bytes[call] = self._received_bytes[call]

    def received(self, call: int, size_bytes: int) -> None:
        """More of one call's answer."""
        self._received_bytes[call] += size_bytes

    def ended(self, call: int) -> None:
        """The call's answer is complete."""
        self._ended[call] = True


def _sum(usages: Sequence[Usage]) -> Usage | None:
    if not usages:
        return None
    counts = {name: sum(getattr(usage, name) for usage in usages) for name in _COUNTERS}
    return msgspec.structs.replace(usages[0], **counts)


def open_gathering(
    source: WireFormat, target: WireFormat, policy: AnswerPolicy, peek: Peek, made: Made
) -> GatheredStreams | GatheredBodies:
    """The pipe for as many answers of `source` as the caller of `target` wants choices."""
    return (GatheredStreams if peek.stream else GatheredBodies)(source, target, policy, peek, made)
