"""HPP Router's answers about a consumer: its usage, and whether it has quota left; money in USD."""

import msgspec

from tollhouse.accounts.quotas import ConsumerStanding
from tollhouse.dialects.prices import JsonNumber
from tollhouse.money.amount import usd_text


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What the consumer may spend and has used; `quota` less `used` is `remaining`, which may be below zero."""

    consumer_id: str
    username: str | None
    custom_id: str | None
    quota: JsonNumber
    used: JsonNumber
    remaining: JsonNumber
    requests: int
    total_tokens: int
    total_cost: JsonNumber


class QuotaCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the consumer's quota lets it make a call."""

    has_quota: bool
    quota: JsonNumber
    used: JsonNumber
    remaining: JsonNumber


def usage(standing: ConsumerStanding) -> bytes:
    """The body of `GET /api/usage`."""
    return msgspec.json.encode(
        Usage(
            consumer_id=standing.consumer_id,
            username=standing.username,
            custom_id=standing.custom_id,
            quota=_usd(standing.quota),
            used=_usd(standing.used),
            remaining=_usd(standing.remaining),
            requests=standing.requests,
            total_tokens=standing.total_tokens,
            total_cost=_usd(standing.total_cost),
        )
    )


def quota_check(standing: ConsumerStanding) -> bytes:
    """The body of `GET /api/quota-check`."""
    return msgspec.json.encode(
        QuotaCheck(
            has_quota=standing.has_quota,
            quota=_usd(standing.quota),
            used=_usd(standing.used),
            remaining=_usd(standing.remaining),
        )
    )


def _usd(amount_nano_usd: int) -> msgspec.Raw:
    """A JSON number that never was a float."""
    return msgspec.Raw(usd_text(amount_nano_usd).encode())
