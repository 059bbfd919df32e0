"""Moments as people write them: a date, a date with a time, or so long from now (or ago)."""

import re
from datetime import UTC, datetime, timedelta, tzinfo

_DURATION = re.compile(r"([0-9]{1,6})([smhdw])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_moment(text: str, now_ms: int, *, ahead: bool, zone: tzinfo = UTC) -> int:
    """`2027-01-31`, `2027-01-31T12:00Z` or `30d` (from now when `ahead`, else ago) as Unix milliseconds.

    A time without a zone is one of `zone`. Units are s, m, h, d and w. Raises ValueError, worded for people.
    """
    match = _DURATION.fullmatch(text.strip())
    try:
        if match is not None:
            length = timedelta(**{_UNITS[match.group(2)]: int(match.group(1))})
            shift_ms = round(length.total_seconds() * 1000)
            at_ms = now_ms + shift_ms if ahead else now_ms - shift_ms
            datetime.fromtimestamp(at_ms / 1000, UTC)
            return at_ms
        moment = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is no moment: write 2027-01-31, 2027-01-31T12:00Z, or 30d, 12h, 10m") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return round(moment.timestamp() * 1000)
