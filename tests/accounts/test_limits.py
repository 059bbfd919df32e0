"""Periods are UTC: they begin at midnight and on the first, whatever a clock on the wall does."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.accounts.limits import Period, limit_account, period_ends_ms, period_label
from tollhouse.accounts.principal import Limit


def at(text: str) -> int:
    """Unix milliseconds of an ISO time."""
    return int(datetime.datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.fault(73)
@pytest.mark.parametrize(
    ("period", "moment", "label"),
    [
        ("day", "2026-11-21T23:59:59.999+00:00", "2026-11-21"),
        ("day", "2026-11-22T00:00:00+00:00", "2026-11-22"),
        ("month", "2026-11-30T23:59:59.999+00:00", "2026-11"),
        ("month", "2026-12-01T00:00:00+00:00", "2026-12"),
        ("month", "2027-01-01T00:00:00+00:00", "2027-01"),
        ("month", "2028-02-29T23:59:59+00:00", "2028-02"),
        ("total", "2026-11-21T00:00:00+00:00", "total"),
        # In Berlin the clock is put back in this night: the hour comes twice, the day in UTC does not.
        ("day", "2026-10-25T01:30:00+02:00", "2026-10-24"),
        ("day", "2026-10-25T02:30:00+01:00", "2026-10-25"),
        ("day", "2026-10-25T02:30:00+02:00", "2026-10-25"),
    ],
)
def test_a_period_rolls_at_midnight_in_utc(period: Period, moment: str, label: str) -> None:
    assert period_label(period, 0, at(moment)) == label
    assert period_label(period, 3, at(moment)) == f"{label}.3"


@pytest.mark.fault(73)
@given(st.integers(0, 4_000_000_000_000), st.sampled_from(["day", "month"]))
def test_a_period_is_the_same_until_it_ends_and_another_from_then_on(now_ms: int, period: Period) -> None:
    ends_ms = period_ends_ms(period, now_ms)
    assert ends_ms is not None
    assert now_ms < ends_ms <= now_ms + 31 * 86_400_000
    assert period_label(period, 0, ends_ms - 1) == period_label(period, 0, now_ms)
    assert period_label(period, 0, ends_ms) > period_label(period, 0, now_ms)


@given(st.integers(0, 4_000_000_000_000))
def test_a_total_never_ends(now_ms: int) -> None:
    assert period_ends_ms("total", now_ms) is None


def test_each_reset_begins_an_account_of_its_own() -> None:
    limit = Limit(id="lim_1", unit="nano_usd", period="month", amount=5, reason="key_limit")
    moment = at("2026-11-21T12:00:00+00:00")
    assert limit_account(limit, moment) == "limit:lim_1:2026-11"
    again = Limit(id="lim_1", unit="nano_usd", period="month", amount=5, resets=2, reason="key_limit")
    assert limit_account(again, moment) == "limit:lim_1:2026-11.2"
