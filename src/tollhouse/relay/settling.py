"""Settling: what a call leaves behind gets into the books, whatever becomes of the caller, the task or the database."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Protocol

import msgspec

from tollhouse.ir.fault import Fault, FaultError, FaultKind
from tollhouse.money.lease import Hold
from tollhouse.money.ledger import Ledger
from tollhouse.money.settlement import totals
from tollhouse.money.store import Transfer
from tollhouse.observe.logs import Log
from tollhouse.observe.metrics import Metrics
from tollhouse.observe.record import CallRecord

COMMIT_WAIT_S = 2.0
"""About so long an answer waits for the books before its settlement goes to the spool."""


class CallStore(Protocol):
    """Where all that a call leaves behind is kept."""

    def commit_call(self, transfers: tuple[Transfer, ...], record: CallRecord) -> Awaitable[object]:
        """Post the transfers and keep the record in one commit, once however often it is repeated: durable when the
        result is there. Raises FaultError, at once or there."""
        ...


class Spool(Protocol):
    """Settlements that the books did not take in time, on the local disk. Raises OSError when that cannot be used."""

    async def append(self, entry: bytes) -> None:
        """Keep one entry, without a line break in it; durable on return."""
        ...

    async def clear(self) -> None:
        """All of this process's entries are in the books."""
        ...

    async def left_behind(self) -> Sequence[tuple[str, Sequence[bytes]]]:
        """The entries of processes that have ended, by the name of their file."""
        ...

    async def remove(self, name: str) -> None:
        """The entries of such a file are in the books."""
        ...


class Entry(msgspec.Struct, frozen=True):
    """One settlement in the spool."""

    transfers: tuple[Transfer, ...]
    record: CallRecord


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Entry).decode


class _Open:
    """A settlement that is not in the books yet. `told` is what its call waits for."""

    __slots__ = ("committed", "entry", "hold", "kept", "since_s", "told")

    def __init__(self, hold: Hold | None, entry: Entry, loop: asyncio.AbstractEventLoop) -> None:
        self.hold = hold
        self.entry = entry
        self.since_s = loop.time()
        self.told: asyncio.Future[None] = loop.create_future()
        self.committed: asyncio.Future[object] | None = None
        self.kept = False

    def tell(self, fault: FaultError | None) -> None:
        """The settlement is safe, or it is not; nobody may be listening any more."""
        if self.told.done():
            return
        if fault is None:
            self.told.set_result(None)
        else:
            self.told.set_exception(FaultError(fault.fault))
            self.told.exception()  # whoever waits gets it; that nobody does is no fault of its own


