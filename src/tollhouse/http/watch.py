"""Watch: one timer that holds all connections of a process to their deadlines, so that no request needs its own."""

import asyncio
from collections.abc import Iterable
from typing import Protocol


class Watched(Protocol):
    """A connection with deadlines."""

    def check(self, now_s: float) -> None:
        """Act on every deadline that passes before the next tick; `now_s` is loop time."""
        ...


class Watch:
    """Looks at every connection each `tick_s` seconds, while there is one."""

    def __init__(self, tick_s: float) -> None:
        self._tick_s = tick_s
        self._timer: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop, connections: Iterable[Watched]) -> None:
        """Look after `connections`, a live set, until it is empty."""
        if self._timer is None:
            self._timer = loop.call_later(self._tick_s, self._tick, loop, connections)

    def _tick(self, loop: asyncio.AbstractEventLoop, connections: Iterable[Watched]) -> None:
        self._timer = None
        now_s = loop.time()
        watched = list(connections)
        for connection in watched:
            connection.check(now_s)
        if watched:
            self.start(loop, connections)
