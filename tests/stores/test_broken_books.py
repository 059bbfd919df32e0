"""Books that cannot be used: a clear refusal, no readiness, and no way back but a real one."""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from support.books import ask, assert_books_balance, connect, hold, lines, new_id, record, settle, with_store
from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.stores import writer
from tollhouse.stores.health import fault_of
from tollhouse.stores.sqlite import SqliteStore


async def refused(action: Awaitable[Any], because: str) -> None:
    """The action fails for books that cannot be used; the cause is for the operator, the message gives no path."""
    with pytest.raises(FaultError) as caught:
        await action
    fault = caught.value.fault
    assert fault.kind is FaultKind.BOOKS_UNAVAILABLE
    assert because in (fault.detail or "")
    assert fault.retry_after_s
    assert "/" not in fault.message


async def until(condition: Callable[[], bool]) -> None:
    """Wait for the writer's thread."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 -- the writer is a thread and has no event to wait for
            await asyncio.sleep(0.005)


async def filled(store: SqliteStore) -> str:
    workspace = await store.create_workspace("acme", 1)
    await store.top_up(workspace.id, 10**9, "r", 1)
    return workspace.id


async def spend(store: SqliteStore) -> None:
    """What is asked before anything may be spent."""
    fault = store.blocked()
    if fault is not None:
        raise fault


def charge(store: SqliteStore, workspace_id: str) -> Awaitable[None]:
    request_id = new_id()
    return settle(store, hold(request_id, workspace_id), lines(5), record(request_id))


@pytest.mark.fault(70)
def test_a_locked_database_is_told_and_recovers_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "SETTLE_BUSY_TIMEOUT_MS", 50)
    monkeypatch.setattr(writer, "BUSY_TIMEOUT_MS", 50)
    now_s = [0.0]

    async def work(store: SqliteStore) -> None:
        workspace_id = await filled(store)
        assert store.ready()
        other = connect(tmp_path / "data")
        other.execute("BEGIN IMMEDIATE")
        await refused(charge(store, workspace_id), "holds the database's lock")
        assert not store.ready()
        await refused(spend(store), "lock")
        assert await store.balance(workspace_id) == 10**9
        other.execute("ROLLBACK")
        other.close()
        assert not store.ready()
        now_s[0] += 1
        store.ready()
        await until(store.ready)
        await spend(store)
        await charge(store, workspace_id)
        assert await store.balance(workspace_id) == 10**9 - 5

    with_store(tmp_path / "data", work, clock_s=lambda: now_s[0])
    assert_books_balance(tmp_path / "data")


@pytest.mark.fault(70)
def test_readiness_notices_a_lock_though_nobody_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "SETTLE_BUSY_TIMEOUT_MS", 50)
    now_s = [0.0]

    async def work(store: SqliteStore) -> None:
        other = connect(tmp_path / "data")
        other.execute("BEGIN IMMEDIATE")
        now_s[0] += 1
        assert store.ready()
        await until(lambda: not store.ready())
        other.close()

    with_store(tmp_path / "data", work, clock_s=lambda: now_s[0])


@pytest.mark.fault(70)
def test_a_full_disk_is_told_and_loses_nothing(tmp_path: Path) -> None:
    now_s = [0.0]

    def limit(connection: Any, pages: int) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}")

    async def work(store: SqliteStore) -> None:
        workspace_id = await filled(store)
        pages = ask(tmp_path / "data", "PRAGMA page_count")[0][0]
        await store._writer.run(lambda connection: limit(connection, pages))
        charged = 0
        why = ""
        while not why:
            request_id = new_id()
            big = record(request_id, error_code="x" * 3000)
            try:
                await settle(store, hold(request_id, workspace_id), lines(5), big)
                charged += 1
            except FaultError as error:
                why = error.fault.detail or ""
        assert "disk is full" in why
        assert not store.ready()
        assert await store.balance(workspace_id) == 10**9 - 5 * charged
        await store._writer.run(lambda connection: limit(connection, 2**30))
        await charge(store, workspace_id)
        assert store.ready()
        assert await store.balance(workspace_id) == 10**9 - 5 * (charged + 1)

    with_store(tmp_path / "data", work, clock_s=lambda: now_s[0])
    assert_books_balance(tmp_path / "data")


@pytest.mark.fault(70)
@pytest.mark.parametrize("replaced", [False, True])
def test_a_deleted_or_replaced_file_is_never_written_to(tmp_path: Path, replaced: bool) -> None:
    async def work(store: SqliteStore) -> None:
        workspace_id = await filled(store)
        if replaced:
            copy = store.path.with_name("copy.db")
            copy.write_bytes(store.path.read_bytes())
            copy.replace(store.path)
        else:
            store.path.unlink()
        await refused(charge(store, workspace_id), "replaced" if replaced else "deleted")
        assert not store.ready()
        await refused(spend(store), "restart" if replaced else "restore")
        fault = store.fault()
        assert fault is not None

    with_store(tmp_path / "data", work)


@pytest.mark.fault(70)
def test_books_that_recover_while_a_call_is_refused_still_refuse_it_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(store: SqliteStore) -> None:
        await filled(store)
        health = store._health  # pyright: ignore[reportPrivateUsage] -- the writer's thread changes it at any moment
        health.failed(apsw.FullError("full"))

        def not_yet() -> bool:
            health.succeeded()
            return False

        monkeypatch.setattr(store, "ready", not_yet)
        await refused(spend(store), "disk is full")

    with_store(tmp_path / "data", work)


@pytest.mark.fault(70)
def test_readiness_sees_at_once_that_the_file_is_gone(tmp_path: Path) -> None:
    async def work(store: SqliteStore) -> None:
        assert store.ready()
        store.path.unlink()
        assert not store.ready()

    with_store(tmp_path / "data", work)


@pytest.mark.fault(70)
def test_a_file_that_is_no_database_is_refused_at_start(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    (data_dir / "tollhouse.db").write_bytes(b"no database at all, whatever its name says" * 200)
    with pytest.raises(FaultError) as caught:
        SqliteStore.open(data_dir)
    assert caught.value.fault.kind is FaultKind.BOOKS_UNAVAILABLE
    assert "not a database" in (caught.value.fault.detail or "")


@pytest.mark.fault(70)
def test_a_damaged_page_ends_readiness_for_good(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    workspace_id = with_store(data_dir, filled)
    root = ask(data_dir, "SELECT rootpage FROM sqlite_schema WHERE name = 'account'")[0][0]
    with (data_dir / "tollhouse.db").open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 4096)

    async def work(store: SqliteStore) -> None:
        await refused(store.balance(workspace_id), "damaged")
        assert not store.ready()
        await refused(spend(store), "damaged")
        await refused(charge(store, workspace_id), "damaged")
        await settle(store, None, (), record(new_id()))
        assert not store.ready()

    with_store(data_dir, work)


@contextlib.contextmanager
def others_folder(*, with_books: bool) -> Iterator[Path]:
    """A folder that may be read but not written to: mode 0555, and for root's sake somebody else's."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if with_books:
            with_store(folder, filled)
            (folder / "tollhouse.db").chmod(0o444)
        folder.chmod(0o555)
        user = os.geteuid()
        try:
            if user == 0:
                os.seteuid(65534)
            yield folder
        finally:
            os.seteuid(user)
            folder.chmod(0o700)


