"""PostgreSQL's migrations: the same schema as SQLite's, made once however many start together, never backwards."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from support.books import ask, with_store
from support.postgres import PostgresServer
from support.postgres_books import opened
from tollhouse.ir.fault import FaultError
from tollhouse.stores.migrate import shipped
from tollhouse.stores.postgres import open_postgres
from tollhouse.stores.sqlite import SqliteStore

# The signs of life of processes: SQLite has lock files instead.
ONLY_POSTGRES = {"owner", "picture"}


async def migrations_of(url: str) -> tuple[str, ...]:
    async with opened(url) as store:
        return store.applied_migrations


def test_both_databases_have_the_same_tables_and_columns(tmp_path: Path, postgres_url: str) -> None:
    async def nothing(_store: SqliteStore) -> None:
        return

    with_store(tmp_path / "data", nothing)
    asyncio.run(migrations_of(postgres_url))
    in_sqlite = {
        (table, column)
        for (table,) in ask(tmp_path / "data", "SELECT name FROM sqlite_schema WHERE type = 'table'")
        for (column,) in ask(tmp_path / "data", "SELECT name FROM pragma_table_info(?)", table)
    }
    rows = PostgresServer.ask(
        postgres_url,
        "SELECT table_name::text, column_name::text FROM information_schema.columns WHERE table_schema = 'public'",
    )
    assert {row for row in rows if row[0] not in ONLY_POSTGRES} == in_sqlite
    # SQLite's pictures are files beside it.
    steps = [step.name for step in shipped("postgres") if step.name != "0007_pictures"]
    assert steps == [step.name for step in shipped()]


@pytest.mark.fault(79)
def test_replicas_that_start_together_migrate_once(postgres_url: str) -> None:
    async def work() -> list[tuple[str, ...]]:
        return await asyncio.gather(*(migrations_of(postgres_url) for _ in range(8)))

    applied = asyncio.run(work())
    names = tuple(step.name for step in shipped("postgres"))
    assert sorted(applied) == [()] * 7 + [names]
    assert PostgresServer.ask(postgres_url, "SELECT count(*) FROM schema_version") == [(len(names),)]


@pytest.mark.fault(79)
def test_a_migration_that_is_cut_off_leaves_nothing_behind(postgres: PostgresServer, postgres_url: str) -> None:
    async def work() -> None:
        opening = asyncio.ensure_future(migrations_of(postgres_url))
        ended: list[object] = []
        while not opening.done() and not ended:
            ended = await asyncio.to_thread(
                postgres.ask,
                postgres_url,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid() AND application_name = 'tollhouse'",
            )
        with contextlib.suppress(FaultError):
            await opening
        tables = postgres.ask
        count = await asyncio.to_thread(
            tables, postgres_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        )
        assert count[0][0] in {0, 10}
        await migrations_of(postgres_url)

    asyncio.run(work())
    assert PostgresServer.ask(postgres_url, "SELECT count(*) FROM schema_version") == [(len(shipped("postgres")),)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("INSERT INTO schema_version VALUES (999, '0999_later', 'x', 1)", "newer Tollhouse"),
        ("UPDATE schema_version SET checksum = 'other'", "0001_books"),
        ("DROP TABLE schema_version", "already exists"),
    ],
)
def test_a_strange_schema_is_refused_in_words(postgres_url: str, change: str, words: str) -> None:
    asyncio.run(migrations_of(postgres_url))
    PostgresServer.ask(postgres_url, change)
    with pytest.raises(FaultError) as caught:
        asyncio.run(migrations_of(postgres_url))
    assert words in (caught.value.fault.detail or "")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("@/", "@/none_such"), "no database of this name"),
        (("host=", "host=/none"), "cannot be reached"),
        (("postgresql://tollhouse@", "postgresql://nobody@"), "refused the user"),
        (("?host=", "?port=x&host="), "cannot be used"),
    ],
)
def test_a_url_that_leads_nowhere_is_refused_in_words(
    postgres_url: str, tmp_path: Path, change: tuple[str, str], words: str
) -> None:
    with pytest.raises(FaultError) as caught:
        asyncio.run(open_postgres(postgres_url.replace(*change), False, tmp_path))
    assert words in (caught.value.fault.detail or "")


def test_the_books_are_append_only(postgres_url: str) -> None:
    asyncio.run(migrations_of(postgres_url))
    for sql in ("UPDATE transfer SET amount = 0", "DELETE FROM transfer", "TRUNCATE transfer"):
        with pytest.raises(Exception, match="append-only"):
            PostgresServer.ask(postgres_url, sql)
