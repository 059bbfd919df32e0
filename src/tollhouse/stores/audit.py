"""The audit trail: one row for each change that an administrator made, in the transaction of the change."""

import secrets
from collections.abc import Mapping, Sequence

import msgspec

from tollhouse.accounts.change import Change
from tollhouse.accounts.quotas import AuditRow
from tollhouse.accounts.store import NewKey
from tollhouse.stores.database import Connection, Row

TOP_UP, KEY_CREATED, KEY_STATE = "credit.topup", "key.create", "key.state"

Detail = Mapping[str, str | int | bool | None]

_COLUMNS = "id, at_ms, actor, action, subject, detail, note"
_AUDIT_COLUMNS = "id, at_ms, actor, note, detail"
NO_AUDIT = (None,) * 5
"""In the place of `audit_values` where nobody says who does it."""


def note(connection: Connection, change: Change, action: str, subject: str, detail: Detail) -> str:
    """Write one row; its id."""
    row_id, *more = audit_values(change, detail)
    connection.execute(
        f"INSERT INTO audit ({_AUDIT_COLUMNS}, action, subject) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 -- constants only
        (row_id, *more, action, subject),
    )
    return str(row_id)


def audit_values(change: Change, detail: Detail) -> tuple[str | int, ...]:
    """The row's id, time, author, note and detail."""
    text = msgspec.json.encode(detail).decode()
    return (f"aud_{secrets.token_hex(8)}", change.at_ms, change.actor, change.note, text)


def auditing(first: int, action: str, subject: str, after: str) -> str:
    """A part of a PostgreSQL statement that writes one row for each of its part `after`, with the `subject` there; the
    parameters from `first` on are `audit_values`, or NO_AUDIT."""
    row_id, at_ms, actor, reason, detail = (f"${first + number}" for number in range(5))
    return f"""audited AS (
    INSERT INTO audit ({_AUDIT_COLUMNS}, action, subject)
    SELECT {row_id}, {at_ms}::bigint, {actor}, {reason}, {detail}, '{action}', {subject}
    FROM {after} WHERE {row_id}::text IS NOT NULL
)"""  # noqa: S608 -- constants only


def top_up_detail(amount_nano_usd: int, reference: str) -> Detail:
    """What is written down of a top-up."""
    return {"amount_nano_usd": amount_nano_usd, "reference": reference}


def key_detail(key: NewKey) -> Detail:
    """What is written down of a new key."""
    return {"workspace": key.workspace_id, "name": key.name, "hint": key.hint}


def audit_query(subjects: Sequence[str], limit: int) -> tuple[str, list[str | int]]:
    """The SQL of the latest rows, and its values."""
    which = f"WHERE subject IN ({', '.join('?' * len(subjects))}) " if subjects else ""
    sql = f"SELECT {_COLUMNS} FROM audit {which}ORDER BY at_ms DESC, id DESC LIMIT ?"  # noqa: S608 -- constants only
    return sql, [*subjects, limit]


def audit_row(row: Row) -> AuditRow:
    """One row as a value."""
    return msgspec.convert(dict(zip(_COLUMNS.split(", "), row, strict=True)), AuditRow)
