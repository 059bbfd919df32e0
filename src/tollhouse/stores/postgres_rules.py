"""PostgresRules: the RulesStore on PostgreSQL, with the statements that SQLite has."""

from typing import cast

from tollhouse.routing.store import Activation, StoredRules
from tollhouse.stores.database import Reader
from tollhouse.stores.past_calls import PastCall, past_calls_of, past_calls_query
from tollhouse.stores.postgres_pool import LONG_TIMEOUT_S, Pool, numbered
from tollhouse.stores.postgres_quotas import Changes
from tollhouse.stores.routing_rules import NEWEST, RULES, SqliteRules, activation_of, rules_of
from tollhouse.stores.usage import UsageFilter


class PostgresRules(SqliteRules):
    """Implements RulesStore; changes are made one at a time, as those of quotas are."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        # Its own reads are all replaced below.
        no_reader = cast("Reader", None)
        super().__init__(Changes(pool), no_reader, no_reader)

    async def versions(self) -> list[StoredRules]:
        """All, oldest first."""
        return [rules_of(row) for row in await self._pool.fetch(f"{RULES} ORDER BY version", again=True)]

    async def version(self, version: int) -> StoredRules | None:
        """One of them."""
        rows = await self._pool.fetch(numbered(f"{RULES} WHERE version = ?"), version, again=True)
        return rules_of(rows[0]) if rows else None

    async def activation(self) -> Activation | None:
        """The newest."""
        rows = await self._pool.fetch(NEWEST, again=True)
        return activation_of(rows[0]) if rows else None

    async def past_calls(self, which: UsageFilter, at_most: int, *, routed_only: bool) -> list[PastCall]:
        """The newest calls that ended well and had a prompt, on which rules can be tried."""
        sql, values = past_calls_query(which, at_most, routed_only=routed_only)
        return past_calls_of(await self._pool.fetch(numbered(sql), *values, again=True, timeout_s=LONG_TIMEOUT_S))
