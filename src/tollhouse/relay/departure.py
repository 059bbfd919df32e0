"""Departure: notices that the caller hung up; what is done for him ends, or, where the provider bills the whole answer
anyway, is drained: read to its end within bounds."""

import asyncio
from types import TracebackType

from tollhouse.catalog.entries import OnDisconnect
from tollhouse.observe.metrics import Metrics
from tollhouse.relay.call import Caller, CallerGoneError


class Drains:
    """How many calls may be drained at once, and for how long each."""

    def __init__(self, at_once: int, limit_s: float, metrics: Metrics) -> None:
        self.limit_s = limit_s
        self._metrics = metrics
        self.running = 0
        self._at_once = at_once

    def begin(self) -> bool:
        """Whether one more may; `end` follows."""
        if self.running >= self._at_once:
            self._metrics.drain_ends("refused")
            return False
        self._metrics.drain_begins()
        self.running += 1
        return True

    def end(self, *, overdue: bool) -> None:
        """One has ended, by itself or because it took too long."""
        self._metrics.drain_ends("overdue" if overdue else "ended")
        self.running -= 1


class Departure:
    """A section entered by `with departure:` ends in CallerGoneError as soon as the caller hangs up, or, while the call
    is drained, as soon as the time for that is over.

    Only waits that serve the caller or drain belong in such a section: a settlement must outlive him. `done` has to be
    called at the end of the call.
    """

    def __init__(self, caller: Caller, drains: Drains) -> None:
        self.gone = False
        self.draining = False
        """The caller is gone, and the answer is read on without him."""
        self._over = False
        self._drains = drains
        self._drainable = False
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None
        self._caller = caller
        caller.on_gone(self._left)

    def asking(self, on_disconnect: OnDisconnect | None, *, stream: bool) -> None:
        """A provider is asked now, or (None) nobody is, which leaves nothing to drain. Raises CallerGoneError when
        there is nobody left to ask one for."""
        if self.gone:
            raise CallerGoneError
        self._drainable = bills_the_rest(on_disconnect, stream=stream)

    def done(self) -> None:
        """The call has ended."""
        self._caller.on_gone(None)
        if self._timer is not None:
            self._timer.cancel()
        if self.draining:
            self.draining = False
            self._drains.end(overdue=self._over)

    def __enter__(self) -> None:
        """Raises CallerGoneError when he has already left and nothing is drained."""
        if self._over or (self.gone and not self.draining):
            raise CallerGoneError
        self._task = asyncio.current_task()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Turn the cancellation that we asked for, and no other, into CallerGoneError."""
        task, self._task = self._task, None
        ours = self._over or (self.gone and not self.draining)
        if ours and task is not None and kind is asyncio.CancelledError and task.uncancel() == 0:
            raise CallerGoneError from None

    def _left(self) -> None:
        self.gone = True
        if self._drainable and self._drains.begin():
            self.draining = True
            self._timer = asyncio.get_running_loop().call_later(self._drains.limit_s, self._overdue)
        elif self._task is not None:
            self._task.cancel()

    def _overdue(self) -> None:
        self._over = True
        if self._task is not None:
            self._task.cancel()


def bills_the_rest(on_disconnect: OnDisconnect | None, *, stream: bool) -> bool:
    """Whether a provider goes on with an answer, and bills it, when it is no longer listened to."""
    return on_disconnect == "drain" or (on_disconnect == "cancel_streams" and not stream)
