"""Fixed point: decimal text to an exact integer and back, without a float in between."""

import re

_DECIMAL = re.compile(r"([0-9]{1,18})(?:\.([0-9]{1,30}))?", re.ASCII)


def to_fixed_point(text: str, places: int) -> int:
    """`text` times 10**`places`, exactly: to_fixed_point("0.0375", 6) is 37500.

    Raises ValueError, worded for people, when `text` is no plain decimal number or has a digit beyond `places`.
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise ValueError(f"expected a plain decimal number such as 0.25, not {text!r}")
    whole, fraction = match.group(1), (match.group(2) or "").rstrip("0")
    if len(fraction) > places:
        raise ValueError(f"{text} has more than {places} digits after the point")
    return int(whole + fraction.ljust(places, "0"))


def from_fixed_point(number: int, places: int) -> str:
    """The canonical decimal text of `number` / 10**`places`: no exponent, no trailing zeros."""
    sign, digits = ("-" if number < 0 else ""), str(abs(number)).rjust(places + 1, "0")
    whole, fraction = digits[: len(digits) - places], digits[len(digits) - places :].rstrip("0")
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"
