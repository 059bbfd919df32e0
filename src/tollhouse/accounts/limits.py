"""Limits: which period it is, and which account of the ledger a limit has in it; pure, time is an argument."""

import datetime
from typing import Literal, assert_never

from tollhouse.accounts.principal import Limit

Period = Literal["day", "month", "total"]

_ADVERBS: dict[Period, str] = {"day": "daily", "month": "monthly", "total": "total"}


def period_label(period: Period, resets: int, now_ms: int) -> str:
    """The period that it is at `now_ms` (Unix time), in UTC: `2026-11-21`, `2026-11` or `total`, with `.N` behind it
    when the limit was reset N times by hand."""
    now = _utc(now_ms)
    match period:
        case "day":
            label = f"{now:%Y-%m-%d}"
        case "month":
            label = f"{now:%Y-%m}"
        case "total":
            label = "total"
        case _:
            assert_never(period)
    return f"{label}.{resets}" if resets else label


def account_id(limit_id: str, label: str) -> str:
    """The account of a limit in one period."""
    return f"limit:{limit_id}:{label}"


def limit_account(limit: Limit, now_ms: int) -> str:
    """The account of a limit in the period that it is at `now_ms`."""
    return account_id(limit.id, period_label(limit.period, limit.resets, now_ms))


def period_ends_ms(period: Period, now_ms: int) -> int | None:
    """When the period ends and the next one begins, as Unix time; None for one that never ends."""
    midnight = _utc(now_ms).replace(hour=0, minute=0, second=0, microsecond=0)
    match period:
        case "day":
            end = midnight + datetime.timedelta(days=1)
        case "month":
            # The first of a month and 31 days more always lies in the next one.
            end = (midnight.replace(day=1) + datetime.timedelta(days=31)).replace(day=1)
        case "total":
            return None
        case _:
            assert_never(period)
    return int(end.timestamp()) * 1000


def period_adverb(period: Period) -> str:
    """As people say it: daily, monthly, total."""
    return _ADVERBS[period]


def _utc(now_ms: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(now_ms // 1000, datetime.UTC)