class Settling:
    """Owns every settlement until it is in the books or, at worst, in the spool and the log.

    With `waits` False nobody waits for the books (`settle: async`).
    """

    def __init__(
        self, store: CallStore, ledger: Ledger, spool: Spool, metrics: Metrics, log: Log, *, waits: bool = True
    ) -> None:
        self.fault: FaultError | None = None
        """Why nothing may be spent: the spool failed as well. None when all is well."""
        self._store = store
        self._ledger = ledger
        self._spool = spool
        self._metrics = metrics
        self._log = log
        self._waits = waits
        self._open: dict[int, _Open] = {}
        self._keeping: set[asyncio.Task[None]] = set()
        self._spooled: list[_Open] = []
        self._spool_in_use = False
        self._spooling = asyncio.Lock()

    async def settle(self, hold: Hold | None, transfers: tuple[Transfer, ...], record: CallRecord) -> None:
        """Return when the settlement is safe. Raises FaultError when it is not: then nobody was charged.

        It is begun before the first wait, and belongs to no task: it happens though the caller's is cancelled.
        """
        if hold is not None:
            if transfers:
                self._ledger.charging(hold, totals(transfers))
            else:
                self._ledger.void(hold)
        one = _Open(hold, Entry(transfers, record), asyncio.get_running_loop())
        self._open[id(one)] = one
        try:
            committed = self._store.commit_call(transfers, record)
            one.committed = committed if isinstance(committed, asyncio.Future) else asyncio.ensure_future(committed)
            one.committed.add_done_callback(lambda done: self._done(one, done))
        except FaultError as error:
            self._failed(one, error)
        if self._waits or not transfers:
            await one.told

    async def watch(self) -> None:
        """Put what the books have not taken in time into the spool; to be called a few times a second."""
        late_s = asyncio.get_running_loop().time() - COMMIT_WAIT_S
        for one in list(self._open.values()):
            if one.since_s > late_s:
                break
            if one.entry.transfers and not one.kept:
                self._begin_to_keep(one, f"they did not answer within {COMMIT_WAIT_S:g} s")

    async def tend(self) -> None:
        """Bring what is in the spool into the books, and find out whether the spool works again. Raises FaultError."""
        for one in list(self._spooled):
            await self._store.commit_call(one.entry.transfers, one.entry.record)
            self._in_the_books(one)
        self._metrics.spooled(len(self._spooled))
        async with self._spooling:
            if self._spooled or not self._spool_in_use:
                return
            try:
                await self._spool.clear()
            except OSError as error:
                self._log.error("the spool cannot be used", why=str(error))
                return
            self._spool_in_use = False
            self.fault = None

    async def take_over(self) -> None:
        """Bring into the books what processes that have ended left in their spools. Raises FaultError, OSError."""
        for name, lines in await self._spool.left_behind():
            for line in lines:
                try:
                    entry = _decode(line)
                except msgspec.DecodeError:
                    # Its write was cut off, so nobody was told that it is safe.
                    self._log.error("an entry of the spool cannot be read", file=name, bytes=len(line))
                    continue
                await self._store.commit_call(entry.transfers, entry.record)
            await self._spool.remove(name)
            self._log.warning("settlements were taken over from the spool", file=name, entries=len(lines))

    async def close(self) -> None:
        """Wait for all settlements, and try once more to empty the spool."""
        while waiting := [one.committed for one in self._open.values() if one.committed and not one.kept]:
            await asyncio.wait(waiting, timeout=COMMIT_WAIT_S)
            await self.watch()
        if self._keeping:
            await asyncio.wait(self._keeping)
        try:
            await self.tend()
        except FaultError as error:
            self._log.error("settlements stay in the spool until the next start", why=error.fault.detail)

    def _done(self, one: _Open, committed: asyncio.Future[object]) -> None:
        error = None if committed.cancelled() else committed.exception()
        if error is None and not committed.cancelled():
            self._in_the_books(one)
        elif isinstance(error, FaultError):
            self._failed(one, error)
        else:
            self._log.broken(one.entry.record.id, error or asyncio.CancelledError())
            self._failed(one, _unusable(f"the store failed with {type(error).__name__}"))

    def _failed(self, one: _Open, error: FaultError) -> None:
        if one.kept:
            return
        if error.fault.kind is FaultKind.BOOKS_UNAVAILABLE and one.entry.transfers:
            self._begin_to_keep(one, error.fault.detail)
        else:
            self._lost(one, error, error.fault.detail)

    def _begin_to_keep(self, one: _Open, why: str | None) -> None:
        one.kept = True
        task = asyncio.get_running_loop().create_task(self._keep(one, why))
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)

    async def _keep(self, one: _Open, why: str | None) -> None:
        """Put it into the spool. Its hold stays: as long as the books do not have the charge, nobody else may spend
        that money."""
        async with self._spooling:
            self._spool_in_use = True
            try:
                await self._spool.append(_encode(one.entry))
            except OSError as error:
                self.fault = _unusable(f"{why}; the spool failed as well: {error}")
                self._lost(one, self.fault, self.fault.fault.detail)
                return
            if id(one) in self._open:
                self._spooled.append(one)
        self._metrics.spooled(len(self._spooled))
        one.tell(None)
        self._log.warning(
            "the books did not take a settlement; it is in the spool", request_id=one.entry.record.id, why=why
        )

    def _in_the_books(self, one: _Open) -> None:
        if self._open.pop(id(one), None) is None:
            return
        if one in self._spooled:
            self._spooled.remove(one)
        if one.hold is not None:
            self._ledger.charged(one.hold)
        one.tell(None)

    def _lost(self, one: _Open, fault: FaultError, why: str | None) -> None:
        self._open.pop(id(one), None)
        if one.hold is not None:
            self._ledger.void(one.hold)
        if one.entry.transfers:
            self._log.critical("a charge could not be kept", entry=_encode(one.entry).decode(), why=why)
        else:
            self._log.error("a call could not be recorded", request_id=one.entry.record.id, why=why)
        one.tell(fault)


def _unusable(cause: str) -> FaultError:
    message = "The books cannot be used at the moment, so nothing was spent. Please try again shortly."
    return FaultError(Fault(kind=FaultKind.BOOKS_UNAVAILABLE, message=message, detail=cause, retry_after_s=2.0))
