"""The ledger under everything that can happen to it: a state machine that drives real ledgers on a real store.

A `Bench` gives it stores; the machine has processes on them, an injected clock, lost acknowledgements, crashes,
expiries, sweeps, duplicates and a provider that bills more than was held.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from support.books import record
from tollhouse.ir.fault import Fault, FaultError, FaultKind
from tollhouse.money.lease import Claim, Hold
from tollhouse.money.ledger import Ledger
from tollhouse.money.settlement import Spending, postings, totals
from tollhouse.money.store import Ask, ChargeLine, Lease, OpenCall, Opening, Shortage, Transfer
from tollhouse.observe.record import CallRecord

T = TypeVar("T")
Rows = list[tuple[Any, ...]]

CREDIT = "credit:ws_machine"
LIMIT = "limit:cap:total"
OPENING = Opening(unit="token", scope="cap", period="total", amount=900, source_account="limits-source:token")
START_CREDIT = 1_000
PROCESSES = 2

LOST = Fault(kind=FaultKind.BOOKS_UNAVAILABLE, message="the acknowledgement was lost")


class OpenStore(Protocol):
    """A store as one process has it open."""

    ledger: Any

    def commit_call(self, transfers: tuple[Transfer, ...], record: CallRecord) -> Awaitable[object]: ...

    async def top_up(self, workspace_id: str, amount_nano_usd: int, reference: str, now_ms: int) -> int: ...

    async def close(self) -> None: ...


class Bench(Protocol):
    """Fresh books for one example, with the workspace `ws_machine` and START_CREDIT."""

    loop: asyncio.AbstractEventLoop

    async def open(self, clock_s: Callable[[], float]) -> OpenStore:
        """One more process opens them."""
        ...

    async def kill(self, store: OpenStore) -> None:
        """The process dies: what it has open is gone, and nothing was tidied up."""
        ...

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Look behind the store's back."""
        ...

    def remove(self) -> None:
        """Throw the books away."""
        ...


class Faulty:
    """A LedgerStore whose next answer may be lost: before the work was done, or after it."""

    def __init__(self, store: OpenStore) -> None:
        self.store = store
        self.fate = "ok"

    async def _run(self, work: Callable[[], Awaitable[T]]) -> T:
        fate, self.fate = self.fate, "ok"
        if fate == "before":
            raise FaultError(LOST)
        result = await work()
        if fate == "after":
            raise FaultError(LOST)
        return result

    async def join(self, owner: str) -> None:
        await self.store.ledger.join(owner)

    async def acquire(self, owner: str, asks: Sequence[Ask]) -> tuple[Lease, ...] | tuple[Shortage, ...]:
        return await self._run(lambda: self.store.ledger.acquire(owner, asks))

    async def give_back(self, owner: str, unused: Mapping[str, int]) -> None:
        await self._run(lambda: self.store.ledger.give_back(owner, unused))

    async def renew(self, owner: str) -> tuple[Lease, ...]:
        return await self._run(lambda: self.store.ledger.renew(owner))

    async def recall(self, owner: str, account_ids: Sequence[str]) -> None:
        await self.store.ledger.recall(owner, account_ids)

    async def recalled(self, owner: str) -> frozenset[str]:
        return await self.store.ledger.recalled(owner)

    async def sweep(self) -> tuple[OpenCall, ...]:
        return await self.store.ledger.sweep()

    async def note_open(self, calls: Sequence[OpenCall]) -> None:
        await self.store.ledger.note_open(calls)

    async def commit(self, transfers: tuple[Transfer, ...], kept: CallRecord) -> None:
        await self._run(lambda: self.store.commit_call(transfers, kept))


class Process:
    """One gateway process: its ledger, the calls that it holds for, and the settlements in its spool."""

    def __init__(self, store: OpenStore, owner: str, clock_s: Callable[[], float], sleep: Any) -> None:
        self.faulty = Faulty(store)
        self.owner = owner
        self.ledger = Ledger(self.faulty, owner, clock_s, lambda: None, sleep)
        self.calls: dict[str, Hold] = {}
        self.spool: dict[str, tuple[tuple[Transfer, ...], Hold]] = {}


