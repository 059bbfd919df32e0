"""Workspaces, keys and top-ups in PostgreSQL."""

import secrets

from tollhouse.accounts.change import Change
from tollhouse.accounts.principal import Principal
from tollhouse.accounts.store import KeyRow, NewKey, Workspace
from tollhouse.ir.fault import invalid_request
from tollhouse.stores.account_rows import KEYS, PRINCIPAL, WORKSPACES, account_of, key_of, principal_of, workspace_of
from tollhouse.stores.audit import (
    KEY_CREATED,
    KEY_STATE,
    NO_AUDIT,
    TOP_UP,
    audit_values,
    auditing,
    key_detail,
    top_up_detail,
)
from tollhouse.stores.consumers import check_names
from tollhouse.stores.postgres_pool import Pool
from tollhouse.stores.postgres_quotas import PostgresQuotas
from tollhouse.stores.sqlite import KEY_STATES, MAX_TOP_UP_NANO_USD, SOURCE

_LOOK_UP_TIMEOUT_S = 2.0
"""A caller waits for it."""
_PRINCIPAL = PRINCIPAL.replace("?", "$1")
_BALANCE = "SELECT credits - debits FROM account WHERE id = $1"
_CREATE_WORKSPACE = """
WITH made AS (
    INSERT INTO workspace (id, name, created_at_ms)
    SELECT $1, $2, $3 WHERE NOT EXISTS (SELECT 1 FROM workspace WHERE id = $2)
    ON CONFLICT DO NOTHING RETURNING id
)
INSERT INTO account (id, kind, unit, scope) SELECT $4, 'credit', 'nano_usd', id FROM made RETURNING id
"""
_ADD_KEY = f"""
WITH made AS (
    INSERT INTO api_key (id, workspace_id, name, digest, hint, created_at_ms, expires_at_ms)
    SELECT $1, id, $3, $4, $5, $6, $7 FROM workspace WHERE id = $2
    ON CONFLICT DO NOTHING RETURNING id, created_at_ms
), consumer_made AS (
    INSERT INTO consumer (id, key_id, username, custom_id, created_at_ms)
    SELECT $8, id, $9, $10, created_at_ms FROM made WHERE $8::text IS NOT NULL
), {auditing(11, KEY_CREATED, "id", "made")}
SELECT id FROM made
"""  # noqa: S608 -- constants only
# Whoever revokes at the same moment wins.
_SET_STATE = f"""
WITH before AS (
    SELECT id, state FROM api_key WHERE id = $1 FOR NO KEY UPDATE
), changed AS (
    UPDATE api_key k SET state = $2 FROM before b
    WHERE k.id = b.id AND (b.state <> 'revoked' OR $2 = 'revoked') RETURNING k.id, b.state <> $2 AS anew
), news AS (
    SELECT id FROM changed WHERE anew
), {auditing(3, KEY_STATE, "id", "news")}
SELECT id FROM changed
"""  # noqa: S608 -- constants only
_TOP_UP = f"""
WITH purse AS (
    SELECT id FROM account WHERE id IN ($2, $3) ORDER BY id FOR NO KEY UPDATE
), posted AS (
    INSERT INTO transfer (request, line, debit_account, credit_account, amount, code, at_ms)
    SELECT $1, 0, $2, $3, $4::bigint, 'topup', $5 WHERE (SELECT count(*) FROM purse) = 2
    ON CONFLICT (request, line, debit_account) DO NOTHING RETURNING amount
), {auditing(7, TOP_UP, "$6", "posted")}
UPDATE account a SET
    debits = a.debits + CASE WHEN a.id = $2 THEN p.amount ELSE 0 END,
    credits = a.credits + CASE WHEN a.id = $3 THEN p.amount ELSE 0 END
FROM posted p WHERE a.id IN ($2, $3)
"""  # noqa: S608 -- constants only
_TOPPED_UP = """
SELECT a.credits - a.debits, t.debit_account, t.credit_account, t.amount
FROM account a LEFT JOIN transfer t ON t.request = $2 AND t.line = 0 AND t.debit_account = $3 WHERE a.id = $1
"""


