"""The demo workspace: made once, kept, and never brought back against its owner's will."""

import asyncio
from pathlib import Path

import pytest

from support.books import assert_books_balance, with_store
from tollhouse.accounts import keys
from tollhouse.ir.fault import FaultError
from tollhouse.stores import demo
from tollhouse.stores.demo import ensure_demo
from tollhouse.stores.sqlite import SqliteStore


def ensure(data_dir: Path) -> str | None:
    return with_store(data_dir, lambda store: ensure_demo(store, data_dir, "th-", 1_000))


def test_a_later_run_shows_the_same_key(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    key = ensure(data_dir)
    assert key is not None
    assert keys.well_formed(key)
    assert ensure(data_dir) == key
    file = data_dir / "demo-key"
    assert file.read_text() == key + "\n"
    assert file.stat().st_mode & 0o777 == 0o600

    async def look(store: SqliteStore) -> None:
        workspace = await store.workspace("demo")
        assert workspace is not None
        assert workspace.balance_nano_usd == 5_000_000_000
        assert len(await store.keys()) == 1
        principal = await store.principal(keys.digest(key))
        assert principal is not None
        assert principal.workspace == "demo"

    with_store(data_dir, look)
    assert_books_balance(data_dir)
    assert sorted(path.name for path in data_dir.iterdir()) == ["demo-key", "tollhouse.db"]


def test_no_demo_where_somebody_works_already(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with_store(data_dir, lambda store: store.create_workspace("acme", 1))
    assert ensure(data_dir) is None
    assert not (data_dir / "demo-key").exists()


@pytest.mark.parametrize("state", ["disabled", "revoked"])
def test_a_demo_key_that_was_switched_off_stays_off(tmp_path: Path, state: str) -> None:
    data_dir = tmp_path / "data"
    key = ensure(data_dir)
    assert key is not None
    with_store(data_dir, lambda store: store.set_key_state(keys.hint(key), state))
    assert ensure(data_dir) is None


def test_a_removed_key_file_is_not_written_again(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    ensure(data_dir)
    (data_dir / "demo-key").unlink()
    assert ensure(data_dir) is None


def test_a_key_file_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    ensure(data_dir)
    (data_dir / "demo-key").write_text("my notes")
    assert ensure(data_dir) is None
    assert (data_dir / "demo-key").read_text() == "my notes"


@pytest.mark.parametrize("cut", ["create_workspace", "top_up", "add_key"])
def test_a_start_that_was_cut_off_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: str
) -> None:
    data_dir = tmp_path / "data"

    async def crash(*_args: object) -> None:
        raise RuntimeError("power failure")

    with monkeypatch.context() as patch:
        patch.setattr(SqliteStore, cut, crash)
        with pytest.raises(RuntimeError):
            ensure(data_dir)
    key = ensure(data_dir)
    assert key == (data_dir / "demo-key").read_text().strip()
    balance = with_store(data_dir, lambda store: store.workspace("demo"))
    assert balance.balance_nano_usd == 5_000_000_000


def test_two_processes_make_one_demo(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"

    async def race() -> list[str | None]:
        stores = [SqliteStore.open(data_dir) for _ in range(3)]
        made = await asyncio.gather(*(ensure_demo(store, data_dir, "th-", 1_000) for store in stores))
        for store in stores:
            await store.close()
        return made

    made = asyncio.run(race())
    assert len(set(made)) == 1
    assert made[0] is not None
    assert len(with_store(data_dir, lambda store: store.keys())) == 1
    assert_books_balance(data_dir)


def test_a_key_file_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "KEY_FILE", "missing/demo-key")
    with pytest.raises(FaultError) as caught:
        ensure(tmp_path / "data")
    assert "cannot be written" in (caught.value.fault.detail or "")
