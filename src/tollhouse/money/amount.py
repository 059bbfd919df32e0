"""Amounts of money: integer nano-USD inside, canonical decimal text outside, no float in between."""

from tollhouse.catalog.decimals import from_fixed_point, to_fixed_point

NANO_USD_PER_USD = 1_000_000_000
MAX_NANO_USD = 2**63 - 1
"""The largest amount that the books can hold: about 9.2 billion USD."""

_NANO_PLACES = 9
_MICRO_PLACES = 3


def parse_usd(text: str) -> int:
    """Decimal USD such as "5" or "0.25" as nano-USD; a leading minus is allowed.

    Raises ValueError, worded for people, when it is no such number, is finer than a nano-USD, or larger than the
    books can hold.
    """
    stripped = text.strip()
    negative = stripped.startswith("-")
    amount = to_fixed_point(stripped.removeprefix("-"), _NANO_PLACES)
    if amount > MAX_NANO_USD:
        raise ValueError(f"{stripped} USD is more than the books can hold")
    return -amount if negative else amount


def usd_text(amount_nano_usd: int) -> str:
    """Canonical decimal USD: usd_text(1_500_000_000) is "1.5"."""
    return from_fixed_point(amount_nano_usd, _NANO_PLACES)


def micro_usd_text(amount_nano_usd: int) -> str:
    """Canonical decimal micro-USD with up to three places: micro_usd_text(1_500) is "1.5"."""
    return from_fixed_point(amount_nano_usd, _MICRO_PLACES)
