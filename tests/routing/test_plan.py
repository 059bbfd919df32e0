"""Law 9: a plan ends, keeps its budgets, never comes back to what it has left, and asks nobody after the caller's own
fault."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.routing import Deaf, deployment
from tollhouse.catalog.entries import Deployment
from tollhouse.ir.fault import Fault, FaultKind
from tollhouse.routing.breaker import BreakerRules
from tollhouse.routing.budget import BudgetRules, RetryBudget
from tollhouse.routing.health import Choice, Health, HealthRules, Route
from tollhouse.routing.plan import Plan, PlanLimits, Reason, Stage

PASSING = (FaultKind.PROVIDER_UNAVAILABLE, FaultKind.PROVIDER_OVERLOADED, FaultKind.PROVIDER_RATE_LIMIT)
CALLERS_OWN = (FaultKind.INVALID_REQUEST, FaultKind.CONTEXT_LENGTH, FaultKind.CONTENT_FILTER)
RICH = BudgetRules(start=100.0, most=100.0)
ALL: frozenset[Reason] = frozenset({"unavailable", "context_length", "content_filter"})


def stage(*deployments: Deployment, reasons: frozenset[Reason] = frozenset(), forced: bool = True) -> Stage:
    routes = [Route(one, forced=forced) for one in deployments]
    return Stage(reasons, lambda: routes)


def plan(
    *stages: Stage,
    attempts: int = 3,
    budget_s: float = 600.0,
    chance: float = 0.5,
    health: Health | None = None,
    retries: RetryBudget | None = None,
) -> Plan:
    gate = health or Health(HealthRules(), Deaf())
    limits = PlanLimits(attempts=attempts, deadline_s=budget_s)
    return Plan(stages, gate, retries or RetryBudget(RICH, 0.0), limits, lambda: chance)


def fault(kind: FaultKind, retry_after_s: float | None = None, status: int | None = None) -> Fault:
    return Fault(kind=kind, message="m", source="provider", retry_after_s=retry_after_s, upstream_status=status)


faults = st.builds(
    fault,
    st.sampled_from(list(FaultKind)),
    st.none() | st.floats(min_value=0, max_value=10_000, allow_nan=False),
    st.sampled_from([None, 401, 402, 403, 404, 429, 500, 503]),
)


@given(
    models=st.lists(st.tuples(st.integers(0, 4), st.sets(st.sampled_from(sorted(ALL)))), min_size=1, max_size=4),
    keys=st.integers(1, 3),
    attempts=st.integers(1, 8),
    budget_s=st.floats(0.1, 100),
    chance=st.floats(0, 0.999),
    start=st.floats(0, 6),
    happened=st.lists(st.tuples(faults, st.floats(0, 5)), max_size=20),
)
def test_a_plan_ends_within_its_budgets_and_never_returns(
    models: list[tuple[int, set[Reason]]],
    keys: int,
    attempts: int,
    budget_s: float,
    chance: float,
    start: float,
    happened: list[tuple[Fault, float]],
) -> None:
    stages = [
        stage(*(deployment(f"p{at}-{number}", keys=keys) for number in range(count)), reasons=frozenset(reasons))
        for at, (count, reasons) in enumerate(models)
    ]
    health = Health(HealthRules(breaker=BreakerRules(failures=2)), Deaf())
    retries = RetryBudget(BudgetRules(start=start, per_s=0.0), 0.0)
    subject = plan(*stages, attempts=attempts, budget_s=budget_s, chance=chance, health=health, retries=retries)
    now_s = 0.0
    asked: list[tuple[int, str]] = []
    charged = 0
    planned = subject.next(None, now_s)
    for happening, took_s in happened:
        if planned is None:
            break
        assert planned.delay_s >= 0
        now_s += planned.delay_s
        assert now_s < budget_s
        asked.append((planned.stage, planned.choice.deployment.name))
        charged += planned.is_retry
        now_s += took_s
        health.failed(planned.choice, happening, now_s)
        last, planned = planned, subject.next(happening, now_s)
        if not happening.from_provider and planned is not None:
            assert planned.stage > last.stage
            assert happening.kind.value in stages[planned.stage].reasons
        if planned is not None and planned.stage > last.stage and happening.from_provider:
            assert "unavailable" in stages[planned.stage].reasons
    assert len(asked) <= attempts
    assert charged <= start + 0.2 + 1e-6
    runs = [name for name, _ in itertools.groupby(asked)]
    assert len(runs) == len(set(runs)), "came back to a deployment it had left"
    assert [at for at, _ in runs] == sorted(at for at, _ in runs), "came back to a model it had left"


@pytest.mark.row(94)
@pytest.mark.parametrize("kind", PASSING)
def test_one_deployment_is_asked_three_times_in_all_for_what_may_pass(kind: FaultKind) -> None:
    subject = plan(stage(deployment("only")))
    delays: list[float] = []
    planned = subject.next(None, 0.0)
    while planned is not None:
        delays.append(planned.delay_s)
        planned = subject.next(fault(kind), 1.0)
    assert delays == [0.0, 0.25, 0.5]


@pytest.mark.row(94)
@pytest.mark.parametrize("kind", CALLERS_OWN)
def test_the_callers_own_faults_are_not_tried_again(kind: FaultKind) -> None:
    subject = plan(stage(deployment("a"), deployment("b")))
    assert subject.next(None, 0.0) is not None
    assert subject.next(fault(kind), 0.0) is None


def test_another_deployment_is_asked_at_once() -> None:
    subject = plan(stage(deployment("a"), deployment("b")))
    first = subject.next(None, 0.0)
    second = subject.next(fault(FaultKind.PROVIDER_AUTH), 0.0)
    assert first is not None
    assert second is not None
    assert [first.choice.deployment.provider.id, second.choice.deployment.provider.id] == ["a", "b"]
    assert (second.delay_s, second.why) == (0.0, "failover")
    assert subject.next(fault(FaultKind.PROVIDER_AUTH), 0.0) is None


@pytest.mark.row(94)
@pytest.mark.fault(45)
def test_retry_after_is_honoured_up_to_a_bound() -> None:
    patient = plan(stage(deployment("only")))
    assert patient.next(None, 0.0) is not None
    again = patient.next(fault(FaultKind.PROVIDER_RATE_LIMIT, 7.0), 0.0)
    assert again is not None
    assert (again.delay_s, again.why) == (7.0, "again")
    hopeless = plan(stage(deployment("only")))
    assert hopeless.next(None, 0.0) is not None
    assert hopeless.next(fault(FaultKind.PROVIDER_RATE_LIMIT, 3600.0), 0.0) is None


def test_delays_are_spread_by_chance() -> None:
    delays: list[float] = []
    for chance in (0.0, 0.999):
        subject = plan(stage(deployment("only")), chance=chance)
        subject.next(None, 0.0)
        again = subject.next(fault(FaultKind.PROVIDER_UNAVAILABLE), 0.0)
        assert again is not None
        delays.append(again.delay_s)
    assert delays[0] == pytest.approx(0.125)
    assert delays[1] == pytest.approx(0.375, rel=0.01)


def test_a_timeout_is_not_waited_for_twice() -> None:
    subject = plan(stage(deployment("only")))
    assert subject.next(None, 0.0) is not None
    assert subject.next(fault(FaultKind.PROVIDER_TIMEOUT), 300.0) is None


@pytest.mark.row(94)
@pytest.mark.parametrize(
    ("kind", "status", "again"),
    [
        (FaultKind.PROVIDER_UNAVAILABLE, 402, False),
        (FaultKind.PROVIDER_UNAVAILABLE, 404, False),
        pytest.param(FaultKind.PROVIDER_UNAVAILABLE, 429, False, id="our account is empty"),
        (FaultKind.PROVIDER_RATE_LIMIT, 429, True),
        (FaultKind.PROVIDER_UNAVAILABLE, 500, True),
        (FaultKind.PROVIDER_UNAVAILABLE, None, True),
    ],
)
def test_a_settled_no_is_not_asked_again_in_place(kind: FaultKind, status: int | None, again: bool) -> None:
    subject = plan(stage(deployment("one")))
    subject.next(None, 0.0)
    assert (subject.next(fault(kind, status=status), 0.0) is not None) == again


@pytest.mark.row(94)
def test_a_settled_no_still_leads_to_another_deployment() -> None:
    subject = plan(stage(deployment("one"), deployment("two")))
    subject.next(None, 0.0)
    planned = subject.next(fault(FaultKind.PROVIDER_UNAVAILABLE, status=404), 0.0)
    assert planned is not None
    assert planned.choice.deployment.provider.id == "two"


@pytest.mark.fault(46)
def test_a_refused_key_gives_way_to_the_next_one_and_then_to_another_deployment() -> None:
    health = Health(HealthRules(), Deaf())
    subject = plan(stage(deployment("a", keys=2), deployment("b")), attempts=5, chance=0.0, health=health)
    asked: list[tuple[str, int, str]] = []
    refused = fault(FaultKind.PROVIDER_AUTH, status=401)
    planned = subject.next(None, 0.0)
    while planned is not None:
        asked.append((planned.choice.deployment.provider.id, planned.choice.key, planned.why))
        health.failed(planned.choice, refused, 0.0)
        planned = subject.next(refused, 0.0)
    assert asked == [("a", 0, "first"), ("a", 1, "key"), ("b", 0, "failover")]


def kinds_asked(subject: Plan, kinds: Sequence[FaultKind]) -> list[tuple[str, str]]:
    asked: list[tuple[str, str]] = []
    planned = subject.next(None, 0.0)
    for kind in kinds:
        assert planned is not None
        asked.append((planned.choice.deployment.provider.id, planned.why))
        planned = subject.next(fault(kind), 0.0)
    if planned is not None:
        asked.append((planned.choice.deployment.provider.id, planned.why))
    return asked


def test_another_model_answers_for_the_reasons_it_is_there_for() -> None:
    def subject() -> Plan:
        return plan(
            stage(deployment("a"), deployment("b")),
            stage(deployment("long"), reasons=frozenset({"context_length"})),
            stage(deployment("open"), reasons=frozenset({"content_filter"})),
            stage(deployment("spare"), reasons=frozenset({"unavailable"})),
        )

    assert kinds_asked(subject(), [FaultKind.CONTEXT_LENGTH]) == [("a", "first"), ("long", "fallback")]
    assert kinds_asked(subject(), [FaultKind.CONTENT_FILTER]) == [("a", "first"), ("open", "fallback")]
    # The last of three attempts is kept for another model.
    down = [FaultKind.PROVIDER_UNAVAILABLE] * 2
    assert kinds_asked(subject(), down) == [("a", "first"), ("b", "failover"), ("spare", "fallback")]


def test_a_model_none_of_whose_deployments_can_be_asked_is_passed_over() -> None:
    subject = plan(stage(deployment("a")), stage(reasons=ALL), stage(deployment("c"), reasons=ALL))
    assert kinds_asked(subject, [FaultKind.CONTENT_FILTER]) == [("a", "first"), ("c", "fallback")]


def test_an_empty_budget_of_retries_ends_the_plan_and_says_so() -> None:
    subject = plan(stage(deployment("a"), deployment("b")), retries=RetryBudget(BudgetRules(start=0.0), 0.0))
    assert subject.next(None, 0.0) is not None
    assert subject.next(fault(FaultKind.PROVIDER_UNAVAILABLE), 0.0) is None
    assert subject.denied


def with_one_that_answered(*, failed: Sequence[Deployment], answered: Deployment) -> Health:
    health = Health(HealthRules(breaker=BreakerRules(failures=2)), Deaf())
    for one in failed:
        health.failed(Choice(one), fault(FaultKind.PROVIDER_UNAVAILABLE), 0.0)
    health.succeeded(Choice(answered), 0.1, 0.0)
    return health


def asked(subject: Plan) -> list[str]:
    """Whom the plan asks when nobody answers."""
    names: list[str] = []
    happened: Fault | None = None
    while (planned := subject.next(happened, 0.0)) is not None:
        names.append(planned.choice.deployment.provider.id)
        happened = fault(FaultKind.PROVIDER_UNAVAILABLE)
    return names


@pytest.mark.parametrize(
    ("start", "expected"),
    [(0.0, ["d"]), (0.8, ["a", "d"]), (1.8, ["a", "b", "d"]), (5.0, ["a", "b", "d"])],
)
def test_the_last_attempt_that_can_be_afforded_goes_to_one_that_answered(start: float, expected: list[str]) -> None:
    four = [deployment(name) for name in "abcd"]
    health = with_one_that_answered(failed=four[:3], answered=four[3])
    retries = RetryBudget(BudgetRules(start=start, per_s=0.0), 0.0)
    assert asked(plan(stage(*four, forced=False), health=health, retries=retries)) == expected


@pytest.mark.parametrize(("attempts", "per_call"), [(1, 0.2), (3, 0.0)])
def test_where_no_call_can_ever_afford_a_retry_the_doubtful_ones_are_asked_in_their_turn(
    attempts: int, per_call: float
) -> None:
    two = [deployment(name) for name in "ab"]
    health = with_one_that_answered(failed=two[:1], answered=two[1])
    retries = RetryBudget(BudgetRules(start=0.0, per_s=0.0, per_call=per_call), 0.0)
    assert asked(plan(stage(*two, forced=False), attempts=attempts, health=health, retries=retries)) == ["a"]


def test_a_probe_is_sent_when_the_call_can_go_on_without_it() -> None:
    two = [deployment(name) for name in "ab"]
    health = with_one_that_answered(failed=[two[0], two[0]], answered=two[1])
    for start, expected in ((0.0, "b"), (1.0, "a")):
        retries = RetryBudget(BudgetRules(start=start, per_s=0.0), 0.0)
        planned = plan(stage(*two, forced=False), health=health, retries=retries).next(None, 20.0)
        assert planned is not None
        assert planned.choice.deployment.provider.id == expected
        assert planned.choice.probe == (expected == "a")
