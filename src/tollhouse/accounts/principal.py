"""Principal: the workspace and key behind a call, and what it may do."""

from typing import Literal

import msgspec


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """A quota beside the workspace's credit: so much of a unit in each period, as an account of the one ledger.

    `id` names the quota for good; each period has an account of its own, and `resets` counts those begun by hand.
    Periods are UTC: a day begins at 00:00, a month on the first, "total" never ends. `reason` says in whose words an
    empty one is refused; `name` is for people, such as a plan's.
    """

    id: str
    unit: Literal["nano_usd", "token"]
    period: Literal["day", "month", "total"]
    amount: int
    resets: int = 0
    reason: Literal["key_limit", "consumer_quota", "plan_quota"]
    name: str = ""


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who calls, as looked up from a key.

    `account_id` is the workspace's credit account in the ledger. `expires_at_ms` is Unix time in milliseconds, None
    for a key that does not expire. `allowed_models` None means all. `providers` is what the key says of the providers
    that its calls may go to, as a JSON object. A call holds the credit and every limit.
    """

    workspace_id: str
    workspace: str
    key_id: str
    key_hint: str
    account_id: str
    expires_at_ms: int | None = None
    allowed_models: frozenset[str] | None = None
    providers: str | None = None
    locked: bool = False
    invoicing: bool = False
    limits: tuple[Limit, ...] = ()
