"""Leases: what this process may spend of each account without asking, and who holds how much of it; memory only."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from tollhouse.money.store import Ask, Lease, Opening, Unit

MARGIN_S = 2.0
"""So long before the store says that a lease has ended, nothing more is admitted on it."""
CONTENDED_S = 1.0
GROWING_S = 1.0
_FIRST_WANT = 4
_MOST = 2**62


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """So much of one account, in its own unit; 0 claims nothing but is remembered for the charge."""

    account_id: str
    amount: int
    unit: Unit = "nano_usd"
    opening: Opening | None = None


class Part(msgspec.Struct, frozen=True):
    """What a hold has of one account: taken out of `lease`, None where nothing had to be held. Then nobody has asked
    the store for the account, and `opening` makes it if it is missing when the charge comes."""

    account_id: str
    unit: Unit
    amount: int
    lease: str | None = None
    opening: Opening | None = None


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """Permission to spend, given before a call is forwarded; ends in exactly one settlement or release.

    `parts` are in the order of the claims. `price_version` is the price that counts, whatever changes meanwhile.
    """

    request_id: str
    parts: tuple[Part, ...]
    price_version: str


class _Slice:
    """One active lease as this process knows it. `used` is settled and acknowledged, `held` is not settled yet."""

    __slots__ = ("expires_s", "granted", "held", "lease_id", "touched_s", "used")

    def __init__(self, lease: Lease, expires_s: float, now_s: float) -> None:
        self.lease_id = lease.id
        self.granted = lease.granted
        self.used = lease.used
        self.held = 0
        self.expires_s = expires_s
        self.touched_s = now_s

    @property
    def free(self) -> int:
        """What no hold has; below zero after a call that cost more than its hold."""
        return self.granted - self.used - self.held


class _Taken:
    """One part of a live hold: `amount` of `slice` counts as held until the hold has ended."""

    __slots__ = ("account_id", "amount", "slice")

    def __init__(self, account_id: str, amount: int, slice_: _Slice) -> None:
        self.account_id = account_id
        self.amount = amount
        self.slice = slice_


class Leases:
    """The leases of one owner and the holds on them. Nothing here waits, so that each method is atomic on a loop.

    Times are monotonic seconds. A charge is known to the books or it is not: until that is sure its hold stays.
    """

    def __init__(self) -> None:
        self._slices: dict[str, _Slice] = {}
        self._holds: dict[str, tuple[_Taken, ...]] = {}
        self._contended: dict[str, float] = {}
        self._wanted: dict[str, tuple[int, float]] = {}

    @property
    def open_holds(self) -> int:
        """How many calls are held for."""
        return len(self._holds)

    @property
    def accounts(self) -> frozenset[str]:
        """Those of which there is a lease."""
        return frozenset(self._slices)

    def lease_of(self, account_id: str) -> str | None:
        """The id of the account's lease."""
        slice_ = self._slices.get(account_id)
        return None if slice_ is None else slice_.lease_id

    def held(self, account_id: str) -> int:
        """The sum of the holds on the account's present lease."""
        slice_ = self._slices.get(account_id)
        return 0 if slice_ is None else slice_.held

    def unspent(self, account_id: str) -> int:
        """What is left of the account's lease, held or not."""
        slice_ = self._slices.get(account_id)
        return 0 if slice_ is None else max(0, slice_.granted - slice_.used)

    def free(self, account_id: str, now_s: float) -> int:
        """What can be held of the account at once; below zero after a call that cost more than its hold."""
        slice_ = self._slices.get(account_id)
        if slice_ is None or (now_s >= slice_.expires_s and slice_.free > 0):
            return 0
        return slice_.free

    def hold(self, request_id: str, claims: Sequence[Claim], now_s: float) -> tuple[Part, ...] | None:
        """Hold all claims, each of another account, or none of them: None. Raises ValueError for an id in use."""
        if request_id in self._holds:
            raise ValueError(f"{request_id} is held for already")
        parts: list[Part] = []
        taken: list[_Taken] = []
        for claim in claims:
            if claim.amount == 0:
                parts.append(Part(claim.account_id, claim.unit, 0, opening=claim.opening))
                continue
            slice_ = self._slices.get(claim.account_id)
            if slice_ is None or now_s >= slice_.expires_s or slice_.free < claim.amount:
                return None
            parts.append(Part(claim.account_id, claim.unit, claim.amount, slice_.lease_id))
            taken.append(_Taken(claim.account_id, claim.amount, slice_))
        for part in taken:
            part.slice.held += part.amount
            part.slice.touched_s = now_s
        self._holds[request_id] = tuple(taken)
        return tuple(parts)

    def charging(self, request_id: str, amounts: Mapping[str, int]) -> None:
        """The call has ended and costs `amounts` by account; they stay held until the books are sure to have them."""
        for part in self._holds.get(request_id, ()):
            actual = amounts.get(part.account_id, 0)
            part.slice.held += actual - part.amount
            part.amount = actual

    def charged(self, request_id: str) -> bool:
        """The books have what `charging` named; whether the hold was still open."""
        taken = self._holds.pop(request_id, None)
        for part in taken or ():
            part.slice.held -= part.amount
            # As the books count it: what is beyond the lease comes out of the account.
            part.slice.used += min(part.amount, max(0, part.slice.granted - part.slice.used))
        return taken is not None

    def void(self, request_id: str) -> bool:
        """The call costs nothing; whether the hold was still open."""
        taken = self._holds.pop(request_id, None)
        for part in taken or ():
            part.slice.held -= part.amount
        return taken is not None

    def asks(self, claims: Sequence[Claim], now_s: float, *, whole: bool = False) -> tuple[Ask, ...]:
        """What to ask the store for so that the claims fit. With `whole` all of each claim, as if nothing were free:
        others may take what is free now before the answer comes."""
        found: list[Ask] = []
        for claim in claims:
            free = self.free(claim.account_id, now_s)
            if claim.amount > 0 and (whole or free < claim.amount):
                need = claim.amount - (min(0, free) if whole else free)
                want = self._want(claim.account_id, need, now_s)
                found.append(Ask(account_id=claim.account_id, need=need, want=want, opening=claim.opening))
        return tuple(found)

    def granted(self, leases: Iterable[Lease], asked_s: float) -> None:
        """Leases as the store says they are. `asked_s` is when it was asked; nothing else was asked in between."""
        for lease in leases:
            slice_ = self._slices.get(lease.account_id)
            expires_s = asked_s + lease.valid_s - MARGIN_S
            if slice_ is None or slice_.lease_id != lease.id:
                self._slices[lease.account_id] = _Slice(lease, expires_s, asked_s)
            else:
                # What is used is counted here: the store may know of charges that still count as held.
                slice_.granted = lease.granted
                slice_.expires_s = max(slice_.expires_s, expires_s)

    def renewed(self, leases: Iterable[Lease], asked_s: float) -> None:
        """All that the store still has of this owner; what is missing was swept, and is gone."""
        there = {lease.id for lease in leases}
        for account_id in [name for name, slice_ in self._slices.items() if slice_.lease_id not in there]:
            del self._slices[account_id]
        self.granted(leases, asked_s)

    def idle(self, now_s: float, idle_s: float) -> frozenset[str]:
        """Accounts that nobody has touched for `idle_s` and nothing is held of."""
        self._contended = {name: until_s for name, until_s in self._contended.items() if now_s < until_s}
        return frozenset(
            name for name, slice_ in self._slices.items() if slice_.held == 0 and now_s - slice_.touched_s >= idle_s
        )

    def contended(self, account_ids: Iterable[str], now_s: float) -> None:
        """Others want of these accounts: for a while no more is asked for than is needed."""
        for account_id in account_ids:
            self._contended[account_id] = now_s + CONTENDED_S
            self._wanted.pop(account_id, None)

    def surrender(self, account_ids: Iterable[str]) -> dict[str, int]:
        """Take what is free of these accounts out of use, to be given back: amounts by lease."""
        unused: dict[str, int] = {}
        for account_id in account_ids:
            slice_ = self._slices.get(account_id)
            if slice_ is None or slice_.free < 0:
                continue
            if slice_.free > 0 or slice_.held == 0:
                unused[slice_.lease_id] = slice_.free
                slice_.granted -= slice_.free
            if slice_.held == 0:
                del self._slices[account_id]
                self._wanted.pop(account_id, None)
        return unused

    def _want(self, account_id: str, need: int, now_s: float) -> int:
        """Twice as much as last time while leases run out quickly, and no more than needed where others want it too."""
        if now_s < self._contended.get(account_id, 0.0):
            return need
        self._contended.pop(account_id, None)
        last, asked_s = self._wanted.get(account_id, (0, 0.0))
        grown = 2 * last if now_s - asked_s <= GROWING_S else last // 2
        want = min(max(_FIRST_WANT * need, grown), _MOST)
        self._wanted[account_id] = (want, now_s)
        return want


def share(available: int, need: int, want: int) -> int:
    """How much of an account a store grants, 0 when `need` is not there: `want`, but of what is available no more
    than a quarter beyond need, so that little is left for each process and credit is not stranded near the end."""
    return 0 if available < need else max(need, min(want, available // 4))
