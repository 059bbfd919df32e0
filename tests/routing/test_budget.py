"""The budget of retries: a storm is bounded, a provider that flaps among others is masked for ever."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.routing.budget import BudgetRules, RetryBudget

RULES = BudgetRules()


@pytest.mark.fault(51)
@given(calls=st.lists(st.floats(0, 2), max_size=300), most=st.integers(1, 10))
def test_when_everything_fails_retries_are_a_fifth_of_the_calls_and_what_time_gives(
    calls: list[float], most: int
) -> None:
    budget = RetryBudget(RULES, 0.0)
    now_s, retries = 0.0, 0
    for gap_s in calls:
        now_s += gap_s
        budget.call()
        retries += sum(budget.withdraw(now_s) for _ in range(most))
    assert retries <= RULES.start + RULES.per_call * len(calls) + RULES.per_s * now_s + 1e-6


@given(st.integers(0, 2**32))
def test_a_provider_that_fails_half_of_the_time_is_masked_for_ever(seed: int) -> None:
    chance = random.Random(seed)
    budget = RetryBudget(RULES, 0.0)
    for _ in range(2000):
        budget.call()
        if chance.random() < 0.5:
            assert budget.withdraw(0.0), "a retry that would have succeeded was denied"
            budget.answered(0.0, by_retry=True)


def test_time_gives_a_little_and_never_more_than_the_most() -> None:
    budget = RetryBudget(BudgetRules(start=0.0, per_s=0.1, most=2.0), 0.0)
    assert not budget.withdraw(9.0)
    assert budget.withdraw(10.0)
    assert not budget.withdraw(10.0)
    assert [budget.withdraw(1e6) for _ in range(3)] == [True, True, False]
    # A clock that goes back takes nothing and gives nothing.
    assert not budget.withdraw(0.0)


def test_time_gives_nothing_while_calls_fail() -> None:
    budget = RetryBudget(BudgetRules(start=0.0, per_s=0.1), 0.0)
    budget.failed(0.0)
    assert budget.left(1e6) == 0.0
    budget.answered(1e6, by_retry=False)
    assert budget.left(1e6 + 10) == pytest.approx(1.0)


def test_five_calls_pay_for_one_retry() -> None:
    budget = RetryBudget(BudgetRules(start=0.0, per_s=0.0), 0.0)
    outcomes: list[bool] = []
    for _ in range(10):
        budget.call()
        outcomes.append(budget.withdraw(0.0))
    assert outcomes == ([False] * 4 + [True]) * 2
