"""Buckets: the accounts that one call draws on, its workspace's credit and every limit, and how much of each."""

import msgspec

from tollhouse.accounts.limits import account_id, period_label
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


def _limit(limit: Limit, bound: Bound, now_ms: int) -> Claim:
    label = period_label(limit.period, limit.resets, now_ms)
    opening = Opening(
        unit=limit.unit,
        scope=limit.id,
        period=label,
        amount=limit.amount,
        source_account=LIMITS_SOURCE + limit.unit,
    )
    return Claim(account_id=account_id(limit.id, label), amount=bound.of(limit.unit), unit=limit.unit, opening=opening)
