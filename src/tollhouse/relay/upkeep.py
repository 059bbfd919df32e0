"""Upkeep: what a gateway does beside its calls, each thing by itself and again and again."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from tollhouse.ir.fault import FaultError
from tollhouse.money.ledger import Ledger
from tollhouse.money.store import LedgerStore, OpenCall
from tollhouse.observe.logs import Log
from tollhouse.observe.metrics import Metrics
from tollhouse.relay.closing import Closing, Progress
from tollhouse.relay.settling import Settling

NOTE_AFTER_S = 0.2
"""A call that has run for so long is noted in the store, so that a crash does not make it vanish."""


class Chore(msgspec.Struct, frozen=True):
    """Something to do every so many seconds."""

    name: str
    every_s: float
    do: Callable[[], Awaitable[None]]


class Upkeep:
    """Runs chores until it is stopped. One that fails is told of once, and done again at its next time."""

    def __init__(self, chores: Sequence[Chore], log: Log) -> None:
        self._chores = chores
        self._log = log
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin, in the running loop."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._repeat(chore), name=f"upkeep: {chore.name}") for chore in self._chores]

    async def stop(self) -> None:
        """End; a chore that is being done is cut off."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def _repeat(self, chore: Chore) -> None:
        failing = False
        while True:
            await asyncio.sleep(chore.every_s)
            try:
                await chore.do()
            except FaultError as error:
                if not failing:
                    self._log.warning("upkeep cannot be done", chore=chore.name, why=error.fault.detail)
                failing = True
            except Exception as error:
                self._log.broken(f"upkeep: {chore.name}", error)
                failing = True
            else:
                failing = False


class MoneyUpkeep:
    """The chores of one process that spends from the books."""

    def __init__(
        self, store: LedgerStore, ledger: Ledger, closing: Closing, settling: Settling, metrics: Metrics
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._closing = closing
        self._settling = settling
        self._metrics = metrics
        self._noted: frozenset[str] = frozenset()

    def chores(self) -> tuple[Chore, ...]:
        """All of them."""
        return (
            Chore("answer recalls", 0.05, self._ledger.answer_recalls),
            Chore("note calls that run", NOTE_AFTER_S, self.note_open),
            Chore("watch settlements", 0.25, self._settling.watch),
            Chore("give back leases that nobody uses", 0.5, self._ledger.give_back_idle),
            Chore("empty the spool", 1.0, self._settling.tend),
            Chore("take over from processes that are gone", 5.0, self.take_over),
            Chore("renew leases", 10.0, self._ledger.renew),
        )

    async def begin(self) -> None:
        """What has to be done before the first call: the owner is made known, and what the last one left is taken
        over. Raises FaultError."""
        await self._store.join(self._ledger.owner)
        await self.take_over()

    async def take_over(self) -> None:
        """Spools first: a call whose settlement is in one is not lost. Raises FaultError."""
        await self._settling.take_over()
        lost = await self._store.sweep()
        if lost:
            self._metrics.lost(len(lost))

    async def note_open(self) -> None:
        """Keep note of calls that have run for a while. Raises FaultError."""
        self._metrics.open_holds(self._ledger.leases.open_holds)
        running = [progress for progress in self._closing.in_flight.values() if progress.admitted is not None]
        old = [
            one for one in running if one.call.request_id not in self._noted and self._closing.age_s(one) > NOTE_AFTER_S
        ]
        if old:
            await self._store.note_open([note for one in old if (note := self._note(one)) is not None])
        now = frozenset(one.call.request_id for one in old)
        self._noted = (self._noted & self._closing.in_flight.keys()) | now

    def _note(self, progress: Progress) -> OpenCall | None:
        admitted, call = progress.admitted, progress.call
        if admitted is None:
            return None
        return OpenCall(
            request_id=call.request_id,
            owner=self._ledger.owner,
            started_at_ms=call.started_at_ms,
            workspace_id=admitted.principal.workspace_id,
            key_id=admitted.principal.key_id,
            model=admitted.resolved.slug,
            held_nano_usd=admitted.hold.parts[0].amount,
        )
