"""Loading a catalogue: values, environment, extension, wildcards, the demo and what is left out."""

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.catalog.entries import Deployment, Provider, Rates, ServiceTier, Tier, Timeouts, TokenPlan
from tollhouse.catalog.load import load_catalog, summarise_left_out
from tollhouse.catalog.prices import price_version
from tollhouse.catalog.problems import CatalogError
from tollhouse.wire.quirks import Quirks
from tollhouse.wire.registry import OPERATIONS

FORMATS = OPERATIONS
SIMULATOR = "http://127.0.0.1:9/v1"

FULL = """
creators:
  - {slug: acme, name: Acme, brand_color: '#A0b1C2'}
providers:
  - id: one
    format: openai_chat
    base_url: https://one.example/v1/
    api_key: ${ONE_KEY}
    headers: {X-Team: red, X-Token: "${ONE_TOKEN}"}
    quirks: {stream_usage: false}
    timeouts: {connect_s: 2, stream_s: 60.5}
  - {id: two, format: openai_chat, base_url: 'http://127.0.0.1:7/v1', api_key: none}
models:
  - slug: acme/big
    name: Big
    creator: acme
    aliases: [big, big-2026]
    description: A model.
    release_date: 2026-01-31
    context_length: 200000
    max_output_tokens: 8192
    features: [tools, vision, json_mode, reasoning, streaming, prompt_caching]
    datacenter_locations: [DE, FI]
    hugging_face_id: acme/Big
    benchmarks:
      - {label: Extra, score: -1, source_url: 'https://b.example', tier: extra, unit: elo, mode: High}
      - {label: Main, score: 88.40, source_url: 'https://a.example', tier: primary}
    unpriced: allow
    pricing:
      prompt: 0.0375
      completion: "1.25"
      cached_prompt: 0
      cache_write: 0.000001
      cache_write_1h: 2
      image_input: 3
      image_output: 4
      audio_input: 5
      audio_output: 6
      per_image: 0.04
      tool_fees: {web_search: 0.01}
      tiers:
        - {above_prompt_tokens: 1000, prompt: 2, completion: 3}
        - {above_prompt_tokens: 2000, prompt: 4, completion: 5, cached_prompt: 1}
      service_tiers:
        flex: {prompt: 1, completion: 1, tiers: [{above_prompt_tokens: 5, prompt: 2, completion: 2}]}
    deployments:
      - {provider: two, model: big-local, order: 1, weight: 3, quirks: {stream_usage: false}, timeouts: {idle_s: 7}}
      - {provider: one, model: big-1}
  - slug: two/*
    free: true
    deployments: [{provider: two, model: 'x-*'}]
"""

KEYS = {"ONE_KEY": "sk-secret", "ONE_TOKEN": " token-secret\n"}


def load(text, tmp_path, environ=None, simulator_url=SIMULATOR):
    path = tmp_path / "providers.yaml"
    path.write_text(text, encoding="utf-8")
    return load_catalog(path, KEYS if environ is None else environ, FORMATS, simulator_url)


def test_every_key_arrives(tmp_path):
    loaded = load(FULL, tmp_path)
    model = loaded.catalog.resolve("big-2026").model
    assert loaded.left_out == ()
    assert (model.slug, model.name, model.creator.name, model.creator.brand_color) == (
        "acme/big",
        "Big",
        "Acme",
        "#A0b1C2",
    )
    assert model.release_date == "2026-01-31"
    assert (model.context_length, model.max_output_tokens) == (200_000, 8192)
    assert model.datacenter_locations == ("DE", "FI")
    assert model.hugging_face_id == "acme/Big"
    assert [(b.label, b.score, b.tier, b.unit, b.mode) for b in model.benchmarks] == [
        ("Main", "88.40", "primary", None, None),
        ("Extra", "-1", "extra", "elo", "High"),
    ]
    assert model.unpriced_allowed
    assert not model.demo
    price = model.price
    assert price.rates == Rates(
        prompt=37_500,
        completion=1_250_000,
        cached_prompt=0,
        cache_write=1,
        cache_write_1h=2_000_000,
        image_input=3_000_000,
        image_output=4_000_000,
        audio_input=5_000_000,
        audio_output=6_000_000,
    )
    assert price.tiers == (
        Tier(above_prompt_tokens=1000, rates=Rates(prompt=2_000_000, completion=3_000_000)),
        Tier(above_prompt_tokens=2000, rates=Rates(prompt=4_000_000, completion=5_000_000, cached_prompt=1_000_000)),
    )
    assert price.service_tiers == (
        ServiceTier(
            name="flex",
            rates=Rates(prompt=1_000_000, completion=1_000_000),
            tiers=(Tier(above_prompt_tokens=5, rates=Rates(prompt=2_000_000, completion=2_000_000)),),
        ),
    )
    assert price.per_image_pico_usd == 40_000_000_000
    assert price.tool_fees == (("web_search", 10_000_000_000),)