@pytest.mark.fault(70)
def test_a_read_only_folder_is_refused_at_start() -> None:
    with others_folder(with_books=False) as folder, pytest.raises(FaultError) as caught:
        SqliteStore.open(folder)
    assert caught.value.fault.kind is FaultKind.BOOKS_UNAVAILABLE
    assert "--data-dir" in (caught.value.fault.detail or "")


@pytest.mark.fault(70)
def test_read_only_books_are_refused_at_start() -> None:
    with others_folder(with_books=True) as folder, pytest.raises(FaultError) as caught:
        SqliteStore.open(folder)
    assert caught.value.fault.kind is FaultKind.BOOKS_UNAVAILABLE
    assert "write" in (caught.value.fault.detail or "")


@pytest.mark.fault(70)
def test_a_folder_that_cannot_be_made_is_refused_at_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FaultError) as caught:
        SqliteStore.open(tmp_path / "file" / "data")
    assert caught.value.fault.kind is FaultKind.BOOKS_UNAVAILABLE
    assert "--data-dir" in (caught.value.fault.detail or "")


@pytest.mark.fault(70)
def test_a_database_that_became_read_only_is_told(tmp_path: Path) -> None:
    async def work(store: SqliteStore) -> None:
        workspace_id = await filled(store)
        await store._writer.run(lambda connection: connection.execute("PRAGMA query_only = 1").fetchall())
        await refused(charge(store, workspace_id), "read-only")
        assert not store.ready()

    with_store(tmp_path / "data", work)


def test_a_missing_folder_is_not_made_unasked(tmp_path: Path) -> None:
    with pytest.raises(FaultError) as caught:
        SqliteStore.open(tmp_path / "nowhere", create=False)
    assert "there are no books" in (caught.value.fault.detail or "")
    assert not (tmp_path / "nowhere").exists()


def test_an_error_of_one_statement_is_our_own_fault() -> None:
    fault = fault_of(apsw.ConstraintError("CHECK failed")).fault
    assert fault.kind is FaultKind.INTERNAL
    assert fault.detail == "ConstraintError: CHECK failed"


def test_a_charge_to_an_unknown_account_is_refused_whole(tmp_path: Path) -> None:
    async def work(store: SqliteStore) -> None:
        request_id = new_id()
        with pytest.raises(FaultError) as caught:
            await settle(store, hold(request_id, "nobody"), lines(5), record(request_id))
        assert caught.value.fault.kind is FaultKind.INTERNAL
        assert await store.call(request_id) is None
        assert store.ready()

    with_store(tmp_path / "data", work)


@pytest.mark.parametrize("sql", ["UPDATE transfer SET amount = 0", "DELETE FROM transfer"])
def test_transfers_are_append_only(tmp_path: Path, sql: str) -> None:
    with_store(tmp_path / "data", filled)
    with pytest.raises(apsw.ConstraintError, match="append-only"):
        ask(tmp_path / "data", sql)


def test_a_fresh_folder_is_its_owner_s_alone(tmp_path: Path) -> None:
    async def work(store: SqliteStore) -> None:
        await filled(store)
        modes = {path.name: path.stat().st_mode & 0o777 for path in store.path.parent.iterdir()}
        assert set(modes.values()) == {0o600}
        assert {"tollhouse.db", "tollhouse.db-wal", "tollhouse.db-shm"} <= set(modes)
        assert store.path.parent.stat().st_mode & 0o777 == 0o700

    with_store(tmp_path / "data", work)
