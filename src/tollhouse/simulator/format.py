"""Format: what the simulator needs of one wire format; a format is a module's worth of such functions."""

from collections.abc import Iterator
from typing import Any, Protocol

import msgspec

from tollhouse.simulator.answer import Answer, Question
from tollhouse.simulator.script import Script


class RequestError(Exception):
    """The request does not fit the format; the text is for the caller (HTTP 400)."""


class Event(msgspec.Struct, frozen=True):
    """One event of a stream: its data as text, and its name where the format names events."""

    data: str
    name: str | None = None


class Format(Protocol):
    """One wire format, as a provider speaks it."""

    suffix: str
    """How the paths of this format end, such as `/chat/completions`."""

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
