"""PostgreSQL stopped, frozen, restarted, cut off at the worst moment, and behind a pooler."""

import asyncio
import contextlib
import shutil
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from support.books import new_id, record
from support.postgres import PgBouncer, PostgresServer, Wire
from support.postgres_books import assert_postgres_balances, charge, opened
from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.money.store import Ask, Lease
from tollhouse.stores.postgres import PostgresStore
from tollhouse.stores.sqlite import account_of


async def purse(store: PostgresStore, amount: int = 10**6) -> str:
    workspace = await store.create_workspace("acme", 1)
    await store.top_up(workspace.id, amount, "r", 1)
    return account_of(workspace.id)


async def until(holds: Callable[[], bool], timeout_s: float = 15.0) -> float:
    """Seconds until it holds; fails when it does not in time."""
    begun_s = time.monotonic()
    while not holds():
        assert time.monotonic() - begun_s < timeout_s, "it did not come to pass in time"
        await asyncio.sleep(0.02)
    return time.monotonic() - begun_s


async def refused(work: Awaitable[Any]) -> str:
    """Why the books could not be used."""
    with pytest.raises(FaultError) as caught:
        await work
    assert caught.value.fault.kind is FaultKind.BOOKS_UNAVAILABLE
    assert caught.value.fault.retry_after_s
    return caught.value.fault.detail or ""


async def settle(store: PostgresStore, account: str) -> str:
    request = new_id()
    await store.commit_call((charge(request, account, 7),), record(request, cost_nano_usd=7))
    return request


async def tell(store: PostgresStore, account: str, request: str) -> None:
    """Settle, again and again until the books have it."""
    while True:
        with contextlib.suppress(FaultError):
            await store.commit_call((charge(request, account, 7),), record(request, cost_nano_usd=7))
            return


@pytest.mark.fault(71)
def test_a_connection_that_is_cut_at_the_commit_charges_once(postgres: PostgresServer, postgres_url: str) -> None:
    async def work() -> None:
        async with Wire(postgres) as wire, opened(wire.url(postgres_url)) as store:
            account = await purse(store)
            requests = [await settle(store, account)]
            for _ in range(3):
                # Its charge, in binary or in text, is in the books when the answer is lost.
                request = new_id()
                wire.cut_at_answer(request.encode())
                await store.commit_call((charge(request, account, 7),), record(request, cost_nano_usd=7))
                requests.append(request)
            assert wire.cuts == 3
            assert store.ready()
            for request in requests:
                assert await store.call(request) is not None
            assert await store.balance(account.removeprefix("credit:")) == 10**6 - 7 * 4

    asyncio.run(work())
    charged = postgres.ask(postgres_url, "SELECT count(*), sum(amount)::bigint FROM transfer WHERE code = 'model'")
    assert charged == [(4, 28)]
    assert postgres.ask(postgres_url, "SELECT sum(calls)::bigint FROM rollup") == [(4,)]
    assert_postgres_balances(postgres_url)


@pytest.mark.fault(71)
def test_a_grant_whose_answer_is_lost_is_known_by_the_next(postgres: PostgresServer, postgres_url: str) -> None:
    async def work() -> None:
        async with Wire(postgres) as wire, opened(wire.url(postgres_url)) as store:
            account = await purse(store)
            await store.ledger.join("me#1")
            wire.cut_at_answer(account.encode())
            (lease,) = await store.ledger.acquire("me#1", [Ask(account_id=account, need=10, want=0)])
            assert isinstance(lease, Lease)
            assert (wire.cuts, lease.granted) == (1, 20)
            # What is given back twice would be taken from what is in use: nobody repeats that unasked.
            wire.cut_at_answer(lease.id.encode())
            await refused(store.ledger.give_back("me#1", {lease.id: 5}))
            await until(store.ready)
            assert [one.granted for one in await store.ledger.renew("me#1")] == [15]

    asyncio.run(work())
    assert_postgres_balances(postgres_url)


@pytest.mark.fault(71)
def test_a_stop_is_told_at_once_and_a_restart_is_found_by_itself(own_postgres: PostgresServer) -> None:
    url = own_postgres.new_database()

    async def work() -> None:
        async with opened(url) as store:
            account = await purse(store)
            assert store.ready()
            await asyncio.to_thread(own_postgres.stop)
            assert await until(lambda: not store.ready()) < 5
            begun_s = time.monotonic()
            told = await refused(store.balance(account.removeprefix("credit:")))
            # Its last word, or, once the monitor has tried again, that nobody is there.
            assert "wait until it is up" in told or "check that its server is up" in told
            assert time.monotonic() - begun_s < 1
            waiting = asyncio.ensure_future(settle(store, account))
            assert "check that its server is up" in await refused(waiting)
            await asyncio.to_thread(own_postgres.start)
            assert await until(store.ready) < 5
            await settle(store, account)
            # A crash in the middle of the work: what is told again and again until it is known, as from a spool, counts
            # once.
            requests = [new_id() for _ in range(200)]
            told = [asyncio.ensure_future(tell(store, account, request)) for request in requests]
            await asyncio.to_thread(own_postgres.stop, "immediate")
            await asyncio.to_thread(own_postgres.start)
            await asyncio.gather(*told)
            assert store.ready()
            assert await store.balance(account.removeprefix("credit:")) == 10**6 - 7 * 201

    asyncio.run(work())
    assert_postgres_balances(url)


