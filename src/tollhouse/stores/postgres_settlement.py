"""What calls leave behind, written to PostgreSQL as one statement for a whole batch: all of it, or nothing.

Locks are taken on accounts first, then on leases, then on roll-ups, each in ascending order, so that no two batches
wait for each other in a circle; `WHERE (SELECT count(*) FROM x) >= 0` makes a part wait for the locks that `x` takes.
New values are worked out from the locked rows, for the reason that postgres_ledger.py gives.
Rows that are there already feed nothing, so that a batch may be written again when nobody knows whether it was.
"""

from collections.abc import Sequence

import msgspec

from tollhouse.money.store import Transfer
from tollhouse.observe.record import CallRecord
from tollhouse.stores.postgres_pool import Scalar, Value, storable

_encode_json = msgspec.json.Encoder().encode
_HOUR_MS = 3_600_000

_TRANSFER_TYPES = {
    "request": "text",
    "line": "bigint",
    "debit_account": "text",
    "credit_account": "text",
    "amount": "bigint",
    "code": "text",
    "at_ms": "bigint",
    "lease": "text",
    "price_version": "text",
    "usage_source": "text",
}
REQUEST_TYPES = {
    "id": "text",
    "started_at_ms": "bigint",
    "finished_at_ms": "bigint",
    "workspace_id": "text",
    "key_id": "text",
    "dialect": "text",
    "format": "text",
    "model": "text",
    "provider": "text",
    "upstream_model": "text",
    "stream": "smallint",
    "status": "text",
    "error_code": "text",
    "finish_reason": "text",
    "prompt_tokens": "bigint",
    "cached_tokens": "bigint",
    "completion_tokens": "bigint",
    "reasoning_tokens": "bigint",
    "usage_source": "text",
    "cost_nano_usd": "bigint",
    "first_byte_ms": "bigint",
    "attempts": "text",
    "client_request_id": "text",
    "losses": "text",
    "routed": "text",
}
_SUMS = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens", "cost_nano_usd")


def _columns(types: dict[str, str], first: int) -> str:
    """`unnest` of one array for each column, from parameter `first` on."""
    arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(types.values(), first))
    return f"SELECT * FROM unnest({arrays}) AS t ({', '.join(types)})"  # noqa: S608 -- constants only


def recording(after: str) -> str:
    """The parts of a statement that write the rows of its part `call` into the records, once its part `after` is done,
    and those that were not there yet into the roll-ups."""
    return f"""recorded AS (
    INSERT INTO request ({", ".join(REQUEST_TYPES)})
    SELECT {", ".join(REQUEST_TYPES)} FROM call WHERE (SELECT count(*) FROM {after}) >= 0 ORDER BY id
    ON CONFLICT (id) DO NOTHING
    RETURNING id, started_at_ms, workspace_id, key_id, model, provider, status, {", ".join(_SUMS)}
), summed AS (
    INSERT INTO rollup AS r (hour_ms, workspace_id, key_id, model, provider, calls, failed_calls, {", ".join(_SUMS)})
    SELECT started_at_ms / {_HOUR_MS} * {_HOUR_MS}, coalesce(workspace_id, ''), coalesce(key_id, ''),
        coalesce(model, ''), coalesce(provider, ''), count(*), count(*) FILTER (WHERE status <> 'ok'),
        {", ".join(f"sum({name})" for name in _SUMS)}
    FROM recorded GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
    ON CONFLICT (hour_ms, workspace_id, key_id, model, provider) DO UPDATE
    SET calls = r.calls + EXCLUDED.calls, failed_calls = r.failed_calls + EXCLUDED.failed_calls,
        {", ".join(f"{name} = r.{name} + EXCLUDED.{name}" for name in _SUMS)}
)"""  # noqa: S608 -- constants only


SETTLE = f"""
WITH posting AS (
    {_columns(_TRANSFER_TYPES, 1)}
), call AS (
    {_columns(REQUEST_TYPES, len(_TRANSFER_TYPES) + 1)}
), purse AS (
    SELECT id, credits, debits, leased FROM account
    WHERE id IN (SELECT debit_account FROM posting UNION SELECT credit_account FROM posting)
    ORDER BY id FOR NO KEY UPDATE
), posted AS (
    INSERT INTO transfer ({", ".join(_TRANSFER_TYPES)})
    SELECT * FROM posting WHERE (SELECT count(*) FROM purse) >= 0 ORDER BY request, line, debit_account
    ON CONFLICT (request, line, debit_account) DO NOTHING
    RETURNING debit_account, credit_account, amount, lease
), wanted AS (
    SELECT lease, debit_account, sum(amount) AS amount FROM posted WHERE lease IS NOT NULL GROUP BY 1, 2
), slice AS (
    SELECT l.id, l.account_id, l.granted, l.used, least(w.amount, l.granted - l.used)::bigint AS part
    FROM lease l JOIN wanted w ON w.lease = l.id AND w.debit_account = l.account_id
    WHERE l.state = 'active' ORDER BY l.account_id, l.id FOR NO KEY UPDATE OF l
), spent AS (
    UPDATE lease l SET granted = s.granted, used = s.used + s.part FROM slice s WHERE l.id = s.id
), change AS (
    SELECT id, sum(debits)::bigint AS debits, sum(credits)::bigint AS credits, sum(part)::bigint AS part
    FROM (
        SELECT debit_account AS id, amount AS debits, 0 AS credits, 0 AS part FROM posted
        UNION ALL SELECT credit_account, 0, amount, 0 FROM posted
        UNION ALL SELECT account_id, 0, 0, part FROM slice
    ) moved GROUP BY id
), settled AS (
    UPDATE account a SET debits = p.debits + c.debits, credits = p.credits + c.credits, leased = p.leased - c.part
    FROM purse p JOIN change c ON c.id = p.id WHERE a.id = p.id RETURNING a.id
), {recording("settled")}
DELETE FROM open_call
WHERE (SELECT count(*) FROM recorded) >= 0 AND request_id = ANY (${len(_TRANSFER_TYPES) + 1}::text[])
"""  # noqa: S608 -- constants only


RECORD = f"SELECT {', '.join(REQUEST_TYPES)} FROM request WHERE id = $1"  # noqa: S608 -- constants only


class Settlement(msgspec.Struct, frozen=True):
    """The rows of one call: none, one or more transfers, and its record."""

    transfers: tuple[Transfer, ...]
    record: tuple[Scalar, ...]


def settlement_of(transfers: tuple[Transfer, ...], record: CallRecord) -> Settlement:
    """The rows for a call."""
    values = msgspec.structs.asdict(record)
    values["stream"] = int(record.stream)
    values["attempts"] = _encode_json(record.attempts).decode()
    values["losses"] = _encode_json(record.losses).decode()
    values["routed"] = _encode_json(record.routed).decode() if record.routed else None
    return Settlement(transfers, tuple(values[name] for name in REQUEST_TYPES))


def arrays_of(settlements: Sequence[Settlement]) -> list[Value]:
    """The values of SETTLE: an array for each column."""
    postings = [transfer for settlement in settlements for transfer in settlement.transfers]
    arrays: list[Value] = [storable([getattr(row, name) for row in postings]) for name in _TRANSFER_TYPES]
    arrays += [storable(column) for column in zip(*(settlement.record for settlement in settlements), strict=True)]
    return arrays
