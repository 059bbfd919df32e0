"""The catalogue in the box: it loads, it is fast, the contracts' examples answer, and its figures are sane."""

import time

import pytest

from tollhouse.catalog.load import DEFAULT_PATH, load_catalog, summarise_left_out
from tollhouse.catalog.models import FEATURES
from tollhouse.wire.registry import OPERATIONS

FORMATS = OPERATIONS
SIMULATOR = "http://127.0.0.1:9/v1"
KEYS = (
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "GEMINI_API_KEY",
    "DEEPSEEK_API_KEY",
    "MOONSHOT_API_KEY",
    "MISTRAL_API_KEY",
    "GROQ_API_KEY",
    "XAI_API_KEY",
    "TOGETHER_API_KEY",
    "OPENROUTER_API_KEY",
)
EXAMPLES = (
    "gpt-4",
    "openai/gpt-5",
    "anthropic/claude-sonnet-4",
    "moonshotai/kimi-k2.6",
    "ollama/gpt-oss:120b",
    "ollama/solidity-master:2",
)


def everything():
    return load_catalog(None, dict.fromkeys(KEYS, "k") | {"OLLAMA_BASE_URL": "http://127.0.0.1:1"}, FORMATS, SIMULATOR)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_the_contracts_answer_on_the_demo(name):
    resolved = load_catalog(None, {}, FORMATS, SIMULATOR).catalog.resolve(name)
    assert resolved.model.demo
    assert [d.provider.base_url for d in resolved.model.deployments] == [SIMULATOR]
    assert resolved.model.price.is_free == name.startswith("ollama/")


@pytest.mark.row(123)
def test_a_bare_name_resolves():
    assert load_catalog(None, {}, FORMATS, SIMULATOR).catalog.resolve("gpt-4").slug == "openai/gpt-4"


@pytest.mark.row(11)
def test_a_name_with_a_colon_resolves_on_demo_and_server():
    assert load_catalog(None, {}, FORMATS, SIMULATOR).catalog.resolve("ollama/gpt-oss:120b").rest is None
    assert everything().catalog.resolve("ollama/gpt-oss:120b").rest == "gpt-oss:120b"
    assert everything().catalog.resolve("nobody/gpt-oss:120b") is None


def test_a_key_brings_the_real_models_in():
    catalog = load_catalog(None, {"OPENAI_API_KEY": "k"}, FORMATS, SIMULATOR).catalog
    model = catalog.resolve("openai/gpt-5").model
    assert not model.demo
    assert [d.provider.id for d in model.deployments] == ["openai"]
    assert catalog.resolve("anthropic/claude-sonnet-4").model.demo


@pytest.mark.parametrize("key", KEYS)
def test_every_provider_has_models(key):
    catalog = load_catalog(None, {key: "k"}, FORMATS, None).catalog
    assert len(catalog.listed) >= 2
    assert {d.provider.api_key for m in catalog.models for d in m.deployments} == {"k"}


def test_without_keys_one_line_says_what_waits():
    loaded = load_catalog(None, {}, FORMATS, SIMULATOR)
    line = summarise_left_out(loaded.left_out)
    assert "\n" not in line
    assert "openai (OPENAI_API_KEY is not set): " in line
    assert "ollama (not enabled): 1" in line
    assert loaded.warnings == ()


def test_the_figures_are_sane():
    for model in everything().catalog.models:
        rates = model.price.rates
        assert set(model.features) <= set(FEATURES)
        assert ("streaming" in model.features) == ("chat" in model.operations)
        assert model.max_output_tokens <= (model.context_length or model.max_output_tokens)
        if model.price.is_free:
            assert model.slug.startswith(("ollama/", "vllm/", "llamacpp/"))
            continue
        if model.operations == ("images",):
            assert model.price.per_image_pico_usd or rates.image_output, model.slug
            continue
        assert 0 < rates.prompt <= 200_000_000, model.slug
        if "chat" in model.operations:
            assert rates.prompt <= rates.completion <= 200_000_000, model.slug
        else:
            assert rates.completion == 0, model.slug
        assert rates.cached_prompt is None or 0 < rates.cached_prompt < rates.prompt, model.slug
        assert rates.cache_write is None or rates.cache_write >= rates.prompt, model.slug
        assert rates.cache_write_1h is None or rates.cache_write_1h > rates.cache_write, model.slug
        for tier in model.price.tiers:
            assert tier.rates.prompt > rates.prompt, model.slug
            assert (tier.rates.cached_prompt is None) == (rates.cached_prompt is None), model.slug
        searches = (("web_search", 10 * 10**9),) if model.creator.slug == "anthropic" else ()
        assert model.price.tool_fees == searches, model.slug


def test_some_prices_to_the_digit():
    """By hand from genai-prices 0.2.3: USD per 1M tokens is micro-USD per token."""
    catalog = everything().catalog
    assert catalog.resolve("gpt-5").model.price.rates.cached_prompt == 125_000
    haiku = catalog.resolve("claude-haiku-5-5").model.price
    assert (haiku.rates.prompt, haiku.rates.completion) == (100_000, 500_000)
    assert (haiku.tiers[0].above_prompt_tokens, haiku.tiers[0].rates.cache_write_1h) == (100_000, 1_000_000)
    assert catalog.resolve("openai/gpt-oss-20b").model.price.rates.cached_prompt == 37_500
    assert catalog.resolve("grok-4.7").model.price.tiers[0].above_prompt_tokens == 199_999


def test_mistral_is_not_asked_for_usage():
    assert not everything().catalog.providers["mistral"].quirks.stream_usage


def test_what_google_leaves_out_of_the_completion_is_billed():
    catalog = everything().catalog
    hiding = [name for name, provider in catalog.providers.items() if provider.quirks.hidden_reasoning]
    assert hiding == ["google"]


def test_names_are_unique_over_slugs_and_aliases():
    names = [name for model in everything().catalog.models for name in (model.slug, *model.aliases)]
    assert len(names) == len(set(names))


def test_the_file_says_where_its_prices_come_from():
    head = DEFAULT_PATH.read_text(encoding="utf-8").partition("creators:")[0]
    assert "genai-prices 0.2.3" in head
    assert "as of 2026-11-20" in head


def test_loading_is_fast():
    started = time.process_time()
    everything()
    assert time.process_time() - started < 0.5
