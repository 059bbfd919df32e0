"""Connections to one PostgreSQL: few, each replaced when it breaks, and a limit on every wait."""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Protocol, TypeVar, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- it ships none
import msgspec

from tollhouse.ir.fault import FaultError
from tollhouse.stores.database import Row
from tollhouse.stores.health import books_unavailable
from tollhouse.stores.postgres_health import DATABASE_ERRORS, Health, store_wide, worth_repeating

CONNECT_TIMEOUT_S = 3.0
STATEMENT_TIMEOUT_S = 5.0
_LOCK_TIMEOUT_MS = 4_000
LONG_TIMEOUT_S = 30.0
"""For sums over much data, and migrations."""
SIZE = 8
_REPEATS = 3
_PLACE = re.compile(r"\?(\d*)")

Scalar = str | bytes | int | None
Value = Scalar | Sequence[Scalar]
T = TypeVar("T")


class Connection(Protocol):
    """As much of `asyncpg.Connection` as is used here; it ships without annotations."""

    async def execute(self, query: str, *, timeout: float) -> str:  # noqa: ASYNC109 -- asyncpg's word
        """Run statements without values. Raises one of DATABASE_ERRORS."""
        ...

    async def fetch(self, query: str, *args: Value, timeout: float) -> Sequence[Sequence[Scalar]]:  # noqa: ASYNC109 -- asyncpg's word
        """The rows of one statement. Raises one of DATABASE_ERRORS."""
        ...

    async def add_listener(self, channel: str, callback: Callable[[object, int, str, object], None]) -> None:
        """LISTEN."""
        ...

    def is_closed(self) -> bool:
        """Whether it has ended, whoever ended it."""
        ...

    def terminate(self) -> None:
        """End it without a word to the server."""
        ...

    async def close(self, *, timeout: float) -> None:  # noqa: ASYNC109 -- asyncpg's word
        """End it in good order."""
        ...


_connect = cast("Callable[..., Awaitable[Connection]]", asyncpg.connect)


class Database(msgspec.Struct, frozen=True, kw_only=True):
    """Where the database is: a `postgresql://` URL, with the password in it, so that it has no repr. `pooled` means
    that a pooler such as PgBouncer, in transaction mode, stands before it: nothing may outlast a transaction then."""

    url: str
    pooled: bool = False

    def __repr__(self) -> str:
        return "Database(...)"

    async def connect(self) -> Connection:
        """A fresh connection. Raises one of DATABASE_ERRORS."""
        try:
            return await _connect(
                self.url,
                timeout=CONNECT_TIMEOUT_S,
                statement_cache_size=0 if self.pooled else 200,
                server_settings=None if self.pooled else _server_settings(),
            )
        except ValueError as error:
            # asyncpg repeats the URL's parts in what it says.
            why = "the database URL cannot be used; it looks like postgresql://user:password@host:5432/database"
            raise books_unavailable(why) from error


def _server_settings() -> Mapping[str, str]:
    """What the server shall do for our sessions; a pooler would refuse these words."""
    return {
        "application_name": "tollhouse",
        # An operator may have turned durability down for other databases of the server.
        "synchronous_commit": "on",
        # A statement that nobody waits for any more need not keep its locks.
        "statement_timeout": f"{round(LONG_TIMEOUT_S * 1000)}",
        "lock_timeout": f"{_LOCK_TIMEOUT_MS}",
        "idle_in_transaction_session_timeout": "10000",
    }