@pytest.mark.fault(71)
def test_a_freeze_is_noticed_and_ends_by_itself(own_postgres: PostgresServer) -> None:
    url = own_postgres.new_database()

    async def work() -> None:
        async with opened(url) as store:
            account = await purse(store)
            own_postgres.freeze()
            stuck = asyncio.ensure_future(settle(store, account))
            assert await until(lambda: not store.ready()) < 5
            assert "in time" in await refused(store.balance(account.removeprefix("credit:")))
            assert "in time" in await refused(stuck)
            own_postgres.thaw()
            assert await until(store.ready) < 5
            request = await settle(store, account)
            assert await store.call(request) is not None

    asyncio.run(work())
    # What stuck may have been done after all, and its spool would tell it again: once is all it counts.
    assert_postgres_balances(url)


def test_a_standby_is_no_place_for_books(postgres: PostgresServer, postgres_url: str) -> None:
    async def work() -> None:
        async with opened(postgres_url) as store:
            account = await purse(store)
            name = postgres_url.partition("@/")[2].partition("?")[0]
            await asyncio.to_thread(
                postgres.ask, postgres_url, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'
            )
            await asyncio.to_thread(
                postgres.ask,
                postgres_url,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            await until(lambda: not store.ready())
            assert "takes no writes" in await refused(settle(store, account))

    asyncio.run(work())


def test_a_charge_that_cannot_be_stored_fails_alone(postgres_url: str) -> None:
    async def work() -> None:
        async with opened(postgres_url) as store:
            account = await purse(store)
            bad, good = new_id(), [new_id() for _ in range(5)]
            answers = await asyncio.gather(
                store.commit_call((charge(bad, "credit:none", 7),), record(bad, cost_nano_usd=7)),
                *(store.commit_call((charge(one, account, 7),), record(one, cost_nano_usd=7)) for one in good),
                return_exceptions=True,
            )
            assert isinstance(answers[0], FaultError)
            assert answers[0].fault.kind is FaultKind.INTERNAL
            assert answers[1:] == [None] * 5
            assert await store.call(bad) is None
            assert store.ready()

    asyncio.run(work())
    assert_postgres_balances(postgres_url)


def test_many_settlements_share_a_commit_and_outlive_their_callers(postgres: PostgresServer, postgres_url: str) -> None:
    async def work() -> None:
        async with opened(postgres_url) as store:
            account = await purse(store)
            tasks = [asyncio.ensure_future(settle(store, account)) for _ in range(300)]
            await asyncio.sleep(0)
            for task in tasks[::3]:
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            assert len([one for one in done if isinstance(one, asyncio.CancelledError)]) == 100
        # Closed: all that was asked for is written.

    asyncio.run(work())
    assert postgres.ask(postgres_url, "SELECT count(*) FROM request") == [(300,)]
    assert postgres.ask(postgres_url, "SELECT count(DISTINCT xmin::text) < 30 FROM transfer") == [(True,)]
    assert_postgres_balances(postgres_url)


def test_everything_works_behind_pgbouncer(postgres: PostgresServer, postgres_url: str) -> None:
    program = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
    if program is None:
        pytest.skip("PgBouncer is not installed (Debian: apt-get install pgbouncer)")
    bouncer = PgBouncer(program, postgres)

    async def work() -> None:
        url = bouncer.url(postgres_url)
        async with opened(url, pooled=True) as one, opened(url, pooled=True) as two:
            account = await purse(one)
            await one.ledger.join("one#1")
            await two.ledger.join("two#1")
            leases = await asyncio.gather(
                *(
                    store.ledger.acquire(owner, [Ask(account_id=account, need=10, want=0)])
                    for _ in range(20)
                    for store, owner in ((one, "one#1"), (two, "two#1"))
                )
            )
            assert {type(answer[0]) for answer in leases} == {Lease}
            await two.ledger.recall("two#1", [account])
            assert await one.ledger.recalled("one#1") == {account}
            requests = await asyncio.gather(*(settle(store, account) for _ in range(50) for store in (one, two)))
            found = await asyncio.gather(*(one.call(request) for request in requests))
            assert None not in found
            for store, owner in ((one, "one#1"), (two, "two#1")):
                (held,) = await store.ledger.renew(owner)
                assert held.granted == 200
                await store.ledger.give_back(owner, {held.id: 200})

    try:
        asyncio.run(work())
    finally:
        bouncer.remove()
    assert_postgres_balances(postgres_url)
