"""Books with many calls: a look-up by id and the sums use indexes, old records go in batches that hold nobody up."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from support.books import ask, connect, new_id, record, settle, with_store
from tollhouse.relay.retention import BATCH, Retention
from tollhouse.stores.settlement import DELETE_SQL, RECORD_SQL
from tollhouse.stores.sqlite import SqliteStore
from tollhouse.stores.usage import UsageFilter, usage_query

CALLS = 300_000
DAY_MS = 24 * 3_600_000
NOW_MS = 1_800_000_000_000
FILL = f"""
WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {CALLS - 1})
INSERT INTO request
SELECT printf('%044d', i), {NOW_MS} - (i % 100) * {DAY_MS} - i, {NOW_MS} - (i % 100) * {DAY_MS}, 'ws_1', 'key_1',
       'hyperinfer', 'openai_chat', 'model-' || (i % 5), 'provider-' || (i % 3), 'm', 0, 'ok', NULL, 'stop', 10, 0, 5,
       0, 'provider', 100, NULL, '[]', NULL, '[]', NULL
FROM n
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300,000 calls of 100 days, without their roll-ups, which the trigger would take minutes to make."""
    data_dir = tmp_path_factory.mktemp("large")
    with_store(data_dir, lambda _store: asyncio.sleep(0))
    connection = connect(data_dir)
    try:
        (trigger,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'request_ends'").fetchone()
        connection.execute("DROP TRIGGER request_ends")
        connection.execute(FILL)
        connection.execute(trigger)
    finally:
        connection.close()
    return data_dir


def plan(data_dir: Path, sql: str, *values: Any) -> str:
    return "\n".join(str(row[3]) for row in ask(data_dir, f"EXPLAIN QUERY PLAN {sql}", *values))


@pytest.mark.fault(80)
def test_a_call_is_found_by_an_index_however_many_there_are(large: Path) -> None:
    assert plan(large, RECORD_SQL, "x") == "SEARCH request USING INDEX sqlite_autoindex_request_1 (id=?)"

    async def look(store: SqliteStore) -> None:
        started_s = time.perf_counter()
        found = await store.call(f"{CALLS - 1:044d}")
        assert found is not None
        assert time.perf_counter() - started_s < 0.05

    with_store(large, look)


@pytest.mark.fault(80)
@pytest.mark.parametrize("by", [(), ("model", "day"), ("provider", "hour"), ("workspace", "key", "month")])
def test_sums_never_read_the_calls(large: Path, by: tuple[str, ...]) -> None:
    sql, values = usage_query(UsageFilter(workspace_id="ws_1", since_ms=NOW_MS - DAY_MS, until_ms=NOW_MS), by)
    steps = plan(large, sql, *values)
    assert "SEARCH r USING PRIMARY KEY (hour_ms>? AND hour_ms<?)" in steps
    assert "request" not in steps
    assert " w " not in steps or "SEARCH w" in steps


@pytest.mark.fault(80)
def test_old_records_go_in_batches_and_settlements_go_in_between(large: Path) -> None:
    """Retention of 90 days on 100: 27,000 records, while calls are settled all the time."""
    steps = plan(large, DELETE_SQL, 0, BATCH)
    assert "SEARCH request USING COVERING INDEX request_by_start (started_at_ms<?)" in steps
    assert "SCAN" not in steps

    async def forget(store: SqliteStore) -> None:
        retention = Retention(store, 90, lambda: NOW_MS, breath_s=0.002)
        work = asyncio.create_task(retention.forget())
        waits_s: list[float] = []
        while not work.done():
            started_s = time.perf_counter()
            await settle(store, None, (), record(new_id(), started_at_ms=NOW_MS))
            waits_s.append(time.perf_counter() - started_s)
        await work
        assert len(waits_s) > 50
        # The machine may be busy with something else, so not every wait is a batch's; half of them are.
        assert sorted(waits_s)[len(waits_s) // 2] < 0.05

    before = ask(large, "SELECT COUNT(*) FROM request WHERE started_at_ms < ?", NOW_MS - 90 * DAY_MS)[0][0]
    assert 20_000 < before < 40_000
    with_store(large, forget)
    assert ask(large, "SELECT COUNT(*) FROM request WHERE started_at_ms < ?", NOW_MS - 90 * DAY_MS) == [(0,)]
    assert ask(large, "SELECT COUNT(*) FROM request WHERE started_at_ms < ?", NOW_MS)[0][0] > CALLS - before - 100


def test_what_is_forgotten_was_paid_all_the_same(tmp_path: Path) -> None:
    async def work(store: SqliteStore) -> None:
        for day in (1, 5, 9):
            await settle(store, None, (), record(new_id(), started_at_ms=NOW_MS - day * DAY_MS))
        before = await store.usage(UsageFilter(), ("day",))
        await Retention(store, 4, lambda: NOW_MS).forget()
        assert await store.usage(UsageFilter(), ("day",)) == before
        assert [row.calls for row in before] == [1, 1, 1]

    with_store(tmp_path, work)
    assert ask(tmp_path, "SELECT COUNT(*) FROM request") == [(1,)]


class Batches:
    """A store that has so many old records."""

    def __init__(self, records: int) -> None:
        self.left = records
        self.asked: list[tuple[int, int]] = []

    async def delete_calls(self, before_ms: int, at_most: int) -> int:
        self.asked.append((before_ms, at_most))
        deleted = min(self.left, at_most)
        self.left -= deleted
        return deleted


def test_retention_asks_for_small_batches_until_nothing_is_left() -> None:
    batches = Batches(2 * BATCH + 1)
    asyncio.run(Retention(batches, 30, lambda: NOW_MS, breath_s=0).forget())
    assert batches.left == 0
    assert batches.asked == [(NOW_MS - 30 * DAY_MS, BATCH)] * 3
