"""Call and Caller: one request on its way through the gateway, and the program at the other end of it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from tollhouse.accounts.principal import Principal
from tollhouse.ir.fault import Fault
from tollhouse.observe.record import Attempt
from tollhouse.routing.auto import Decision
from tollhouse.wire.format import AnswerPolicy, Peek

Headers = Sequence[tuple[bytes, bytes]]


class CallerGoneError(Exception):
    """The caller hung up; nothing more can be sent."""


class Caller(Protocol):
    """The program that called us; `http` implements it on ASGI, tests in memory."""

    async def start(self, status: int, headers: Headers) -> None:
        """Set the head of the answer, once; X-Request-Id and the framing are added to it. Raises CallerGoneError."""
        ...

    async def write(self, data: bytes) -> None:
        """Send a part of the body, waiting while the caller reads slowly. Raises CallerGoneError."""
        ...

    async def end(self, data: bytes) -> None:
        """Send the last part of the body. Raises CallerGoneError."""
        ...

    def comment(self, data: bytes) -> bool:
        """Send a part of the body at once, between two others; False when that cannot be: the caller has left, reads
        slowly, or has the whole answer."""
        ...

    def on_gone(self, callback: Callable[[], None] | None) -> None:
        """Call back once when the caller hangs up, from now on or already; None cancels that."""
        ...


class Worded(msgspec.Struct, frozen=True):
    """A fault in a dialect's own words: status, JSON body, extra headers."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Wording(Protocol):
    """One dialect's words for every fault."""

    def word(self, fault: Fault, request_id: str, endpoint: str, attempts: tuple[Attempt, ...] = ()) -> Worded:
        """The one wording of `fault`; `endpoint` is the path as the dialect's errors name it."""
        ...


class Voice(Wording, Protocol):
    """How one dialect speaks on one route: the part of a dialect that the relay needs."""

    dialect: str
    format_name: str
    auto_model: str | None
    """The name under which the operator's rules choose the model; None where the dialect has no such name."""
    splits_choices: bool
    """Whether a request for several choices becomes so many calls where a provider's format has one answer per call;
    otherwise it is refused there."""

    def validate(self, body: bytes) -> None:
        """Check a request body against the contract. Raises FaultError (invalid_request)."""
        ...

    def defaults(self) -> Mapping[str, msgspec.Raw]:
        """Documented defaults that are sent explicitly to a provider of the same format, where the caller sent none."""
        ...

    def policy(self, request_id: str, slug: str, asked: Peek) -> AnswerPolicy:
        """How the answer has to look; `slug` is the resolved model."""
        ...

    def headers(self, slug: str, decision: Decision | None = None) -> Headers:
        """Headers of the dialect's own on a good answer; `decision` says why it is this model, where rules chose."""
        ...


class Call(msgspec.Struct, kw_only=True):
    """One request after its key was checked and its body read.

    `request_id` is ours: 44 hex digits, the time and 128 random bits. `endpoint` is the path as the dialect's errors
    name it. `headers` are the request's own, lower case. `started_s` is monotonic, `started_at_ms` Unix time. `origin`
    (`https://api.example`) is where the caller found us, "" where that does not matter.
    """

    request_id: str
    voice: Voice
    endpoint: str
    principal: Principal | None
    body: bytes
    headers: Mapping[str, str]
    started_s: float
    started_at_ms: int
    client_request_id: str | None = None
    origin: str = ""
