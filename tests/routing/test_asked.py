"""What a request says about its routing: read strictly, taken out, never in the way of anything else."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.catalog.entries import Catalog, Creator, Deployment, Model, Price, Provider
from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.routing.asked import NOTHING_ASKED, Asked, take_asked
from tollhouse.routing.order import MaxPrice
from tollhouse.wire.registry import FORMATS

CHAT = next(form for form in FORMATS if form.name == "openai_chat")
OPENAI = Provider(id="openai", format="openai_chat", base_url="http://127.0.0.1/v1")
MODEL = Model(
    slug="a",
    name="A",
    creator=Creator(slug="c", name="C"),
    deployments=(Deployment(provider=OPENAI, upstream_model="a"),),
    price=Price(),
    aliases=("b",),
)
CATALOG = Catalog({"openai": OPENAI}, (MODEL,))


def take(**fields: Any) -> tuple[dict[str, Any], Asked]:
    scan, asked = take_asked(CHAT.scan(json.dumps({"model": "m", "messages": [], **fields}).encode()), CATALOG)
    return {name: json.loads(bytes(raw)) for name, raw in scan.fields.items()}, asked


def test_a_request_that_says_nothing_is_left_as_it_is() -> None:
    scan = CHAT.scan(b'{"model": "m", "messages": []}')
    assert take_asked(scan, CATALOG) == (scan, NOTHING_ASKED)
    for nothing in (None, {}):
        fields, asked = take(provider=nothing, models=None)
        assert fields == {"model": "m", "messages": []}
        assert asked == NOTHING_ASKED


def test_what_names_nobody_here_is_meant_for_the_provider() -> None:
    theirs = {"only": ["fireworks"], "order": ["groq/fast"], "sort": "price", "quantizations": ["fp8"]}
    fields, asked = take(provider=theirs, models=["x-ai/grok-4"])
    assert fields == {"model": "m", "messages": [], "provider": theirs, "models": ["x-ai/grok-4"]}
    assert asked == NOTHING_ASKED
    fields, asked = take(provider=theirs | {"ignore": ["OpenAI"]}, models=["x-ai/grok-4", "b"])
    assert fields == {"model": "m", "messages": []}
    assert asked.models == ("x-ai/grok-4", "b")
    assert asked.preferences.ignore == ("openai",)


def test_all_of_it() -> None:
    fields, asked = take(
        models=["m", "a", "b", "a"],
        provider={
            "order": ["OpenAI", "together/fp8"],
            "only": ["x"],
            "ignore": ["y"],
            "sort": {"by": "price", "partition": "none"},
            "max_price": {"prompt": "1.5", "completion": 2, "request": 1},
            "allow_fallbacks": False,
            "data_collection": "allow",
            "quantizations": ["fp8"],
            "zdr": False,
        },
    )
    assert fields == {"model": "m", "messages": []}
    wanted = asked.preferences
    assert asked.models == ("a", "b")
    assert (wanted.order, wanted.only, wanted.ignore) == (("openai", "together"), ("x",), ("y",))
    assert (wanted.sort, wanted.fallbacks) == ("cheapest", False)
    assert wanted.max_price == MaxPrice(prompt=1.5, completion=2.0)
    assert [loss.path for loss in asked.losses] == ["provider.quantizations"]


@pytest.mark.parametrize(
    ("word", "strategy"), [("price", "cheapest"), ("throughput", "fastest"), ("latency", "fastest")]
)
def test_sorting_by_one_word(word: str, strategy: str) -> None:
    assert take(provider={"sort": word})[1].preferences.sort == strategy


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"models": "a"}, "models"),
        ({"models": [1]}, "models"),
        ({"models": ["a"] * 33}, "models"),
        ({"models": [""]}, "models"),
        ({"provider": []}, "provider"),
        ({"provider": {"only": [1]}}, "provider.only[0]"),
        ({"provider": {"allow_fallbacks": "no"}}, "provider.allow_fallbacks"),
        ({"provider": {"max_price": {"prompt": -1}}}, "provider.max_price.prompt"),
        ({"provider": {"data_collection": "deny"}}, "provider.data_collection"),
        ({"provider": {"enforce_distillable_text": True}}, "provider.enforce_distillable_text"),
    ],
    ids=repr,
)
def test_what_does_not_fit_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(FaultError) as caught:
        take(**fields)
    assert (caught.value.fault.kind, caught.value.fault.param) == (FaultKind.INVALID_REQUEST, param)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = ("order", "only", "ignore", "sort", "max_price", "allow_fallbacks", "data_collection", "zdr", "other")


@given(st.dictionaries(st.sampled_from(KEYS), json_values) | json_values, json_values)
def test_whatever_stands_there_is_read_or_refused(provider: Any, models: Any) -> None:
    kind, fields = None, {"model": "m", "messages": []}
    try:
        fields, _ = take(provider=provider, models=models)
    except FaultError as error:
        kind = error.fault.kind
    assert kind in (None, FaultKind.INVALID_REQUEST)
    # What names nobody here is not meant for the gateway.
    left = {name: value for name, value in (("provider", provider), ("models", models)) if name in fields}
    assert fields == {"model": "m", "messages": []} | left
