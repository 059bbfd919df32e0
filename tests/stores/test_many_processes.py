"""Several processes on one data folder, and processes that are killed."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.books import ask, assert_books_balance, with_store
from tollhouse.stores.migrate import shipped
from tollhouse.stores.sqlite import SqliteStore, account_of

TESTS = Path(__file__).parents[1]

SETTLE_FOREVER = """
import asyncio, sys
from pathlib import Path
from support.books import hold, lines, new_id, record, settle
from tollhouse.stores.sqlite import SqliteStore

async def main(data_dir, workspace_id, calls):
    store = SqliteStore.open(Path(data_dir))
    async def caller():
        for _ in range(calls):
            request_id = new_id()
            permission = hold(request_id, workspace_id)
            await settle(store, permission, lines(7), record(request_id))
            sys.stdout.write(request_id + "\\n")
            sys.stdout.flush()
    await asyncio.gather(*(caller() for _ in range(16)))
    await store.close()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""

OPEN = """
import asyncio, sys
from pathlib import Path
from tollhouse.stores.sqlite import SqliteStore

async def main(data_dir):
    sys.stdin.readline()
    store = SqliteStore.open(Path(data_dir))
    print(",".join(store.applied_migrations))
    await store.close()

asyncio.run(main(sys.argv[1]))
"""


def child(program: str, *arguments: object) -> "subprocess.Popen[str]":
    """A Python process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )


def make_books(data_dir: Path, amount: int) -> str:
    async def work(store: SqliteStore) -> str:
        workspace = await store.create_workspace("acme", 1)
        await store.top_up(workspace.id, amount, "r", 1)
        return workspace.id

    return with_store(data_dir, work)


@pytest.mark.fault(68)
@pytest.mark.parametrize("seed", range(4))
def test_no_acknowledged_charge_is_lost_when_the_process_is_killed(tmp_path: Path, seed: int) -> None:
    data_dir = tmp_path / "data"
    workspace_id = make_books(data_dir, 10**12)
    acknowledged: list[str] = []
    with child(SETTLE_FOREVER, data_dir, workspace_id, 10**6) as process:
        assert process.stdout is not None
        count = random.Random(seed).randint(50, 1500)
        acknowledged += [process.stdout.readline().strip() for _ in range(count)]
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read()
    acknowledged += rest.split("\n")[:-1]

    async def look(store: SqliteStore) -> int:
        assert store.ready()
        for request_id in acknowledged:
            assert await store.call(request_id) is not None
        return await store.balance(workspace_id)

    balance = with_store(data_dir, look)
    charged = {row[0] for row in ask(data_dir, "SELECT request FROM transfer WHERE code = 'model'")}
    assert set(acknowledged) <= charged
    # At most what was committed but not yet acknowledged to its 16 callers.
    assert len(charged) - len(acknowledged) <= 16
    assert balance == 10**12 - 7 * len(charged)
    assert_books_balance(data_dir)


@pytest.mark.fault(69)
def test_two_processes_settle_into_one_folder(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    workspace_id = make_books(data_dir, 10**9)
    processes = [child(SETTLE_FOREVER, data_dir, workspace_id, 20) for _ in range(2)]
    answers = [process.communicate(timeout=60)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert [len(answer) for answer in answers] == [320, 320]

    async def look(store: SqliteStore) -> int:
        return await store.balance(workspace_id)

    assert with_store(data_dir, look) == 10**9 - 7 * 640
    assert_books_balance(data_dir)


@pytest.mark.fault(68)
def test_processes_that_start_together_migrate_once(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    processes = [child(OPEN, data_dir) for _ in range(4)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    applied = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert sorted(applied) == ["", "", "", ",".join(migration.name for migration in shipped())]
    assert ask(data_dir, "SELECT COUNT(*) FROM schema_version") == [(len(shipped()),)]
    assert ask(data_dir, "SELECT COUNT(*) FROM account WHERE id <> ?", account_of("x")) == [(6,)]
