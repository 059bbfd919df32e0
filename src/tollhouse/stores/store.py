"""Store: all that a gateway and the command line ask of a database, whichever it is."""

from collections.abc import Sequence
from typing import Protocol

from tollhouse.accounts.change import Change
from tollhouse.accounts.quotas import QuotaStore
from tollhouse.accounts.store import AccountStore
from tollhouse.ir.fault import FaultError
from tollhouse.money.store import LedgerStore
from tollhouse.observe.record import CallRecord
from tollhouse.relay.picture_store import PictureStore
from tollhouse.relay.settling import CallStore
from tollhouse.routing.store import RulesStore
from tollhouse.stores.owners import Owners
from tollhouse.stores.past_calls import PastCall
from tollhouse.stores.usage import UsageFilter, UsageRow


class OwnedLedger(LedgerStore, Protocol):
    """The books, and the processes of this data folder that spend from them."""

    @property
    def owners(self) -> Owners:
        """By their lock files."""
        ...


class QuotaAdministration(QuotaStore, Protocol):
    """Limits and what else administrators change."""

    async def changed(self, accounts: tuple[str, ...] = ()) -> None:
        """Something was changed in this process: tell those who remember it."""
        ...


class RulesAdministration(RulesStore, Protocol):
    """Routing rules, and the calls to try them on."""

    async def past_calls(self, which: UsageFilter, at_most: int, *, routed_only: bool) -> list[PastCall]:
        """The newest calls that ended well and had a prompt, no more than `at_most`."""
        ...


class Store(AccountStore, CallStore, Protocol):
    """Accounts, call records and the ledger in one database. Methods raise FaultError (books_unavailable) when it
    cannot be used, with the cause in `detail`."""

    @property
    def applied_migrations(self) -> tuple[str, ...]:
        """The steps by which opening brought the database up to date."""
        ...

    @property
    def quotas(self) -> QuotaAdministration:
        """Limits, plans, consumers and the audit trail."""
        ...

    @property
    def rules(self) -> RulesAdministration:
        """Routing rules."""
        ...

    @property
    def ledger(self) -> OwnedLedger:
        """The books."""
        ...

    def pictures(self, max_bytes: int) -> PictureStore:
        """Pictures that are kept for a while, so many bytes of them at most."""
        ...

    def ready(self) -> bool:
        """Whether the books can be used."""
        ...

    def blocked(self) -> FaultError | None:
        """Why nothing may be spent at present, not even out of a lease; None when it may."""
        ...

    async def top_up(
        self, workspace_id: str, amount_nano_usd: int, reference: str, now_ms: int, change: Change | None = None
    ) -> int:
        """Add credit once per `reference`; the balance after it in nano-USD. With `change` it is written down who did
        it. Raises FaultError (invalid_request) for an amount that is not positive or absurd, an unknown workspace, or a
        reference used for something else."""
        ...

    async def balance(self, workspace_id: str) -> int:
        """Credits less debits in nano-USD; 0 for an unknown workspace."""
        ...

    async def call(self, request_id: str) -> CallRecord | None:
        """The record of one call."""
        ...

    async def usage(self, which: UsageFilter, by: Sequence[str]) -> list[UsageRow]:
        """Sums of calls, tokens and cost out of the roll-ups, grouped by any of DIMENSIONS."""
        ...

    async def charges(self, request_id: str) -> tuple[tuple[str, int], ...]:
        """The lines that one call was charged: what was bought, and nano-USD."""
        ...

    async def delete_calls(self, before_ms: int, at_most: int) -> int:
        """Delete the records of the oldest calls that began before `before_ms` (Unix time), `at_most` so many, in one
        transaction; how many there were. Their charges and sums stay."""
        ...

    async def close(self) -> None:
        """Write what waits and end; later calls raise FaultError."""
        ...
