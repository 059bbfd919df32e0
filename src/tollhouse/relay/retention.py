"""Retention: call records that are older than the operator wants them are deleted, a few at a time."""

import asyncio
from collections.abc import Callable
from typing import Protocol

BATCH = 50
"""One transaction's worth. Beside 100 calls a second on a busy machine of two cores and 300,000 records, 95 % of the
settlements waited less than 17 ms on either store, as without it; 43 ms on SQLite with 200 at a time (2026-11)."""
_BREATH_S = 0.025
_DAY_MS = 24 * 3_600_000


class OldCalls(Protocol):
    """Where call records are kept."""

    async def delete_calls(self, before_ms: int, at_most: int) -> int:
        """Delete the records of the oldest calls that began before `before_ms`, `at_most` so many, in one transaction;
        how many there were. Raises FaultError (books_unavailable)."""
        ...


class Retention:
    """Deletes call records after `days` days. The ledger and the sums by hour stay: money is never forgotten."""

    def __init__(self, calls: OldCalls, days: int, now_ms: Callable[[], int], breath_s: float = _BREATH_S) -> None:
        self._calls = calls
        self._days = days
        self._now_ms = now_ms
        self._breath_s = breath_s

    async def forget(self) -> None:
        """Delete all that is too old now. Raises FaultError (books_unavailable)."""
        before_ms = self._now_ms() - self._days * _DAY_MS
        deleted = BATCH
        while deleted == BATCH:
            deleted = await self._calls.delete_calls(before_ms, BATCH)
            await asyncio.sleep(self._breath_s)
