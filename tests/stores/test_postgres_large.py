"""PostgreSQL with many calls: a call is found by an index, old ones go by an index, and sums read the roll-ups only."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.postgres import PostgresServer
from tollhouse.relay.retention import BATCH, Retention
from tollhouse.stores import postgres as postgres_store
from tollhouse.stores.postgres import open_postgres
from tollhouse.stores.postgres_pool import numbered
from tollhouse.stores.postgres_settlement import RECORD
from tollhouse.stores.usage import UsageFilter, usage_query

CALLS = 100_000
NOW_MS = 1_800_000_000_000
DAY_MS = 24 * 3_600_000
FILL = f"""
INSERT INTO request (id, started_at_ms, finished_at_ms, workspace_id, key_id, dialect, format, model, provider,
    upstream_model, stream, status, finish_reason, prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens,
    usage_source, cost_nano_usd, attempts, losses)
SELECT lpad(i::text, 44, '0'), {NOW_MS} - (i % 100) * {DAY_MS}::bigint - i, {NOW_MS}, 'ws_1', 'key_1', 'hyperinfer',
    'f', 'm', 'p', 'm', 0, 'ok', 'stop', 10, 0, 5, 0, 'provider', 100, '[]', '[]'
FROM generate_series(0, {CALLS - 1}) i;
INSERT INTO rollup SELECT i * 3600000::bigint, 'ws_1', 'key_1', 'm', 'p', 1, 0, 10, 0, 5, 0, 100
FROM generate_series(0, 20000) i;
"""


@pytest.fixture(scope="module")
def large(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    url = postgres.new_database()

    async def make() -> None:
        store = await open_postgres(url, False, tmp_path_factory.mktemp("large"))
        await store.close()

    asyncio.run(make())
    for statement in (*FILL.split(";"), "ANALYZE"):
        if statement.strip():
            postgres.ask(url, statement)
    yield url
    postgres.drop(url)


def plan(server: PostgresServer, url: str, sql: str, *values: object) -> str:
    return "\n".join(row[0] for row in server.ask(url, f"EXPLAIN {sql}", *values))


@pytest.mark.fault(80)
def test_calls_are_found_and_deleted_by_an_index(postgres: PostgresServer, large: str) -> None:
    assert "Seq Scan" not in plan(postgres, large, RECORD, "x")
    steps = plan(postgres, large, postgres_delete(), NOW_MS - 90 * DAY_MS, BATCH)
    assert "request_by_start" in steps
    assert "Seq Scan" not in steps


@pytest.mark.fault(80)
@pytest.mark.parametrize("by", [(), ("model", "day"), ("provider", "hour"), ("workspace", "key", "month")])
def test_sums_never_read_the_calls(postgres: PostgresServer, large: str, by: tuple[str, ...]) -> None:
    sql, values = usage_query(UsageFilter(workspace_id="ws_1", since_ms=NOW_MS - DAY_MS, until_ms=NOW_MS), by)
    steps = plan(postgres, large, numbered(sql), *values)
    assert "rollup_pkey" in steps
    assert " on request" not in steps


@pytest.mark.fault(80)
def test_retention_deletes_what_is_too_old(postgres: PostgresServer, large: str, tmp_path: Path) -> None:
    async def forget() -> None:
        store = await open_postgres(large, False, tmp_path)
        await Retention(store, 90, lambda: NOW_MS, breath_s=0).forget()
        await store.close()

    old = f"SELECT count(*) FROM request WHERE started_at_ms < {NOW_MS - 90 * DAY_MS}"
    ((before,),) = postgres.ask(large, old)
    assert before > 5_000
    asyncio.run(forget())
    assert postgres.ask(large, old) == [(0,)]
    assert postgres.ask(large, "SELECT count(*) FROM request") == [(CALLS - before,)]


def postgres_delete() -> str:
    return postgres_store._DELETE