def test_deployments_inherit_from_their_provider(tmp_path):
    one, two = load(FULL, tmp_path).catalog.resolve("big").model.deployments
    provider = Provider(
        id="one",
        format="openai_chat",
        base_url="https://one.example/v1",
        api_key="sk-secret",
        headers=(("X-Team", "red"), ("X-Token", "token-secret")),
        quirks=Quirks(stream_usage=False),
        timeouts=Timeouts(connect_s=2.0, stream_s=60.5),
    )
    assert one == Deployment(
        provider=provider, upstream_model="big-1", quirks=provider.quirks, timeouts=provider.timeouts
    )
    assert (two.provider.id, two.order, two.weight) == ("two", 1, 3)
    assert two.quirks == Quirks(stream_usage=False)
    assert two.provider.quirks == Quirks()
    assert two.timeouts == Timeouts(idle_s=7.0)
    assert "secret" not in repr(one)
    assert "secret" not in repr(load(FULL, tmp_path))


@pytest.mark.parametrize("missing", ["ONE_KEY", "ONE_TOKEN"])
def test_a_provider_without_its_key_is_left_out(tmp_path, missing):
    loaded = load(FULL, tmp_path, {**KEYS, missing: " "})
    assert [d.provider.id for d in loaded.catalog.resolve("big").model.deployments] == ["two"]
    assert set(loaded.catalog.providers) == {"two"}
    assert loaded.left_out == ()


def test_a_model_without_a_deployment_is_left_out_with_a_reason(tmp_path):
    text = FULL.replace("- {provider: two, model: big-local", "- {provider: one, model: big-local")
    loaded = load(text, tmp_path, {})
    assert loaded.catalog.resolve("big") is None
    assert [(e.model, e.provider, e.why) for e in loaded.left_out] == [("acme/big", "one", "ONE_KEY is not set")]
    assert summarise_left_out(loaded.left_out) == "1 model is left out: one (ONE_KEY is not set): 1"
    assert summarise_left_out(()) == ""


def test_wildcards_hand_the_rest_of_the_name_on_and_are_not_listed(tmp_path):
    catalog = load(FULL, tmp_path).catalog
    resolved = catalog.resolve("two/llama:8b/q4")
    assert (resolved.slug, resolved.label, resolved.rest) == ("two/llama:8b/q4", "two/*", "llama:8b/q4")
    assert resolved.upstream_model(resolved.model.deployments[0]) == "x-llama:8b/q4"
    assert [model.slug for model in catalog.listed] == ["acme/big"]
    assert resolved.model.price.is_free


@pytest.mark.fault(11)
@pytest.mark.parametrize("rest", ["", "a\r\nX: y", "a\x00", "a b", "é", "x" * 1025])
def test_the_rest_of_a_wildcard_name_is_visible_ascii(tmp_path, rest):
    assert load(FULL, tmp_path).catalog.resolve(f"two/{rest}") is None


def test_the_longest_wildcard_wins_and_names_win_over_it(tmp_path):
    text = FULL + (
        "  - {slug: two/deep/*, free: true, deployments: [{provider: two, model: 'deep-*'}]}\n"
        "  - {slug: two/deep/one, free: true, deployments: [{provider: two, model: named}]}\n"
    )
    catalog = load(text, tmp_path).catalog

    def upstream(name):
        resolved = catalog.resolve(name)
        return resolved.upstream_model(resolved.model.deployments[0])

    assert upstream("two/x") == "x-x"
    assert upstream("two/deep/x") == "deep-x"
    assert upstream("two/deep/one") == "named"


def test_warnings_tell_of_literal_keys_and_open_networks(tmp_path):
    text = FULL.replace("${ONE_KEY}", "sk-literal").replace("https://one", "http://one")
    warnings = load(text, tmp_path).warnings
    assert warnings == (
        "provider one: its key stands in the file; `api_key: ${NAME}` keeps it out",
        "provider one: its key crosses the network unencrypted; use https",
    )
    assert "sk-literal" not in str(warnings)