class Pool:
    """Runs statements, at most SIZE at a time, and keeps the health.

    While the database is known to be down, statements fail at once; `Monitor` finds out when it is back. A statement
    whose caller is cancelled runs to its end, so that no connection is lost to callers who leave.
    """

    def __init__(self, database: Database, health: Health) -> None:
        self._database = database
        self._health = health
        self._idle: list[Connection] = []
        self._places = asyncio.Semaphore(SIZE)
        self._running: set[asyncio.Task[object]] = set()
        self._closed = False

    async def fetch(
        self, sql: str, *values: Value, again: bool = False, timeout_s: float = STATEMENT_TIMEOUT_S
    ) -> list[Row]:
        """The rows of one statement, which is a transaction of its own. Raises FaultError.

        `again`: the statement does no harm when it is repeated, so that it is, once, when a connection broke.
        """
        stored = _storable(values)
        rows = await self.run(lambda connection: connection.fetch(sql, *stored, timeout=timeout_s), again=again)
        return [tuple(row) for row in rows]

    async def run(
        self,
        work: Callable[[Connection], Coroutine[object, object, T]],
        *,
        again: bool = False,
        transaction: bool = False,
    ) -> T:
        """Run `work` on a connection, and in a transaction of its own where it has several statements; otherwise as
        `fetch`."""
        if self._closed:
            raise books_unavailable("the books were closed because the gateway is ending")
        if self._health.fault is not None:
            raise FaultError(self._health.fault.fault)
        task = asyncio.ensure_future(self._run(work, again, transaction or self._database.pooled))
        kept = cast("asyncio.Task[object]", task)
        self._running.add(kept)
        kept.add_done_callback(self._ended)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Wait for what runs, and close the connections; later calls raise FaultError."""
        self._closed = True
        if self._running:
            await asyncio.wait(set(self._running))
        while self._idle:
            connection = self._idle.pop()
            with contextlib.suppress(*DATABASE_ERRORS):
                await connection.close(timeout=1.0)

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            # Looked at, even when the caller has left: asyncio would complain about it.
            task.exception()

    async def _run(
        self, work: Callable[[Connection], Coroutine[object, object, T]], again: bool, transaction: bool
    ) -> T:
        failed: Exception | None = None
        async with self._places:
            for _ in range(_REPEATS):
                try:
                    result = await self._once(work, transaction)
                except _Unsent as error:
                    failed = error.cause
                except DATABASE_ERRORS as error:
                    failed = error
                    if not (worth_repeating(error) or (again and _broke(error))):
                        break
                else:
                    self._health.succeeded()
                    return result
                if isinstance(failed, TimeoutError):
                    break
        assert failed is not None  # noqa: S101 -- a loop that ends without a result has failed
        raise self._health.failed(failed) from failed

    async def _once(self, work: Callable[[Connection], Coroutine[object, object, T]], transaction: bool) -> T:
        connection = await self._take()
        try:
            # Behind a pooler only a transaction keeps the driver's two steps, preparing and executing, on one session.
            if transaction:
                await connection.execute("BEGIN", timeout=STATEMENT_TIMEOUT_S)
            result = await work(connection)
            if transaction:
                await connection.execute("COMMIT", timeout=STATEMENT_TIMEOUT_S)
        except BaseException as error:
            of_statement = isinstance(error, DATABASE_ERRORS) and store_wide(error) is None
            if of_statement and not transaction and not connection.is_closed():
                self._idle.append(connection)
            else:
                connection.terminate()
            raise
        self._idle.append(connection)
        return result

    async def _take(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        try:
            return await self._database.connect()
        except DATABASE_ERRORS as error:
            raise _Unsent(error) from error


class _Unsent(Exception):  # noqa: N818 -- it says what happened
    """There is no connection, so that nothing was sent."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


def _broke(error: Exception) -> bool:
    return store_wide(error) is not None and not isinstance(error, TimeoutError)


def _storable(values: Sequence[Value]) -> list[Value]:
    """PostgreSQL's text knows neither NUL nor lone surrogates; both come from callers."""
    return [_text(value) if isinstance(value, str) else value for value in values]


def storable(values: Sequence[Scalar]) -> list[Scalar]:
    """A column of values, its texts without what PostgreSQL cannot store."""
    return [_text(value) if isinstance(value, str) else value for value in values]


def _text(value: str) -> str:
    if value.isascii() and "\0" not in value:
        return value
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def numbered(sql: str) -> str:
    """SQLite's places `?` and `?1` as PostgreSQL's `$1`."""
    count = iter(range(1, 1_000))
    return _PLACE.sub(lambda found: f"${found.group(1) or next(count)}", sql)
