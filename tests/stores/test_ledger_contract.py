"""What the books of every store do: leases, all or none; recalls; what those who are gone leave behind."""

import asyncio
import time
from collections.abc import Sequence

import pytest

from support.books import new_id, record
from support.postgres_books import charge
from support.stores import Stores, recalled
from tollhouse.money.lease import Claim, Hold
from tollhouse.money.ledger import Ledger
from tollhouse.money.settlement import Spending, postings
from tollhouse.money.store import Ask, ChargeLine, Lease, OpenCall, Opening, Shortage
from tollhouse.stores.sqlite import account_of
from tollhouse.stores.store import Store
from tollhouse.stores.usage import UsageFilter

ME, OTHER = "me#1", "other#1"


async def purse(store: Store, amount: int, name: str = "acme") -> str:
    """The account of a fresh workspace with so much credit."""
    workspace = await store.create_workspace(name, 1)
    await store.top_up(workspace.id, amount, f"r:{name}", 1)
    return account_of(workspace.id)


def wish(account_id: str, need: int, want: int = 0, opening: Opening | None = None) -> Ask:
    return Ask(account_id=account_id, need=need, want=want, opening=opening)


async def lease(store: Store, owner: str, *asks: Ask) -> list[Lease]:
    """All of them; fails when they are short."""
    answer = await store.ledger.acquire(owner, asks)
    leases = [item for item in answer if isinstance(item, Lease)]
    assert len(leases) == len(asks), answer
    return leases


async def shortages(store: Store, owner: str, *asks: Ask) -> list[tuple[str, int, int]]:
    answer = await store.ledger.acquire(owner, asks)
    found = [item for item in answer if isinstance(item, Shortage)]
    assert len(found) == len(answer), answer
    return sorted((item.account_id, item.available, item.leased_elsewhere) for item in found)


async def close_all(store: Store, owner: str) -> None:
    held = await store.ledger.renew(owner)
    await store.ledger.give_back(owner, {one.id: one.granted - one.used for one in held})


def noted(request_id: str, owner: str) -> OpenCall:
    return OpenCall(
        request_id=request_id,
        owner=owner,
        started_at_ms=3_600_000,
        workspace_id="ws_1",
        key_id="key_1",
        model="m",
        held_nano_usd=5,
    )


def test_a_lease_grows_and_leaves_the_others_their_share(stores: Stores) -> None:
    async def work(store: Store) -> None:
        account = await purse(store, 1_000)
        await store.ledger.join(ME)
        (first,) = await lease(store, ME, wish(account, 10, 900))
        assert (first.account_id, first.granted, first.used) == (account, 250, 0)
        assert 20 < first.valid_s <= 30
        (second,) = await lease(store, ME, wish(account, 500, 500))
        assert (second.id, second.granted) == (first.id, 750)
        assert await shortages(store, OTHER, wish(account, 251)) == [(account, 250, 750)]
        assert await shortages(store, ME, wish(account, 251)) == [(account, 250, 0)]
        (last,) = await lease(store, OTHER, wish(account, 250, 10**6))
        assert last.granted == 250
        assert [one.granted for one in await store.ledger.renew(ME)] == [750]
        await close_all(store, ME)
        await close_all(store, OTHER)
        assert await store.ledger.renew(ME) == ()

    stores(work)
    stores.assert_balanced()


def test_what_is_short_is_said_of_every_account_and_nothing_is_leased(stores: Stores) -> None:
    async def work(store: Store) -> None:
        one, two, three = sorted([await purse(store, 100, name) for name in ("a", "b", "c")])
        asked = [wish(three, 101), wish(two, 50), wish(one, 102), wish("credit:none", 1)]
        assert await shortages(store, ME, *asked) == sorted([(three, 100, 0), (one, 100, 0), ("credit:none", 0, 0)])
        assert await store.ledger.renew(ME) == ()

    stores(work)
    stores.assert_balanced()


