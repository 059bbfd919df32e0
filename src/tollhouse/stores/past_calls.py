"""Past calls: as much of the call records as routing rules can be tried on."""

from collections.abc import Sequence

import msgspec

from tollhouse.observe.record import Routed
from tollhouse.stores.database import Row
from tollhouse.stores.usage import UsageFilter

_COLUMNS = "model, stream, prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens, cost_nano_usd, routed"
_decode_routed = msgspec.json.Decoder(Routed).decode


class PastCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call that was answered. Money in nano-USD; `routed` is None where the caller named the model."""

    model: str
    stream: bool
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    cost_nano_usd: int
    routed: Routed | None = None


def past_calls_query(which: UsageFilter, at_most: int, *, routed_only: bool) -> tuple[str, list[str | int]]:
    """The SQL and its values: the newest calls that ended well and had a prompt, no more than `at_most`."""
    conditions = ["status = 'ok'", "prompt_tokens > 0", "model IS NOT NULL"]
    if routed_only:
        conditions.append("routed IS NOT NULL")
    values: list[str | int] = []
    for condition, value in (
        ("workspace_id = ?", which.workspace_id),
        ("started_at_ms >= ?", which.since_ms),
        ("started_at_ms < ?", which.until_ms),
    ):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    sql = (
        f"SELECT {_COLUMNS} FROM request WHERE {' AND '.join(conditions)} "  # noqa: S608 -- this module's own words
        "ORDER BY started_at_ms DESC LIMIT ?"
    )
    return sql, [*values, at_most]


def past_calls_of(rows: Sequence[Row]) -> list[PastCall]:
    """All rows of the query."""
    return [_past_call(row) for row in rows]


def _past_call(row: Row) -> PastCall:
    model, stream, prompt, cached, completion, reasoning, cost, routed = row
    return PastCall(
        model=str(model),
        stream=bool(stream),
        prompt_tokens=_count(prompt),
        cached_tokens=_count(cached),
        completion_tokens=_count(completion),
        reasoning_tokens=_count(reasoning),
        cost_nano_usd=_count(cost),
        routed=None if routed is None else _decode_routed(str(routed)),
    )


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0
