"""AccountStore: what accounts need of a store."""

from typing import Protocol

import msgspec

from tollhouse.accounts.change import Change
from tollhouse.accounts.principal import Principal


class Workspace(msgspec.Struct, frozen=True, kw_only=True):
    """A workspace as stored; balance in nano-USD."""

    id: str
    name: str
    created_at_ms: int
    locked: bool
    balance_nano_usd: int
    invoicing: bool = False


class KeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A key as stored and shown: never the key itself. state: active, disabled or revoked. `allowed_models` None means
    all, `providers` is a JSON object or None."""

    id: str
    workspace: str
    name: str
    hint: str
    state: str
    created_at_ms: int
    expires_at_ms: int | None
    workspace_id: str
    allowed_models: tuple[str, ...] | None = None
    providers: str | None = None


class NewConsumer(msgspec.Struct, frozen=True, kw_only=True):
    """HPP Router's record of a key, made together with it."""

    username: str | None = None
    custom_id: str | None = None


class NewKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key about to be stored: `digest` is the SHA-256 of the key, `hint` its prefix and last four characters. It
    gets a consumer, unless that is None."""

    id: str
    workspace_id: str
    name: str
    digest: bytes
    hint: str
    created_at_ms: int
    expires_at_ms: int | None
    consumer: NewConsumer | None = NewConsumer()


class AccountStore(Protocol):
    """Every method raises FaultError (books_unavailable) when the store cannot be read or written."""

    async def principal(self, digest: bytes) -> Principal | None:
        """The active key with this digest; None when unknown, disabled or revoked (expiry is the caller's check)."""
        ...

    async def create_workspace(self, name: str, now_ms: int) -> Workspace:
        """A new workspace with an empty purse; raises FaultError (invalid_request) when the name is taken."""
        ...

    async def workspace(self, name: str) -> Workspace | None:
        """By name or id."""
        ...

    async def workspaces(self) -> list[Workspace]:
        """All, by name."""
        ...

    async def add_key(self, key: NewKey, change: Change | None = None) -> None:
        """Store a key's digest; with `change` it is written down who did it."""
        ...

    async def key(self, key: str) -> KeyRow | None:
        """By id or hint; None when there is none such. Raises FaultError (invalid_request) for a hint that fits
        several keys."""
        ...

    async def keys(self, workspace: str | None = None) -> list[KeyRow]:
        """All keys, or those of one workspace, newest last."""
        ...

    async def set_key_state(self, key: str, state: str, change: Change | None = None) -> KeyRow | None:
        """Disable, enable or revoke by id or hint; None when there is none such. A revoked key stays revoked. With
        `change` it is written down who did it, where it was not so already."""
        ...
