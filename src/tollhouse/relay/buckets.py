"""Buckets: the accounts that one call draws on, its workspace's credit and every limit, and how much of each."""

import datetime

import msgspec

from tollhouse.accounts.principal import Limit, Principal
from tollhouse.money.lease import Claim
from tollhouse.money.settlement import LIMITS_SOURCE
from tollhouse.money.store import Opening, Unit


class Bound(msgspec.Struct, frozen=True):
    """The most that a call can take, in each unit."""

    nano_usd: int
    tokens: int

    def of(self, unit: Unit) -> int:
        """The amount in a unit."""
        return self.nano_usd if unit == "nano_usd" else self.tokens


def claims(principal: Principal, bound: Bound, now_ms: int) -> tuple[Claim, ...]:
    """What the call has to hold: the credit first, which pays (nothing is held of a workspace that is invoiced), then
    every limit, in the account of the period that it is now."""
    credit = Claim(account_id=principal.account_id, amount=0 if principal.invoicing else bound.nano_usd)
    return (credit, *(_limit(limit, bound, now_ms) for limit in principal.limits))


def period_label(limit: Limit, now_ms: int) -> str:
    """The period that it is now, in UTC: `2026-11-21`, `2026-11` or `total`, with `.N` after N resets by hand."""
    now = datetime.datetime.fromtimestamp(now_ms / 1000, datetime.UTC)
    match limit.period:
        case "day":
            label = now.strftime("%Y-%m-%d")
        case "month":
            label = now.strftime("%Y-%m")
        case "total":
            label = "total"
    return f"{label}.{limit.resets}" if limit.resets else label


def limit_account(limit: Limit, now_ms: int) -> str:
    """The id of the limit's account of the present period."""
    return f"limit:{limit.id}:{period_label(limit, now_ms)}"


def _limit(limit: Limit, bound: Bound, now_ms: int) -> Claim:
    opening = Opening(
        unit=limit.unit,
        scope=limit.id,
        period=period_label(limit, now_ms),
        amount=limit.amount,
        source_account=LIMITS_SOURCE + limit.unit,
    )
    return Claim(account_id=limit_account(limit, now_ms), amount=bound.of(limit.unit), unit=limit.unit, opening=opening)
