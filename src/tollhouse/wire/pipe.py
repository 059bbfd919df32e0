"""Pipe: one provider answer on its way to the caller, byte for byte, patched or translated; chosen once per attempt."""

from collections.abc import Mapping
from typing import Protocol

from tollhouse.ir.usage import Usage
from tollhouse.wire.format import Answered, AnswerPolicy, Peek, WireFormat


class Pipe(Protocol):
    """The relay's only view of an answer. `feed` never returns a terminal frame: the relay settles first, then sends
    what `finish` returns. For an answer that is no stream, `feed` returns nothing and `finish` the whole body."""

    @property
    def usage(self) -> Usage | None:
        """As the provider reported it; None until then, or for good."""
        ...

    @property
    def service_tier(self) -> str | None:
        """The service tier that the provider says it answered in; None where it says nothing."""
        ...

    @property
    def tool_uses(self) -> Mapping[str, int] | None:
        """How often the provider has used tools of its own, by kind; None where the format does not tell."""
        ...

    @property
    def reported_at_bytes(self) -> int:
        """What `received_bytes` was when the provider reported `usage`: how much of the answer the report can count."""
        ...

    @property
    def received_bytes(self) -> int:
        """About how many UTF-8 bytes of text, reasoning and tool arguments have been received."""
        ...

    @property
    def has_content(self) -> bool:
        """Whether bytes returned so far hold generated content, or `release` let some go without any: after that no
        other deployment may answer."""
        ...

    @property
    def finish_reason(self) -> str | None:
        """Why the model stopped, as the caller sees it."""
        ...

    @property
    def is_complete(self) -> bool:
        """Whether a stream has told its end, well or not: nothing that matters comes any more, though the provider may
        keep the connection open."""
        ...

    def feed(self, data: bytes) -> bytes:
        """Bytes for the caller. Raises FaultError on an error frame, garbled or oversized input."""
        ...

    def release(self) -> bytes:
        """The frames of a stream that `feed` holds back because nothing has been generated yet; b"" for none. They are
        at most 1 MiB: then they go by themselves."""
        ...

    def close(self) -> bytes:
        """The provider's stream has ended: bytes left over, if any. Raises FaultError when the answer was cut short."""
        ...

    def finish(self, answered: Answered) -> bytes:
        """The terminal frames, or the whole body."""
        ...


def open_pipe(fmt: WireFormat, policy: AnswerPolicy, peek: Peek) -> Pipe:
    """The pipe for one attempt: verbatim when `policy` names nothing that could differ, else patched."""
    return fmt.pipe(policy, peek)
