"""Settling: what a call leaves behind gets into the books, whatever becomes of the caller, the task or the database."""

import asyncio
from collections.abc import Sequence
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
"""So long an answer waits for the books before its settlement goes to the spool."""


class CallStore(Protocol):
    """Where all that a call leaves behind is kept."""

    async def commit_call(self, transfers: tuple[Transfer, ...], record: CallRecord) -> None:
        """Post the transfers and keep the record in one commit; durable on return, once however often it is repeated.
        Queued at its first step: it happens even when it is cancelled after that. Raises FaultError."""
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
        self._tasks: set[asyncio.Task[None]] = set()
        self._spooled: list[tuple[Entry, Hold | None]] = []
        self._spool_in_use = False
        self._spooling = asyncio.Lock()

    async def settle(self, hold: Hold | None, transfers: tuple[Transfer, ...], record: CallRecord) -> None:
        """Return when the settlement is safe. Raises FaultError when it is not: then nobody was charged.

        It happens though the caller's task is cancelled, before or after.
        """
        if hold is not None:
            if transfers:
                self._ledger.charging(hold, totals(transfers))
            else:
                self._ledger.void(hold)
        task = asyncio.get_running_loop().create_task(self._commit(hold, Entry(transfers, record)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._waits or not transfers:
            await asyncio.shield(task)
        else:
            task.add_done_callback(_look_at)

    async def tend(self) -> None:
        """Bring what is in the spool into the books, and find out whether the spool works again. Raises FaultError."""
        for entry, hold in list(self._spooled):
            await self._store.commit_call(entry.transfers, entry.record)
            self._spooled.remove((entry, hold))
            self._ended(hold)
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
        while self._tasks:
            await asyncio.wait(self._tasks)
        try:
            await self.tend()
        except FaultError as error:
            self._log.error("settlements stay in the spool until the next start", why=error.fault.detail)

    async def _commit(self, hold: Hold | None, entry: Entry) -> None:
        try:
            async with asyncio.timeout(COMMIT_WAIT_S):
                await self._store.commit_call(entry.transfers, entry.record)
        except TimeoutError:
            await self._keep(hold, entry, f"they did not answer within {COMMIT_WAIT_S:g} s")
        except FaultError as error:
            if error.fault.kind is not FaultKind.BOOKS_UNAVAILABLE or not entry.transfers:
                self._lost(hold, entry, error.fault.detail)
                raise
            await self._keep(hold, entry, error.fault.detail)
        else:
            self._ended(hold)

    async def _keep(self, hold: Hold | None, entry: Entry, why: str | None) -> None:
        """Put it into the spool. Its hold stays: as long as the books do not have the charge, nobody else may spend
        that money."""
        async with self._spooling:
            self._spool_in_use = True
            try:
                await self._spool.append(_encode(entry))
            except OSError as error:
                self._lost(hold, entry, f"{why}; the spool failed as well: {error}")
                self.fault = _unusable(f"{why}; the spool failed as well: {error}")
                raise self.fault from error
            self._spooled.append((entry, hold))
        self._metrics.spooled(len(self._spooled))
        self._log.warning(
            "the books did not take a settlement; it is in the spool", request_id=entry.record.id, why=why
        )

    def _lost(self, hold: Hold | None, entry: Entry, why: str | None) -> None:
        if hold is not None:
            self._ledger.void(hold)
        if entry.transfers:
            self._log.critical("a charge could not be kept", entry=_encode(entry).decode(), why=why)
        else:
            self._log.error("a call could not be recorded", request_id=entry.record.id, why=why)

    def _ended(self, hold: Hold | None) -> None:
        if hold is not None:
            self._ledger.charged(hold)


def _unusable(cause: str) -> FaultError:
    message = "The books cannot be used at the moment, so nothing was spent. Please try again shortly."
    return FaultError(Fault(kind=FaultKind.BOOKS_UNAVAILABLE, message=message, detail=cause, retry_after_s=2.0))


def _look_at(task: asyncio.Task[None]) -> None:
    """Nobody waits for the task: what went wrong in it was logged there."""
    if not task.cancelled():
        task.exception()
