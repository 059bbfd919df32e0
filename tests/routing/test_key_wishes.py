"""What a key says of providers: a request narrows it, whatever it asks for, and never widens it."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.routing import deployment
from tollhouse.catalog.entries import Price, Rates
from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.routing.asked import Asked, read_provider
from tollhouse.routing.key_wishes import read_key_wishes, within_key
from tollhouse.routing.order import NO_PREFERENCES, Measured, Preferences, View, order

NAMES = "abcde"
PRICES = {name: Price(rates=Rates(prompt=place * 1_000_000, completion=1)) for place, name in enumerate(NAMES, 1)}
DEPLOYMENTS = [deployment(name, price=PRICES[name]) for name in NAMES]
VIEW = View(lambda _: 0.5, lambda _: Measured(), lambda one: PRICES[one.provider.id])

names = st.lists(st.sampled_from(NAMES), unique=True, max_size=4)
wishes = st.fixed_dictionaries(
    {},
    optional={
        "order": names,
        "only": names,
        "ignore": names,
        "sort": st.sampled_from(["price", "latency"]),
        "max_price": st.fixed_dictionaries({}, optional={"prompt": st.integers(0, 6)}),
    },
)


def asked(given_: Mapping[str, Any]) -> Asked:
    """A request's wishes, as they are read."""
    preferences, _ = read_provider(msgspec.Raw(json.dumps(given_).encode()))
    return Asked(preferences=preferences)


def chosen(wanted: Preferences) -> list[str]:
    return [one.provider.id for one in order(DEPLOYMENTS, "ordered", wanted, VIEW)]


@given(of_key=wishes, own=wishes)
def test_a_request_goes_nowhere_that_its_key_may_not_go(of_key: dict[str, Any], own: dict[str, Any]) -> None:
    allowed = set(chosen(read_key_wishes(json.dumps(of_key))))
    both = own.get("only") and of_key.get("only")
    if both and set(own["only"]).isdisjoint(of_key["only"]):
        with pytest.raises(FaultError) as caught:
            within_key(asked(own), json.dumps(of_key))
        assert caught.value.fault.kind is FaultKind.INVALID_REQUEST
        return
    found = chosen(within_key(asked(own), json.dumps(of_key)).preferences)
    assert set(found) == allowed & set(chosen(asked(own).preferences))


@given(of_key=wishes)
def test_a_request_without_wishes_has_its_keys(of_key: dict[str, Any]) -> None:
    document = json.dumps(of_key)
    assert within_key(Asked(), document).preferences == read_key_wishes(document)


def test_a_request_that_names_an_order_decides_it_and_one_that_does_not_has_the_keys() -> None:
    document = json.dumps({"order": ["c", "b"], "sort": "latency"})
    assert chosen(within_key(asked({}), document).preferences)[:2] == ["c", "b"]
    assert chosen(within_key(asked({"ignore": ["c"]}), document).preferences)[0] == "b"
    assert chosen(within_key(asked({"order": ["d"]}), document).preferences)[0] == "d"
    assert chosen(within_key(asked({"sort": "price"}), document).preferences) == list(NAMES)


def test_what_the_request_says_besides_is_kept() -> None:
    own = Asked(models=("x",), preferences=Preferences(fallbacks=False))
    found = within_key(own, '{"only": ["a"]}')
    assert found.models == ("x",)
    assert not found.preferences.fallbacks
    assert found.preferences is not NO_PREFERENCES


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ("[]", "JSON object"),
        ("{", "JSON object"),
        ('{"allow_fallbacks": false}', "allow_fallbacks"),
        ('{"zdr": true}', "zdr"),
        ('{"only": "a"}', "provider.only"),
        ('{"sort": "luck"}', "provider.sort"),
        ('{"max_price": {"prompt": -1}}', "provider.max_price.prompt"),
    ],
)
def test_what_a_key_cannot_wish_for_is_refused_by_its_name(document: str, named: str) -> None:
    with pytest.raises(FaultError, match=named):
        read_key_wishes(document)