def test_the_account_of_a_period_is_made_once_with_its_amount(stores: Stores) -> None:
    opening = Opening(unit="token", scope="l", period="2027-01-31", amount=90, source_account="limits-source:token")

    async def work(store: Store) -> None:
        account = await purse(store, 10_000)
        wishes = [wish("limit:l:2027-01-31", 30, 0, opening), wish(account, 5)]
        answers = await asyncio.gather(*(store.ledger.acquire(f"o#{number}", wishes) for number in range(4)))
        granted = [[type(item) for item in answer] for answer in answers]
        assert granted.count([Lease, Lease]) == 3
        assert granted.count([Shortage]) == 1
        for number in range(4):
            await close_all(store, f"o#{number}")

    stores(work)
    stores.assert_balanced()
    assert stores.ask("SELECT kind, unit, scope, period, credits FROM account WHERE id = 'limit:l:2027-01-31'") == [
        ("limit", "token", "l", "2027-01-31", 90)
    ]
    assert stores.ask("SELECT line, amount, code FROM transfer WHERE request = 'open:limit:l:2027-01-31'") == [
        (0, 90, "opening")
    ]


def test_a_limit_of_which_nothing_was_held_is_opened_by_the_first_charge(stores: Stores) -> None:
    """Where a call could cost nothing, nobody asks the store for its limits; what it costs after all is counted."""
    opening = Opening(unit="nano_usd", scope="l", period="d", amount=90, source_account="limits-source:nano_usd")

    async def work(store: Store) -> None:
        account = await purse(store, 1_000)
        claims = (
            Claim(account_id=account, amount=0),
            Claim(account_id="limit:l:d", amount=0, opening=opening),
        )
        ledger = Ledger(store.ledger, ME, time.monotonic, lambda: None)
        for cost in (0, 7, 5):
            request = new_id()
            held = await ledger.hold(request, claims, "v1")
            assert isinstance(held, Hold)
            spending = Spending((ChargeLine(line=0, code="model", amount_nano_usd=cost),), 1)
            transfers = postings(held, spending, 1_700_000_000_500, "provider")
            for _ in range(2):
                await store.commit_call(transfers, record(request, cost_nano_usd=cost))
            ledger.charged(held)

    stores(work)
    stores.assert_balanced()
    assert stores.ask("SELECT credits, debits FROM account WHERE id = 'limit:l:d'") == [(90, 12)]


@pytest.mark.fault(71)
def test_a_charge_comes_out_of_its_lease_then_out_of_the_account_once(stores: Stores) -> None:
    async def work(store: Store) -> None:
        account = await purse(store, 1_000)
        await store.ledger.join(ME)
        (held,) = await lease(store, ME, wish(account, 100))

        async def spend(request: str, amounts: Sequence[int], lease_id: str) -> None:
            transfers = tuple(charge(request, account, amount, lease_id, line) for line, amount in enumerate(amounts))
            await store.commit_call(transfers, record(request, cost_nano_usd=sum(amounts)))

        first = new_id()
        for _ in range(2):
            await spend(first, (40, 20), held.id)
        assert [(one.granted, one.used) for one in await store.ledger.renew(ME)] == [(100, 60)]
        assert await shortages(store, OTHER, wish(account, 901)) == [(account, 900, 40)]
        # More than is left of the lease: what is beyond it comes out of the account.
        await spend(new_id(), (50,), held.id)
        assert [(one.granted, one.used) for one in await store.ledger.renew(ME)] == [(100, 100)]
        assert await shortages(store, OTHER, wish(account, 901)) == [(account, 890, 0)]
        await close_all(store, ME)
        assert await store.ledger.renew(ME) == ()
        # Late: the lease is closed.
        await spend(new_id(), (7,), held.id)
        assert await shortages(store, OTHER, wish(account, 901)) == [(account, 883, 0)]

    stores(work)
    stores.assert_balanced()


