"""What PostgreSQL does with leases when gateways meet, are cut off, or are answered late."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest

from support.postgres import PostgresServer
from support.postgres_books import assert_postgres_balances, opened
from tollhouse.money.store import Ask, Lease, Opening
from tollhouse.stores import postgres_ledger
from tollhouse.stores.database import Row
from tollhouse.stores.postgres import PostgresStore
from tollhouse.stores.postgres_pool import Pool, Value
from tollhouse.stores.sqlite import account_of

LONG_AGO_MS = 45_000
ACTIVE = "SELECT granted FROM lease WHERE state = 'active'"


async def ask_behind(url: str, sql: str) -> list[tuple[Any, ...]]:
    return await asyncio.to_thread(PostgresServer.ask, url, sql)


def run_with(url: str, replicas: int, work: Callable[[list[PostgresStore]], Awaitable[Any]]) -> None:
    async def run() -> None:
        async with AsyncExitStack() as stack:
            stores = [await stack.enter_async_context(opened(url)) for _ in range(replicas)]
            for number, store in enumerate(stores):
                await store.ledger.join(f"replica#{number}")
            await work(stores)

    asyncio.run(run())
    assert_postgres_balances(url)


async def purse(store: PostgresStore) -> str:
    workspace = await store.create_workspace("acme", 1)
    await store.top_up(workspace.id, 1_000, "r", 1)
    return account_of(workspace.id)


def test_a_period_that_many_open_at_the_same_moment_is_opened_once(postgres_url: str) -> None:
    days = 60

    async def work(stores: list[PostgresStore]) -> None:
        for day in range(days):
            opening = Opening(
                unit="token", scope="plan", period=f"{day}", amount=900, source_account="limits-source:token"
            )
            ask = Ask(account_id=f"limit:plan:{day}", need=1, want=1, opening=opening)
            answers = await asyncio.gather(
                *(store.ledger.acquire(f"replica#{number}", [ask]) for number, store in enumerate(stores))
            )
            assert [type(answer[0]) for answer in answers] == [Lease] * len(stores)

    run_with(postgres_url, 6, work)
    assert PostgresServer.ask(postgres_url, "SELECT count(*), sum(credits) FROM account WHERE kind = 'limit'") == [
        (days, 900 * days)
    ]


@pytest.mark.fault(71)
def test_what_a_gateway_leases_after_an_outage_stays_its_own(postgres_url: str) -> None:
    """It gave no sign of life for longer than the others wait; its first wish is one."""

    async def work(stores: list[PostgresStore]) -> None:
        account = await purse(stores[0])
        ask = [Ask(account_id=account, need=10, want=10)]
        await stores[0].ledger.acquire("replica#0", ask)
        for table in ("owner", "lease"):
            await ask_behind(postgres_url, f"UPDATE {table} SET expires_at_ms = expires_at_ms - {2 * LONG_AGO_MS}")
        await stores[0].ledger.acquire("replica#0", ask)
        for _ in range(2):
            await stores[1].ledger.sweep()
        assert await ask_behind(postgres_url, ACTIVE) == [(20,)]
        await stores[0].ledger.renew("replica#0")

    run_with(postgres_url, 2, work)


@pytest.mark.fault(71)
def test_leases_of_a_gateway_that_stays_away_are_swept_and_it_is_forgotten(postgres_url: str) -> None:
    async def work(stores: list[PostgresStore]) -> None:
        account = await purse(stores[0])
        await stores[0].ledger.acquire("replica#0", [Ask(account_id=account, need=10, want=10)])
        for table in ("owner", "lease"):
            await ask_behind(postgres_url, f"UPDATE {table} SET expires_at_ms = expires_at_ms - {LONG_AGO_MS}")
        await stores[1].ledger.sweep()
        assert await ask_behind(postgres_url, ACTIVE) == []
        assert await ask_behind(postgres_url, "SELECT id FROM owner WHERE id = 'replica#0'") == []

    run_with(postgres_url, 2, work)


@pytest.mark.fault(71)
@pytest.mark.parametrize("meanwhile", ["renewed", "enlarged"])
def test_a_gift_that_the_server_takes_late_is_not_taken_from_what_is_in_use(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    """A frozen server executes what was sent to it when it goes on; its sender gave that up and asked anew."""
    sent: list[tuple[Value, ...]] = []
    fetch = Pool.fetch

    async def frozen(self: Pool, sql: str, *values: Value, **how: Any) -> Sequence[Row]:
        if sql == postgres_ledger._GIVE_BACK and not sent:
            sent.append(values)
            return []
        return await fetch(self, sql, *values, **how)

    async def work(stores: list[PostgresStore]) -> None:
        ledger = stores[0].ledger
        ask = [Ask(account_id=await purse(stores[0]), need=10, want=100)]
        (lease,) = await ledger.acquire("replica#0", ask)
        assert isinstance(lease, Lease)
        monkeypatch.setattr(Pool, "fetch", frozen)
        await ledger.give_back("replica#0", {lease.id: 60})
        # Nobody knows whether it was done, so the database is asked what there is; all of that is spent from now on.
        known = await (ledger.renew("replica#0") if meanwhile == "renewed" else ledger.acquire("replica#0", ask))
        assert isinstance(known[0], Lease)
        await fetch(stores[0]._pool, postgres_ledger._GIVE_BACK, *sent[0])
        assert await ask_behind(postgres_url, ACTIVE) == [(known[0].granted,)]
        # One that comes in time is taken.
        await ledger.give_back("replica#0", {lease.id: 60})
        assert await ask_behind(postgres_url, ACTIVE) == [(known[0].granted - 60,)]

    run_with(postgres_url, 1, work)
