"""What a call leaves behind, written for a whole batch of calls with as few statements as possible.

Each statement gives up the interpreter's lock and must win it back from the event loop, which costs more than the
statement itself: rows go in by the dozen, and triggers post them to the accounts.
"""

from collections.abc import Sequence

import msgspec

from tollhouse.money.store import Transfer
from tollhouse.observe.record import Attempt, CallRecord, Routed
from tollhouse.stores.database import Connection
from tollhouse.stores.leasing import open_account

Values = tuple[str | int | None, ...]

_TRANSFER_COLUMNS = (
    "request, line, debit_account, credit_account, amount, code, at_ms, lease, price_version, usage_source"
)
_TRANSFER_WIDTH = 10
_REQUEST_COLUMNS = (
    "id, started_at_ms, finished_at_ms, workspace_id, key_id, dialect, format, model, provider, upstream_model, "
    "stream, status, error_code, finish_reason, prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens, "
    "usage_source, cost_nano_usd, first_byte_ms, attempts, client_request_id, losses, routed"
)
_REQUEST_WIDTH = 25

_encode_json = msgspec.json.Encoder().encode
_decode_losses = msgspec.json.Decoder(tuple[str, ...]).decode
_decode_routed = msgspec.json.Decoder(Routed).decode
_decode_attempts = msgspec.json.Decoder(tuple[Attempt, ...]).decode


class Settlement(msgspec.Struct, frozen=True):
    """The rows of one call: none, one or more transfers, and its record; and the transfers whose account may be
    missing."""

    transfers: tuple[Values, ...]
    record: Values
    opening: tuple[Transfer, ...]


def settlement_of(transfers: Sequence[Transfer], record: CallRecord) -> Settlement:
    """The rows for a call."""
    rows = [
        (
            transfer.request,
            transfer.line,
            transfer.debit_account,
            transfer.credit_account,
            transfer.amount,
            transfer.code,
            transfer.at_ms,
            transfer.lease,
            transfer.price_version,
            transfer.usage_source,
        )
        for transfer in transfers
    ]
    opening = tuple(transfer for transfer in transfers if transfer.opening is not None)
    return Settlement(tuple(rows), _record_values(record), opening)


def _record_values(record: CallRecord) -> Values:
    return (
        record.id,
        record.started_at_ms,
        record.finished_at_ms,
        record.workspace_id,
        record.key_id,
        record.dialect,
        record.format,
        record.model,
        record.provider,
        record.upstream_model,
        int(record.stream),
        record.status,
        record.error_code,
        record.finish_reason,
        record.prompt_tokens,
        record.cached_tokens,
        record.completion_tokens,
        record.reasoning_tokens,
        record.usage_source,
        record.cost_nano_usd,
        record.first_byte_ms,
        _encode_json(record.attempts).decode() if record.attempts else "[]",
        record.client_request_id,
        _encode_json(record.losses).decode() if record.losses else "[]",
        _encode_json(record.routed).decode() if record.routed else None,
    )


def write_settlements(connection: Connection, settlements: Sequence[Settlement]) -> None:
    """Insert the rows of many calls; rows that are there already are left as they are. Raises apsw.Error.

    `ON CONFLICT (key)` rather than `OR IGNORE`: the latter would also swallow a broken constraint.
    """
    transfers: list[Values] = []
    for settlement in settlements:
        transfers += settlement.transfers
        for transfer in settlement.opening:
            if transfer.opening is not None:
                open_account(connection, transfer.debit_account, transfer.opening, transfer.at_ms)
    _insert(connection, _TRANSFER_SQL, transfers)
    _insert(connection, _REQUEST_SQL, [settlement.record for settlement in settlements])


def _statements(table: str, columns: str, width: int, key: str) -> tuple[tuple[int, str], ...]:
    """INSERTs of 64, 32, … 1 rows, so that few statements stay prepared and any number of rows takes few of them."""
    row = f"({', '.join('?' * width)})"
    return tuple(
        (
            size,
            f"INSERT INTO {table} ({columns}) VALUES {', '.join([row] * size)} ON CONFLICT ({key}) DO NOTHING",  # noqa: S608 -- constants only
        )
        for size in (64, 32, 16, 8, 4, 2, 1)
    )


_TRANSFER_SQL = _statements("transfer", _TRANSFER_COLUMNS, _TRANSFER_WIDTH, "request, line, debit_account")
_REQUEST_SQL = _statements("request", _REQUEST_COLUMNS, _REQUEST_WIDTH, "id")


def _insert(connection: Connection, statements: tuple[tuple[int, str], ...], rows: Sequence[Values]) -> None:
    start = 0
    for size, sql in statements:
        while len(rows) - start >= size:
            connection.execute(sql, [value for row in rows[start : start + size] for value in row])
            start += size


RECORD_SQL = f"SELECT {_REQUEST_COLUMNS} FROM request WHERE id = ?"  # noqa: S608 -- constants only

CHARGES_SQL = "SELECT code, amount FROM transfer WHERE request = ? AND credit_account = ? ORDER BY line"

DELETE_SQL = """
DELETE FROM request WHERE rowid IN (SELECT rowid FROM request WHERE started_at_ms < ? ORDER BY started_at_ms LIMIT ?)
RETURNING 1
"""


def record_of(row: Sequence[object]) -> CallRecord:
    """The record of a row of RECORD_SQL."""
    values: dict[str, object] = dict(zip(_REQUEST_COLUMNS.split(", "), row, strict=True))
    values["stream"] = bool(values["stream"])
    values["attempts"] = _decode_attempts(str(values["attempts"]))
    values["losses"] = _decode_losses(str(values["losses"]))
    values["routed"] = None if values["routed"] is None else _decode_routed(str(values["routed"]))
    return msgspec.convert(values, CallRecord)
