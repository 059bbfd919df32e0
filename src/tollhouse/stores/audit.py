"""The audit trail: one row for each change that an administrator made, in the transaction of the change."""

import secrets
from collections.abc import Mapping, Sequence

import msgspec

from tollhouse.accounts.quotas import AuditRow, Change
from tollhouse.stores.database import Connection, Row

_COLUMNS = "id, at_ms, actor, action, subject, detail, note"


def note(
    connection: Connection, change: Change, action: str, subject: str, detail: Mapping[str, str | int | bool | None]
) -> str:
    """Write one row; its id."""
    row_id = f"aud_{secrets.token_hex(8)}"
    connection.execute(
        f"INSERT INTO audit ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 -- constants only
        (row_id, change.at_ms, change.actor, action, subject, msgspec.json.encode(detail).decode(), change.note),
    )
    return row_id


def audit_query(subjects: Sequence[str], limit: int) -> tuple[str, list[str | int]]:
    """The SQL of the latest rows, and its values."""
    which = f"WHERE subject IN ({', '.join('?' * len(subjects))}) " if subjects else ""
    sql = f"SELECT {_COLUMNS} FROM audit {which}ORDER BY at_ms DESC, id DESC LIMIT ?"  # noqa: S608 -- constants only
    return sql, [*subjects, limit]


def audit_row(row: Row) -> AuditRow:
    """One row as a value."""
    return msgspec.convert(dict(zip(_COLUMNS.split(", "), row, strict=True)), AuditRow)
