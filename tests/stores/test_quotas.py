"""Limits, plans, consumers and refunds, as every store keeps them."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.books import ask, new_id, record, with_store
from support.quotas import (
    DAY_MS,
    DIGEST,
    NOON_MS,
    USD,
    change,
    figures,
    lease,
    spend,
    wish,
    workspace_with_key,
)
from support.stores import KINDS, Stores, recalled
from tollhouse.accounts.principal import Limit
from tollhouse.accounts.quotas import LimitWish, Plan
from tollhouse.accounts.store import NewConsumer
from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.money.store import Ask, Lease, Shortage
from tollhouse.stores.sqlite import SqliteStore
from tollhouse.stores.store import Store

FREE = Plan(name="free", period="month", tokens=1000)
PRO = Plan(name="pro", period="month", tokens=50_000)


async def limits_of(store: Store) -> tuple[Limit, ...]:
    principal = await store.principal(DIGEST)
    assert principal is not None
    return principal.limits


async def the_limit(store: Store) -> Limit:
    (limit,) = await limits_of(store)
    return limit


@pytest.mark.row(52, 53)
def test_a_key_has_up_to_three_limits_which_its_principal_brings(stores: Stores) -> None:
    async def work(store: Store) -> None:
        workspace_id, key_id = await workspace_with_key(store)
        assert await limits_of(store) == ()
        for period, amount in (("day", 1), ("month", 20), ("total", 100)):
            standing = await store.quotas.set_limit(wish(key_id, amount * USD, period), change())
            assert figures(standing) == (amount * USD, 0, amount * USD)
        assert [(limit.period, limit.amount, limit.reason, limit.unit) for limit in await limits_of(store)] == [
            ("day", 1 * USD, "key_limit", "nano_usd"),
            ("month", 20 * USD, "key_limit", "nano_usd"),
            ("total", 100 * USD, "key_limit", "nano_usd"),
        ]
        assert await store.quotas.set_limit(wish(key_id, None), change()) is None
        assert [limit.period for limit in await limits_of(store)] == ["month", "total"]
        assert len(await store.quotas.limits([key_id, workspace_id], NOON_MS)) == 2

    stores(work)
    stores.assert_balanced()


@pytest.mark.row(38)
def test_raising_and_lowering_keep_what_was_used(stores: Stores) -> None:
    async def work(store: Store) -> None:
        _, key_id = await workspace_with_key(store)
        quotas = store.quotas
        await quotas.set_limit(wish(key_id, 10 * USD), change())
        await spend(store, await the_limit(store), 4 * USD, record(new_id()))
        for amount, remaining in ((12, 8), (6, 2), (3, -1), (0, -4), (20, 16), (20, 16)):
            standing = await quotas.set_limit(wish(key_id, amount * USD), change())
            assert figures(standing) == (amount * USD, 4 * USD, remaining * USD)
            assert [figures(one) for one in await quotas.limits([key_id], NOON_MS)] == [figures(standing)]
        await spend(store, await the_limit(store), 16 * USD, record(new_id()))
        (standing,) = await quotas.limits([key_id], NOON_MS)
        assert figures(standing) == (20 * USD, 20 * USD, 0)

    stores(work)
    stores.assert_balanced()


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), min_size=1, max_size=12))
def test_whatever_the_limit_was_quota_less_used_remains(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    steps: list[tuple[int, int]],
) -> None:
    url = request.getfixturevalue("postgres").new_database() if kind == "postgres" else None
    stores = Stores(tmp_path_factory.mktemp("steps"), url)

    async def work(store: Store) -> None:
        _, key_id = await workspace_with_key(store)
        used = 0
        for amount, wanted in steps:
            await store.quotas.set_limit(wish(key_id, amount), change())
            spent = min(wanted, max(0, amount - used))
            if spent:
                await spend(store, await the_limit(store), spent, record(new_id()))
            used += spent
            (standing,) = await store.quotas.limits([key_id], NOON_MS)
            assert figures(standing) == (amount, used, amount - used)

    stores(work)
    stores.assert_balanced()


@pytest.mark.row(52, 53)
@pytest.mark.fault(73)
def test_the_next_period_begins_in_full_and_a_total_never_does(stores: Stores) -> None:
    async def work(store: Store) -> None:
        _, key_id = await workspace_with_key(store)
        for period in ("day", "month", "total"):
            await store.quotas.set_limit(wish(key_id, USD, period), change())
        for limit in await limits_of(store):
            await spend(store, limit, USD, record(new_id()))
        used = [
            [one.used for one in await store.quotas.limits([key_id], NOON_MS + days * DAY_MS)] for days in (0, 1, 10)
        ]
        assert used == [[USD, USD, USD], [0, USD, USD], [0, 0, USD]]

    stores(work)


def test_a_limit_that_changes_at_midnight_cannot_be_opened_with_the_old_amount(stores: Stores) -> None:
    async def work(store: Store) -> None:
        _, key_id = await workspace_with_key(store)
        last_second_ms = NOON_MS + DAY_MS // 2 - 900
        await store.quotas.set_limit(wish(key_id, 10 * USD), change())
        remembered = await the_limit(store)
        await store.quotas.set_limit(wish(key_id, 2 * USD), change(last_second_ms))
        await lease(store, remembered, USD, last_second_ms + 1_000)
        (standing,) = await store.quotas.limits([key_id], last_second_ms + 1_000)
        assert figures(standing) == (2 * USD, 0, 2 * USD)

    stores(work)


@pytest.mark.row(53)
def test_a_reset_by_hand_begins_anew_and_is_written_down(stores: Stores) -> None:
    async def work(store: Store) -> None:
        _, key_id = await workspace_with_key(store)
        await store.quotas.set_limit(wish(key_id, 5 * USD, "total"), change())
        await spend(store, await the_limit(store), 5 * USD, record(new_id()))
        standing = await store.quotas.reset_limit(key_id, "key_limit", "total", change(NOON_MS + 1, "asked by Ada"))
        assert figures(standing) == (5 * USD, 0, 5 * USD)
        assert (await the_limit(store)).resets == 1
        latest = (await store.quotas.audit([key_id]))[0]
        assert (latest.action, latest.actor, latest.note, latest.at_ms) == (
            "limit.reset",
            "tests",
            "asked by Ada",
            NOON_MS + 1,
        )
        with pytest.raises(FaultError, match="no daily limit"):
            await store.quotas.reset_limit(key_id, "key_limit", "day", change())
        await store.quotas.set_limit(wish(key_id, None, "total"), change())
        with pytest.raises(FaultError, match="no total limit"):
            await store.quotas.reset_limit(key_id, "key_limit", "total", change())

    stores(work)
    stores.assert_balanced()


def test_lowering_recalls_what_was_leased_of_the_limit(stores: Stores) -> None:
    async def work(store: Store) -> None:
        _, key_id = await workspace_with_key(store)
        told: list[tuple[str, ...]] = []

        async def callback(accounts: tuple[str, ...]) -> None:
            told.append(accounts)

        store.quotas.on_change(callback)
        await store.quotas.set_limit(wish(key_id, 5 * USD), change())
        granted = await lease(store, await the_limit(store), 4 * USD)
        await store.quotas.set_limit(wish(key_id, 9 * USD), change())
        assert await store.ledger.recalled("node#1") == frozenset()
        await store.quotas.set_limit(wish(key_id, USD), change())
        assert await recalled(store, "node#1") == {granted.account_id}
        assert told == [(granted.account_id,)] * 3
        short = await store.ledger.acquire("node#2", [Ask(account_id=granted.account_id, need=1, want=1)])
        assert short == (Shortage(account_id=granted.account_id, available=-3 * USD, leased_elsewhere=4 * USD),)

    stores(work)


@pytest.mark.row(51)
def test_a_key_may_use_the_models_of_its_list(stores: Stores) -> None:
    async def work(store: Store) -> None:
        _, key_id = await workspace_with_key(store)
        for models in (("openai/gpt-5", "ollama/*"), (), None):
            await store.quotas.allow_models(key_id, models, change())
            principal, row = await store.principal(DIGEST), await store.key(key_id)
            assert principal is not None
            assert row is not None
            assert principal.allowed_models == (None if models is None else frozenset(models))
            assert row.allowed_models == models
        with pytest.raises(FaultError, match="no such key"):
            await store.quotas.allow_models("key_9", None, change())

    stores(work)


def test_a_key_has_wishes_of_its_own_about_providers(stores: Stores) -> None:
    async def work(store: Store) -> None:
        _, key_id = await workspace_with_key(store)
        for wishes in ('{"only":["a","b"],"max_price":{"prompt":1.5}}', '{"sort":"price"}', None):
            await store.quotas.prefer_providers(key_id, wishes, change())
            principal, row = await store.principal(DIGEST), await store.key(key_id)
            assert principal is not None
            assert row is not None
            assert principal.providers == row.providers == wishes
            assert [one.providers for one in await store.keys()] == [wishes]
            audited = [(row.action, json.loads(row.detail)) for row in await store.quotas.audit([key_id])]
            assert ("key.providers", {"providers": wishes}) in audited
        disabled = await store.set_key_state(key_id, "disabled")
        assert disabled is not None
        assert disabled.providers is None
        with pytest.raises(FaultError, match="no such key"):
            await store.quotas.prefer_providers("key_9", None, change())

    stores(work)


@pytest.mark.row(131)
def test_a_plan_is_a_quota_in_tokens_and_an_upgrade_keeps_what_was_used(stores: Stores) -> None:
    async def work(store: Store) -> None:
        workspace_id, key_id = await workspace_with_key(store)
        quotas = store.quotas
        with pytest.raises(FaultError, match="there is: none"):
            await quotas.set_plan(workspace_id, "free", change())
        assert await quotas.sync_plans([FREE, PRO], change()) == ()
        assert await quotas.plans() == [FREE, PRO]
        await quotas.set_plan(workspace_id, "free", change())
        limit = await the_limit(store)
        assert (limit.name, limit.unit, limit.amount, limit.reason) == ("free", "token", 1000, "plan_quota")
        await spend(store, limit, 900, record(new_id()))
        assert figures(await quotas.set_plan(workspace_id, "pro", change())) == (50_000, 900, 49_100)
        await quotas.set_plan(key_id, "free", change())
        assert {one.name for one in await limits_of(store)} == {"free", "pro"}
        for owner in (workspace_id, key_id):
            assert await quotas.set_plan(owner, None, change()) is None
        assert await limits_of(store) == ()
        with pytest.raises(FaultError, match="there is: free, pro"):
            await quotas.set_plan(workspace_id, "enterprise", change())

    stores(work)
    stores.assert_balanced()


def test_a_changed_catalogue_changes_the_plans_of_who_is_on_them(stores: Stores) -> None:
    async def work(store: Store) -> None:
        workspace_id, _ = await workspace_with_key(store)
        quotas = store.quotas
        await quotas.sync_plans([FREE, PRO], change())
        await quotas.set_plan(workspace_id, "free", change())
        await spend(store, await the_limit(store), 900, record(new_id()))
        await quotas.sync_plans([Plan(name="free", period="month", tokens=500), PRO], change())
        assert [figures(one) for one in await quotas.limits([workspace_id], NOON_MS)] == [(500, 900, -400)]
        await quotas.sync_plans([Plan(name="free", period="day", tokens=70), PRO], change())
        (limit,) = await limits_of(store)
        assert (limit.period, limit.amount) == ("day", 70)
        (orphan,) = await quotas.sync_plans([PRO], change())
        assert (orphan.name, orphan.retired) == ("free", True)
        assert await limits_of(store) == (limit,)
        with pytest.raises(FaultError, match="there is: pro"):
            await quotas.set_plan(workspace_id, "free", change())

    stores(work)


@pytest.mark.row(38, 39)
def test_a_new_key_has_a_consumer_unless_it_is_asked_not_to(stores: Stores) -> None:
    async def work(store: Store) -> None:
        _, key_id = await workspace_with_key(store, consumer=NewConsumer(username="ada", custom_id="crm-7"))
        standing = await store.quotas.consumer_standing(key_id)
        assert standing is not None
        assert (standing.username, standing.custom_id) == ("ada", "crm-7")
        assert (standing.quota, standing.used, standing.remaining) == (10 * USD, 0, 10 * USD)
        consumer = await store.quotas.consumer(key_id)
        assert consumer is not None
        assert consumer.id == standing.consumer_id
        renamed = await store.quotas.set_consumer(key_id, None, "crm-8", change())
        assert (renamed.id, renamed.username, renamed.custom_id) == (consumer.id, None, "crm-8")
        assert await store.quotas.remove_consumer(key_id, change())
        assert not await store.quotas.remove_consumer(key_id, change())
        assert await store.quotas.consumer_standing(key_id) is None
        assert await store.quotas.consumers() == []

    stores(work)


@pytest.mark.row(38, 40)
def test_a_consumers_own_quota_stands_in_place_of_the_purse(stores: Stores) -> None:
    async def work(store: Store) -> None:
        workspace_id, key_id = await workspace_with_key(store)
        own = LimitWish(owner_id=key_id, reason="consumer_quota", unit="nano_usd", period="total", amount=2 * USD)
        await store.quotas.set_limit(own, change())
        call = record(new_id(), workspace_id=workspace_id, key_id=key_id, cost_nano_usd=2 * USD)
        await spend(store, await the_limit(store), 2 * USD, call)
        standing = await store.quotas.consumer_standing(key_id)
        assert standing is not None
        assert (standing.quota, standing.used, standing.remaining) == (2 * USD, 2 * USD, 0)
        assert (standing.requests, standing.total_tokens, standing.total_cost) == (1, 18, 2 * USD)
        assert not standing.has_quota
        await store.quotas.reset_limit(key_id, "consumer_quota", "total", change())
        standing = await store.quotas.consumer_standing(key_id)
        assert standing is not None
        assert (standing.quota, standing.used, standing.has_quota) == (2 * USD, 0, True)
        await store.quotas.remove_consumer(key_id, change())
        assert await limits_of(store) == ()

    stores(work)


@pytest.mark.row(54)
def test_workspaces_are_locked_and_invoiced(stores: Stores) -> None:
    async def work(store: Store) -> None:
        workspace_id, key_id = await workspace_with_key(store, usd=0)
        assert (await store.quotas.lock_workspace(workspace_id, locked=True, change=change())).locked
        assert (await store.quotas.invoice_workspace(workspace_id, invoicing=True, change=change())).invoicing
        principal = await store.principal(DIGEST)
        assert principal is not None
        assert (principal.locked, principal.invoicing) == (True, True)
        standing = await store.quotas.consumer_standing(key_id)
        assert standing is not None
        assert (standing.remaining, standing.has_quota) == (0, True)
        assert not (await store.quotas.lock_workspace(workspace_id, locked=False, change=change())).locked
        actions = [row.action for row in await store.quotas.audit([workspace_id])]
        assert sorted(actions) == ["workspace.invoicing", "workspace.locked", "workspace.locked"]
        with pytest.raises(FaultError, match="no such workspace"):
            await store.quotas.lock_workspace("ws_9", locked=True, change=change())

    stores(work)


@pytest.mark.fault(78)
def test_a_refund_counts_once_and_never_takes_what_is_not_available(stores: Stores) -> None:
    async def work(store: Store) -> None:
        workspace_id, key_id = await workspace_with_key(store, usd=10)
        refund = store.quotas.refund
        answer = await store.ledger.acquire("node#1", [Ask(account_id=f"credit:{workspace_id}", need=USD, want=USD)])
        assert isinstance(answer[0], Lease)
        for _ in range(2):
            assert await refund(workspace_id, 3 * USD, "r1", change()) == 7 * USD
        for amount, reference, why in (
            (4 * USD, "r1", "another refund"),
            (6 * USD + 1, "r2", "6 USD is available. 1 USD more is held"),
            (0, "r3", "cannot be refunded"),
            (-USD, "r4", "cannot be refunded"),
        ):
            with pytest.raises(FaultError, match=why) as caught:
                await refund(workspace_id, amount, reference, change())
            assert caught.value.fault.kind is FaultKind.INVALID_REQUEST
        assert await refund(workspace_id, 6 * USD, "r2", change()) == USD
        standing = await store.quotas.consumer_standing(key_id)
        assert standing is not None
        assert (standing.quota, standing.used, standing.remaining) == (USD, 0, USD)
        await store.ledger.give_back("node#1", {answer[0].id: USD})

    stores(work)
    stores.assert_balanced()


def test_what_was_withdrawn_is_found_by_its_index(tmp_path: Path) -> None:
    async def work(store: SqliteStore) -> None:
        await workspace_with_key(store)

    with_store(tmp_path / "data", work)
    plan = ask(
        tmp_path / "data",
        "EXPLAIN QUERY PLAN "
        "SELECT SUM(amount) FROM transfer WHERE debit_account = 'x' AND code IN ('refund', 'lowered')",
    )
    assert "transfer_withdrawals" in str(plan)
    sums = ask(tmp_path / "data", "EXPLAIN QUERY PLAN SELECT SUM(calls) FROM rollup WHERE key_id = 'x'")
    assert "rollup_by_key" in str(sums)
