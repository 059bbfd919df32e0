"""Ledger: permission to spend, from memory where a lease has room, else from the store; and the care of the leases."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import msgspec

from tollhouse.ir.fault import Fault, FaultError, FaultKind
from tollhouse.money.lease import Claim, Hold, Leases, Part
from tollhouse.money.store import Lease, LedgerStore, Shortage

IDLE_S = 2.0
"""A lease that nobody has used for so long is given back."""
RECALL_WAIT_S = 0.25
"""So long a call that does not fit waits for others to give back or to end."""
RECALL_STEP_S = 0.05
_TRIES = 8

_BROKEN = Fault(kind=FaultKind.INTERNAL, message="The gateway failed on its own account: its ledger did not answer.")


class Short(msgspec.Struct, frozen=True, kw_only=True):
    """An account in which a claim does not fit: `affordable` would, and `balance` is what is not spent of it, whoever
    may hold it at present."""

    account_id: str
    affordable: int
    balance: int


class _Waiter:
    """A call whose claims did not fit into what this process has leased."""

    __slots__ = ("claims", "future", "request_id")

    def __init__(self, request_id: str, claims: tuple[Claim, ...]) -> None:
        self.request_id = request_id
        self.claims = claims
        self.future: asyncio.Future[tuple[Part, ...] | tuple[Short, ...]] = asyncio.get_running_loop().create_future()


class Ledger:
    """The only truth about money, for one owner (a process). Used in one event loop.

    `blocked` says why nothing may be spent at present, None when it may. Whoever holds a `Hold` ends it: `charging`
    and `charged` around the commit of its charge, or `void`.
    """

    def __init__(
        self,
        store: LedgerStore,
        owner: str,
        clock_s: Callable[[], float],
        blocked: Callable[[], FaultError | None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.owner = owner
        self.leases = Leases()
        self._store = store
        self._clock_s = clock_s
        self._blocked = blocked
        self._sleep = sleep
        self._waiting: list[_Waiter] = []
        self._pump: asyncio.Task[None] | None = None
        # What the store says of a lease is the truth when nothing else is being asked of it meanwhile.
        self._asking = asyncio.Lock()

    async def hold(
        self, request_id: str, claims: tuple[Claim, ...], price_version: str, *, patient: bool = True
    ) -> Hold | tuple[Short, ...]:
        """Hold every claim, or none: then the accounts that are short. Raises FaultError (books_unavailable).

        In the common case it does not wait for anything. Where other processes, or calls that run, have some of what
        is missing, a `patient` call waits up to RECALL_WAIT_S for them. Cancelled, it leaves no hold.
        """
        fault = self._blocked()
        if fault is not None:
            raise FaultError(fault.fault)
        parts = self.leases.hold(request_id, claims, self._clock_s())
        if parts is not None:
            return Hold(request_id=request_id, parts=parts, price_version=price_version)
        asked = await self._ask(request_id, claims)
        give_up_s = self._clock_s() + (RECALL_WAIT_S if patient else 0.0)
        while (shorts := _shorts(asked)) and _may_come_back(shorts, claims) and self._clock_s() < give_up_s:
            await self._store.recall(self.owner, [short.account_id for short in shorts])
            await self._sleep(RECALL_STEP_S)
            asked = await self._ask(request_id, claims)
        return shorts or Hold(request_id=request_id, parts=_parts(asked), price_version=price_version)

    def charging(self, hold: Hold, amounts: Mapping[str, int]) -> None:
        """The call has ended and costs `amounts` by account, which is now being written to the books."""
        self.leases.charging(hold.request_id, amounts)

    def charged(self, hold: Hold) -> None:
        """The books have the charge."""
        self.leases.charged(hold.request_id)

    def void(self, hold: Hold) -> None:
        """The call costs nothing."""
        self.leases.void(hold.request_id)

    async def give_back_idle(self) -> None:
        """Give back the leases that nobody uses. Raises FaultError."""
        await self.give_back(self.leases.idle(self._clock_s(), IDLE_S))

    async def answer_recalls(self) -> None:
        """Give back what is free of the accounts that others ask for. Raises FaultError."""
        if self.leases.accounts:
            wanted = await self._store.recalled(self.owner)
            self.leases.contended(wanted, self._clock_s())
            await self.give_back(wanted)

    async def give_back(self, account_ids: Iterable[str]) -> None:
        """Give back what is free of these accounts. Raises FaultError; then the store has it with the next renewal."""
        async with self._asking:
            unused = self.leases.surrender(account_ids)
            if unused:
                await self._store.give_back(self.owner, unused)

    async def renew(self) -> None:
        """Extend all leases. Raises FaultError; then they end by themselves."""
        async with self._asking:
            asked_s = self._clock_s()
            self.leases.renewed(await self._store.renew(self.owner), asked_s)

    async def quiet(self) -> None:
        """Wait until nothing is being asked of the store for calls."""
        if self._pump is not None:
            await asyncio.wait({self._pump})

    async def close(self) -> None:
        """Give back all that is not held. Raises FaultError."""
        await self.quiet()
        await self.give_back(self.leases.accounts)

    async def _ask(self, request_id: str, claims: tuple[Claim, ...]) -> tuple[Part, ...] | tuple[Short, ...]:
        """Have the claims held by way of the store, together with all others that wait for it."""
        waiter = _Waiter(request_id, claims)
        self._waiting.append(waiter)
        if self._pump is None:
            self._pump = asyncio.get_running_loop().create_task(self._work_off())
        try:
            return await waiter.future
        except asyncio.CancelledError:
            if waiter.future.done() and not waiter.future.cancelled() and waiter.future.exception() is None:
                self.leases.void(request_id)
            raise

    async def _work_off(self) -> None:
        """Serve all that wait, in rounds, until nobody does."""
        try:
            while self._waiting:
                async with self._asking:
                    batch, self._waiting = self._waiting, []
                    await self._serve_all(batch)
        finally:
            self._pump = None

    async def _serve_all(self, batch: Sequence[_Waiter]) -> None:
        """All of them came before the store was asked, so each may share the answer that another got."""
        known: dict[str, Shortage] = {}
        fault = _BROKEN
        try:
            for waiter in batch:
                if not waiter.future.done():
                    await self._serve(waiter, known)
        except FaultError as error:
            fault = error.fault
        finally:
            for left in batch:
                if not left.future.done():
                    left.future.set_exception(FaultError(fault))

    async def _serve(self, waiter: _Waiter, known: dict[str, Shortage]) -> None:
        for attempt in range(_TRIES):
            asked_s = self._clock_s()
            parts = self.leases.hold(waiter.request_id, waiter.claims, asked_s)
            if parts is not None:
                waiter.future.set_result(parts)
                return
            asks = self.leases.asks(waiter.claims, asked_s, whole=attempt > 0)
            short = [known[ask.account_id] for ask in asks if _too_much(known, ask.account_id, ask.need)]
            answer = tuple(short) or await self._store.acquire(self.owner, asks)
            for item in answer:
                if isinstance(item, Shortage):
                    known[item.account_id] = item
                else:
                    known.pop(item.account_id, None)
            self.leases.granted([item for item in answer if isinstance(item, Lease)], asked_s)
            if waiter.future.done():
                return
            shortages = [item for item in answer if isinstance(item, Shortage)]
            if shortages:
                waiter.future.set_result(tuple(self._short(item) for item in shortages))
                return
        waiter.future.set_result(tuple(Short(account_id=c.account_id, affordable=0, balance=0) for c in waiter.claims))

    def _short(self, shortage: Shortage) -> Short:
        account_id = shortage.account_id
        free = self.leases.free(account_id, self._clock_s())
        own = self.leases.unspent(account_id)
        return Short(
            account_id=account_id,
            affordable=shortage.available + free,
            balance=shortage.available + shortage.leased_elsewhere + own,
        )


def _too_much(known: Mapping[str, Shortage], account_id: str, need: int) -> bool:
    shortage = known.get(account_id)
    return shortage is not None and need > shortage.available


def _may_come_back(shorts: Sequence[Short], claims: Sequence[Claim]) -> bool:
    """Whether waiting can help: of every account as much as is claimed is not spent yet, but held by others."""
    needed = {claim.account_id: claim.amount for claim in claims}
    return all(short.balance >= needed[short.account_id] for short in shorts)


def _parts(asked: tuple[Part, ...] | tuple[Short, ...]) -> tuple[Part, ...]:
    return tuple(item for item in asked if isinstance(item, Part))


def _shorts(asked: tuple[Part, ...] | tuple[Short, ...]) -> tuple[Short, ...]:
    return tuple(item for item in asked if isinstance(item, Short))
