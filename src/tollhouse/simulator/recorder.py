"""Recorder: what arrived at the simulator, kept for tests within bounds of number and size."""

from collections import deque
from typing import Final

import msgspec

_MAX_ARRIVALS: Final = 1000
_MAX_BYTES: Final = 64 * 1024 * 1024


class Arrival(msgspec.Struct, kw_only=True):
    """One request; `outcome` is running, done, gone (the caller hung up) or cut (the script ended it)."""

    number: int
    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: str
    outcome: str = "running"
    events_sent: int = 0

    def header(self, name: str) -> str | None:
        """The first value of header `name`, None where it did not come."""
        return next((value for key, value in self.headers if key == name.lower()), None)


class Recorder:
    """The last arrivals, oldest first."""

    def __init__(self) -> None:
        self.arrivals: deque[Arrival] = deque()
        self._count = 0
        self._bytes = 0

    def add(self, arrival: Arrival) -> None:
        """Keep `arrival`, numbered, and forget the oldest where there are too many."""
        self._count += 1
        arrival.number = self._count
        self.arrivals.append(arrival)
        self._bytes += len(arrival.body)
        while len(self.arrivals) > _MAX_ARRIVALS or (self._bytes > _MAX_BYTES and len(self.arrivals) > 1):
            self._bytes -= len(self.arrivals.popleft().body)

    def clear(self) -> None:
        """Forget every arrival; the numbers go on."""
        self.arrivals.clear()
        self._bytes = 0

    def to_json(self) -> bytes:
        """`{"requests": [...]}`, oldest first."""
        return msgspec.json.encode({"requests": list(self.arrivals)})
