"""Format: what the simulator needs of one wire format; a format is a module's worth of such functions."""

from collections.abc import Iterator
from typing import Any, Protocol

import msgspec

from tollhouse.simulator.answer import Answer, Question
from tollhouse.simulator.script import Script


class RequestError(Exception):
    """The request does not fit the format; the text is for the caller."""


class Event(msgspec.Struct, frozen=True):
    """One event of a stream: its data as text, and its name where the format names events."""

    data: str
    name: str | None = None


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it came: its JSON object, a digest of its bytes, and the `http://host` that the caller called."""

    body: dict[str, Any]
    digest: str
    origin: str


class Asked(Protocol):
    """What one request asks for, ready to be answered; `created` is in Unix seconds."""

    @property
    def model(self) -> str:
        """The model's name, which may hold a script."""
        ...

    @property
    def stream(self) -> bool:
        """Whether the answer is to come as events."""
        ...

    def whole(self, script: Script, created: int) -> str:
        """The answer as one JSON text."""
        ...

    def events(self, script: Script, created: int) -> Iterator[Event]:
        """The answer as a stream of events, the last one included."""
        ...


class Format(Protocol):
    """One wire format, as a provider speaks it."""

    suffix: str
    """How the paths of this format end, such as `/chat/completions`."""

    slow: bool
    """Whether an answer takes long enough to compute that other calls should not wait for it."""

    refusal: int
    """The status of a request that does not fit."""

    def read(self, received: Received) -> Asked:
        """What the request asks for. Raises RequestError."""
        ...

    def error(self, status: int, message: str) -> str:
        """An error in the format's own shape, as JSON text."""
        ...


class ChatFormat(Protocol):
    """A format in which models talk."""

    suffix: str

    def read(self, body: dict[str, Any], digest: str) -> Question:
        """What the request asks for. Raises RequestError."""
        ...

    def whole(self, answer: Answer, script: Script) -> str:
        """The answer as one JSON text."""
        ...

    def events(self, answer: Answer, question: Question, script: Script) -> Iterator[Event]:
        """The answer as a stream of events, the last one included."""
        ...

    def error(self, status: int, message: str) -> str:
        """An error in the format's own shape, as JSON text."""
        ...
