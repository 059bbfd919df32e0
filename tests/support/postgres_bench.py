"""Fresh books in PostgreSQL for each example of the ledger's state machine: one database, emptied between them, and
connections that outlive the stores, because making either takes longer than the example itself."""

import asyncio
import shutil
import tempfile
import threading
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import asyncpg

from support.money_machine import START_CREDIT
from support.postgres import PostgresServer
from tollhouse.stores.database import Row
from tollhouse.stores.postgres import PostgresStore
from tollhouse.stores.postgres_pool import Database, Pool, Value

# The machine's clock in place of the server's: the schema of our tables is searched before the one of `now()`.
_CLOCK = """
CREATE UNLOGGED TABLE public.clock (at float8 NOT NULL);
INSERT INTO public.clock VALUES (1000);
CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql STABLE
    AS 'SELECT pg_catalog.to_timestamp(at) FROM public.clock';
"""

_TABLES = ("transfer", "lease", "owner", "open_call", "request", "rollup", "account")
_SAVE = "".join(f"CREATE TABLE public.saved_{table} AS SELECT * FROM {table};" for table in _TABLES)
# Neither the trigger that keeps transfers nor foreign keys hold for a replica.
_RESET = f"SET session_replication_role = replica; TRUNCATE {', '.join(_TABLES)};" + "".join(
    f"INSERT INTO {table} SELECT * FROM public.saved_{table};" for table in _TABLES
)


class _Loop:
    """An event loop in a thread, for looks behind the store's back from wherever the machine is."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


class PostgresBooks:
    """A database with one workspace and its credit, and all that the examples share."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self.url = server.new_database()
        asyncio.run(_fill(self.url))
        self.loop = asyncio.new_event_loop()
        self.database = _Recycling(url=self.url, free=[])
        self._looks = _Loop()
        self.look: Any = self._looks.do(asyncpg.connect(self.url))
        self.do(self.look.execute(_SAVE))

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run `work` on `look`, behind the stores' back."""
        return self._looks.do(work)

    def remove(self) -> None:
        """Throw the database away."""
        self.do(self.look.close())
        self._looks.close()
        self.loop.run_until_complete(self.database.close())
        self.loop.close()
        self._server.drop(self.url)


async def _fill(url: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = await PostgresStore.open(Database(url=url), Path(folder))
        made = await store.create_workspace("machine", 1)
        await store.close()
        connection = await asyncpg.connect(url)
        await connection.execute(_CLOCK)
        await connection.execute("UPDATE workspace SET id = 'ws_machine'")
        await connection.execute(
            f"UPDATE account SET id = 'credit:ws_machine', scope = 'ws_machine' WHERE scope = '{made.id}'"
        )
        name = await connection.fetchval("SELECT current_database()")
        await connection.execute(f'ALTER DATABASE "{name}" SET search_path = public, pg_catalog')
        await connection.close()
        store = await PostgresStore.open(Database(url=url), Path(folder))
        await store.top_up("ws_machine", START_CREDIT, "start", 1)
        await store.close()


class PostgresBench:
    """Implements Bench. All processes share a data folder, so that the death of one is known at once."""

    def __init__(self, books: PostgresBooks) -> None:
        self._books = books
        self._folder = Path(tempfile.mkdtemp(prefix="tollhouse-books-"))
        self._clock_s: Callable[[], float] = lambda: 1_000.0
        self._hand_s = 0.0
        self._opened: list[PostgresStore] = []
        self.loop = books.loop
        books.do(books.look.execute(_RESET))

    async def open(self, clock_s: Callable[[], float]) -> PostgresStore:
        self._clock_s = clock_s
        store = PostgresStore(self._books.database, self._folder, (), clock_s)
        # It would take a machine that stands still between two steps for a database that does not answer.
        await store._monitor.close()
        store._pool.__class__ = _Clocked
        store._pool.before = self._set_clock  # type: ignore[attr-defined]
        self._opened.append(store)
        return store

    async def kill(self, store: Any) -> None:
        store.ledger.owners.drop()
        store.ledger._own.clear()
        await store.close()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self._books.do(self._books.look.fetch(sql))]

    def remove(self) -> None:
        # After a failure some are still open, and the next example needs their connections.
        for store in self._opened:
            self.loop.run_until_complete(store.close())
        shutil.rmtree(self._folder)

    def _set_clock(self) -> None:
        now_s = self._clock_s()
        if now_s != self._hand_s:
            self._hand_s = now_s
            self._books.do(self._books.look.execute(f"UPDATE public.clock SET at = {now_s}"))


class _Recycling(Database, kw_only=True):
    """Makes no new connection as long as an old one is free."""

    free: list[Any]

    async def connect(self) -> Any:
        while self.free:
            connection = self.free.pop()
            if not connection.is_closed():
                return _Lent(connection, self.free)
        return _Lent(await asyncpg.connect(self.url), self.free)

    async def close(self) -> None:
        while self.free:
            await self.free.pop().close()


class _Lent:
    """A connection that is not ended but given back."""

    def __init__(self, connection: Any, free: list[Any]) -> None:
        self.execute, self.fetch = connection.execute, connection.fetch
        self.is_closed, self.terminate = connection.is_closed, connection.terminate
        self._connection = connection
        self._free = free

    async def close(self, *, timeout: float) -> None:  # noqa: ASYNC109 -- asyncpg's word
        self._free.append(self._connection)


class _Clocked(Pool):
    """A pool whose database has the machine's time."""

    before: Callable[[], None]

    async def fetch(self, sql: str, *values: Value, again: bool = False, timeout_s: float = 5.0) -> Sequence[Row]:  # type: ignore[override]
        self.before()
        # A busy machine is no outage; what becomes of outages is shown elsewhere.
        return await super().fetch(sql, *values, again=again, timeout_s=60.0)
