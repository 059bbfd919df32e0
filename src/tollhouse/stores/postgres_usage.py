"""Usage in PostgreSQL: sums over the roll-ups, by any of a few dimensions."""

from collections.abc import Sequence

from tollhouse.ir.fault import invalid_request
from tollhouse.stores.usage import DIMENSIONS, UsageFilter

_GROUPS = {
    "workspace": "coalesce(w.name, nullif(r.workspace_id, ''))",
    "key": "coalesce(k.hint, nullif(r.key_id, ''))",
    "model": "nullif(r.model, '')",
    "provider": "nullif(r.provider, '')",
    "day": "to_char(to_timestamp(r.hour_ms / 1000) AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
}
assert _GROUPS.keys() == DIMENSIONS.keys()  # noqa: S101 -- both name the same dimensions
_SUMS = (
    "calls",
    "failed_calls",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "reasoning_tokens",
    "cost_nano_usd",
)


def usage_query(which: UsageFilter, by: Sequence[str]) -> tuple[str, list[str | int | None]]:
    """The SQL and its values. Raises FaultError (invalid_request) for a dimension that does not exist."""
    for name in by:
        if name not in _GROUPS:
            raise invalid_request(f"Usage cannot be grouped by {name!r}; choose from {', '.join(_GROUPS)}.", "by")
    # What PostgreSQL adds up from whole numbers is a numeric; the books hold less than 2^63.
    sums = ", ".join(f"coalesce(sum(r.{name}), 0)::bigint" for name in _SUMS)
    groups = "".join(f'{_GROUPS[name]} COLLATE "C", ' for name in by)
    places = ", ".join(str(place) for place in range(1, len(by) + 1))
    order = f"GROUP BY {places} ORDER BY {places} NULLS FIRST" if by else ""
    sql = (
        f"SELECT {groups}{sums} FROM rollup r "  # noqa: S608 -- made of this module's own words
        "LEFT JOIN workspace w ON w.id = r.workspace_id LEFT JOIN api_key k ON k.id = r.key_id "
        "WHERE ($1::text IS NULL OR r.workspace_id = $1) AND ($2::bigint IS NULL OR r.hour_ms >= $2) "
        f"AND ($3::bigint IS NULL OR r.hour_ms < $3) {order}"
    )
    return sql, [which.workspace_id, which.since_ms, which.until_ms]
