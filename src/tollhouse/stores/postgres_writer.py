"""Settler: commits all settlements that wait as one statement (group commit), again and again until it is known."""

import asyncio
from collections.abc import Callable, Sequence

from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.money.store import Transfer
from tollhouse.stores.health import books_unavailable
from tollhouse.stores.postgres_opening import OPEN_ACCOUNT, opening_values
from tollhouse.stores.postgres_pool import Pool
from tollhouse.stores.postgres_settlement import SETTLE, Settlement, arrays_of

MAX_BATCH = 256
PATIENCE_S = 1.0
"""So long a settlement is tried again while the database cannot be reached."""
_RETRY_S = 0.05
BUSY_BATCH = 4
GATHER_S = 0.001
"""After a commit of at least BUSY_BATCH settlements the next waits this long for company."""

_Waiting = tuple[Settlement, asyncio.Future[None]]


class Settler:
    """Writes settlements in the order they come; each waiter is told when his is durable.

    When a connection breaks nobody knows whether the commit happened. The same rows are written again then, and those
    that are there already change nothing.
    """

    def __init__(self, pool: Pool, clock_s: Callable[[], float]) -> None:
        self._pool = pool
        self._clock_s = clock_s
        self._waiting: list[_Waiting] = []
        self._come = asyncio.Event()
        self._closed = False
        self._task = asyncio.create_task(self._work_off())

    def settle(self, settlement: Settlement) -> asyncio.Future[None]:
        """Queue a settlement at once; the future is done when it is durable, and raises FaultError when it is not."""
        if self._closed:
            raise books_unavailable("the books were closed because the gateway is ending")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((settlement, future))
        self._come.set()
        return future

    async def close(self) -> None:
        """Write what waits."""
        self._closed = True
        self._come.set()
        await self._task

    async def _work_off(self) -> None:
        batch: list[_Waiting] = []
        while self._waiting or not self._closed:
            if len(batch) >= BUSY_BATCH and not self._closed:
                await asyncio.sleep(GATHER_S)
            if not self._waiting and not self._closed:
                self._come.clear()
                await self._come.wait()
            batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
            if batch:
                await self._write(batch)

    async def _write(self, batch: Sequence[_Waiting]) -> None:
        try:
            await self._commit([settlement for settlement, _ in batch])
        except FaultError as error:
            if error.fault.kind is FaultKind.BOOKS_UNAVAILABLE or len(batch) == 1:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(FaultError(error.fault))
            else:
                # One of them cannot be stored: it fails alone.
                for waiting in batch:
                    await self._write([waiting])
        else:
            for _, future in batch:
                if not future.done():
                    future.set_result(None)

    async def _commit(self, settlements: Sequence[Settlement]) -> None:
        arrays = arrays_of(settlements)
        opening = [row for settlement in settlements for row in settlement.transfers if row.opening is not None]
        give_up_s = self._clock_s() + PATIENCE_S
        while True:
            try:
                for row in opening:
                    await self._open(row)
                await self._pool.fetch(SETTLE, *arrays, again=True)
            except FaultError as error:
                lasting = error.fault.kind is not FaultKind.BOOKS_UNAVAILABLE
                if lasting or self._clock_s() >= give_up_s:
                    raise
                await asyncio.sleep(_RETRY_S)
            else:
                return

    async def _open(self, row: Transfer) -> None:
        if row.opening is not None:
            values = opening_values(row.debit_account, row.opening)
            await self._pool.fetch(OPEN_ACCOUNT, *values, again=True)
