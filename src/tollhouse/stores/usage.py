"""Usage: sums over the call records, by any of a few dimensions."""

from collections.abc import Sequence

import msgspec

from tollhouse.ir.fault import invalid_request
from tollhouse.stores.database import Row

DIMENSIONS = {
    "workspace": "COALESCE(w.name, r.workspace_id)",
    "key": "COALESCE(k.hint, r.key_id)",
    "model": "r.model",
    "provider": "r.provider",
    "day": "date(r.started_at_ms / 1000, 'unixepoch')",
}


class UsageRow(msgspec.Struct, frozen=True, kw_only=True):
    """The calls of one group; `group` has a value for each dimension asked for, None where calls have none.

    `failed_calls` are those that did not end well, whoever was to blame. Money in nano-USD.
    """

    group: tuple[str | None, ...]
    calls: int
    failed_calls: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    cost_nano_usd: int


class UsageFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which calls: those of a workspace (by id), begun at or after `since_ms` and before `until_ms` (Unix time)."""

    workspace_id: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None


def usage_query(which: UsageFilter, by: Sequence[str]) -> tuple[str, list[str | int]]:
    """The SQL and its values. Raises FaultError (invalid_request) for a dimension that does not exist."""
    for name in by:
        if name not in DIMENSIONS:
            raise invalid_request(f"Usage cannot be grouped by {name!r}; choose from {', '.join(DIMENSIONS)}.", "by")
    conditions: list[str] = []
    values: list[str | int] = []
    for condition, value in (
        ("r.workspace_id = ?", which.workspace_id),
        ("r.started_at_ms >= ?", which.since_ms),
        ("r.started_at_ms < ?", which.until_ms),
    ):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    groups = [DIMENSIONS[name] for name in by]
    select = "".join(f"{group}, " for group in groups)
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    places = ", ".join(str(place) for place in range(1, len(groups) + 1))
    order = f"GROUP BY {places} ORDER BY {places}" if groups else ""
    sql = (
        f"SELECT {select}COUNT(*), SUM(r.status <> 'ok'), "  # noqa: S608 -- made of this module's own words
        "SUM(r.prompt_tokens), SUM(r.cached_tokens), SUM(r.completion_tokens), SUM(r.reasoning_tokens), "
        "SUM(r.cost_nano_usd) FROM request r "
        "LEFT JOIN workspace w ON w.id = r.workspace_id LEFT JOIN api_key k ON k.id = r.key_id "
        f"{where}{order}"
    )
    return sql, values


def usage_rows(rows: Sequence[Row], by: Sequence[str]) -> list[UsageRow]:
    """The query's answer as values."""
    width = len(by)
    return [
        UsageRow(
            group=tuple(None if value is None else str(value) for value in row[:width]),
            calls=_count(row[width]),
            failed_calls=_count(row[width + 1]),
            prompt_tokens=_count(row[width + 2]),
            cached_tokens=_count(row[width + 3]),
            completion_tokens=_count(row[width + 4]),
            reasoning_tokens=_count(row[width + 5]),
            cost_nano_usd=_count(row[width + 6]),
        )
        for row in rows
    ]


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0
