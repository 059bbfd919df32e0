"""Many at once on one PostgreSQL: nothing is granted twice, nothing is charged twice, nobody waits in a circle."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest

from support.books import new_id, record
from support.postgres import PostgresServer
from support.postgres_books import assert_postgres_balances, charge, opened
from support.quotas import NOON_MS, change, wish, workspace_with_key
from tollhouse.accounts.limits import limit_account
from tollhouse.money.store import Ask, Lease, Opening, Shortage
from tollhouse.stores.postgres import PostgresStore
from tollhouse.stores.sqlite import account_of

REPLICAS = 4


def with_replicas(url: str, work: Callable[[list[PostgresStore]], Awaitable[Any]]) -> Any:
    """Run `work` on the stores of several replicas, each with an owner of its own: `replica#0` and so on."""

    async def run() -> Any:
        async with AsyncExitStack() as stack:
            stores = [await stack.enter_async_context(opened(url)) for _ in range(REPLICAS)]
            for number, store in enumerate(stores):
                await store.ledger.join(f"replica#{number}")
            return await work(stores)

    return asyncio.run(run())


def deadlocks(postgres: PostgresServer, url: str) -> int:
    postgres.ask(url, "SELECT pg_stat_force_next_flush()")
    return postgres.ask(url, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")[0][0]


async def purse(store: PostgresStore, amount: int, name: str = "acme") -> str:
    workspace = await store.create_workspace(name, 1)
    await store.top_up(workspace.id, amount, f"r:{name}", 1)
    return account_of(workspace.id)


@pytest.mark.fault(69)
def test_200_who_ask_at_once_get_exactly_what_there_is(postgres_url: str) -> None:
    async def work(stores: list[PostgresStore]) -> None:
        account = await purse(stores[0], 6_650)
        answers = await asyncio.gather(
            *(
                stores[number % REPLICAS].ledger.acquire(f"racer#{number}", [Ask(account_id=account, need=100, want=0)])
                for number in range(200)
            )
        )
        granted = [item for answer in answers for item in answer if isinstance(item, Lease)]
        refused = [item for answer in answers for item in answer if isinstance(item, Shortage)]
        assert (len(granted), len(refused)) == (66, 134)
        assert {lease.granted for lease in granted} == {100}
        assert min(shortage.available for shortage in refused) == 50

    with_replicas(postgres_url, work)
    assert_postgres_balances(postgres_url)


def test_all_buckets_or_none_whatever_the_order_they_are_asked_in(postgres: PostgresServer, postgres_url: str) -> None:
    chance = random.Random(7)

    async def work(stores: list[PostgresStore]) -> None:
        accounts = [await purse(stores[0], amount, f"w{amount}") for amount in (300, 400, 500, 600)]
        limit = Opening(
            unit="nano_usd", scope="k", period="2027-01-01", amount=350, source_account="limits-source:nano_usd"
        )

        async def one(number: int) -> tuple[Lease, ...] | tuple[Shortage, ...]:
            asks = [Ask(account_id=account, need=10, want=0) for account in accounts]
            asks.append(Ask(account_id="limit:k:2027-01-01", need=10, want=0, opening=limit))
            chance.shuffle(asks)
            answer = await stores[number % REPLICAS].ledger.acquire(f"racer#{number}", asks)
            if isinstance(answer[0], Lease):
                assert [item.account_id for item in answer] == [ask.account_id for ask in asks]
            else:
                assert [item.account_id for item in answer] == sorted(item.account_id for item in answer)
            return answer

        answers = await asyncio.gather(*(one(number) for number in range(100)))
        kinds = [{type(item) for item in answer} for answer in answers]
        # The smallest purse has room for 30 of them; the others are left with what it does not reach.
        assert kinds.count({Lease}) == 30
        assert kinds.count({Shortage}) == 70

    with_replicas(postgres_url, work)
    rows = postgres.ask(postgres_url, "SELECT credits, leased FROM account WHERE kind IN ('credit', 'limit')")
    assert sorted(rows) == [(300, 300), (350, 300), (400, 300), (500, 300), (600, 300)]
    assert_postgres_balances(postgres_url)
    assert deadlocks(postgres, postgres_url) == 0


@pytest.mark.fault(69)
def test_settlements_leases_and_sweeps_that_cross_keep_the_books(postgres: PostgresServer, postgres_url: str) -> None:
    chance = random.Random(11)
    settled: dict[str, int] = {}

    async def settle(store: PostgresStore, owner: str, accounts: list[str]) -> None:
        for _ in range(25):
            chosen = chance.sample(accounts, 2)
            got = await store.ledger.acquire(owner, [Ask(account_id=account, need=50, want=200) for account in chosen])
            leases = [item.id if isinstance(item, Lease) else None for item in got]
            request, amount = new_id(), chance.randint(1, 80)
            transfers = tuple(
                charge(request, account, amount, lease if len(leases) == 2 else None, line)
                for line, (account, lease) in enumerate(zip(chosen, (leases * 2)[:2], strict=True))
            )
            sent = record(request, cost_nano_usd=2 * amount, model=f"m{chance.randint(1, 3)}")
            # Every fifth is told twice, as after a lost answer.
            again = 2 if chance.random() < 0.2 else 1
            await asyncio.gather(*(store.commit_call(transfers, sent) for _ in range(again)))
            settled[request] = amount
            if chance.random() < 0.3:
                held = await store.ledger.renew(owner)
                await store.ledger.give_back(owner, {lease.id: 10**9 for lease in held})
            if chance.random() < 0.3:
                await store.ledger.recall(owner, accounts)
                await store.ledger.recalled(owner)

    async def sweep(store: PostgresStore, until: asyncio.Future[list[None]]) -> None:
        while not until.done():
            # Now and then one looks dead, and is swept in the middle of its work.
            postgres_owner = f"replica#{chance.randrange(REPLICAS)}"
            await store._pool.fetch("DELETE FROM owner WHERE id = $1", postgres_owner)
            await store.ledger.sweep()

    async def work(stores: list[PostgresStore]) -> None:
        accounts = [await purse(stores[0], 10**6, f"w{number}") for number in range(4)]
        busy = asyncio.gather(
            *(settle(store, f"replica#{number}", accounts) for number, store in enumerate(stores) for _ in range(8))
        )
        await asyncio.gather(busy, sweep(stores[0], busy))

    with_replicas(postgres_url, work)
    assert len(settled) == REPLICAS * 8 * 25
    charged = postgres.ask(postgres_url, "SELECT request, amount FROM transfer WHERE code = 'model'")
    assert sorted(charged) == sorted((request, amount) for request, amount in settled.items() for _ in range(2))
    calls = postgres.ask(postgres_url, "SELECT sum(calls)::bigint, sum(cost_nano_usd)::bigint FROM rollup")
    assert calls == [(len(settled), 2 * sum(settled.values()))]
    assert_postgres_balances(postgres_url)
    assert deadlocks(postgres, postgres_url) == 0


@pytest.mark.fault(69)
def test_changes_of_limits_and_refunds_beside_calls_keep_the_books(postgres: PostgresServer, postgres_url: str) -> None:
    chance = random.Random(3)

    async def spending(store: PostgresStore, owner: str, account: str) -> None:
        for _ in range(30):
            (limit,) = await store.quotas.limits(["key_1"], NOON_MS)
            name = limit_account(limit.limit, NOON_MS)
            opening = Opening(
                unit="nano_usd",
                scope=limit.limit.id,
                period="2026-11-21",
                amount=limit.limit.amount,
                source_account="limits-source:nano_usd",
            )
            wishes = [Ask(account_id=account, need=9, want=0), Ask(account_id=name, need=9, want=0, opening=opening)]
            got = await store.ledger.acquire(owner, wishes)
            if isinstance(got[0], Lease):
                request = new_id()
                transfers = (
                    charge(request, account, 9, got[0].id),
                    msgspec.structs.replace(charge(request, name, 9, got[1].id), code="limit"),
                )
                await store.commit_call(transfers, record(request, cost_nano_usd=9))

    async def changing(store: PostgresStore, workspace_id: str, number: int) -> None:
        for step in range(8):
            await store.quotas.set_limit(wish("key_1", chance.randint(100, 5_000)), change())
            await store.top_up(workspace_id, 5, f"t{number}-{step}", 1)
            assert await store.quotas.refund(workspace_id, 5, f"r{number}-{step}", change()) > 0

    async def work(stores: list[PostgresStore]) -> None:
        workspace_id, _ = await workspace_with_key(stores[0])
        await stores[0].quotas.set_limit(wish("key_1", 3_000), change())
        account = account_of(workspace_id)
        await asyncio.gather(
            *(spending(store, f"replica#{n}", account) for n, store in enumerate(stores) for _ in range(3)),
            *(changing(store, workspace_id, number) for number, store in enumerate(stores)),
        )

    with_replicas(postgres_url, work)
    assert postgres.ask(postgres_url, "SELECT count(*) FROM transfer WHERE code = 'refund'") == [(32,)]
    assert_postgres_balances(postgres_url)
