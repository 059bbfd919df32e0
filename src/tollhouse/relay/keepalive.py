"""KeepAlive: a comment to the caller of a stream whenever nothing was sent for a while, so that nobody hangs up."""

from collections.abc import Callable
from typing import Final, Protocol

from tollhouse.relay.call import Caller

COMMENT: Final = b": keep-alive\n\n"
"""A line that every reader of server-sent events skips; the contracts' own words, in all formats."""


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """It is due no more."""
        ...


class Timers(Protocol):
    """What a keep-alive needs of the event loop; times are monotonic, in seconds."""

    def time(self) -> float:
        """Now."""
        ...

    def call_later(self, delay: float, callback: Callable[[], None], /) -> Timer:
        """Call back once."""
        ...


class KeepAlive:
    """Sends a comment after each `every_s` of silence, from now until `stop`.

    Whoever sends anything else notes the time in `sent_s`; that is compared only when the timer is due. The caller has
    been given a head before: it goes out with the first comment, and `begun` says that it has. Whole frames are all
    that is ever sent, so no comment falls inside one.
    """

    def __init__(self, caller: Caller, every_s: float, timers: Timers) -> None:
        self.begun = False
        self.sent_s = timers.time()
        self._caller = caller
        self._every_s = every_s
        self._timers = timers
        self._timer: Timer | None = timers.call_later(every_s, self._due)

    def stop(self) -> None:
        """Nothing is sent any more."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _due(self) -> None:
        now_s = self._timers.time()
        if now_s - self.sent_s >= self._every_s:
            # A caller who reads slowly is not left in silence: bytes are waiting for him.
            self.begun = self._caller.comment(COMMENT) or self.begun
            self.sent_s = now_s
        self._timer = self._timers.call_later(max(0.0, self.sent_s + self._every_s - now_s), self._due)
