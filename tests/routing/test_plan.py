"""Law 9: a plan ends, keeps its budget, and never comes back to a deployment it has left."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.catalog.entries import Deployment, Provider
from tollhouse.ir.fault import Fault, FaultKind
from tollhouse.routing.plan import Plan

PASSING = (FaultKind.PROVIDER_UNAVAILABLE, FaultKind.PROVIDER_OVERLOADED, FaultKind.PROVIDER_RATE_LIMIT)
CALLERS_OWN = (FaultKind.INVALID_REQUEST, FaultKind.CONTEXT_LENGTH, FaultKind.CONTENT_FILTER)


def deployment(name: str, order: int = 0) -> Deployment:
    provider = Provider(id=name, format="openai_chat", base_url="http://127.0.0.1:1")
    return Deployment(provider=provider, upstream_model="m", order=order)


def plan(*deployments: Deployment, attempts: int = 3, budget_s: float = 600.0, chance: float = 0.5) -> Plan:
    return Plan(deployments, attempts=attempts, started_s=0.0, budget_s=budget_s, chance=lambda: chance)


def fault(kind: FaultKind, retry_after_s: float | None = None) -> Fault:
    return Fault(kind=kind, message="m", retry_after_s=retry_after_s)


faults = st.builds(
    fault, st.sampled_from(list(FaultKind)), st.none() | st.floats(min_value=0, max_value=10_000, allow_nan=False)
)


@given(
    orders=st.lists(st.integers(0, 3), min_size=1, max_size=6),
    attempts=st.integers(1, 8),
    budget_s=st.floats(0.1, 100),
    chance=st.floats(0, 0.999),
    happened=st.lists(st.tuples(faults, st.floats(0, 5)), max_size=20),
)
def test_a_plan_ends_within_its_budget_and_never_returns(
    orders: list[int], attempts: int, budget_s: float, chance: float, happened: list[tuple[Fault, float]]
) -> None:
    chosen = [deployment(f"p{number}", order) for number, order in enumerate(orders)]
    subject = plan(*chosen, attempts=attempts, budget_s=budget_s, chance=chance)
    now_s = 0.0
    asked: list[str] = []
    planned = subject.next(None, now_s)
    for happening, took_s in happened:
        if planned is None:
            break
        assert planned.delay_s >= 0
        now_s += planned.delay_s
        assert now_s < budget_s
        asked.append(planned.deployment.provider.id)
        now_s += took_s
        planned = subject.next(happening, now_s)
        if not happening.from_provider:
            assert planned is None
    assert len(asked) <= attempts
    runs = [name for name, _ in itertools.groupby(asked)]
    assert len(runs) == len(set(runs)), "came back to a deployment it had left"
    by_name = dict(zip((d.provider.id for d in chosen), orders, strict=True))
    assert [by_name[name] for name in runs] == sorted(by_name[name] for name in runs)


@pytest.mark.row(94)
@pytest.mark.parametrize("kind", PASSING)
def test_one_deployment_is_asked_three_times_in_all_for_what_may_pass(kind: FaultKind) -> None:
    subject = plan(deployment("only"))
    delays = []
    planned = subject.next(None, 0.0)
    while planned is not None:
        delays.append(planned.delay_s)
        planned = subject.next(fault(kind), 1.0)
    assert delays == [0.0, 0.25, 0.5]


@pytest.mark.row(94)
@pytest.mark.parametrize("kind", CALLERS_OWN)
def test_the_callers_own_faults_are_not_tried_again(kind: FaultKind) -> None:
    subject = plan(deployment("a"), deployment("b"))
    assert subject.next(None, 0.0) is not None
    assert subject.next(fault(kind), 0.0) is None


def test_another_deployment_is_asked_at_once() -> None:
    subject = plan(deployment("b", 1), deployment("a", 0))
    first = subject.next(None, 0.0)
    second = subject.next(fault(FaultKind.PROVIDER_AUTH), 0.0)
    assert first is not None
    assert second is not None
    assert [first.deployment.provider.id, second.deployment.provider.id] == ["a", "b"]
    assert second.delay_s == 0.0
    assert subject.next(fault(FaultKind.PROVIDER_AUTH), 0.0) is None


@pytest.mark.row(94)
def test_retry_after_is_honoured_up_to_a_bound() -> None:
    patient = plan(deployment("only"))
    assert patient.next(None, 0.0) is not None
    again = patient.next(fault(FaultKind.PROVIDER_RATE_LIMIT, 7.0), 0.0)
    assert again is not None
    assert again.delay_s == 7.0
    hopeless = plan(deployment("only"))
    assert hopeless.next(None, 0.0) is not None
    assert hopeless.next(fault(FaultKind.PROVIDER_RATE_LIMIT, 3600.0), 0.0) is None


def test_a_timeout_is_not_waited_for_twice() -> None:
    subject = plan(deployment("only"))
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
    subject = plan(deployment("one"))
    subject.next(None, 0.0)
    refused = Fault(kind=kind, message="m", upstream_status=status)
    assert (subject.next(refused, 0.0) is not None) == again


@pytest.mark.row(94)
def test_a_settled_no_still_leads_to_another_deployment() -> None:
    subject = plan(deployment("one"), deployment("two"))
    subject.next(None, 0.0)
    gone = Fault(kind=FaultKind.PROVIDER_UNAVAILABLE, message="m", upstream_status=404)
    planned = subject.next(gone, 0.0)
    assert planned is not None
    assert planned.deployment.provider.id == "two"