class Accounts:
    """Implements AccountStore, and the credit of workspaces."""

    def __init__(self, pool: Pool) -> None:
        self.quotas = PostgresQuotas(pool)
        self._pool = pool

    async def principal(self, digest: bytes) -> Principal | None:
        """The active key with this digest."""
        return principal_of(await self._pool.fetch(_PRINCIPAL, digest, again=True, timeout_s=_LOOK_UP_TIMEOUT_S))

    async def create_workspace(self, name: str, now_ms: int) -> Workspace:
        """A new workspace with an empty purse; raises FaultError (invalid_request) when the name is taken or blank."""
        if not name.strip() or len(name) > 200 or not name.isprintable():
            raise invalid_request("A workspace's name has 1 to 200 printable characters.", "name")
        workspace_id = f"ws_{secrets.token_hex(8)}"
        if not await self._pool.fetch(_CREATE_WORKSPACE, workspace_id, name, now_ms, account_of(workspace_id)):
            raise invalid_request(f"There is a workspace {name!r} already. Use it, or choose another name.", "name")
        return Workspace(id=workspace_id, name=name, created_at_ms=now_ms, locked=False, balance_nano_usd=0)

    async def workspace(self, name: str) -> Workspace | None:
        """By name or id."""
        rows = await self._pool.fetch(f"{WORKSPACES} WHERE w.name = $1 OR w.id = $1", name, again=True)
        return workspace_of(rows[0]) if rows else None

    async def workspaces(self) -> list[Workspace]:
        """All, by name."""
        rows = await self._pool.fetch(f"{WORKSPACES} ORDER BY w.name", again=True)
        return [workspace_of(row) for row in rows]

    async def add_key(self, key: NewKey, change: Change | None = None) -> None:
        """Store a key's digest. Raises FaultError (invalid_request) for an unknown workspace, a name that cannot be
        shown, and a key that is stored already."""
        if len(key.name) > 200 or not key.name.isprintable():
            raise invalid_request("A key's name has at most 200 printable characters.", "name")
        username = custom_id = consumer_id = None
        if key.consumer is not None:
            username, custom_id = key.consumer.username, key.consumer.custom_id
            check_names(username, custom_id)
            consumer_id = f"con_{secrets.token_hex(8)}"
        values = (key.id, key.workspace_id, key.name, key.digest, key.hint, key.created_at_ms, key.expires_at_ms)
        audited = NO_AUDIT if change is None else audit_values(change, key_detail(key))
        if await self._pool.fetch(_ADD_KEY, *values, consumer_id, username, custom_id, *audited):
            return
        if not await self._pool.fetch("SELECT 1 FROM workspace WHERE id = $1", key.workspace_id):
            raise invalid_request("There is no such workspace.", "workspace")
        raise invalid_request("This key is stored already.", "key")

    async def key(self, key: str) -> KeyRow | None:
        """By id or hint; None when there is none such. Raises FaultError (invalid_request) for a hint that fits
        several keys."""
        rows = await self._pool.fetch(f"{KEYS} WHERE k.id = $1 OR k.hint = $1", key, again=True)
        if len(rows) > 1:
            ids = ", ".join(str(row[0]) for row in rows)
            raise invalid_request(f"Several keys look like {key}: say which by its id ({ids}).", "key")
        return key_of(rows[0]) if rows else None

    async def keys(self, workspace: str | None = None) -> list[KeyRow]:
        """All keys, or those of one workspace (name or id), newest last."""
        sql = f"{KEYS} WHERE $1::text IS NULL OR w.name = $1 OR w.id = $1 ORDER BY k.created_at_ms, k.id"
        return [key_of(row) for row in await self._pool.fetch(sql, workspace, again=True)]

    async def set_key_state(self, key: str, state: str, change: Change | None = None) -> KeyRow | None:
        """Disable, enable or revoke by id or hint; None when there is none such. A revoked key stays revoked: any
        other state, and a hint that fits several keys, raises FaultError (invalid_request)."""
        if state not in KEY_STATES:
            raise invalid_request(f"A key is {', '.join(KEY_STATES)}, not {state!r}.", "state")
        found = await self.key(key)
        if found is None:
            return None
        audited = NO_AUDIT if change is None else audit_values(change, {"state": state, "before": found.state})
        if not await self._pool.fetch(_SET_STATE, found.id, state, *audited, again=True):
            raise invalid_request(f"The key {found.hint} was revoked for good. Make a new one.", "key")
        await self.quotas.changed()
        return await self.key(found.id)

    async def top_up(
        self, workspace_id: str, amount_nano_usd: int, reference: str, now_ms: int, change: Change | None = None
    ) -> int:
        """Add credit once per `reference`; the balance after it in nano-USD. Raises FaultError (invalid_request) for
        an amount that is not positive or absurd, an unknown workspace, or a reference used for something else."""
        if not 0 < amount_nano_usd <= MAX_TOP_UP_NANO_USD:
            raise invalid_request("An amount of credit must be above 0 and at most 1,000,000,000 USD.", "amount")
        account_id, request = account_of(workspace_id), f"topup:{reference}"
        detail = top_up_detail(amount_nano_usd, reference)
        audited = NO_AUDIT if change is None else audit_values(change, detail)
        values = (request, SOURCE, account_id, amount_nano_usd, now_ms, workspace_id)
        await self._pool.fetch(_TOP_UP, *values, *audited, again=True)
        rows = await self._pool.fetch(_TOPPED_UP, account_id, request, SOURCE, again=True)
        if not rows:
            raise invalid_request("There is no such workspace.", "workspace")
        if tuple(rows[0][1:]) != (SOURCE, account_id, amount_nano_usd):
            raise invalid_request(
                f"The reference {reference!r} was used for another amount or workspace. Choose another.", "reference"
            )
        return _int(rows[0][0])

    async def balance(self, workspace_id: str) -> int:
        """Credits less debits in nano-USD; 0 for an unknown workspace."""
        rows = await self._pool.fetch(_BALANCE, account_of(workspace_id), again=True)
        return _int(rows[0][0]) if rows else 0


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0
