"""Counters: counts of tokens out of a provider's usage, which is trusted only where it makes sense."""

from collections.abc import Mapping

import msgspec

from tollhouse.ir.plain import is_object

_MAX_TOKENS = 2**40
_NANO = 1_000_000_000


class DistrustError(Exception):
    """A counter is no count of tokens."""


def count(value: object) -> int | None:
    """A count; None for null. Raises DistrustError for what is negative, no integer or above 2**40."""
    if value is None:
        return None
    if type(value) is not int or not 0 <= value <= _MAX_TOKENS:
        raise DistrustError
    return value


def first_count(counters: Mapping[str, object], *names: str) -> int:
    """The first of `names` that holds a count, else 0. Raises DistrustError."""
    for name in names:
        value = counters.get(name)
        if value is not None:
            return count(value) or 0
    return 0


def details(usage: Mapping[str, object], name: str) -> Mapping[str, object]:
    """The object under `name`; empty for null. Raises DistrustError for anything else."""
    value = usage.get(name)
    if value is None:
        return {}
    if not is_object(value):
        raise DistrustError
    return value


def usd_number(nano_usd: int) -> msgspec.Raw:
    """An exact JSON number of USD, without trailing zeros: 1_500_000 gives 0.0015."""
    whole, fraction = divmod(abs(nano_usd), _NANO)
    digits = f"{whole}.{fraction:09d}".rstrip("0").rstrip(".")
    return msgspec.Raw(("-" if nano_usd < 0 else "").encode() + digits.encode())
