"""The spool: settlements that survive books that are away, on the disk, once."""

import asyncio
import io
from pathlib import Path
from typing import Any, cast

import pytest

from support.books import ask, assert_books_balance, connect, hold, lines, record
from tollhouse.ir.fault import FaultError
from tollhouse.money.ledger import Ledger
from tollhouse.money.settlement import Spending, postings
from tollhouse.observe.logs import Log, Redaction
from tollhouse.observe.metrics import Metrics
from tollhouse.relay.settling import Settling
from tollhouse.stores import writer
from tollhouse.stores.spool import FileSpool
from tollhouse.stores.sqlite import SqliteStore


async def process(folder: Path, owner: str, out: io.BytesIO, *, waits: bool = True) -> tuple[SqliteStore, Settling]:
    """One process on the data folder."""
    store = SqliteStore.open(folder)
    await store.ledger.join(owner)
    ledger = Ledger(store.ledger, owner, lambda: 1.0, store.blocked)
    spool = FileSpool(folder, owner, store.ledger.owners.is_gone)
    log = Log("info", Redaction(), cast("Any", out))
    return store, Settling(store, ledger, spool, Metrics(), log, waits=waits)


async def charge(settling: Settling, workspace_id: str, request_id: str) -> None:
    held = hold(request_id, workspace_id)
    await settling.settle(held, postings(held, Spending(lines(7), 0), 1, "provider"), record(request_id))


async def filled(store: SqliteStore) -> str:
    workspace = await store.create_workspace("acme", 1)
    await store.top_up(workspace.id, 1_000, "r", 1)
    return workspace.id


@pytest.mark.fault(70)
def test_a_locked_database_delays_a_charge_and_loses_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "SETTLE_BUSY_TIMEOUT_MS", 20)

    async def run() -> None:
        store, settling = await process(tmp_path, "node#1", io.BytesIO())
        workspace_id = await filled(store)
        other = connect(tmp_path)
        other.execute("BEGIN IMMEDIATE")
        await asyncio.gather(*(charge(settling, workspace_id, f"r{n}") for n in range(3)))
        file = tmp_path / "spool" / "node#1.jsonl"
        assert len([line for line in file.read_bytes().split(b"\n") if line]) == 3
        assert file.stat().st_mode & 0o777 == 0o600
        assert await store.balance(workspace_id) == 1_000
        with pytest.raises(FaultError):
            await settling.tend()
        other.execute("ROLLBACK")
        other.close()
        await settling.tend()
        assert await store.balance(workspace_id) == 1_000 - 3 * 7
        assert not file.exists()
        await settling.tend()
        await store.close()

    asyncio.run(run())
    assert_books_balance(tmp_path)


@pytest.mark.fault(70)
def test_what_a_dead_process_left_in_its_spool_is_charged_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "SETTLE_BUSY_TIMEOUT_MS", 20)

    async def run() -> None:
        out = io.BytesIO()
        store, settling = await process(tmp_path, "node#1", out)
        second, heir = await process(tmp_path, "node#2", out)
        workspace_id = await filled(store)
        other = connect(tmp_path)
        other.execute("BEGIN IMMEDIATE")
        await charge(settling, workspace_id, "r1")
        await charge(settling, workspace_id, "r2")
        other.execute("ROLLBACK")
        other.close()
        file = tmp_path / "spool" / "node#1.jsonl"
        entries = file.read_bytes()
        # It lives: its spool is its own.
        await heir.take_over()
        assert file.exists()
        store.ledger.owners.drop()
        await store.close()
        # Its last write was cut off by its death.
        file.write_bytes(entries + b'\n{"transfers":[{"requ')
        await heir.take_over()
        assert not file.exists()
        assert await second.balance(workspace_id) == 1_000 - 2 * 7
        assert b"an entry of the spool cannot be read" in out.getvalue()
        # The same file again, as after a death between the charge and the removal.
        file.write_bytes(entries)
        await heir.take_over()
        assert await second.balance(workspace_id) == 1_000 - 2 * 7
        assert ask(tmp_path, "SELECT COUNT(*) FROM request") == [(2,)]
        await second.close()

    asyncio.run(run())
    assert_books_balance(tmp_path)


def test_settling_without_waiting_settles_all_the_same(tmp_path: Path) -> None:
    async def run() -> None:
        store, settling = await process(tmp_path, "node#1", io.BytesIO(), waits=False)
        workspace_id = await filled(store)
        await charge(settling, workspace_id, "r1")
        assert await store.call("r1") is None
        await settling.close()
        assert await store.call("r1") is not None
        assert await store.balance(workspace_id) == 993
        await store.close()

    asyncio.run(run())


@pytest.mark.fault(70)
def test_a_folder_that_cannot_be_written_to_shows_at_once_and_again_when_asked(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        spool = FileSpool(tmp_path, "node#1", lambda _owner: True)
        (tmp_path / "spool").write_bytes(b"in the way")
        for _ in range(2):
            with pytest.raises(OSError, match="spool"):
                await spool.append(b"{}")
            with pytest.raises(OSError, match="spool"):
                await spool.clear()
        (tmp_path / "spool").unlink()
        await spool.append(b"{}")
        assert await spool.left_behind() == []
        await spool.clear()
        assert list((tmp_path / "spool").iterdir()) == []

    asyncio.run(run())
