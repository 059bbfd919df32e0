"""SqliteLedger: the LedgerStore on SQLite."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tollhouse.money.store import Ask, Lease, OpenCall, Shortage
from tollhouse.stores import leasing
from tollhouse.stores.database import Connection, Reader
from tollhouse.stores.health import books_unavailable
from tollhouse.stores.owners import Owners
from tollhouse.stores.settlement import Settlement
from tollhouse.stores.writer import Writer


class SqliteLedger:
    """Implements LedgerStore: writes go through the store's writer, and so in the order in which they are asked."""

    def __init__(
        self, data_dir: Path, writer: Writer[Settlement], look_ups: Reader, clock_s: Callable[[], float]
    ) -> None:
        """Made by SqliteStore. `clock_s` tells how long leases were not renewed."""
        self.owners = Owners(data_dir)
        self._writer = writer
        self._look_ups = look_ups
        self._renewals = leasing.Renewals(clock_s)

    async def join(self, owner: str) -> None:
        """Lock the owner's file."""
        self.owners.join(owner)

    async def acquire(self, owner: str, asks: Sequence[Ask]) -> tuple[Lease, ...] | tuple[Shortage, ...]:
        """Leases for all asks or none."""
        now_ms = _now_ms()
        return await self._writer.run(lambda connection: leasing.acquire(connection, owner, asks, now_ms))

    async def give_back(self, owner: str, unused: Mapping[str, int]) -> None:
        """Return the unused parts of leases."""
        await self._writer.run(lambda connection: leasing.give_back(connection, owner, unused))

    async def renew(self, owner: str) -> tuple[Lease, ...]:
        """Extend all leases of the owner."""
        now_ms = _now_ms()
        return await self._writer.run(lambda connection: leasing.renew(connection, owner, now_ms))

    async def recall(self, owner: str, account_ids: Sequence[str]) -> None:
        """Ask the other owners to give back."""
        await self._writer.run(lambda connection: leasing.recall(connection, owner, account_ids))

    async def recalled(self, owner: str) -> frozenset[str]:
        """What the others ask for; it is looked up without the writer, since it is asked many times a second."""
        rows = self._look_ups.rows(leasing.RECALLED_SQL, (owner,))
        if rows:
            await self._writer.run(lambda connection: leasing.clear_recalls(connection, owner))
        return frozenset(str(row[0]) for row in rows)

    async def sweep(self) -> tuple[OpenCall, ...]:
        """Close what owners have left whose lock is free, and leases that nobody has renewed for long."""
        left = {str(row[0]) for row in self._look_ups.rows(leasing.OWNERS_SQL)}
        abandoned = self._renewals.abandoned(self._look_ups.rows(leasing.RENEWALS_SQL))
        try:
            gone = [owner for owner in left if self.owners.is_gone(owner)]
            for owner in set(self.owners.known()) - left:
                self.owners.is_gone(owner, bury=True)
        except OSError as error:
            raise books_unavailable(f"the lock files of the data folder cannot be used ({error})") from error
        if not gone and not abandoned:
            return ()

        def work(connection: Connection) -> tuple[OpenCall, ...]:
            for lease_id in abandoned:
                leasing.close_leases(connection, "id = ?", lease_id)
            lost: list[OpenCall] = []
            for owner in gone:
                leasing.close_leases(connection, "owner = ?", owner)
                lost += leasing.close_calls(connection, owner)
            return tuple(lost)

        return await self._writer.run(work)

    async def note_open(self, calls: Sequence[OpenCall]) -> None:
        """Keep note of calls that have not ended."""
        await self._writer.run(lambda connection: leasing.note_open(connection, calls))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
