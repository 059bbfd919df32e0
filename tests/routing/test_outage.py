"""Plan, breakers and the budget of retries together, on a clock of the test's own: outages cost little and end soon."""

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from support.routing import Deaf, deployment
from tollhouse.ir.fault import Fault, FaultKind
from tollhouse.routing.budget import BudgetRules, RetryBudget
from tollhouse.routing.health import Health, HealthRules
from tollhouse.routing.order import NO_PREFERENCES, View, order
from tollhouse.routing.plan import Plan, PlanLimits, Stage

DOWN = Fault(kind=FaultKind.PROVIDER_UNAVAILABLE, message="m", source="provider", upstream_status=500)
PROBE_S = HealthRules().breaker.probe_after_s


class World:
    """Providers that are up or down, and a gateway that calls them."""

    def __init__(self, count: int, seed: int) -> None:
        self.providers = [deployment(f"p{number}") for number in range(count)]
        self.failing = dict.fromkeys([one.provider.id for one in self.providers], 0.0)
        self.now_s = 0.0
        self.attempts = 0
        self._chance = random.Random(seed)
        self._health = Health(HealthRules(), Deaf())
        self._retries = RetryBudget(BudgetRules(), 0.0)

    def call(self) -> bool:
        """Whether it was answered; a call takes no time but its delays."""
        view = View(lambda _: self._chance.random(), lambda one: self._health.measured(one, self.now_s), lambda _: None)  # type: ignore[arg-type, return-value] -- weighted order asks for no price

        def routes():
            chosen = order(self.providers, "weighted", NO_PREFERENCES, view)
            return self._health.routes(chosen, self.now_s)

        limits = PlanLimits(attempts=3, deadline_s=self.now_s + 600)
        plan = Plan([Stage(frozenset(), routes)], self._health, self._retries, limits, self._chance.random)
        fault = None
        while (planned := plan.next(fault, self.now_s)) is not None:
            self.now_s += planned.delay_s
            self.attempts += 1
            if self._chance.random() >= self.failing[planned.choice.deployment.provider.id]:
                self._health.succeeded(planned.choice, 0.1, self.now_s)
                self._retries.answered(self.now_s, by_retry=planned.is_retry)
                return True
            fault = DOWN
            self._health.failed(planned.choice, fault, self.now_s)
        self._retries.failed(self.now_s)
        return False

    def run(self, calls: int, per_s: float) -> tuple[int, float]:
        """Answered calls, and attempts per call."""
        before = self.attempts
        answered = 0
        for _ in range(calls):
            answered += self.call()
            self.now_s += 1 / per_s
        return answered, (self.attempts - before) / calls


@pytest.mark.fault(51)
@settings(deadline=None, max_examples=15)
@given(count=st.integers(1, 6), per_s=st.sampled_from([0.2, 1.0, 10.0, 200.0]), seed=st.integers(0, 2**32))
def test_when_everything_is_down_a_call_makes_hardly_more_than_one_attempt(count: int, per_s: float, seed: int) -> None:
    world = World(count, seed)
    for name in world.failing:
        world.failing[name] = 1.0
    world.run(max(30, int(5 * per_s)), per_s)
    answered, attempts = world.run(500, per_s)
    assert answered == 0
    # At most one retry was left over from before.
    assert attempts <= 1.2 + 1 / 500


@settings(deadline=None, max_examples=15)
@given(count=st.integers(1, 6), seed=st.integers(0, 2**32), down_s=st.floats(1, 60))
# So short that no breaker has opened: the budget is empty, and five that fail look as good as the one that answers.
@example(count=6, seed=1, down_s=1.0)
def test_recovery_of_any_one_is_noticed_within_one_probe_interval(count: int, seed: int, down_s: float) -> None:
    world = World(count, seed)
    for name in world.failing:
        world.failing[name] = 1.0
    world.run(int(down_s * 10), 10.0)
    world.failing[world.providers[seed % count].provider.id] = 0.0
    back_s = world.now_s
    while not world.call():
        world.now_s += 0.1
    assert world.now_s - back_s <= PROBE_S + 0.2
    # One that answers is enough: whatever else is tried, probed or still in doubt, no caller pays for it.
    answered, _ = world.run(100, 10.0)
    assert answered == 100


@settings(deadline=None, max_examples=10)
@given(count=st.integers(2, 6), seed=st.integers(0, 2**32), share=st.sampled_from([0.2, 0.4, 0.7, 1.0]))
def test_one_of_several_that_fails_now_and_then_is_masked(count: int, seed: int, share: float) -> None:
    world = World(count, seed)
    world.failing["p0"] = share
    answered, _ = world.run(1000, 20.0)
    assert answered == 1000
