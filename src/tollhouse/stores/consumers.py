"""Consumers in SQL: HPP Router's records of keys, and where each stands."""

import secrets

import msgspec

from tollhouse.accounts.change import Change
from tollhouse.accounts.quotas import Consumer, ConsumerStanding, LimitWish
from tollhouse.ir.fault import invalid_request
from tollhouse.stores.audit import note
from tollhouse.stores.database import Connection, Row
from tollhouse.stores.limits import WITHDRAWN, set_limit

CONSUMERS = """
SELECT c.id, c.key_id, k.hint, w.name, c.username, c.custom_id, l.amount
FROM consumer c JOIN api_key k ON k.id = c.key_id JOIN workspace w ON w.id = k.workspace_id
LEFT JOIN quota_limit l ON l.owner_id = c.key_id AND l.reason = 'consumer_quota' AND l.period = 'total'
"""

# One statement, so that all its figures are of one moment. A consumer without a quota of its own spends the purse.
STANDING = f"""
SELECT s.id, s.username, s.custom_id, a.credits, a.debits, COALESCE(({WITHDRAWN}), 0), s.invoicing, s.own,
    (SELECT SUM(calls - failed_calls) FROM rollup WHERE key_id = s.key_id),
    (SELECT SUM(prompt_tokens + completion_tokens) FROM rollup WHERE key_id = s.key_id),
    (SELECT SUM(cost_nano_usd) FROM rollup WHERE key_id = s.key_id)
FROM (
    SELECT c.id, c.key_id, c.username, c.custom_id, w.invoicing, l.amount IS NOT NULL AS own,
        CASE WHEN l.amount IS NULL THEN 'credit:' || k.workspace_id
        WHEN l.resets = 0 THEN 'limit:' || l.id || ':total'
        ELSE 'limit:' || l.id || ':total.' || l.resets END AS account
    FROM consumer c JOIN api_key k ON k.id = c.key_id JOIN workspace w ON w.id = k.workspace_id
    LEFT JOIN quota_limit l ON l.owner_id = c.key_id AND l.reason = 'consumer_quota' AND l.period = 'total'
    WHERE c.key_id = ?
) s JOIN account a ON a.id = s.account
"""  # noqa: S608 -- constants only

_NAME_CHARS = 200


def consumer_of(row: Row) -> Consumer:
    """A row of CONSUMERS as a value."""
    names = ("id", "key_id", "key_hint", "workspace", "username", "custom_id", "quota_nano_usd")
    return msgspec.convert(dict(zip(names, row, strict=True)), Consumer)


def standing_of(row: Row) -> ConsumerStanding:
    """A row of STANDING as a value."""
    credited, debited, withdrawn, invoicing, own, *sums = (value if isinstance(value, int) else 0 for value in row[3:])
    requests, total_tokens, total_cost = sums
    return ConsumerStanding(
        consumer_id=str(row[0]),
        username=_text(row[1]),
        custom_id=_text(row[2]),
        quota=credited - withdrawn,
        used=debited - withdrawn,
        remaining=credited - debited,
        invoiced=bool(invoicing) and not own,
        requests=requests,
        total_tokens=total_tokens,
        total_cost=total_cost,
    )


def set_consumer(
    connection: Connection, key_id: str, username: str | None, custom_id: str | None, change: Change
) -> None:
    """Make a key's consumer, or name it anew. Raises FaultError (invalid_request)."""
    check_names(username, custom_id)
    if connection.execute("SELECT 1 FROM api_key WHERE id = ?", (key_id,)).fetchone() is None:
        raise invalid_request("There is no such key.", "key")
    add_consumer(connection, key_id, username, custom_id, change.at_ms)
    note(connection, change, "consumer.set", key_id, {"username": username, "custom_id": custom_id})


def check_names(username: str | None, custom_id: str | None) -> None:
    """Refuse names that cannot be shown. Raises FaultError (invalid_request)."""
    for param, name in (("username", username), ("custom_id", custom_id)):
        if name is not None and not (0 < len(name) <= _NAME_CHARS and name.isprintable()):
            raise invalid_request(f"A consumer's {param} has 1 to {_NAME_CHARS} printable characters.", param)


def add_consumer(connection: Connection, key_id: str, username: str | None, custom_id: str | None, at_ms: int) -> None:
    """The row; it keeps its id when the key has one already."""
    connection.execute(
        "INSERT INTO consumer (id, key_id, username, custom_id, created_at_ms) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (key_id) DO UPDATE SET username = excluded.username, custom_id = excluded.custom_id",
        (f"con_{secrets.token_hex(8)}", key_id, username, custom_id, at_ms),
    )


def remove_consumer(connection: Connection, key_id: str, change: Change) -> bool:
    """Take the consumer and its quota away."""
    found = connection.execute(f"{CONSUMERS} WHERE c.key_id = ?", (key_id,)).fetchone()
    if found is None:
        return False
    if found[6] is not None:
        wish = LimitWish(owner_id=key_id, reason="consumer_quota", unit="nano_usd", period="total", amount=None)
        set_limit(connection, wish, change)
    connection.execute("DELETE FROM consumer WHERE key_id = ?", (key_id,))
    note(connection, change, "consumer.removed", key_id, {"consumer": str(found[0])})
    return True


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
