"""Departure: notices that the caller hung up, and interrupts what is done for him alone."""

import asyncio
from types import TracebackType

from tollhouse.relay.call import Caller, CallerGoneError


class Departure:
    """A section entered by `with departure:` ends in CallerGoneError as soon as the caller hangs up.

    Only waits that serve the caller belong in such a section: a settlement must outlive him.
    """

    def __init__(self, caller: Caller) -> None:
        self.gone = False
        self._task: asyncio.Task[object] | None = None
        caller.on_gone(self._left)

    def __enter__(self) -> None:
        """Raises CallerGoneError when he has already left."""
        if self.gone:
            raise CallerGoneError
        self._task = asyncio.current_task()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Turn the cancellation that we asked for, and no other, into CallerGoneError."""
        task, self._task = self._task, None
        if self.gone and task is not None and kind is asyncio.CancelledError and task.uncancel() == 0:
            raise CallerGoneError from None

    def _left(self) -> None:
        self.gone = True
        if self._task is not None:
            self._task.cancel()
