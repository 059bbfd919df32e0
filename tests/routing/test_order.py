"""In which order deployments are asked: by weight, as written, by price, by speed, and as callers wish."""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.routing import deployment
from tollhouse.catalog.entries import Deployment, Price, Rates, Strategy
from tollhouse.routing.order import NO_PREFERENCES, MaxPrice, Measured, Preferences, View, order


def price(prompt: int, completion: int = 0) -> Price:
    return Price(rates=Rates(prompt=prompt * 10**6, completion=completion * 10**6))


FREE = Price()


def view(draw: Callable[[Deployment], float] = lambda _: 0.5, measured: Mapping[str, Measured] | None = None) -> View:
    times = measured or {}
    return View(draw, lambda one: times.get(one.provider.id, Measured()), lambda one: one.price or FREE)


def names(
    deployments: Sequence[Deployment],
    strategy: Strategy = "weighted",
    wanted: Preferences = NO_PREFERENCES,
    seen: View | None = None,
) -> str:
    return "".join(one.provider.id for one in order(deployments, strategy, wanted, seen or view()))


def test_the_first_goes_as_often_as_its_weight_says() -> None:
    chance = random.Random(7)
    two = [deployment("a", weight=3), deployment("b", weight=1)]
    firsts = Counter(names(two, seen=view(lambda _: chance.random()))[0] for _ in range(4000))
    assert 0.72 < firsts["a"] / 4000 < 0.78


@given(
    orders=st.lists(st.integers(0, 3), min_size=1, max_size=6),
    strategy=st.sampled_from(["weighted", "ordered", "cheapest", "fastest"]),
    seed=st.integers(0, 1000),
)
def test_nothing_is_lost_and_order_goes_before_everything_else(
    orders: list[int], strategy: Strategy, seed: int
) -> None:
    chance = random.Random(seed)
    given_ = [deployment(f"p{at}", order=level) for at, level in enumerate(orders)]
    found = order(given_, strategy, NO_PREFERENCES, view(lambda _: chance.random()))
    assert [one.order for one in found] == sorted(orders)
    assert {one.name for one in found} == {one.name for one in given_}


def test_as_written_by_price_and_by_speed() -> None:
    three = [
        deployment("a", price=price(2, 1)),
        deployment("b", price=price(1, 1)),
        deployment("c", price=price(1, 2)),
    ]
    assert names(three, "ordered") == "abc"
    assert names(three, "cheapest") == "bca"
    times = {"a": Measured(0.5), "b": Measured(2.0), "c": Measured(0.1)}
    assert names(three, "fastest", seen=view(measured=times)) == "cab"
    # Errors are time: whoever fails nine times of ten has to be asked ten times.
    times["c"] = Measured(0.1, error_rate=0.9)
    assert names(three, "fastest", seen=view(measured=times)) == "acb"
    # What nobody has measured of late is asked, and so measured.
    del times["b"]
    assert names(three, "fastest", seen=view(measured=times)) == "bac"


def test_among_equals_the_draw_decides_so_that_a_conversation_can_stay() -> None:
    two = [deployment("a", price=price(1)), deployment("b", price=price(1))]
    times = {"a": Measured(0.100), "b": Measured(0.103)}
    for strategy in ("cheapest", "fastest", "weighted"):
        for favoured in "ab":
            drawn = view(lambda one, f=favoured: 0.9 if one.provider.id == f else 0.1, times)
            assert names(two, strategy, seen=drawn)[0] == favoured


ABC = [
    deployment(name, order=level, price=price(cost))
    for level, (name, cost) in enumerate([("a", 3), ("b", 2), ("c", 1)])
]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Preferences(order=("c", "a")), "cab"),
        (Preferences(order=("c", "a"), fallbacks=False), "ca"),
        (Preferences(order=("nobody",)), "abc"),
        (Preferences(order=("nobody",), fallbacks=False), ""),
        (Preferences(fallbacks=False), "a"),
        (Preferences(only=("b", "c")), "bc"),
        (Preferences(ignore=("a",), only=("a", "b")), "b"),
        (Preferences(sort="cheapest"), "cba"),
        (Preferences(sort="cheapest", fallbacks=False), "c"),
        (Preferences(max_price=MaxPrice(prompt=2.0)), "bc"),
        (Preferences(max_price=MaxPrice(completion=0.0)), "abc"),
        (Preferences(max_price=MaxPrice(prompt=0.5)), ""),
    ],
    ids=repr,
)
def test_what_callers_wish(wanted: Preferences, found: str) -> None:
    assert names(ABC, wanted=wanted) == found


def test_a_price_per_image_has_a_bound_too() -> None:
    assert MaxPrice(image=0.04).covers(Price(per_image_pico_usd=4 * 10**10))
    assert not MaxPrice(image=0.039).covers(Price(per_image_pico_usd=4 * 10**10))
