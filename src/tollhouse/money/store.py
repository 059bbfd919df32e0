"""Ledger store: the values of the books, and what the ledger asks of the database that keeps them."""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import msgspec

Unit = Literal["nano_usd", "token"]


class ChargeLine(msgspec.Struct, frozen=True, kw_only=True):
    """One priced line of a call: line 0 is the model; `code` names what was bought (`model`, `image`, `tool:...`)."""

    line: int
    code: str
    amount_nano_usd: int


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """How an account of one period is made at its first use: credited once with `amount` from `source_account`."""

    unit: Unit
    scope: str
    period: str
    amount: int
    source_account: str


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A wish for a lease: at least `need` more of the account's unit, better `want` (see lease.share). With `opening`
    the account is made when it is missing."""

    account_id: str
    need: int
    want: int
    opening: Opening | None = None


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A slice of an account that one owner may spend without asking again: at most `granted`, of which `used` is
    settled. `valid_s` is counted from the moment the store was asked, by the store's clock, and errs on the short
    side. An owner has at most one active lease of an account; a further grant enlarges it."""

    id: str
    account_id: str
    granted: int
    used: int
    valid_s: float


class Shortage(msgspec.Struct, frozen=True, kw_only=True):
    """An account that has less than was needed: `available` could still be leased, and others hold `leased_elsewhere`
    of it, which they may give back when the leases are recalled."""

    account_id: str
    available: int
    leased_elsewhere: int


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the books, both sides at once; the key (request, line, debit_account) makes a replay a no-op.

    With `lease` the amount is taken out of that lease as far as it reaches, and what is beyond it, or beyond a lease
    that was closed meanwhile, out of the account directly: an exact charge is always posted. With `opening` the debited
    account is made first when it is missing.
    """

    request: str
    line: int
    debit_account: str
    credit_account: str
    amount: int
    code: str
    at_ms: int
    lease: str | None = None
    price_version: str = ""
    usage_source: str | None = None
    opening: Opening | None = None


class OpenCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call that was forwarded and has not ended: what is left of it after a crash. Money in nano-USD."""

    request_id: str
    owner: str
    started_at_ms: int
    workspace_id: str
    key_id: str
    model: str
    held_nano_usd: int


class LedgerStore(Protocol):
    """The books. Every method raises FaultError (books_unavailable) when they cannot be read or written.

    An owner is one process: a node's name and its boot. Transfers are posted by the store's one commit for all that a
    call leaves behind (relay/closing.py: CallStore).
    """

    async def join(self, owner: str) -> None:
        """Make the owner known before its first lease, so that the others can tell whether it is still there."""
        ...

    async def acquire(self, owner: str, asks: Sequence[Ask]) -> tuple[Lease, ...] | tuple[Shortage, ...]:
        """Leases for all asks, in their order, or none at all: then every account that is short, by its id. An unknown
        account without `opening` has nothing. One transaction; accounts are locked in ascending id."""
        ...

    async def give_back(self, owner: str, unused: Mapping[str, int]) -> None:
        """Return the unused parts of leases, by lease id; one that has nothing left is closed."""
        ...

    async def renew(self, owner: str) -> tuple[Lease, ...]:
        """Extend all active leases of the owner; they are returned, and one that was swept meanwhile is missing."""
        ...

    async def recall(self, owner: str, account_ids: Sequence[str]) -> None:
        """Ask the other owners to give back what they do not use of these accounts."""
        ...

    async def recalled(self, owner: str) -> frozenset[str]:
        """The accounts whose leases the owner is asked to give back; asking clears the wish."""
        ...

    async def sweep(self) -> tuple[OpenCall, ...]:
        """Close the leases of owners that are gone (their lock is free, or their time and the grace are over), give
        the rest back to the accounts, and close their open calls as lost; those are returned."""
        ...

    async def note_open(self, calls: Sequence[OpenCall]) -> None:
        """Keep note of calls that have not ended; `commit_call` strikes them out."""
        ...
