"""QuotaStore: limits, plans, consumers and the state of workspaces, and what they need of a store."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol

import msgspec

from tollhouse.accounts.change import Change
from tollhouse.accounts.limits import Period
from tollhouse.accounts.principal import Limit
from tollhouse.accounts.store import Workspace

Unit = Literal["nano_usd", "token"]
Reason = Literal["key_limit", "consumer_quota", "plan_quota"]


class LimitWish(msgspec.Struct, frozen=True, kw_only=True):
    """What a limit should be: at most `amount` of its unit in each period, None for no limit.

    `owner_id` is a key or, for plans, a workspace as well. Each owner has one limit of a reason and period at most.
    """

    owner_id: str
    reason: Reason
    unit: Unit
    period: Period
    amount: int | None
    name: str = ""


class LimitStanding(msgspec.Struct, frozen=True, kw_only=True):
    """A limit and where it stands in the present period, in its unit. `quota` less `used` is `remaining`, which is
    below zero after a call that cost more than was held for it, or after the limit was lowered below what was used.
    `ends_at_ms` is when the period ends (Unix time), None for never."""

    limit: Limit
    owner_id: str
    quota: int
    used: int
    remaining: int
    ends_at_ms: int | None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """So many tokens in each period; from the catalogue. `retired` when the catalogue has no such plan any more: who
    is on it stays, nobody else is put on it."""

    name: str
    period: Period
    tokens: int
    retired: bool = False


class Consumer(msgspec.Struct, frozen=True, kw_only=True):
    """HPP Router's record of a key. `quota_nano_usd` is its own quota; None: its workspace's credit is its quota."""

    id: str
    key_id: str
    key_hint: str
    workspace: str
    username: str | None
    custom_id: str | None
    quota_nano_usd: int | None


class ConsumerStanding(msgspec.Struct, frozen=True, kw_only=True):
    """What a consumer may spend and has used. Money in nano-USD; `remaining` is `quota` less `used` and may be below
    zero. `invoiced`: the workspace pays by invoice, so an empty purse does not stop it. `requests` are those that were
    answered, `total_tokens` and `total_cost` those of all calls with the key."""

    consumer_id: str
    username: str | None
    custom_id: str | None
    quota: int
    used: int
    remaining: int
    invoiced: bool
    requests: int
    total_tokens: int
    total_cost: int

    @property
    def has_quota(self) -> bool:
        """Whether a call is not refused for this quota."""
        return self.remaining > 0 or self.invoiced


class AuditRow(msgspec.Struct, frozen=True, kw_only=True):
    """One change that somebody made. `subject` is the id of a workspace, key or limit; `detail` is JSON."""

    id: str
    at_ms: int
    actor: str
    action: str
    subject: str
    detail: str
    note: str


class QuotaStore(Protocol):
    """Every method raises FaultError: books_unavailable when the store cannot be used, invalid_request where it says
    so. Each change is one transaction with its audit row, and is in force on the next look-up of a key."""

    def on_change(self, callback: Callable[[tuple[str, ...]], Awaitable[None]]) -> None:
        """Call back in this process after each change and before its method returns, so that nothing remembered from
        before it is used. It is given the accounts of changed limits: what is leased of them has to go back."""
        ...

    async def set_limit(self, wish: LimitWish, change: Change) -> LimitStanding | None:
        """Set, change or take away a limit. In a running period what was used stays used: the account is credited
        with more, or what is too much is withdrawn from it. None when the limit is gone."""
        ...

    async def reset_limit(self, owner_id: str, reason: Reason, period: Period, change: Change) -> LimitStanding:
        """Begin a limit's present period anew. Raises FaultError (invalid_request) when there is no such limit."""
        ...

    async def limits(self, owner_ids: Sequence[str], now_ms: int) -> list[LimitStanding]:
        """The limits in force of these keys and workspaces."""
        ...

    async def allow_models(self, key_id: str, models: tuple[str, ...] | None, change: Change) -> None:
        """The models that a key may use, None for all."""
        ...

    async def prefer_providers(self, key_id: str, wishes: str | None, change: Change) -> None:
        """Which providers a key's calls may go to, as a JSON object that has been checked; None for any."""
        ...

    async def set_plan(self, owner_id: str, plan: str | None, change: Change) -> LimitStanding | None:
        """Put a workspace or a key on a plan, or take it off. Raises FaultError (invalid_request) for a plan that does
        not exist. From one plan to another with the same period, what was used stays used."""
        ...

    async def sync_plans(self, listed: Sequence[Plan], change: Change) -> tuple[Plan, ...]:
        """Take over the catalogue's plans, those in use as well; returns plans in use that are not among them."""
        ...

    async def plans(self) -> list[Plan]:
        """All that are known, by name."""
        ...

    async def lock_workspace(self, workspace_id: str, *, locked: bool, change: Change) -> Workspace:
        """Refuse all calls of a workspace, or no longer."""
        ...

    async def invoice_workspace(self, workspace_id: str, *, invoicing: bool, change: Change) -> Workspace:
        """Let a workspace call whatever its balance is, or no longer."""
        ...

    async def refund(self, workspace_id: str, amount_nano_usd: int, reference: str, change: Change) -> int:
        """Take credit back out of the books, once per `reference`; the balance after it. Raises FaultError
        (invalid_request) for more than is available: what running calls hold is not."""
        ...

    async def set_consumer(self, key_id: str, username: str | None, custom_id: str | None, change: Change) -> Consumer:
        """Make a key's consumer, or name it anew."""
        ...

    async def remove_consumer(self, key_id: str, change: Change) -> bool:
        """Take a key's consumer away, with its quota; False when there is none."""
        ...

    async def consumers(self, workspace_id: str | None = None) -> list[Consumer]:
        """All, or those of one workspace."""
        ...

    async def consumer(self, key_id: str) -> Consumer | None:
        """The consumer of a key."""
        ...

    async def consumer_standing(self, key_id: str) -> ConsumerStanding | None:
        """Where a key's consumer stands, in one read; None when the key has none."""
        ...

    async def audit(self, subjects: Sequence[str] = (), limit: int = 100) -> list[AuditRow]:
        """The latest changes, newest first; of these subjects, or all."""
        ...
