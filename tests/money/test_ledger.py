"""The ledger on a real store: no look-up in the common case, recalls, refusals, and nobody who leaves leaves a hold."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from support.books import ask, assert_books_balance, new_id, record
from tollhouse.ir.fault import FaultError
from tollhouse.money.lease import MARGIN_S, Claim, Hold
from tollhouse.money.ledger import RECALL_WAIT_S, Ledger, Short
from tollhouse.money.settlement import Spending, postings, totals
from tollhouse.money.store import Ask, ChargeLine, Lease, Opening, Shortage
from tollhouse.stores.health import books_unavailable
from tollhouse.stores.leasing import GRACE_S, LEASE_S
from tollhouse.stores.sqlite import SqliteStore, account_of


class Counted:
    """The store's ledger, which counts what it is asked; an acquisition can be held back."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store.ledger
        self.acquired: list[tuple[Ask, ...]] = []
        self.recalls = 0
        self.gate = asyncio.Event()
        self.gate.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def acquire(self, owner: str, asks: Sequence[Ask]) -> tuple[Lease, ...] | tuple[Shortage, ...]:
        self.acquired.append(tuple(asks))
        await self.gate.wait()
        return await self._store.acquire(owner, asks)

    async def recall(self, owner: str, account_ids: Sequence[str]) -> None:
        self.recalls += 1
        await self._store.recall(owner, account_ids)


class House:
    """Several processes on one data folder, with one clock."""

    def __init__(self, folder: Path, credit: int) -> None:
        self.folder = folder
        self.credit = credit
        self.now_s = 100.0
        self.slept: list[float] = []
        self.stores: list[SqliteStore] = []
        self.counted: list[Counted] = []
        self.ledgers: list[Ledger] = []
        self.account_id = ""

    def __call__(self, work: Callable[["House"], Awaitable[Any]], processes: int = 1) -> Any:
        async def run() -> Any:
            for number in range(processes):
                await self.enter(f"node#{number}")
            workspace = await self.stores[0].create_workspace("acme", 1)
            self.account_id = account_of(workspace.id)
            if self.credit:
                await self.stores[0].top_up(workspace.id, self.credit, "r", 1)
            try:
                return await work(self)
            finally:
                for store in self.stores:
                    await store.close()

        return asyncio.run(run())

    async def enter(self, owner: str) -> Ledger:
        store = SqliteStore.open(self.folder, clock_s=lambda: self.now_s)
        counted = Counted(store)
        await store.ledger.join(owner)
        ledger = Ledger(counted, owner, lambda: self.now_s, store.blocked, self.sleep)
        self.stores.append(store)
        self.counted.append(counted)
        self.ledgers.append(ledger)
        return ledger

    async def sleep(self, seconds: float) -> None:
        """The others look after their recalls meanwhile."""
        self.now_s += seconds
        self.slept.append(seconds)
        for ledger in self.ledgers:
            await ledger.answer_recalls()

    def claim(self, amount: int) -> tuple[Claim, ...]:
        return (Claim(account_id=self.account_id, amount=amount),)

    async def held(self, amount: int, who: int = 0) -> Hold:
        outcome = await self.ledgers[who].hold(new_id(), self.claim(amount), "v1")
        assert isinstance(outcome, Hold), outcome
        return outcome

    async def short(self, amount: int, who: int = 0) -> Short:
        outcome = await self.ledgers[who].hold(new_id(), self.claim(amount), "v1")
        assert not isinstance(outcome, Hold)
        return outcome[0]

    async def pay(self, hold: Hold, amount: int, who: int = 0) -> None:
        lines = (ChargeLine(line=0, code="model", amount_nano_usd=amount),)
        transfers = postings(hold, Spending(lines, 0), 1, "provider")
        self.ledgers[who].charging(hold, totals(transfers))
        await self.stores[who].commit_call(transfers, record(hold.request_id))
        self.ledgers[who].charged(hold)

    def leased(self) -> int:
        return ask(self.folder, "SELECT leased FROM account WHERE id = ?", self.account_id)[0][0]


