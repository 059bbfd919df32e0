"""Exact JSON numbers of amounts of money, for usage objects that carry a cost."""

import msgspec

_NANO = 1_000_000_000


def usd_number(nano_usd: int) -> msgspec.Raw:
    """An exact JSON number of USD, without trailing zeros: 1_500_000 gives 0.0015."""
    whole, fraction = divmod(abs(nano_usd), _NANO)
    digits = f"{whole}.{fraction:09d}".rstrip("0").rstrip(".")
    return msgspec.Raw(("-" if nano_usd < 0 else "").encode() + digits.encode())
