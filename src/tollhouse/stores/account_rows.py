"""Accounts in SQL: how workspaces, keys and principals are read, and what their rows mean."""

from collections.abc import Sequence

import msgspec

from tollhouse.accounts.principal import Principal
from tollhouse.accounts.store import KeyRow, Workspace
from tollhouse.stores.database import Row
from tollhouse.stores.limits import LIMIT_COLUMNS, limit_of

WORKSPACES = """
SELECT w.id, w.name, w.created_at_ms, w.locked, a.credits - a.debits, w.invoicing
FROM workspace w JOIN account a ON a.id = 'credit:' || w.id
"""
KEYS = """
SELECT k.id, w.name, k.name, k.hint, k.state, k.created_at_ms, k.expires_at_ms, k.workspace_id, k.allowed_models,
    k.providers
FROM api_key k JOIN workspace w ON w.id = k.workspace_id
"""
# A row for each limit of the key or its workspace, one when there is none: all that a call needs in one look-up.
PRINCIPAL = f"""
SELECT w.id, w.name, k.id, k.hint, k.expires_at_ms, w.locked, w.invoicing, k.allowed_models, k.providers,
    {LIMIT_COLUMNS}
FROM api_key k JOIN workspace w ON w.id = k.workspace_id
LEFT JOIN quota_limit l ON l.owner_id IN (k.id, w.id) AND l.amount IS NOT NULL
WHERE k.digest = ? AND k.state = 'active' ORDER BY l.reason DESC, l.period, l.id
"""  # noqa: S608 -- constants only
_FIRST_LIMIT_COLUMN = 9

_decode_names = msgspec.json.Decoder(tuple[str, ...]).decode


def account_of(workspace_id: str) -> str:
    """The id of a workspace's purse in the ledger."""
    return f"credit:{workspace_id}"


def principal_of(rows: Sequence[Row]) -> Principal | None:
    """The rows of PRINCIPAL as a value; None for none."""
    if not rows:
        return None
    first = rows[0][:_FIRST_LIMIT_COLUMN]
    workspace_id, workspace, key_id, key_hint, expires_at_ms, locked, invoicing, models, providers = first
    return Principal(
        workspace_id=str(workspace_id),
        workspace=str(workspace),
        key_id=str(key_id),
        key_hint=str(key_hint),
        account_id=account_of(str(workspace_id)),
        expires_at_ms=_int_or_none(expires_at_ms),
        allowed_models=None if models is None else frozenset(_decode_names(str(models))),
        providers=None if providers is None else str(providers),
        locked=bool(locked),
        invoicing=bool(invoicing),
        limits=tuple(limit_of(row[_FIRST_LIMIT_COLUMN:]) for row in rows if row[_FIRST_LIMIT_COLUMN] is not None),
    )


def workspace_of(row: Row) -> Workspace:
    """A row of WORKSPACES as a value."""
    return Workspace(
        id=str(row[0]),
        name=str(row[1]),
        created_at_ms=_int_or_none(row[2]) or 0,
        locked=bool(row[3]),
        balance_nano_usd=_int_or_none(row[4]) or 0,
        invoicing=bool(row[5]),
    )


def key_of(row: Sequence[object]) -> KeyRow:
    """A row of KEYS as a value."""
    return KeyRow(
        id=str(row[0]),
        workspace=str(row[1]),
        name=str(row[2]),
        hint=str(row[3]),
        state=str(row[4]),
        created_at_ms=_int_or_none(row[5]) or 0,
        expires_at_ms=_int_or_none(row[6]),
        workspace_id=str(row[7]),
        allowed_models=None if row[8] is None else _decode_names(str(row[8])),
        providers=None if row[9] is None else str(row[9]),
    )


def _int_or_none(value: object) -> int | None:
    return value if isinstance(value, int) else None
