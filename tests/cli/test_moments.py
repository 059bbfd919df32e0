"""Moments as people write them."""

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.cli.moments import parse_moment

NOW_MS = 1_700_000_000_000
HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        ("1970-01-02", 24 * HOUR_MS),
        ("1970-01-01T12:00", 12 * HOUR_MS),
        ("1970-01-01T12:00Z", 12 * HOUR_MS),
        ("1970-01-01T12:00+02:00", 10 * HOUR_MS),
        (" 1970-01-01 00:00:01 ", 1000),
    ],
)
def test_dates_are_utc_unless_they_say_otherwise(text: str, expected_ms: int) -> None:
    assert parse_moment(text, NOW_MS, ahead=True) == expected_ms


@pytest.mark.parametrize(("text", "hours"), [("2h", 2), ("1d", 24), ("1w", 168), ("120m", 2), ("7200s", 2)])
def test_durations_go_forward_or_back(text: str, hours: int) -> None:
    assert parse_moment(text, NOW_MS, ahead=True) == NOW_MS + hours * HOUR_MS
    assert parse_moment(text, NOW_MS, ahead=False) == NOW_MS - hours * HOUR_MS


@given(st.text(max_size=30))
def test_anything_else_is_refused_in_words(text: str) -> None:
    refusal = ""
    try:
        parse_moment(text, NOW_MS, ahead=True)
    except ValueError as error:
        refusal = str(error)
    assert not refusal or "write 2027-01-31" in refusal


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1y", "2027-02-30", "999999w"])
def test_near_misses_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no moment"):
        parse_moment(text, NOW_MS, ahead=True)


def test_a_time_without_a_zone_is_one_of_the_zone_asked_for() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert parse_moment("1970-01-02", NOW_MS, ahead=False, zone=berlin) == 23 * HOUR_MS
    assert parse_moment("1970-01-02T00:00Z", NOW_MS, ahead=False, zone=berlin) == 24 * HOUR_MS
