"""Usage: sums over the roll-ups by hour, never over the call records, by any of a few dimensions."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, tzinfo
from decimal import Decimal

import msgspec

from tollhouse.ir.fault import invalid_request
from tollhouse.stores.database import Row

HOUR_MS = 3_600_000
_DAY_MS = 24 * HOUR_MS

_PLACES = {
    "workspace": "COALESCE(w.name, NULLIF(r.workspace_id, ''))",
    "key": "COALESCE(k.hint, NULLIF(r.key_id, ''))",
    "model": "NULLIF(r.model, '')",
    "provider": "NULLIF(r.provider, '')",
}
_TIMES: dict[str, Callable[[datetime], str]] = {
    "hour": lambda moment: moment.isoformat(timespec="minutes"),
    "day": lambda moment: moment.date().isoformat(),
    "month": lambda moment: moment.strftime("%Y-%m"),
}
DIMENSIONS = (*_PLACES, *_TIMES)

_SUMS = (
    "calls", "failed_calls", "prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens", "cost_nano_usd",
)  # fmt: skip


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
    """Which calls: those of a workspace (by id), begun at or after `since_ms` and before `until_ms` (Unix time).

    Sums are kept by the hour (UTC): a moment inside of an hour stands for the whole hour. Days and months are those of
    `zone`; where its hours are not those of UTC, an hour belongs to the day in which it begins.
    """

    workspace_id: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    zone: tzinfo = UTC

    def hours(self) -> "UsageFilter":
        """The same with whole hours, which is what is looked at."""
        since, until = self.since_ms, self.until_ms
        return msgspec.structs.replace(
            self,
            since_ms=None if since is None else since - since % HOUR_MS,
            until_ms=None if until is None else until + -until % HOUR_MS,
        )


def usage_query(which: UsageFilter, by: Sequence[str]) -> tuple[str, list[str | int]]:
    """The SQL and its values; each row is a moment (0 when no time was asked for), the other dimensions in their order,
    and the sums. Raises FaultError (invalid_request) for a dimension that does not exist."""
    for name in by:
        if name not in DIMENSIONS:
            raise invalid_request(f"Usage cannot be grouped by {name!r}; choose from {', '.join(DIMENSIONS)}.", "by")
    whole = which.hours()
    conditions: list[str] = []
    values: list[str | int] = []
    for condition, value in (
        ("r.workspace_id = ?", whole.workspace_id),
        ("r.hour_ms >= ?", whole.since_ms),
        ("r.hour_ms < ?", whole.until_ms),
    ):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    groups = [_moment(which, by), *(_PLACES[name] for name in by if name in _PLACES)]
    sums = ", ".join(f"SUM(r.{name})" for name in _SUMS)
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    places = ", ".join(str(place) for place in range(1, len(groups) + 1))
    sql = (
        f"SELECT {', '.join(groups)}, {sums} FROM rollup r "  # noqa: S608 -- made of this module's own words
        "LEFT JOIN workspace w ON w.id = r.workspace_id LEFT JOIN api_key k ON k.id = r.key_id "
        f"{where}GROUP BY {places}"
    )
    return sql, values


def usage_rows(rows: Sequence[Row], which: UsageFilter, by: Sequence[str]) -> list[UsageRow]:
    """The query's answer as values, in the order of their groups. Without `by` there is one row, also of nothing."""
    sums: dict[tuple[str | None, ...], list[int]] = {} if by else {(): [0] * len(_SUMS)}
    for row in rows:
        known = iter(row[1:])
        moment = datetime.fromtimestamp(_count(row[0]) / 1000, which.zone)
        group = tuple(_TIMES[name](moment) if name in _TIMES else _text(next(known)) for name in by)
        sums.setdefault(group, [0] * len(_SUMS))
        for place, value in enumerate(known):
            sums[group][place] += _count(value)
    ordered = sorted(sums.items(), key=lambda item: [text or "" for text in item[0]])
    return [UsageRow(group=group, **dict(zip(_SUMS, counts, strict=True))) for group, counts in ordered]


def _moment(which: UsageFilter, by: Sequence[str]) -> str:
    """When a row was, as coarse as will do."""
    if not any(name in _TIMES for name in by):
        return "0"
    if "hour" in by or which.zone is not UTC:
        return "r.hour_ms"
    return f"r.hour_ms - r.hour_ms % {_DAY_MS}"


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _count(value: object) -> int:
    return int(value) if isinstance(value, int | Decimal) else 0