FATES = st.sampled_from(["ok", "ok", "ok", "ok", "before", "after"])
WHO = st.integers(0, PROCESSES - 1)
PICK = st.integers(0, 1_000)
CREDITS = st.one_of(st.integers(0, 60), st.integers(0, 400))
TOKENS = st.one_of(st.none(), st.just(0), st.integers(0, 60), st.integers(0, 300))
"""What is claimed of the limit, None where there is none."""


class LedgerMachine(RuleBasedStateMachine):
    """Subclass it with a `bench`; I1 to I8 of the design are its invariants."""

    def bench(self) -> Bench:
        raise NotImplementedError

    @initialize()
    def open_books(self) -> None:
        self.now_s = 1_000.0
        self.books = self.bench()
        self.loop = self.books.loop
        self.numbers = itertools.count()
        self.credited = START_CREDIT
        self.posted: dict[str, tuple[Transfer, ...]] = {}
        self.acked: set[str] = set()
        self.orphans: list[tuple[Transfer, ...]] = []
        self.overage: dict[str, int] = {}
        self.beyond: dict[str, int] = {}
        self.processes = [self.run(self._start()) for _ in range(PROCESSES)]

    def run(self, work: Awaitable[T]) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(100):
                return await work

        return self.loop.run_until_complete(bounded())

    async def _start(self) -> Process:
        store = await self.books.open(lambda: self.now_s)
        process = Process(store, f"node#{next(self.numbers)}", lambda: self.now_s, self._sleep)
        await process.faulty.join(process.owner)
        return process

    async def _sleep(self, seconds: float) -> None:
        """While one waits, time goes by and the others answer."""
        self.now_s += seconds
        for process in self.processes:
            await process.ledger.answer_recalls()

    # What may happen

    @rule(who=WHO, credit=CREDITS, tokens=TOKENS, fate=FATES, patient=st.booleans())
    def hold(self, who: int, credit: int, tokens: int | None, fate: str, patient: bool) -> None:
        process = self.processes[who]
        process.faulty.fate = fate
        self.run(self._hold(process, credit, tokens, patient))
        process.faulty.fate = "ok"

    @rule(wishes=st.lists(st.tuples(WHO, CREDITS, TOKENS), min_size=2, max_size=6))
    def hold_at_once(self, wishes: list[tuple[int, int, int | None]]) -> None:
        async def all_of_them() -> None:
            await asyncio.gather(*(self._hold(self.processes[who], a, b, patient=False) for who, a, b in wishes))

        self.run(all_of_them())

    @rule(who=WHO, credit=CREDITS, tokens=TOKENS, steps=st.integers(0, 6))
    def hold_and_be_cancelled(self, who: int, credit: int, tokens: int | None, steps: int) -> None:
        process = self.processes[who]

        async def cut_off() -> None:
            task = asyncio.ensure_future(self._hold(process, credit, tokens, patient=True))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
            # What the store was asked for comes all the same.
            await process.ledger.quiet()

        self.run(cut_off())

    @rule(pick=PICK, share=st.integers(0, 100), lie=st.one_of(st.just(0), st.just(0), st.integers(0, 200)), fate=FATES)
    def settle(self, pick: int, share: int, lie: int, fate: str) -> None:
        """`share` percent of what was held, and as much more as the provider dares."""
        found = self._a_call(pick)
        if found is None:
            return
        process, request_id = found
        hold = process.calls.pop(request_id)
        credit, tokens = (*(part.amount for part in hold.parts), 0)[:2]
        lines = (ChargeLine(line=0, code="model", amount_nano_usd=credit * share // 100 + lie),)
        spending = Spending(lines, tokens * share // 100 + lie)
        transfers = postings(hold, spending, 1, "provider")
        if not transfers:
            process.ledger.void(hold)
            return
        process.ledger.charging(hold, totals(transfers))
        process.faulty.fate = fate
        try:
            self.run(self._commit(process, transfers, hold))
        except FaultError:
            process.spool[request_id] = (transfers, hold)
        else:
            process.ledger.charged(hold)
            self.acked.add(request_id)

    @rule(pick=PICK)
    def void(self, pick: int) -> None:
        found = self._a_call(pick)
        if found is None:
            return
        process, request_id = found
        process.ledger.void(process.calls.pop(request_id))

    @rule(who=WHO, fate=FATES)
    def replay(self, who: int, fate: str) -> None:
        process = self.processes[who]
        for request_id, (transfers, hold) in list(process.spool.items()):
            process.faulty.fate = fate
            try:
                self.run(self._commit(process, transfers, hold))
            except FaultError:
                continue
            del process.spool[request_id]
            process.ledger.charged(hold)
            self.acked.add(request_id)

    @rule(who=WHO, pick=PICK)
    def duplicate(self, who: int, pick: int) -> None:
        if not self.posted:
            return
        request_id = sorted(self.posted)[pick % len(self.posted)]
        self.run(self.processes[who].faulty.commit(self.posted[request_id], record(request_id)))

    @rule(who=WHO)
    def crash(self, who: int) -> None:
        process = self.processes[who]
        self.orphans += [transfers for transfers, _ in process.spool.values()]
        self.run(process.ledger.quiet())
        self.run(self.books.kill(process.faulty.store))
        self.processes[who] = self.run(self._start())

    @rule(who=WHO)
    def take_over(self, who: int) -> None:
        while self.orphans:
            transfers = self.orphans.pop()
            self.run(self._commit(self.processes[who], transfers, None))
            self.acked.add(transfers[0].request)

    @rule(seconds=st.sampled_from([0.5, 3.0, 12.0, 29.0, 45.0]))
    def time_goes_by(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(who=WHO)
    def sweep(self, who: int) -> None:
        in_use = {
            slice_.lease_id
            for process in self.processes
            for slice_ in process.ledger.leases._slices.values()
            if self.now_s < slice_.expires_s
        }
        in_use &= self._active()
        self.run(self.processes[who].faulty.sweep())
        assert in_use <= self._active(), "a lease that is in use was swept"

    @rule(who=WHO, what=st.sampled_from(["renew", "give_back_idle", "answer_recalls"]), fate=FATES)
    def look_after(self, who: int, what: str, fate: str) -> None:
        process = self.processes[who]
        process.faulty.fate = fate
        try:
            self.run(getattr(process.ledger, what)())
        except FaultError:
            assert fate != "ok"
        process.faulty.fate = "ok"

    @rule(who=WHO, amount=st.integers(1, 300))
    def top_up(self, who: int, amount: int) -> None:
        self.credited += amount
        self.run(self.processes[who].faulty.store.top_up("ws_machine", amount, f"t{next(self.numbers)}", 1))

    # How it is done

    async def _hold(self, process: Process, credit: int, tokens: int | None, patient: bool) -> None:
        request_id = f"r{next(self.numbers)}"
        claims = (Claim(account_id=CREDIT, amount=credit),)
        if tokens is not None:
            claims = (*claims, Claim(account_id=LIMIT, amount=tokens, unit="token", opening=OPENING))
        fate = process.faulty.fate
        try:
            outcome = await process.ledger.hold(request_id, claims, "v1", patient=patient)
        except FaultError as error:
            if fate == "ok":
                raise AssertionError(f"a hold fails only when its store does: {error.fault.detail}") from error
            return
        if isinstance(outcome, Hold):
            process.calls[request_id] = outcome
            return
        wanted = {claim.account_id: claim.amount for claim in claims}
        assert outcome, "a refusal names an account"
        for short in outcome:
            assert short.affordable < wanted[short.account_id], "what fits is not refused"

    async def _commit(self, process: Process, transfers: tuple[Transfer, ...], hold: Hold | None) -> None:
        """Commit, and keep count of what the books may lack: overage, and what comes after its lease was swept."""
        request_id = transfers[0].request
        known = request_id in self.posted
        late = self._late(transfers)
        fate = process.faulty.fate
        try:
            await process.faulty.commit(transfers, record(request_id))
        except FaultError:
            if fate == "before":
                raise
            self._count(transfers, hold, late, known)
            raise
        self._count(transfers, hold, late, known)

    def _late(self, transfers: tuple[Transfer, ...]) -> set[str]:
        active = self._active()
        return {transfer.debit_account for transfer in transfers if transfer.lease not in active}

    def _active(self) -> set[str]:
        return {row[0] for row in self.books.rows("SELECT id FROM lease WHERE state = 'active'")}

    def _count(self, transfers: tuple[Transfer, ...], hold: Hold | None, late: set[str], known: bool) -> None:
        if known:
            return
        self.posted[transfers[0].request] = transfers
        held = {part.account_id: part.amount for part in hold.parts} if hold else {}
        for transfer in transfers:
            account_id = transfer.debit_account
            beyond = transfer.amount if account_id in late else max(0, transfer.amount - held.get(account_id, 0))
            self.beyond[account_id] = self.beyond.get(account_id, 0) + beyond
            if transfer.lease is not None and account_id not in late:
                self.overage[transfer.lease] = self.overage.get(transfer.lease, 0) + beyond

    def _a_call(self, pick: int) -> tuple[Process, str] | None:
        """One of the calls that run. What is drawn never depends on them: which of two threads is first is not ours
        to repeat."""
        found = [(process, request_id) for process in self.processes for request_id in sorted(process.calls)]
        return found[pick % len(found)] if found else None

    # What must hold

    @invariant()
    def books_hold(self) -> None:
        accounts = self.books.rows("SELECT id, unit, credits, debits, leased FROM account")
        transfers = self.books.rows("SELECT request, line, debit_account, credit_account, amount, code FROM transfer")
        leases = self.books.rows("SELECT id, account_id, granted - used FROM lease WHERE state = 'active'")
        self._books_balance(accounts, transfers, leases)
        self._charges_are_exact(transfers)
        self._holds_are_covered({lease_id: left for lease_id, _, left in leases})

    def _books_balance(self, accounts: Rows, transfers: Rows, leases: Rows) -> None:
        for unit in ("nano_usd", "token"):
            assert sum(row[2] - row[3] for row in accounts if row[1] == unit) == 0, "I1"
        for account_id, _, credited, debited, leased in accounts:
            assert credited == sum(row[4] for row in transfers if row[3] == account_id), "I2"
            assert debited == sum(row[4] for row in transfers if row[2] == account_id), "I2"
            assert leased == sum(left for _, of, left in leases if of == account_id), "I3"
            if account_id in (CREDIT, LIMIT):
                assert credited - debited - leased >= -self.beyond.get(account_id, 0), "I5"
        assert [row[2] for row in accounts if row[0] == CREDIT] == [self.credited]

    def _charges_are_exact(self, transfers: Rows) -> None:
        found = [(row[0], row[1], row[2], row[4]) for row in transfers if row[5] in ("model", "limit")]
        wanted = [(t.request, t.line, t.debit_account, t.amount) for ts in self.posted.values() for t in ts]
        assert sorted(found) == sorted(wanted), "I4"
        assert self.acked <= self.posted.keys(), "I4"

    def _holds_are_covered(self, active: dict[str, int]) -> None:
        for process in self.processes:
            pending = [hold for request_id, (_, hold) in process.spool.items() if request_id not in self.posted]
            held: dict[str, int] = {}
            for hold, amounts in [
                *((hold, {part.account_id: part.amount for part in hold.parts}) for hold in process.calls.values()),
                *((hold, totals(process.spool[hold.request_id][0])) for hold in pending),
            ]:
                for part in hold.parts:
                    if part.lease is not None:
                        covered = min(part.amount, amounts.get(part.account_id, 0))
                        held[part.lease] = held.get(part.lease, 0) + covered
            for lease, amount in held.items():
                if lease in active:
                    assert amount <= active[lease] + self.overage.get(lease, 0), "I7"

    @invariant()
    def every_hold_has_its_call(self) -> None:
        for process in self.processes:
            assert process.ledger.leases.open_holds == len(process.calls) + len(process.spool), "I8"

    def teardown(self) -> None:
        if not hasattr(self, "processes"):
            return
        try:
            self.run(self._come_to_rest())
            self.books_hold()
            assert self.books.rows("SELECT COUNT(*) FROM lease WHERE state = 'active'") == [(0,)], "I6"
            assert self.books.rows("SELECT SUM(leased) FROM account") == [(0,)], "I6"
        finally:
            self.books.remove()

    async def _come_to_rest(self) -> None:
        for process in self.processes:
            for hold in process.calls.values():
                process.ledger.void(hold)
            process.calls.clear()
            for request_id, (transfers, hold) in process.spool.items():
                await self._commit(process, transfers, hold)
                process.ledger.charged(hold)
                self.acked.add(request_id)
            process.spool.clear()
            assert process.ledger.leases.open_holds == 0, "I6"
            await process.ledger.close()
        for transfers in self.orphans:
            await self._commit(self.processes[0], transfers, None)
        for process in self.processes:
            await process.faulty.store.close()
        last = await self._start()
        await last.faulty.sweep()
        await last.faulty.store.close()
