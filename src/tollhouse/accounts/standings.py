"""Standings: where consumers stand, remembered for a moment, with one look-up for all who ask at the same time."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from tollhouse.accounts.principal import Principal
from tollhouse.accounts.quotas import ConsumerStanding
from tollhouse.ir.fault import Fault, FaultError, FaultKind

FRESH_S = 1.0
MAX_KNOWN = 10_000

_NO_CONSUMER = Fault(
    kind=FaultKind.NOT_FOUND,
    source="policy",
    message="This key has no consumer record, so there is no quota to tell of. The operator makes one with "
    "`tollhouse consumers set`.",
)


class StandingStore(Protocol):
    """As much of a QuotaStore as is needed here."""

    async def consumer_standing(self, key_id: str) -> ConsumerStanding | None:
        """Where a key's consumer stands; None when the key has none. Raises FaultError (books_unavailable)."""
        ...


class Standings:
    """Answers from memory for a second. What cannot be verified is never told: while `blocked` gives a reason, it is
    raised whatever is remembered. Used in one event loop."""

    def __init__(
        self, store: StandingStore, blocked: Callable[[], FaultError | None], clock_s: Callable[[], float]
    ) -> None:
        self._store = store
        self._blocked = blocked
        self._clock_s = clock_s
        self._known: OrderedDict[str, tuple[float, ConsumerStanding | None]] = OrderedDict()
        self._asked: dict[str, asyncio.Task[ConsumerStanding | None]] = {}

    async def of(self, principal: Principal) -> ConsumerStanding:
        """Where the key's consumer stands. Raises FaultError: not_found without a consumer, books_unavailable."""
        fault = self._blocked()
        if fault is not None:
            raise FaultError(fault.fault)
        key_id = principal.key_id
        known = self._known.get(key_id)
        if known is not None and known[0] > self._clock_s():
            standing = known[1]
        else:
            asked = self._asked.get(key_id)
            if asked is None:
                asked = self._asked[key_id] = asyncio.create_task(self._ask(key_id))
            # Shielded: others may be waiting for the same answer.
            standing = await asyncio.shield(asked)
        if standing is None:
            raise FaultError(_NO_CONSUMER)
        return standing

    def forget(self) -> None:
        """Something was changed: what is known, and what is being looked up, is of before."""
        self._known.clear()
        self._asked.clear()

    async def _ask(self, key_id: str) -> ConsumerStanding | None:
        until_s = self._clock_s() + FRESH_S
        task = asyncio.current_task()
        try:
            standing = await self._store.consumer_standing(key_id)
            if self._asked.get(key_id) is task:
                self._known[key_id] = (until_s, standing)
                self._known.move_to_end(key_id)
                if len(self._known) > MAX_KNOWN:
                    self._known.popitem(last=False)
        finally:
            if self._asked.get(key_id) is task:
                del self._asked[key_id]
        return standing