def test_the_store_is_asked_seldom(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        for _ in range(200):
            house.now_s += 0.01
            await house.pay(await house.held(10), 7)
        # It doubles while it runs out quickly.
        assert len(house.counted[0].acquired) < 15
        assert house.slept == []
        await house.ledgers[0].close()

    House(tmp_path, 10_000)(work)
    assert_books_balance(tmp_path)


def test_what_does_not_fit_is_refused_with_what_would(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        short = await house.short(150)
        assert (short.affordable, short.balance) == (100, 100)
        await house.held(60)
        short = await house.short(50)
        assert (short.affordable, short.balance) == (40, 100)
        short = await house.short(101)
        assert (short.affordable, short.balance) == (40, 100)
        await house.held(40)
        assert (await house.short(1)).affordable == 0

    House(tmp_path, 100)(work)


def test_a_top_up_is_seen_by_the_next_call(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        assert (await house.short(10)).affordable == 0
        workspace_id = house.account_id.removeprefix("credit:")
        await house.stores[0].top_up(workspace_id, 10, "again", 1)
        await house.held(10)

    House(tmp_path, 0)(work)


def test_nothing_is_held_where_nothing_is_claimed(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        hold = await house.held(0)
        assert house.counted[0].acquired == []
        # An invoiced workspace has no credit, and pays all the same.
        await house.pay(hold, 25)
        assert await house.stores[0].balance(house.account_id.removeprefix("credit:")) == -25

    House(tmp_path, 0)(work)


def test_all_accounts_are_held_or_none(tmp_path: Path) -> None:
    opening = Opening(unit="token", scope="cap", period="total", amount=50, source_account="limits-source:token")

    async def work(house: House) -> None:
        ledger = house.ledgers[0]

        def both(credit: int, tokens: int) -> tuple[Claim, ...]:
            limit = Claim(account_id="limit:cap:total", amount=tokens, unit="token", opening=opening)
            return (*house.claim(credit), limit)

        refused = await ledger.hold("a", both(10, 51), "v1")
        assert isinstance(refused, tuple)
        assert [short.account_id for short in refused] == ["limit:cap:total"]
        refused = await ledger.hold("b", both(101, 51), "v1")
        assert isinstance(refused, tuple)
        assert {short.account_id for short in refused} == {"limit:cap:total", house.account_id}
        assert ledger.leases.open_holds == 0
        held = await ledger.hold("c", both(100, 50), "v1")
        assert isinstance(held, Hold)
        lines = (
            ChargeLine(line=0, code="model", amount_nano_usd=90),
            ChargeLine(line=1, code="tool:x", amount_nano_usd=5),
        )
        transfers = postings(held, Spending(lines, 30), 1, "provider")
        ledger.charging(held, totals(transfers))
        await house.stores[0].commit_call(transfers, record("c"))
        ledger.charged(held)
        await ledger.close()
        rows = ask(house.folder, "SELECT id, credits, debits FROM account WHERE kind IN ('credit', 'limit')")
        assert sorted(rows) == sorted([(house.account_id, 100, 95), ("limit:cap:total", 50, 30)])

    House(tmp_path, 100)(work)
    assert_books_balance(tmp_path)


@pytest.mark.fault(69)
def test_another_process_gives_back_what_it_does_not_use(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        first = await house.held(10, who=0)
        assert house.leased() > 10
        # More than the first process has left over for the second.
        hold = await house.held(85, who=1)
        assert sum(house.slept) <= RECALL_WAIT_S
        assert house.counted[1].recalls >= 1
        await house.pay(first, 10, who=0)
        await house.pay(hold, 85, who=1)
        for ledger in house.ledgers:
            await ledger.close()

    House(tmp_path, 100)(work, processes=2)
    assert_books_balance(tmp_path)


def test_a_call_waits_a_quarter_of_a_second_for_what_others_hold_and_no_longer(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        await house.held(60, who=0)
        short = await house.short(50, who=1)
        assert short.affordable == 40
        assert RECALL_WAIT_S <= sum(house.slept) <= RECALL_WAIT_S + 0.051
        house.slept.clear()
        # More than there is altogether: nobody can give that back.
        await house.short(101, who=1)
        assert house.slept == []

    House(tmp_path, 100)(work, processes=2)


def test_what_nobody_uses_is_given_back_after_a_while(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        hold = await house.held(10)
        house.now_s += 5
        await house.ledgers[0].give_back_idle()
        assert house.leased() > 0, "something is held of it"
        await house.pay(hold, 4)
        house.now_s += 1.5
        await house.ledgers[0].give_back_idle()
        assert house.leased() == 0

    House(tmp_path, 100)(work)
    assert_books_balance(tmp_path)


@pytest.mark.fault(73)
def test_a_lease_that_cannot_be_renewed_ends_by_the_process_s_own_clock(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        await house.held(10)
        house.now_s += LEASE_S - MARGIN_S - 0.1
        await house.held(10)
        asked = len(house.counted[0].acquired)
        house.now_s += 0.2
        await house.held(10)
        assert len(house.counted[0].acquired) == asked + 1
        house.now_s += LEASE_S
        await house.ledgers[0].renew()
        asked = len(house.counted[0].acquired)
        await house.held(1)
        assert len(house.counted[0].acquired) == asked

    House(tmp_path, 10_000)(work)


@pytest.mark.fault(73)
def test_a_jump_of_the_wall_clock_takes_no_lease_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = 1_800_000_000 * 10**9

    async def work(house: House) -> None:
        nonlocal now_ns
        await house.held(10, who=0)
        for hours in (1, -2, 0, 24):
            now_ns += hours * 3600 * 10**9
            house.now_s += 5
            await house.stores[1].ledger.sweep()
            await house.ledgers[0].renew()
            assert house.ledgers[0].leases.free(house.account_id, house.now_s) > 0
            await house.held(1, who=0)
        assert ask(house.folder, "SELECT COUNT(*) FROM lease WHERE state = 'closed'") == [(0,)]

    monkeypatch.setattr("tollhouse.stores.sqlite_ledger.time.time_ns", lambda: now_ns)
    House(tmp_path, 100)(work, processes=2)


def test_the_leases_of_a_process_that_hangs_are_swept_after_their_time_and_the_grace(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        await house.held(10, who=0)
        await house.stores[1].ledger.sweep()
        house.now_s += LEASE_S + GRACE_S - 0.1
        await house.stores[1].ledger.sweep()
        assert house.leased() > 0
        house.now_s += 0.2
        await house.stores[1].ledger.sweep()
        assert house.leased() == 0
        # It notices when it comes back to life.
        await house.ledgers[0].renew()
        assert house.ledgers[0].leases.accounts == frozenset()

    House(tmp_path, 100)(work, processes=2)
    assert_books_balance(tmp_path)


def test_the_leases_of_a_process_that_died_are_swept_at_once(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        await house.held(10, who=0)
        house.stores[0].ledger.owners.drop()
        await house.stores[1].ledger.sweep()
        assert house.leased() == 0
        # Its lock file goes with the next sweep.
        assert (house.folder / "owners" / "node#0.lock").exists()
        await house.stores[1].ledger.sweep()
        assert not (house.folder / "owners" / "node#0.lock").exists()

    House(tmp_path, 100)(work, processes=2)
    assert_books_balance(tmp_path)


@pytest.mark.fault(29)
def test_a_caller_who_leaves_while_he_waits_leaves_no_hold(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        ledger, counted = house.ledgers[0], house.counted[0]
        counted.gate.clear()
        waiting = [asyncio.create_task(ledger.hold(f"r{n}", house.claim(10), "v1")) for n in range(3)]
        while not counted.acquired:  # noqa: ASYNC110 -- there is no event for having been asked
            await asyncio.sleep(0)
        hold = ledger.leases.hold

        def hold_and_leave(request_id: str, claims: Sequence[Claim], now_s: float) -> Any:
            parts = hold(request_id, claims, now_s)
            if request_id == "r0" and parts is not None:
                # He leaves after his hold was taken and before he hears of it.
                asyncio.get_running_loop().call_soon(waiting[0].cancel)
            return parts

        ledger.leases.hold = hold_and_leave  # type: ignore[method-assign] -- to be there at the moment
        waiting[1].cancel()
        counted.gate.set()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [isinstance(outcome, asyncio.CancelledError) for outcome in outcomes] == [True, True, False]
        assert ledger.leases.open_holds == 1
        assert ledger.leases.held(house.account_id) == 10

    House(tmp_path, 100)(work)


def test_those_who_wait_share_an_answer(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        outcomes = await asyncio.gather(
            *(house.ledgers[0].hold(f"r{n}", house.claim(10), "v1", patient=False) for n in range(1_000))
        )
        assert sum(isinstance(outcome, Hold) for outcome in outcomes) == 50
        assert len(house.counted[0].acquired) < 60

    House(tmp_path, 500)(work)


def test_books_that_cannot_be_used_spend_nothing(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        await house.held(1)
        (house.folder / "tollhouse.db").unlink()
        # The file's name is looked at every few milliseconds.
        house.now_s += 0.01
        with pytest.raises(FaultError, match="cannot be used"):
            await house.held(1)

    House(tmp_path, 100)(work)


def test_a_store_that_fails_refuses_those_who_wait_and_serves_the_next(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        counted = house.counted[0]
        real = counted._store.acquire
        failures = [books_unavailable("a test")]

        async def failing(owner: str, asks: Sequence[Ask]) -> Any:
            if failures:
                raise failures.pop()
            return await real(owner, asks)

        counted._store.acquire = failing  # type: ignore[method-assign] -- it fails once
        outcomes = await asyncio.gather(
            *(house.ledgers[0].hold(f"r{n}", house.claim(10), "v1") for n in range(3)), return_exceptions=True
        )
        assert all(isinstance(outcome, FaultError) for outcome in outcomes)
        await house.held(10)

    House(tmp_path, 100)(work)


def test_transfers_are_summed_by_account() -> None:
    lines = (ChargeLine(line=0, code="model", amount_nano_usd=3), ChargeLine(line=2, code="tool:x", amount_nano_usd=4))
    hold = Hold(request_id="r", parts=(), price_version="v1")
    assert postings(hold, Spending(lines, 9), 1, None) == ()
    sums: Mapping[str, int] = totals(())
    assert sums == {}
