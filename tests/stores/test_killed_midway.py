"""A process that dies (kill -9) at a chosen step: what was acknowledged stands, what was not can be repeated."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.books import ask, assert_books_balance, hold, lines, record, settle, with_store
from tollhouse.stores.migrate import shipped
from tollhouse.stores.sqlite import SqliteStore

TESTS = Path(__file__).parents[1]

CHILD = """
import asyncio, os, signal, sys
from pathlib import Path
import apsw
from support.books import hold, lines, record, settle
from tollhouse.stores import database, migrate, sqlite, writer

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

step, data_dir = sys.argv[1], Path(sys.argv[2])

if step == "mid migration":
    whole = migrate.shipped()[0]
    deadly = migrate.Migration(version=1, name=whole.name, sql=whole.sql + "SELECT die();", checksum=whole.checksum)
    sqlite.shipped = lambda: (deadly,)
    connect = sqlite.connect_writer
    def connect_deadly(path):
        connection = connect(path)
        connection.create_scalar_function("die", die)
        return connection
    sqlite.connect_writer = connect_deadly
if step == "mid group commit":
    write = sqlite.write_settlements
    def write_and_die(connection, settlements):
        write(connection, settlements)
        die()
    sqlite.write_settlements = write_and_die
if step == "after commit before ack":
    writer._wake = lambda batch: die() if any(job.settlement for job in batch) else None
if step == "after hold":
    sqlite.SqliteStore.commit_call = die

async def main():
    store = sqlite.SqliteStore.open(data_dir)
    workspace = await store.workspace("acme")
    permission = hold("call-1", workspace.id)
    await settle(store, permission, lines(5, 2), record("call-1"))

asyncio.run(main())
"""


def run_until_killed(step: str, data_dir: Path) -> None:
    """Run the child, which kills itself at `step`."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, step, str(data_dir)],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.fault(68)
@pytest.mark.parametrize(
    ("step", "stands"), [("after hold", False), ("mid group commit", False), ("after commit before ack", True)]
)
def test_a_call_cut_off_at_a_step_is_charged_once_or_not_at_all(tmp_path: Path, step: str, stands: bool) -> None:
    data_dir = tmp_path / "data"

    async def fill(store: SqliteStore) -> str:
        workspace = await store.create_workspace("acme", 1)
        await store.top_up(workspace.id, 100, "r", 1)
        return workspace.id

    workspace_id = with_store(data_dir, fill)
    run_until_killed(step, data_dir)

    async def repeat(store: SqliteStore) -> None:
        assert store.ready()
        assert await store.balance(workspace_id) == (93 if stands else 100)
        assert (await store.call("call-1") is not None) == stands
        await settle(store, hold("call-1", workspace_id), lines(5, 2), record("call-1"))
        assert await store.balance(workspace_id) == 93

    with_store(data_dir, repeat)
    assert_books_balance(data_dir)


@pytest.mark.fault(68)
def test_a_migration_cut_off_is_made_from_the_start(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    run_until_killed("mid migration", data_dir)

    async def look(store: SqliteStore) -> tuple[str, ...]:
        return store.applied_migrations

    assert with_store(data_dir, look) == tuple(migration.name for migration in shipped())
    assert ask(data_dir, "SELECT COUNT(*) FROM account") == [(6,)]
