"""Principal: the workspace and key behind a call, and what it may do."""

import msgspec


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who calls, as looked up from a key.

    `account_id` is the workspace's credit account in the ledger. `expires_at_ms` is Unix time in milliseconds, None
    for a key that does not expire. `allowed_models` None means all.
    """

    workspace_id: str
    workspace: str
    key_id: str
    key_hint: str
    account_id: str
    expires_at_ms: int | None = None
    allowed_models: frozenset[str] | None = None
    locked: bool = False
    invoicing: bool = False
