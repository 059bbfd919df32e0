"""The lists of models: golden bodies, exact prices, and both SDKs' shapes."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.dialect_samples import CATALOG, DIALECTS, HPP, HYPERINFER, VOLTAGE
from support.golden import check_golden
from tollhouse.catalog.entries import Catalog
from tollhouse.dialects.dialect import Dialect
from tollhouse.dialects.prices import optional_usd_per_million, usd_per_million

GOLDEN = Path(__file__).parent / "golden"
EMPTY = Catalog({}, ())


def listed(dialect: Dialect, catalog: Catalog = CATALOG) -> dict[str, Any]:
    return json.loads(dialect.models(catalog), parse_float=Decimal)


@pytest.mark.row(33)
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
def test_lists_are_as_agreed(dialect: Dialect) -> None:
    entries = dialect.models(CATALOG).decode().replace('{"id"', '\n{"id"')
    check_golden(GOLDEN / f"{dialect.name}.models.json", entries + "\n")


@pytest.mark.row(33)
def test_hpp_lists_auto_first_and_prices_per_million() -> None:
    answer = listed(HPP)
    assert answer["object"] == "list"
    auto, gpt, claude, local = answer["data"]
    assert (auto["id"], auto["object"], auto["pricing"]) == ("hpprouter/auto", "model", None)
    assert gpt["owned_by"] == "openai"
    assert gpt["pricing"] == {
        "input": Decimal("1.25"),
        "output": 10,
        "cache_write": None,
        "cache_read": Decimal("0.125"),
    }
    assert claude["pricing"] == {
        "input": 3,
        "output": Decimal("15.000001"),
        "cache_write": Decimal("3.75"),
        "cache_read": None,
    }
    assert local["pricing"] == {"input": 0, "output": 0, "cache_write": None, "cache_read": None}


def test_hyperinfer_lists_what_its_contract_requires() -> None:
    answer = listed(HYPERINFER)
    assert answer["meta"] == {"image_generation_configured": False}
    required = {
        "slug", "name", "provider", "description", "release_date", "context_length", "max_output_tokens", "pricing",
        "features", "datacenter_locations", "benchmarks",
    }  # fmt: skip
    assert all(required <= set(model) for model in answer["data"])
    gpt, claude, _ = answer["data"]
    assert gpt["provider"] == {"slug": "openai", "name": "OpenAI", "brand_color": "#10A37F"}
    assert gpt["pricing"] == {"prompt": Decimal("1.25"), "completion": 10, "cached_prompt": Decimal("0.125")}
    assert [score["tier"] for score in gpt["benchmarks"]] == ["primary", "extra"]
    assert gpt["benchmarks"][0]["score"] == Decimal("88.4")
    assert claude["provider"] == {"slug": "anthropic", "name": "Anthropic"}
    assert claude["pricing"] == {"prompt": 3, "completion": Decimal("15.000001")}
    assert (claude["benchmarks"], claude["release_date"]) == ([], "")
    assert "hugging_face_id" not in claude


@pytest.mark.row(123)
def test_voltage_lists_aliases_as_names_of_their_own() -> None:
    names = [model["id"] for model in listed(VOLTAGE)["data"]]
    assert names == ["openai/gpt-5", "gpt-5", "gpt-4", "anthropic/claude", "ollama/gpt-oss:120b"]
    assert all(CATALOG.resolve(name) is not None for name in names)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
def test_wildcards_are_never_listed(dialect: Dialect) -> None:
    assert b"replay-chat" not in dialect.models(CATALOG)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
def test_nothing_about_providers_is_listed(dialect: Dialect) -> None:
    assert b"sk-secret" not in dialect.models(CATALOG)
    assert b"first.example" not in dialect.models(CATALOG)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
def test_one_body_serves_both_sdks(dialect: Dialect) -> None:
    answer = listed(dialect)
    assert answer["object"] == "list"
    assert answer["has_more"] is False
    assert answer["first_id"] == answer["data"][0]["id"]
    assert answer["last_id"] == answer["data"][-1]["id"]
    for model in answer["data"]:
        assert model["object"] == model["type"] == "model"
        assert model["display_name"]
    gpt = next(model for model in answer["data"] if model["id"] == "openai/gpt-5")
    assert (gpt["created"], gpt["created_at"]) == (1_754_524_800, "2025-08-07T00:00:00Z")


@pytest.mark.parametrize("dialect", [HYPERINFER, VOLTAGE], ids=lambda d: d.name)
def test_an_empty_catalogue_is_an_empty_list(dialect: Dialect) -> None:
    answer = listed(dialect, EMPTY)
    assert (answer["data"], answer["first_id"], answer["last_id"]) == ([], None, None)


@given(st.integers(min_value=-(10**18), max_value=10**24))
def test_prices_are_exact(pico_usd: int) -> None:
    text = bytes(usd_per_million(pico_usd)).decode()
    assert Decimal(text) == Decimal(pico_usd).scaleb(-6)
    assert "e" not in text.lower()
    assert not text.endswith((".", "-"))
    assert json.loads(text) is not None


def test_a_missing_price_is_null() -> None:
    assert bytes(optional_usd_per_million(None)) == b"null"
    assert bytes(optional_usd_per_million(1)) == b"0.000001"
