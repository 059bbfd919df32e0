"""Migrations: in order, once, unchanged, and never backwards."""

from pathlib import Path

import apsw
import pytest

from support.books import ask, with_store
from tollhouse.ir.fault import FaultError
from tollhouse.stores.database import SQLITE_VERSION
from tollhouse.stores.migrate import Migration, migrate, shipped
from tollhouse.stores.sqlite import SqliteStore


def step(version: int, sql: str) -> Migration:
    return Migration(version=version, name=f"{version:04}_step", sql=sql, checksum=f"sum of {sql}")


ONE = step(1, "CREATE TABLE one (a INTEGER) STRICT")
TWO = step(2, "CREATE TABLE two (a INTEGER) STRICT; INSERT INTO two VALUES (7)")


async def nothing(store: SqliteStore) -> tuple[str, ...]:
    return store.applied_migrations


def test_the_shipped_ones_have_numbers_of_their_own_in_order() -> None:
    numbers = [migration.version for migration in shipped()]
    assert numbers[0] == 1
    assert numbers == sorted(set(numbers))


def test_each_step_runs_once_and_in_order(tmp_path: Path) -> None:
    connection = apsw.Connection(str(tmp_path / "a.db"))
    assert migrate(connection, (ONE,), 5) == ("0001_step",)
    assert migrate(connection, (ONE, TWO), 6) == ("0002_step",)
    assert migrate(connection, (ONE, TWO), 7) == ()
    assert list(connection.execute("SELECT version, applied_at_ms FROM schema_version")) == [(1, 5), (2, 6)]
    assert connection.pragma("journal_mode") == "wal"


def test_a_step_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    connection = apsw.Connection(str(tmp_path / "a.db"))
    broken = step(2, "CREATE TABLE two (a INTEGER) STRICT; INSERT INTO nowhere VALUES (1)")
    with pytest.raises(apsw.SQLError):
        migrate(connection, (ONE, broken), 5)
    assert not connection.in_transaction
    assert list(connection.execute("SELECT name FROM sqlite_schema")) == []
    assert migrate(connection, (ONE, TWO), 5) == ("0001_step", "0002_step")


def test_a_database_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    with_store(tmp_path / "data", nothing)
    ask(tmp_path / "data", "INSERT INTO schema_version VALUES (999, '0999_later', 'x', 1)")
    with pytest.raises(FaultError) as caught:
        with_store(tmp_path / "data", nothing)
    assert "newer Tollhouse" in (caught.value.fault.detail or "")


def test_a_changed_migration_is_refused(tmp_path: Path) -> None:
    with_store(tmp_path / "data", nothing)
    ask(tmp_path / "data", "UPDATE schema_version SET checksum = 'other'")
    with pytest.raises(FaultError) as caught:
        with_store(tmp_path / "data", nothing)
    assert "0001_books" in (caught.value.fault.detail or "")


def test_sqlite_is_new_enough() -> None:
    """Before 3.51.3 a restarted write-ahead log could damage the database (sqlite.org/changes)."""
    assert tuple(map(int, SQLITE_VERSION.split("."))) >= (3, 51, 3)
