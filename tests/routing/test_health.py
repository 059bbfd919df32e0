"""Health: who is left alone and who is asked, and that a model never loses all its deployments."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.routing import Deaf, Heard, deployment
from tollhouse.catalog.entries import Deployment
from tollhouse.ir.fault import Fault, FaultKind
from tollhouse.routing.breaker import BreakerRules, State
from tollhouse.routing.health import Choice, Health, HealthRules, Route

RULES = HealthRules(breaker=BreakerRules(failures=2, probe_after_s=10.0), key_probe_s=100.0)
DOWN = Fault(kind=FaultKind.PROVIDER_UNAVAILABLE, message="m", source="provider", upstream_status=500)
REFUSED = Fault(kind=FaultKind.PROVIDER_AUTH, message="m", source="provider", upstream_status=401)
FORBIDDEN = Fault(kind=FaultKind.PROVIDER_AUTH, message="m", source="provider", upstream_status=403)
BUSY = Fault(kind=FaultKind.PROVIDER_RATE_LIMIT, message="m", source="provider", upstream_status=429)

A, B, C, D = (deployment(name) for name in "abcd")


def names(routes: list[Route]) -> list[str]:
    return [f"{route.deployment.provider.id}{'!' if route.forced else ''}" for route in routes]


def break_(health: Health, *deployments: Deployment, at_s: float = 0.0) -> None:
    for one in deployments:
        for key in range(len(one.provider.keys)):
            for _ in range(2):
                health.failed(Choice(one, key), DOWN, at_s)


def test_what_fails_is_left_out_until_its_probe_is_due() -> None:
    heard = Heard()
    health = Health(RULES, heard)
    break_(health, A)
    assert names(health.routes([A, B, C], 1.0)) == ["b", "c"]
    assert names(health.routes([A, B, C], 10.0)) == ["a", "b", "c"]
    probe = health.choose(Route(A), 10.0)
    assert probe is not None
    assert probe.probe
    assert health.choose(Route(A), 10.0) is None, "a second probe beside the first"
    health.succeeded(probe, 0.1, 10.5)
    assert names(health.routes([A, B, C], 10.5)) == ["a", "b", "c"]
    assert heard.breakers == [("a:m", 0, State.OPEN), ("a:m", 0, State.CLOSED)]


@given(
    share=st.floats(0, 1),
    count=st.integers(1, 6),
    broken=st.lists(st.tuples(st.integers(0, 5), st.floats(0, 20)), max_size=8),
    now_s=st.floats(20, 40),
)
def test_a_model_never_loses_more_than_the_share_and_never_all(
    share: float, count: int, broken: list[tuple[int, float]], now_s: float
) -> None:
    rules = HealthRules(breaker=RULES.breaker, most_ejected=share)
    health = Health(rules, Deaf())
    all_of_them = [deployment(f"p{number}") for number in range(count)]
    for number, at_s in broken:
        if number < count:
            break_(health, all_of_them[number], at_s=at_s)
    routes = health.routes(all_of_them, now_s)
    assert len(routes) >= 1
    assert count - len(routes) <= share * count
    assert len({route.deployment.name for route in routes}) == len(routes)
    choices = [health.choose(route, now_s) for route in routes]
    assert any(choice is not None for choice in choices)


def test_with_all_of_them_down_one_stays_and_it_is_the_one_whose_turn_comes_next() -> None:
    health = Health(RULES, Deaf())
    for at_s, one in ((3.0, A), (1.0, B), (2.0, C), (4.0, D)):
        break_(health, one, at_s=at_s)
    assert names(health.routes([A, B, C, D], 5.0)) == ["b!"]
    # Those whose probe is due go first, and the only permit may be somebody else's.
    assert names(health.routes([A, B, C, D], 11.0)) == ["b!"]
    assert names(health.routes([A, B, C, D], 12.5)) == ["b", "c!"]
    assert names(health.routes([A, B, C, D], 20.0)) == ["a", "b", "c", "d!"]


def test_a_single_deployment_is_asked_whatever_it_did_but_not_again_in_place() -> None:
    health = Health(RULES, Deaf())
    break_(health, A)
    (route,) = health.routes([A], 1.0)
    choice = health.choose(route, 1.0)
    assert choice == Choice(A)
    assert not health.may_repeat(Choice(A), 1.0)
    health.succeeded(Choice(A), 0.1, 2.0)
    assert health.may_repeat(Choice(A), 2.0)


@pytest.mark.fault(46)
def test_a_refused_key_is_skipped_everywhere_and_tried_again_later() -> None:
    heard = Heard()
    health = Health(RULES, heard)
    two_keys = deployment("a", keys=2)
    health.failed(Choice(two_keys, 0), REFUSED, 0.0)
    chosen = [health.choose(Route(two_keys), 1.0, spread) for spread in (0.0, 0.4, 0.6, 0.99)]
    assert [choice.key for choice in chosen if choice] == [1, 1, 1, 1]
    assert heard.keys == [("a", 0, True)]
    assert heard.breakers == [], "a refused key is no failure of the deployment"
    # Every other model of the provider knows it too.
    sibling = Deployment(provider=two_keys.provider, upstream_model="other")
    other = health.choose(Route(sibling), 1.0)
    assert other is not None
    assert other.key == 1
    # The key that works goes first; when that fails too, the probe of the other one is due.
    health.failed(Choice(two_keys, 1), REFUSED, 50.0)
    assert health.choose(Route(two_keys), 99.0) is None
    probe = health.choose(Route(two_keys), 100.0)
    assert probe == Choice(two_keys, 0, probe=True)
    health.succeeded(probe, 0.1, 100.0)
    assert heard.keys == [("a", 0, True), ("a", 1, True), ("a", 0, False)]


@pytest.mark.fault(46)
def test_a_key_that_is_forbidden_one_model_is_good_for_the_others() -> None:
    health = Health(RULES, Deaf())
    sibling = Deployment(provider=A.provider, upstream_model="other")
    health.failed(Choice(A), FORBIDDEN, 0.0)
    assert health.choose(Route(A), 1.0) is None
    assert health.choose(Route(sibling), 1.0) == Choice(sibling)


@pytest.mark.fault(45)
@pytest.mark.parametrize(("asked_s", "until_s"), [(None, 5.0), (30.0, 30.0), (3600.0, 60.0), (0.0, 0.5)])
def test_a_rate_limit_cools_down_for_as_long_as_it_says_within_bounds(asked_s: float | None, until_s: float) -> None:
    health = Health(RULES, Deaf())
    busy = Fault(kind=BUSY.kind, message="m", source="provider", retry_after_s=asked_s, upstream_status=429)
    health.failed(Choice(A), busy, 0.0)
    assert names(health.routes([A, B], until_s - 0.1)) == ["b"]
    assert names(health.routes([A, B], until_s)) == ["a", "b"]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind=FaultKind.INVALID_REQUEST, message="m", source="provider", upstream_status=400),
        Fault(kind=FaultKind.CONTENT_FILTER, message="m", source="provider", upstream_status=400),
        Fault(kind=FaultKind.PROVIDER_UNAVAILABLE, message="m", source="provider", upstream_status=404),
        BUSY,
    ],
    ids=lambda fault: f"{fault.kind}-{fault.upstream_status}",
)
def test_no_caller_can_shut_a_deployment_to_the_others_by_asking_nonsense(fault: Fault) -> None:
    health = Health(RULES, Deaf())
    for _ in range(50):
        health.failed(Choice(A), fault, 0.0)
    assert names(health.routes([A, B], 61.0)) == ["a", "b"]
    assert health.measured(A, 0.0).error_rate == 0.0


def test_answers_that_break_off_count_against_a_deployment() -> None:
    health = Health(RULES, Deaf())
    for at_s in range(20):
        health.succeeded(Choice(A), 0.1, at_s)
        health.broke_off(Choice(A), at_s)
        if names(health.routes([A, B], at_s)) == ["b"]:
            break
    assert 10 <= at_s <= 12


def test_a_probe_that_is_abandoned_frees_its_permit() -> None:
    health = Health(RULES, Deaf())
    break_(health, A)
    probe = health.choose(Route(A), 10.0)
    assert probe is not None
    health.abandoned(probe)
    assert health.choose(Route(A), 10.0) == probe


def test_times_are_measured_over_all_keys_and_forgotten() -> None:
    health = Health(RULES, Deaf())
    two_keys = deployment("a", keys=2)
    assert health.measured(two_keys, 0.0).first_byte_s is None
    health.succeeded(Choice(two_keys, 0), 1.0, 0.0)
    health.succeeded(Choice(two_keys, 1), 3.0, 0.0)
    assert health.measured(two_keys, 0.0).first_byte_s == 2.0
    # A later time weighs more than an earlier one.
    health.succeeded(Choice(two_keys, 0), 0.5, 60.0)
    measured = health.measured(two_keys, 60.0).first_byte_s
    assert measured is not None
    assert measured < 1.1
    assert health.measured(two_keys, 600.0).first_byte_s is None


def test_switched_off_nothing_is_left_alone() -> None:
    health = Health(HealthRules(enabled=False), Deaf())
    for fault in (DOWN, REFUSED, BUSY):
        for _ in range(50):
            health.failed(Choice(A), fault, 0.0)
    health.broke_off(Choice(A), 0.0)
    assert names(health.routes([A, B], 0.0)) == ["a", "b"]


def test_proven_is_whose_last_call_was_answered_and_who_may_be_asked_now() -> None:
    health = Health(RULES, Deaf())
    two_keys = deployment("a", keys=2)
    assert health.choose(Route(two_keys, forced=True), 0.0, proven=True) is None, "nothing is known of it"
    health.succeeded(Choice(two_keys, 1), 0.1, 0.0)
    assert health.choose(Route(two_keys), 0.0, proven=True) == Choice(two_keys, 1)
    health.failed(Choice(two_keys, 1), DOWN, 1.0)
    assert health.choose(Route(two_keys), 1.0, proven=True) is None, "one failure is a doubt"
    health.succeeded(Choice(two_keys, 1), 0.1, 2.0)
    health.failed(Choice(two_keys, 1), BUSY, 3.0)
    assert health.choose(Route(two_keys), 4.0, proven=True) is None, "it answers, but it asked for time"
    assert health.choose(Route(two_keys), 8.0, proven=True) == Choice(two_keys, 1)
