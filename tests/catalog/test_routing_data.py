"""What a catalogue says about routing: strategies, fallbacks, several keys, a deployment's own price."""

from pathlib import Path

import pytest

from tollhouse.catalog.entries import Catalog, Fallbacks
from tollhouse.catalog.load import load_catalog
from tollhouse.catalog.problems import CatalogError
from tollhouse.wire.registry import OPERATIONS

PROVIDERS = """
providers:
  - {id: p, format: openai_chat, base_url: 'https://p.example/v1', api_keys: ['${ONE}', '${TWO}', '${THREE}']}
  - {id: q, format: openai_chat, base_url: 'https://q.example/v1', api_key: none}
models:
  - {slug: m/plain, free: true, deployments: [{provider: q, model: x}]}
  - {slug: w/*, free: true, deployments: [{provider: q, model: '*'}]}
"""


def load(tmp_path: Path, more: str, **environ: str) -> Catalog:
    file = tmp_path / "c.yaml"
    file.write_text(PROVIDERS + more)
    return load_catalog(file, environ, OPERATIONS).catalog


def complaints(tmp_path: Path, more: str, providers: str = PROVIDERS) -> list[str]:
    file = tmp_path / "c.yaml"
    file.write_text(providers + more)
    with pytest.raises(CatalogError) as caught:
        load_catalog(file, {"ONE": "1"}, OPERATIONS)
    return [f"{problem.path}: {problem.message}" for problem in caught.value.problems]


def test_keys_are_those_whose_variables_are_set_each_once(tmp_path: Path) -> None:
    found = load(tmp_path, "", ONE="k1", THREE="k3").providers["p"]
    assert found.keys == ("k1", "k3")
    assert "k1" not in repr(found)
    assert "k3" not in repr(found)
    assert load(tmp_path, "", ONE="k", TWO="k").providers["p"].keys == ("k",)
    assert load(tmp_path, "").providers["q"].keys == (None,)
    file = tmp_path / "c.yaml"
    assert "p" not in load_catalog(file, {}, OPERATIONS).catalog.providers


def test_strategy_stickiness_fallbacks_and_prices(tmp_path: Path) -> None:
    more = """
  - slug: m/rich
    pricing: {prompt: 1, completion: 2}
    strategy: fastest
    sticky: false
    fallbacks: {unavailable: [m/plain], context_length: [w/long, m/plain]}
    deployments:
      - {provider: p, model: x, pricing: {prompt: 3, completion: 4}}
      - {provider: q, model: x, free: true}
      - {provider: q, model: y}
  - slug: m/all
    free: true
    fallbacks: [m/rich]
    deployments: [{provider: q, model: x}]
"""
    catalog = load(tmp_path, more, ONE="k")
    rich = next(model for model in catalog.models if model.slug == "m/rich")
    assert (rich.strategy, rich.sticky) == ("fastest", False)
    assert rich.fallbacks == Fallbacks(unavailable=("m/plain",), context_length=("w/long", "m/plain"))
    own = [one.price for one in rich.deployments]
    assert own[0] is not None
    assert own[0].rates.prompt == 3_000_000
    assert own[0].version != rich.price.version
    assert own[1] is not None
    assert own[1].is_free
    assert own[2] is None
    everything = next(model for model in catalog.models if model.slug == "m/all").fallbacks
    assert everything == Fallbacks(unavailable=("m/rich",), context_length=("m/rich",), content_filter=("m/rich",))
    plain = next(model for model in catalog.models if model.slug == "m/plain")
    assert (plain.strategy, plain.sticky, plain.fallbacks) == ("weighted", True, Fallbacks())


def model(words: str) -> str:
    return f"  - {{slug: m/bad, free: true, deployments: [{{provider: q, model: x}}], {words}}}\n"


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (model("strategy: fast"), "strategy: `fast` is not known here; did you mean `fastest`?"),
        (model("sticky: maybe"), "sticky: expected true or false, not `maybe`"),
        (
            model("fallbacks: [m/plian]"),
            "fallbacks: the model `m/plian` is not among `models`; did you mean `m/plain`?",
        ),
        (model("fallbacks: [m/bad]"), "fallbacks: `m/bad` cannot stand in for itself"),
        (model("fallbacks: {context: [m/plain]}"), "unknown key `context`"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, more: str, complaint: str) -> None:
    (told,) = complaints(tmp_path, more)
    assert complaint in told


def test_keys_that_cannot_be(tmp_path: Path) -> None:
    both = PROVIDERS.replace("api_keys:", "api_key: none, api_keys:")
    assert any("has `api_key` and `api_keys`" in told for told in complaints(tmp_path, "", both))
    none = PROVIDERS.replace("['${ONE}', '${TWO}', '${THREE}']", "[]")
    assert any("has to hold at least one key" in told for told in complaints(tmp_path, "", none))