def test_nothing_is_given_back_that_is_not_there(stores: Stores) -> None:
    async def work(store: Store) -> None:
        account = await purse(store, 1_000)
        await store.ledger.join(ME)
        (held,) = await lease(store, ME, wish(account, 100))
        await store.ledger.give_back(OTHER, {held.id: 50})
        await store.ledger.give_back(ME, {"none": 50})
        await store.ledger.give_back(ME, {})
        assert [one.granted for one in await store.ledger.renew(ME)] == [100]
        await store.ledger.give_back(ME, {held.id: 30})
        assert [one.granted for one in await store.ledger.renew(ME)] == [70]
        await store.ledger.give_back(ME, {held.id: 10**9})
        assert await store.ledger.renew(ME) == ()
        await store.ledger.give_back(ME, {held.id: 10**9})

    stores(work)
    stores.assert_balanced()


def test_a_recall_reaches_the_others_once(stores: Stores) -> None:
    async def work(store: Store) -> None:
        other = await stores.open()
        mine, theirs = await purse(store, 1_000), await purse(store, 1_000, "b")
        await store.ledger.join(ME)
        await other.ledger.join(OTHER)
        for account in (mine, theirs):
            await lease(store, ME, wish(account, 100))
            await lease(other, OTHER, wish(account, 100))
        assert await other.ledger.recalled(OTHER) == frozenset()
        await store.ledger.recall(ME, [mine, "credit:none"])
        assert await recalled(other, OTHER) == {mine}
        assert await other.ledger.recalled(OTHER) == frozenset()
        assert await store.ledger.recalled(ME) == frozenset()
        await close_all(store, ME)
        await close_all(other, OTHER)
        await other.close()

    stores(work)
    stores.assert_balanced()


@pytest.mark.fault(68)
def test_who_is_gone_loses_his_leases_and_his_open_calls(stores: Stores) -> None:
    async def work(store: Store) -> None:
        account = await purse(store, 1_000)
        await store.ledger.join(ME)
        gone = await stores.open()
        await gone.ledger.join(OTHER)
        await lease(store, ME, wish(account, 100))
        (held,) = await lease(gone, OTHER, wish(account, 300))
        ended, late = new_id(), new_id()
        await gone.ledger.note_open([noted("call_1", OTHER), noted(ended, OTHER), noted("call_2", OTHER)])
        await gone.commit_call((charge(ended, account, 20, held.id),), record(ended, cost_nano_usd=20))
        await gone.ledger.note_open([noted(ended, OTHER)])
        assert await store.ledger.sweep() == ()
        assert await shortages(store, ME, wish(account, 601)) == [(account, 600, 280)]
        await gone.close()
        lost = await store.ledger.sweep()
        assert sorted(lost, key=lambda call: call.request_id) == [noted("call_1", OTHER), noted("call_2", OTHER)]
        assert await store.ledger.sweep() == ()
        assert await shortages(store, ME, wish(account, 881)) == [(account, 880, 0)]
        found = await store.call("call_1")
        assert found is not None
        assert (found.status, found.cost_nano_usd, found.workspace_id, found.model) == ("lost_on_crash", 0, "ws_1", "m")
        # Its settlement comes after all, from a spool.
        await store.commit_call((charge(late, account, 5, held.id),), record(late, cost_nano_usd=5))
        assert await shortages(store, ME, wish(account, 881)) == [(account, 875, 0)]
        rows = await store.usage(UsageFilter(workspace_id="ws_1"), ("model", "key"))
        assert [(row.calls, row.failed_calls, row.cost_nano_usd) for row in rows] == [(2, 2, 0)]
        await close_all(store, ME)

    stores(work)
    stores.assert_balanced()


def test_text_that_a_database_cannot_store_costs_nobody_his_record(stores: Stores) -> None:
    async def work(store: Store) -> None:
        account = await purse(store, 1_000)
        odd = record(new_id(), cost_nano_usd=3, client_request_id="a\0b", finish_reason="é\N{GRINNING FACE}")
        await store.commit_call((charge(odd.id, account, 3),), odd)
        kept = await store.call(odd.id)
        assert kept is not None
        assert kept.finish_reason == odd.finish_reason
        assert (kept.client_request_id or "").startswith("a")
        assert await store.workspace("a\0b") is None

    stores(work)
    stores.assert_balanced()
