"""PostgresQuotas: the QuotaStore on PostgreSQL, with the statements that SQLite has.

What administrators change is rare and takes several statements, each of which depends on the one before. They run as on
SQLite: one change at a time, in a thread, in a transaction that keeps all others from changing an account meanwhile.
"""

import asyncio
import decimal
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar, cast

from tollhouse.accounts.quotas import AuditRow, Consumer, ConsumerStanding, LimitStanding, Plan
from tollhouse.stores import consumers, limits, plans
from tollhouse.stores.audit import audit_query, audit_row
from tollhouse.stores.database import Answer, Reader, Row, Values
from tollhouse.stores.database import Connection as Statements
from tollhouse.stores.postgres_monitor import CHANNEL
from tollhouse.stores.postgres_pool import STATEMENT_TIMEOUT_S, Connection, Pool, numbered, storable
from tollhouse.stores.sqlite_quotas import SqliteQuotas

T = TypeVar("T")

# Settlements, leases and top-ups wait for the few milliseconds, and so do changes for each other.
_ALONE = "SET LOCAL idle_in_transaction_session_timeout = 10000; LOCK TABLE account IN SHARE ROW EXCLUSIVE MODE"
# SQLite's trigger does it there.
_POST = """
UPDATE account SET
    debits = debits + CASE WHEN id = $1 THEN $3::bigint ELSE 0 END,
    credits = credits + CASE WHEN id = $2 THEN $3::bigint ELSE 0 END
WHERE id IN ($1, $2)
"""
_TELL = f"""
SELECT pg_notify('{CHANNEL}', owner) FROM (SELECT DISTINCT owner FROM lease WHERE recall = 1 AND state = 'active') r
"""  # noqa: S608 -- constants only


class PostgresQuotas(SqliteQuotas):
    """Implements QuotaStore."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        # Its own reads are all replaced below.
        no_reader = cast("Reader", None)
        super().__init__(Changes(pool), no_reader, no_reader, lambda: None)

    async def limits(self, owner_ids: Sequence[str], now_ms: int) -> list[LimitStanding]:
        """The limits in force of these keys and workspaces."""
        if not owner_ids:
            return []

        def work(statements: Statements) -> list[LimitStanding]:
            return limits.standings(limits.rows_of(statements), owner_ids, now_ms)

        return await self._pool.run(lambda connection: _in_thread(connection, work), again=True)

    async def plans(self) -> list[Plan]:
        """All that are known, by name."""
        return [plans.plan_of(row) for row in await self._rows(f"{plans.PLANS} ORDER BY name")]

    async def consumers(self, workspace_id: str | None = None) -> list[Consumer]:
        """All, or those of one workspace."""
        sql = f"{consumers.CONSUMERS} WHERE ?1::text IS NULL OR w.id = ?1 ORDER BY w.name, c.created_at_ms, c.id"
        return [consumers.consumer_of(row) for row in await self._rows(sql, workspace_id)]

    async def consumer(self, key_id: str) -> Consumer | None:
        """The consumer of a key."""
        rows = await self._rows(f"{consumers.CONSUMERS} WHERE c.key_id = ?", key_id)
        return consumers.consumer_of(rows[0]) if rows else None

    async def consumer_standing(self, key_id: str) -> ConsumerStanding | None:
        """Where a key's consumer stands."""
        rows = await self._rows(consumers.STANDING, key_id)
        return consumers.standing_of(rows[0]) if rows else None

    async def audit(self, subjects: Sequence[str] = (), limit: int = 100) -> list[AuditRow]:
        """The latest changes, newest first."""
        sql, values = audit_query(subjects, limit)
        return [audit_row(row) for row in await self._rows(sql, *values)]

    async def _rows(self, sql: str, *values: str | int | None) -> list[Row]:
        return [_whole(row) for row in await self._pool.fetch(numbered(sql), *values, again=True)]


class Changes:
    """Makes changes one by one, with the statements that SQLite has: what a `Writer` is there."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def run(self, work: Callable[[Statements], T]) -> T:
        """The result of `work`, once it is durable. Raises FaultError."""

        async def change(connection: Connection) -> T:
            await connection.execute(_ALONE, timeout=STATEMENT_TIMEOUT_S)
            result = await _in_thread(connection, work)
            await connection.execute(_TELL, timeout=STATEMENT_TIMEOUT_S)
            return result

        return await self._pool.run(change, transaction=True)


async def _in_thread(connection: Connection, work: Callable[[Statements], T]) -> T:
    # Of a connection to SQLite such work uses nothing but `execute`.
    lent = cast("Statements", _Lent(connection, asyncio.get_running_loop()))
    return await asyncio.to_thread(work, lent)


class _Lent:
    """A connection of an event loop, as a thread uses it with SQLite's statements."""

    def __init__(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        self._connection = connection
        self._loop = loop

    def execute(self, statements: str, bindings: Values | None = None) -> Answer:
        """Run one statement. Raises one of DATABASE_ERRORS."""
        if not statements.startswith("INSERT INTO transfer"):
            return _Found(self._ask(numbered(statements), bindings or ()))
        sql = f"{numbered(statements)} RETURNING debit_account, credit_account, amount"
        for posted in self._ask(sql, bindings or ()):
            self._ask(_POST, cast("Values", posted))
        return _Found([])

    def _ask(self, sql: str, values: Values) -> list[Row]:
        asked = self._connection.fetch(sql, *storable(values), timeout=STATEMENT_TIMEOUT_S)
        rows = asyncio.run_coroutine_threadsafe(asked, self._loop).result()
        return [_whole(row) for row in rows]


class _Found:
    """The rows that a statement gave."""

    def __init__(self, rows: list[Row]) -> None:
        self._rows = iter(rows)

    def __iter__(self) -> Iterator[Row]:
        return self._rows

    def fetchone(self) -> Row | None:
        """The next row."""
        return next(self._rows, None)

    def fetchall(self) -> list[Row]:
        """The rows that are left."""
        return list(self._rows)


def _whole(row: Sequence[object]) -> Row:
    """A row whose sums are integers again: what PostgreSQL adds up from whole numbers is a numeric."""
    return cast("Row", tuple(int(value) if isinstance(value, decimal.Decimal) else value for value in row))
