"""The writer: many jobs to a commit, each answered for itself."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import apsw
import pytest

from support.books import ask, assert_books_balance, hold, lines, new_id, record, settle, with_store
from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.stores.database import Connection
from tollhouse.stores.health import Health
from tollhouse.stores.sqlite import SqliteStore
from tollhouse.stores.writer import Writer


class Bench:
    """A writer on a small table, whose settlements are numbers; its first commit can be held back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.health = Health()
        connection: Connection = apsw.Connection(str(path))
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY CHECK (n < 1000)) STRICT")
        self.writer: Writer[int] = Writer(connection, self.settle, lambda: None, self.health)

    def settle(self, connection: Connection, numbers: Sequence[int]) -> None:
        self.gate.wait()
        self.batches.append(list(numbers))
        for number in numbers:
            connection.execute("INSERT INTO t VALUES (?)", (number,))

    def stored(self) -> list[int]:
        return [row[0] for row in apsw.Connection(str(self.path)).execute("SELECT n FROM t ORDER BY n")]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "bench.db")
    yield made
    made.gate.set()
    made.writer.close()


async def insert_all(bench: Bench, numbers: Sequence[int]) -> list[object]:
    """Settle the first alone, and the others while it is being written."""
    bench.gate.clear()
    first = bench.writer.settle(numbers[0])
    rest = [bench.writer.settle(number) for number in numbers[1:]]
    bench.gate.set()
    return await asyncio.gather(first, *rest, return_exceptions=True)


def test_all_that_waits_goes_into_one_commit(bench: Bench) -> None:
    assert asyncio.run(insert_all(bench, range(100))) == [None] * 100
    assert sorted(number for batch in bench.batches for number in batch) == list(range(100))
    assert len(bench.batches) <= 2
    assert bench.stored() == list(range(100))


def test_a_job_that_fails_fails_alone(bench: Bench) -> None:
    outcome = asyncio.run(insert_all(bench, [1, 2, 2, 5000, 3]))
    assert [isinstance(result, FaultError) for result in outcome] == [False, False, True, True, False]
    assert bench.stored() == [1, 2, 3]
    assert bench.health.fault is None


def test_an_error_of_the_caller_s_own_reaches_only_its_waiter(bench: Bench) -> None:
    def refuse(connection: Connection) -> None:
        connection.execute("INSERT INTO t VALUES (77)")
        raise ValueError("not this one")

    async def run() -> list[object]:
        bench.gate.clear()
        waiting = [bench.writer.settle(1), asyncio.ensure_future(bench.writer.run(refuse)), bench.writer.settle(2)]
        bench.gate.set()
        return await asyncio.gather(*waiting, return_exceptions=True)

    outcome = asyncio.run(run())
    assert outcome[0] is None
    assert outcome[2] is None
    assert isinstance(outcome[1], FaultError)
    assert outcome[1].fault.kind is FaultKind.INTERNAL
    assert bench.stored() == [1, 2]


def test_work_gives_back_its_result(bench: Bench) -> None:
    async def run() -> int:
        await bench.writer.settle(4)

        def count(connection: Connection) -> int:
            return len(connection.execute("SELECT n FROM t").fetchall())

        return await bench.writer.run(count)

    assert asyncio.run(run()) == 1


def test_each_loop_is_called_once_per_batch(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        original = loop.call_soon_threadsafe

        def counting(callback: Callable[..., object], *args: object) -> object:
            calls.append(threading.get_ident())
            return original(callback, *args)

        monkeypatch.setattr(loop, "call_soon_threadsafe", counting)
        await insert_all(bench, range(50))
        monkeypatch.undo()

    asyncio.run(run())
    assert len(calls) == len(bench.batches)


def test_many_loops_in_many_threads_share_one_writer(bench: Bench) -> None:
    done: list[int] = []

    def caller(start: int) -> None:
        async def run() -> None:
            await asyncio.gather(*(bench.writer.settle(start + number) for number in range(50)))

        asyncio.run(run())
        done.append(start)

    threads = [threading.Thread(target=caller, args=(50 * number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 8
    assert bench.stored() == list(range(400))


@pytest.mark.fault(29)
def test_a_job_is_written_though_its_waiter_was_cancelled(bench: Bench) -> None:
    async def run() -> None:
        bench.gate.clear()
        waiting = bench.writer.settle(9)
        waiting.cancel()
        bench.gate.set()
        await bench.writer.settle(10)

    asyncio.run(run())
    assert bench.stored() == [9, 10]


def test_closing_writes_what_waits(bench: Bench) -> None:
    async def run() -> list[object]:
        bench.gate.clear()
        waiting = [bench.writer.settle(number) for number in range(20)]
        closing = asyncio.get_running_loop().run_in_executor(None, bench.writer.close)
        bench.gate.set()
        await closing
        return await asyncio.gather(*waiting)

    assert asyncio.run(run()) == [None] * 20
    assert bench.stored() == list(range(20))

    async def late() -> None:
        with pytest.raises(FaultError) as caught:
            bench.writer.settle(99)
        assert caught.value.fault.kind is FaultKind.BOOKS_UNAVAILABLE

    asyncio.run(late())


def test_a_loop_that_ended_holds_up_nobody(bench: Bench) -> None:
    async def leave() -> None:
        bench.gate.clear()
        bench.writer.settle(1).cancel()

    asyncio.run(leave())
    bench.gate.set()

    async def stay() -> None:
        await bench.writer.settle(2)

    asyncio.run(stay())
    assert bench.stored() == [1, 2]


@pytest.mark.fault(69)
def test_a_thousand_calls_at_once_add_up(tmp_path: Path) -> None:
    async def work(store: SqliteStore) -> None:
        workspace = await store.create_workspace("acme", 1)
        await store.top_up(workspace.id, 10**9, "r", 1)

        async def call(number: int) -> None:
            request_id = new_id()
            permission = hold(request_id, workspace.id)
            await settle(store, permission, lines(number, 1), record(request_id))

        await asyncio.gather(*(call(number) for number in range(1000)))
        assert await store.balance(workspace.id) == 10**9 - sum(range(1000)) - 1000

    with_store(tmp_path / "data", work)
    assert ask(tmp_path / "data", "SELECT COUNT(*) FROM request") == [(1000,)]
    assert_books_balance(tmp_path / "data")


def test_the_write_ahead_log_stays_small(tmp_path: Path) -> None:
    async def work(store: SqliteStore) -> None:
        for _ in range(60):
            await asyncio.gather(*(settle(store, None, (), record(new_id())) for _ in range(64)))
        assert (tmp_path / "data" / "tollhouse.db-wal").stat().st_size < 24_000_000

    with_store(tmp_path / "data", work)
    assert not (tmp_path / "data" / "tollhouse.db-wal").exists()
