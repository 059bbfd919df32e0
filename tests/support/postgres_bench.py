"""Fresh books in PostgreSQL for each example of the ledger's state machine."""

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


def template_of(server: PostgresServer) -> str:
    """The name of a database with one workspace and its credit."""

    async def fill(url: str) -> None:
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
            await connection.close()
            store = await PostgresStore.open(Database(url=url), Path(folder))
            await store.top_up("ws_machine", START_CREDIT, "start", 1)
            await store.close()

    url = server.new_database()
    asyncio.run(fill(url))
    return url.partition("@/")[2].partition("?")[0]


class PostgresBench:
    """Implements Bench. All processes share a data folder, so that the death of one is known at once."""

    def __init__(self, server: PostgresServer, template: str) -> None:
        self._server = server
        self._folder = Path(tempfile.mkdtemp(prefix="tollhouse-books-"))
        self._loop = _Loop()
        self._clock_s: Callable[[], float] = lambda: 1_000.0
        self._hand_s = 1_000.0
        self._url = server.new_database(template)
        name = self._url.partition("@/")[2].partition("?")[0]
        server.ask(self._url, f'ALTER DATABASE "{name}" SET search_path = public, pg_catalog')
        self._look: Any = self._loop.do(asyncpg.connect(self._url))

    async def open(self, clock_s: Callable[[], float]) -> PostgresStore:
        self._clock_s = clock_s
        store = await PostgresStore.open(Database(url=self._url), self._folder, clock_s)
        store._pool.__class__ = _Clocked
        store._pool.before = self._set_clock  # type: ignore[attr-defined]
        return store

    async def kill(self, store: Any) -> None:
        store.ledger.owners.drop()
        store.ledger._own.clear()
        await store.close()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self._loop.do(self._look.fetch(sql))]

    def remove(self) -> None:
        self._loop.do(self._look.close())
        self._loop.close()
        self._server.drop(self._url)
        shutil.rmtree(self._folder)

    def _set_clock(self) -> None:
        now_s = self._clock_s()
        if now_s != self._hand_s:
            self._hand_s = now_s
            self._loop.do(self._look.execute(f"UPDATE public.clock SET at = {now_s}"))


class _Clocked(Pool):
    """A pool whose database has the machine's time."""

    before: Callable[[], None]

    async def fetch(self, sql: str, *values: Value, again: bool = False, timeout_s: float = 5.0) -> Sequence[Row]:  # type: ignore[override]
        self.before()
        return await super().fetch(sql, *values, again=again, timeout_s=timeout_s)