def test_an_empty_catalogue_loads_with_a_warning(tmp_path):
    loaded = load("models: []\n", tmp_path)
    assert loaded.catalog.models == ()
    assert loaded.warnings == ("no model can be called: set the key of a provider, or add a model",)


LOCAL = """
providers:
  - id: local
    format: openai_chat
    base_url: http://127.0.0.1:11434/v1
    base_url_env: LOCAL_BASE_URL
    enabled: false
    api_key: none
models:
  - {slug: local/*, free: true, deployments: [{provider: local, model: '*'}]}
"""


def test_a_local_server_waits_to_be_enabled(tmp_path):
    loaded = load(LOCAL, tmp_path, {})
    assert loaded.catalog.resolve("local/x") is None
    assert [(e.model, e.why) for e in loaded.left_out] == [("local/*", "not enabled")]


def test_one_line_enables_a_local_server(tmp_path):
    resolved = load(LOCAL + "enable: [local]\n", tmp_path, {}).catalog.resolve("local/x")
    assert resolved.model.deployments[0].provider.base_url == "http://127.0.0.1:11434/v1"


@pytest.mark.parametrize(
    ("value", "base_url"),
    [
        ("http://gpu:11434", "http://gpu:11434/v1"),
        ("http://gpu:11434/", "http://gpu:11434/v1"),
        ("http://gpu:11434/v1/", "http://gpu:11434/v1"),
        ("https://gpu/ollama/v1", "https://gpu/ollama/v1"),
    ],
)
def test_one_variable_enables_a_local_server(tmp_path, value, base_url):
    resolved = load(LOCAL, tmp_path, {"LOCAL_BASE_URL": value}).catalog.resolve("local/x")
    assert resolved.model.deployments[0].provider.base_url == base_url


DEMO = """
providers:
  - {id: sim, format: openai_chat, base_url: simulator, api_key: none}
  - {id: real, format: openai_chat, base_url: 'https://real.example/v1', api_key: "${REAL_KEY}"}
models:
  - slug: real/a
    aliases: [a]
    pricing: {prompt: 1, completion: 1}
    deployments: [{provider: real, model: a}, {provider: sim, model: a, demo: true}]
  - slug: real/b
    free: true
    deployments: [{provider: sim, model: b, demo: true}]
  - {slug: real/*, free: true, deployments: [{provider: real, model: '*'}]}
  - {slug: sim/*, free: true, deployments: [{provider: sim, model: '*'}]}
"""


def test_demo_deployments_stand_in_only_while_nothing_else_serves(tmp_path):
    catalog = load(DEMO, tmp_path, {}).catalog
    assert [(m.slug, m.demo, m.deployments[0].provider.id) for m in catalog.models] == [
        ("real/a", True, "sim"),
        ("real/b", True, "sim"),
        ("sim/*", False, "sim"),
    ]
    assert catalog.resolve("a").model.deployments[0].provider.base_url == SIMULATOR


def test_a_real_deployment_or_wildcard_ends_the_demo(tmp_path):
    catalog = load(DEMO, tmp_path, {"REAL_KEY": "k"}).catalog
    assert [(m.slug, m.demo, m.deployments[0].provider.id) for m in catalog.models] == [
        ("real/a", False, "real"),
        ("real/*", False, "real"),
        ("sim/*", False, "sim"),
    ]
    assert catalog.resolve("real/b").label == "real/*"


def test_without_a_simulator_there_is_no_demo(tmp_path):
    loaded = load(DEMO, tmp_path, {}, None)
    assert loaded.catalog.models == ()
    assert ("sim/*", "the simulator is off") in [(e.model, e.why) for e in loaded.left_out]


def test_a_catalogue_replaces_the_default_one(tmp_path):
    catalog = load(FULL, tmp_path).catalog
    assert catalog.resolve("openai/gpt-5") is None


