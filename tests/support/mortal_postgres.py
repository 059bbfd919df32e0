"""The steps between and inside of PostgreSQL's statements at which support/mortal.py lets a gateway die."""

import asyncio
from collections.abc import Callable
from typing import Any

from tollhouse.stores import postgres, postgres_ledger
from tollhouse.stores.migrate import Migration
from tollhouse.stores.postgres_pool import Pool
from tollhouse.stores.postgres_settlement import SETTLE

# What a release may do that moves data: half of it done must not be seen by the next start.
_MOVING = "CREATE TABLE moved (id TEXT); DELETE FROM open_call; DELETE FROM lease"
_VERSION = 9999
# A statement takes about as long: some of the commits are done by then, and some are not.
_UNDER_WAY_S = 0.001


def mid_group_commit(reached: Callable[[], None]) -> None:
    """The rows of a batch are with the server, which may have committed them; nobody here knows."""
    fetch = Pool.fetch

    async def fetched(self: Pool, sql: str, *values: Any, **how: Any) -> Any:
        fetching = asyncio.ensure_future(fetch(self, sql, *values, **how))
        if sql == SETTLE:
            await asyncio.wait({fetching}, timeout=_UNDER_WAY_S)
            reached()
        return await fetching

    Pool.fetch = fetched  # type: ignore[method-assign]


def during_sweep(reached: Callable[[], None]) -> None:
    """The leases of a process that is gone are closed, its calls are not."""
    fetch = Pool.fetch

    async def fetched(self: Pool, sql: str, *values: Any, **how: Any) -> Any:
        rows = await fetch(self, sql, *values, **how)
        if sql == postgres_ledger._CLOSE_LEASES:
            reached()
        return rows

    Pool.fetch = fetched  # type: ignore[method-assign]


class _Watched:
    """A connection that tells when a step of the schema has done its work."""

    def __init__(self, connection: Any, reached: Callable[[], None]) -> None:
        self._connection = connection
        self._reached = reached
        self.execute = connection.execute

    async def fetch(self, sql: str, *values: Any, **how: Any) -> Any:
        if values[:1] == (_VERSION,):
            self._reached()
        return await self._connection.fetch(sql, *values, **how)


def during_migration(reached: Callable[[], None]) -> None:
    """A step of the schema has done its work, and is not committed."""
    migrate = postgres.migrate
    moving = Migration(version=_VERSION, name=f"{_VERSION}_moving", sql=_MOVING, checksum="moving")

    async def migrated(connection: Any, migrations: tuple[Migration, ...], now_ms: int) -> tuple[str, ...]:
        return await migrate(_Watched(connection, reached), (*migrations, moving), now_ms)

    postgres.migrate = migrated
