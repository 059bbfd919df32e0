"""PostgresStore: accounts, ledger and call records in one PostgreSQL, which any number of gateways may share."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tollhouse.ir.fault import FaultError
from tollhouse.money.settlement import REVENUE
from tollhouse.money.store import Transfer
from tollhouse.observe.record import CallRecord
from tollhouse.stores.migrate import shipped
from tollhouse.stores.owners import Owners
from tollhouse.stores.postgres_accounts import Accounts
from tollhouse.stores.postgres_health import DATABASE_ERRORS, Health, fault_of
from tollhouse.stores.postgres_ledger import PostgresLedger
from tollhouse.stores.postgres_migrate import migrate
from tollhouse.stores.postgres_monitor import Monitor
from tollhouse.stores.postgres_pictures import PostgresPictures
from tollhouse.stores.postgres_pool import LONG_TIMEOUT_S, Database, Pool, numbered
from tollhouse.stores.postgres_rules import PostgresRules
from tollhouse.stores.postgres_settlement import RECORD, settlement_of
from tollhouse.stores.postgres_writer import Settler
from tollhouse.stores.settlement import CHARGES_SQL, record_of
from tollhouse.stores.usage import UsageFilter, UsageRow, usage_query, usage_rows

# Rows that another replica is deleting just now are left to it.
_DELETE = """
DELETE FROM request WHERE id IN (
    SELECT id FROM request WHERE started_at_ms < $1 ORDER BY started_at_ms LIMIT $2 FOR UPDATE SKIP LOCKED
) RETURNING 1
"""


class PostgresStore(Accounts):
    """Implements AccountStore and CallStore; its `ledger` is the LedgerStore. Used in one event loop.

    Methods raise FaultError (books_unavailable) when the database cannot be used, with the cause in `detail`.
    """

    def __init__(
        self, database: Database, data_dir: Path, applied: tuple[str, ...], clock_s: Callable[[], float]
    ) -> None:
        """Use `PostgresStore.open`, which makes what is missing."""
        self.applied_migrations = applied
        self._health = Health()
        self._pool = Pool(database, self._health)
        super().__init__(self._pool)
        self._monitor = Monitor(database, self._health)
        self._settler = Settler(self._pool, clock_s)
        self.rules = PostgresRules(self._pool)
        self.ledger = PostgresLedger(self._pool, self._monitor, Owners(data_dir))

    @classmethod
    async def open(
        cls, database: Database, data_dir: Path, clock_s: Callable[[], float] = time.monotonic
    ) -> "PostgresStore":
        """Open the database, brought up to date first. The data folder keeps what only concerns this machine. Raises
        FaultError (books_unavailable)."""
        try:
            connection = await database.connect()
            try:
                applied = await migrate(connection, shipped("postgres"), time.time_ns() // 1_000_000)
            finally:
                connection.terminate()
        except DATABASE_ERRORS as error:
            raise fault_of(error) from error
        return cls(database, data_dir, applied, clock_s)

    async def close(self) -> None:
        """Write what waits and end all connections; later calls raise FaultError."""
        await self._settler.close()
        with contextlib.suppress(FaultError):
            # Otherwise the others wait until this process's time is over.
            await self.ledger.leave()
        await self._monitor.close()
        await self._pool.close()

    def pictures(self, max_bytes: int) -> PostgresPictures:
        """Pictures that are kept for a while, in a table of their own."""
        return PostgresPictures(self._pool, max_bytes)

    def ready(self) -> bool:
        """Whether the books can be used, as of the last second or two."""
        return self._health.fault is None

    def blocked(self) -> FaultError | None:
        """Never: while the database is away, a lease is money that it has granted, as long as the lease is valid."""
        return None

    def fault(self) -> FaultError | None:
        """Why the books cannot be used, None when they can."""
        return self._health.fault

    def commit_call(self, transfers: tuple[Transfer, ...], record: CallRecord) -> asyncio.Future[None]:
        """Post the transfers and keep the record in one commit: durable when the future is done, once however often
        it is repeated. It is queued at once and happens even when the future is cancelled."""
        return self._settler.settle(settlement_of(transfers, record))

    async def call(self, request_id: str) -> CallRecord | None:
        """The record of one call."""
        rows = await self._pool.fetch(RECORD, request_id, again=True)
        return record_of(rows[0]) if rows else None

    async def usage(self, which: UsageFilter, by: Sequence[str]) -> list[UsageRow]:
        """Sums of calls, tokens and cost out of the roll-ups, grouped by any of DIMENSIONS."""
        sql, values = usage_query(which, by)
        rows = await self._pool.fetch(numbered(sql), *values, again=True, timeout_s=LONG_TIMEOUT_S)
        return usage_rows(rows, which, by)

    async def charges(self, request_id: str) -> tuple[tuple[str, int], ...]:
        """The lines that one call was charged: what was bought, and nano-USD."""
        rows = await self._pool.fetch(numbered(CHARGES_SQL), request_id, REVENUE, again=True)
        return tuple((str(code), int(str(amount))) for code, amount in rows)

    async def delete_calls(self, before_ms: int, at_most: int) -> int:
        """Delete the records of the oldest calls that began before `before_ms` (Unix time), `at_most` so many, in one
        transaction; how many there were. Their charges and sums stay."""
        return len(await self._pool.fetch(_DELETE, before_ms, at_most, again=True))


async def open_postgres(url: str, pooled: bool, data_dir: Path) -> PostgresStore:
    """What the composition root opens. Raises FaultError (books_unavailable)."""
    return await PostgresStore.open(Database(url=url, pooled=pooled), data_dir)
