"""A breaker opens on what fails, lets one probe through at a time, and closes as soon as something answers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.routing.breaker import BreakerRules, CircuitBreaker, Decayed, State, cool_down_s

RULES = BreakerRules(failures=3, error_rate=0.5, least_calls=8, half_life_s=30.0, probe_after_s=10.0)


def opened(at_s: float = 0.0) -> CircuitBreaker:
    breaker = CircuitBreaker(RULES)
    for _ in range(RULES.failures):
        assert breaker.begin(at_s)
        breaker.failed(at_s)
    return breaker


def test_failures_in_a_row_open_it_and_one_success_starts_the_count_again() -> None:
    breaker = CircuitBreaker(RULES)
    for outcome in ("failed", "failed", "succeeded", "failed", "failed"):
        getattr(breaker, outcome)(0.0)
        assert breaker.state(0.0) is State.CLOSED
    breaker.failed(0.0)
    assert breaker.state(0.0) is State.OPEN
    assert not breaker.begin(9.9)


def test_half_of_the_calls_failing_opens_it_once_there_are_enough() -> None:
    breaker = CircuitBreaker(RULES)
    for _ in range(3):
        breaker.failed(0.0)
        breaker.succeeded(0.0)
        assert breaker.state(0.0) is State.CLOSED
    breaker.succeeded(0.0)
    breaker.failed(0.0)
    assert breaker.state(0.0) is State.OPEN


def test_old_errors_weigh_less_and_less() -> None:
    breaker = CircuitBreaker(RULES)
    for _ in range(2):
        breaker.failed(0.0)
    assert breaker.error_rate(0.0) == 1.0
    for _ in range(6):
        breaker.succeeded(300.0)
    assert breaker.error_rate(300.0) < 0.01
    breaker.failed(300.0)
    breaker.failed(300.0)
    assert breaker.state(300.0) is State.CLOSED


def test_one_probe_goes_after_the_interval_and_decides() -> None:
    breaker = opened()
    assert breaker.state(10.0) is State.HALF_OPEN
    assert breaker.begin(10.0)
    assert not breaker.begin(10.0), "a second probe beside the first"
    breaker.failed(11.0, probe=True)
    assert not breaker.begin(20.9)
    assert breaker.begin(21.0)
    breaker.succeeded(21.5)
    assert breaker.state(21.5) is State.CLOSED
    assert breaker.error_rate(21.5) == 0.0


def test_a_probe_that_nobody_waited_for_makes_room_for_the_next() -> None:
    breaker = opened()
    assert breaker.begin(10.0)
    breaker.abandoned()
    assert breaker.begin(10.0)


def test_calls_without_a_permit_do_not_put_the_probe_off_but_close_it_when_they_are_answered() -> None:
    breaker = opened()
    for at_s in (1.0, 5.0, 9.0):
        breaker.failed(at_s)
    assert breaker.begin(10.0)
    breaker.abandoned()
    breaker.succeeded(10.5)
    assert breaker.state(10.5) is State.CLOSED


@given(st.lists(st.tuples(st.sampled_from(["ok", "fail", "leave"]), st.floats(0, 30)), max_size=60))
def test_at_most_one_probe_is_under_way_and_it_opens_again_within_one_interval(
    happened: list[tuple[str, float]],
) -> None:
    breaker = opened()
    now_s, probing = 0.0, False
    for outcome, took_s in happened:
        now_s += took_s
        was_open = breaker.state(now_s) is not State.CLOSED
        if breaker.begin(now_s) and was_open:
            assert not probing
            probing = True
        if not probing:
            continue
        probing = False
        if outcome == "ok":
            breaker.succeeded(now_s)
            assert breaker.state(now_s) is State.CLOSED
            breaker = opened(now_s)
        elif outcome == "fail":
            breaker.failed(now_s, probe=True)
            assert breaker.state(now_s) is State.OPEN
        else:
            breaker.abandoned()
        assert breaker.state(now_s + RULES.probe_after_s) is State.HALF_OPEN


@pytest.mark.fault(45)
@pytest.mark.parametrize(
    ("asked_s", "kept_s"), [(None, 5.0), (math.nan, 5.0), (7.0, 7.0), (0.0, 0.5), (1e9, 60.0), (math.inf, 60.0)]
)
def test_a_cool_down_is_what_was_asked_for_within_bounds(asked_s: float | None, kept_s: float) -> None:
    assert cool_down_s(asked_s) == kept_s


def test_a_decayed_sum_halves_and_a_clock_that_goes_back_does_no_harm() -> None:
    total = Decayed(10.0)
    assert total.at(5.0) == 0.0
    total.add(4.0, 100.0)
    assert total.at(110.0) == 2.0
    assert total.at(90.0) == 4.0