def test_a_catalogue_that_extends_overrides_by_id_slug_and_alias(tmp_path):
    text = """extends: default
providers:
  - {id: openai, format: openai_chat, base_url: 'https://proxy.example/v1', api_key: none}
models:
  - slug: openai/gpt-5
    name: Ours
    pricing: {prompt: 7, completion: 7}
    deployments: [{provider: openai, model: ours}]
  - slug: gpt-5-mini
    free: true
    aliases: [openai/gpt-4.1]
    deployments: [{provider: openai, model: mini}]
"""
    catalog = load(text, tmp_path, {}).catalog
    default = load_catalog(None, {}, FORMATS, SIMULATOR).catalog
    assert catalog.resolve("openai/gpt-5").model.name == "Ours"
    assert catalog.resolve("gpt-5") is None
    assert catalog.resolve("gpt-5-mini").slug == "gpt-5-mini"
    assert catalog.resolve("openai/gpt-5-mini").slug == "openai/gpt-5-mini"
    assert catalog.resolve("openai/gpt-4.1").slug == "gpt-5-mini"
    assert catalog.resolve("gpt-4.1") is None
    assert catalog.resolve("gpt-5.5").model.deployments[0].provider.base_url == "https://proxy.example/v1"
    assert catalog.resolve("ollama/gpt-oss:120b").model.demo
    assert default.resolve("gpt-5.5") is None


def test_a_catalogue_that_extends_enables_a_shipped_server_in_one_line(tmp_path):
    catalog = load("extends: default\nenable: [ollama]\n", tmp_path, {}).catalog
    resolved = catalog.resolve("ollama/gpt-oss:120b")
    assert (resolved.label, resolved.rest) == ("ollama/*", "gpt-oss:120b")
    assert resolved.model.deployments[0].provider.base_url == "http://127.0.0.1:11434/v1"


@given(
    st.lists(
        st.tuples(
            st.integers(min_value=0, max_value=len(FULL)),
            st.integers(min_value=0, max_value=12),
            st.text(alphabet="abc:-[]{}&*'\"#, \n\t01.$", max_size=6),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_a_damaged_catalogue_loads_or_is_refused_in_words(damage):
    text = FULL
    for start, length, put in damage:
        text = text[:start] + put + text[start + length :]
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        try:
            loaded = load_catalog(Path(file.name), KEYS, FORMATS, SIMULATOR)
        except CatalogError as error:
            messages = [str(problem) for problem in error.problems]
            loaded = None
        else:
            messages = [*loaded.warnings, summarise_left_out(loaded.left_out)]
    assert loaded is not None or messages
    assert all("\n" not in message and "secret" not in message for message in messages)


def test_the_version_of_a_price_is_stable_and_follows_every_rate(tmp_path):
    price = load(FULL, tmp_path).catalog.resolve("big").model.price
    assert price.version == price_version(price) == load(FULL, tmp_path).catalog.resolve("big").model.price.version
    assert len(price.version) == 12
    changed = [
        FULL.replace("prompt: 0.0375", "prompt: 0.0376"),
        FULL.replace("per_image: 0.04", "per_image: 0.05"),
        FULL.replace("web_search: 0.01", "web_search: 0.02"),
        FULL.replace("above_prompt_tokens: 1000", "above_prompt_tokens: 1001"),
        FULL.replace("flex:", "slow:"),
    ]
    versions = {load(text, tmp_path).catalog.resolve("big").model.price.version for text in changed}
    assert len(versions | {price.version}) == 6


def test_plans_are_read_and_stand_in_place_of_shipped_ones(tmp_path: Path) -> None:
    file = tmp_path / "catalog.yaml"
    file.write_text("extends: default\nplans:\n  - {name: free, tokens: 5, period: day}\n  - {name: pro, tokens: 70}\n")
    assert load_catalog(file, {}, FORMATS).catalog.plans == (
        TokenPlan(name="free", tokens=5, period="day"),
        TokenPlan(name="pro", tokens=70, period="month"),
    )
    assert load_catalog(None, {}, FORMATS).catalog.plans == (TokenPlan(name="free", tokens=1000),)


def test_the_example_of_the_guide_to_routing_can_be_loaded(tmp_path):
    guide = Path(__file__).parents[2] / "docs" / "routing.md"
    (example,) = re.findall(r"```yaml\n(.*?)```", guide.read_text(), re.DOTALL)
    file = tmp_path / "catalog.yaml"
    file.write_text(example)
    loaded = load_catalog(file, {"FAR_1": "one", "FAR_2": "two"}, FORMATS, SIMULATOR)
    found = loaded.catalog.resolve("house/large")
    assert found is not None
    assert [(one.provider.id, len(one.provider.keys)) for one in found.model.deployments] == [("near", 1), ("far", 2)]
