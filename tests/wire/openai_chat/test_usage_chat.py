"""Usage of Chat Completions: disjoint classes out of overlapping counters, and nothing that cannot be trusted."""

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.ir.usage import Usage
from tollhouse.wire.counters import usd_number
from tollhouse.wire.openai_chat.usage import decode_usage, encode_usage, shown_usage

BASE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}


def test_plain() -> None:
    assert decode_usage(BASE) == Usage(input_tokens=100, output_tokens=20)


def test_classes_are_disjoint() -> None:
    usage = decode_usage(
        BASE
        | {
            "prompt_tokens_details": {
                "cached_tokens": 40,
                "audio_tokens": 5,
                "image_tokens": 6,
                "cache_write_tokens": 7,
            },
            "completion_tokens_details": {"reasoning_tokens": 9, "audio_tokens": 3, "image_tokens": None},
        }
    )
    assert usage == Usage(
        input_tokens=42,
        cache_read_tokens=40,
        cache_write_tokens=7,
        audio_input_tokens=5,
        image_input_tokens=6,
        output_tokens=17,
        reasoning_tokens=9,
        audio_output_tokens=3,
    )


@pytest.mark.parametrize(
    "extra",
    [
        {"prompt_tokens_details": {"cached_tokens": 40}},
        {"prompt_tokens_details": None, "cached_tokens": 40},
        {"prompt_tokens_details": {"cached_tokens": None}, "prompt_cache_hit_tokens": 40},
        {"num_cached_tokens": 40},
        {"cache_read_input_tokens": 40},
    ],
)
def test_every_spelling_of_cached_tokens(extra: dict[str, object]) -> None:
    assert decode_usage(BASE | extra) == Usage(input_tokens=60, cache_read_tokens=40, output_tokens=20)


def test_cache_writes_with_their_long_part() -> None:
    details = {"cache_creation_tokens": 30, "cache_creation_token_details": {"ephemeral_1h_input_tokens": 10}}
    usage = decode_usage(BASE | {"prompt_tokens_details": details})
    assert usage == Usage(input_tokens=70, cache_write_tokens=20, cache_write_1h_tokens=10, output_tokens=20)


def test_cached_audio_is_counted_once() -> None:
    usage = decode_usage(BASE | {"prompt_tokens_details": {"cached_tokens": 90, "audio_tokens": 50}})
    assert usage is not None
    assert (usage.cache_read_tokens, usage.audio_input_tokens, usage.prompt_tokens) == (90, 10, 100)


def test_reasoning_outside_the_completion_is_added() -> None:
    usage = decode_usage(
        {
            "prompt_tokens": 12,
            "completion_tokens": 1,
            "total_tokens": 303,
            "completion_tokens_details": {"reasoning_tokens": 290},
        }
    )
    assert usage == Usage(input_tokens=12, output_tokens=291, reasoning_tokens=290)


def test_sound_beside_the_prompt_is_added() -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 375}}
    usage = decode_usage({"prompt_tokens": 9, "completion_tokens": 248, "total_tokens": 632, **details})
    assert usage == Usage(input_tokens=9, audio_input_tokens=375, output_tokens=248)


def test_sound_and_reasoning_beside_are_both_added() -> None:
    details = {"prompt_tokens_details": {"audio_tokens": 30}, "completion_tokens_details": {"reasoning_tokens": 7}}
    usage = decode_usage({"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 51, **details})
    assert usage == Usage(input_tokens=9, audio_input_tokens=30, output_tokens=12, reasoning_tokens=7)


@pytest.mark.fault(43)
def test_what_a_total_holds_on_top_has_no_class_yet() -> None:
    usage = decode_usage({"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109})
    assert usage == Usage(input_tokens=35, output_tokens=12, unplaced_tokens=62)


def test_a_missing_completion_follows_from_the_total() -> None:
    assert decode_usage({"prompt_tokens": 5, "total_tokens": 9}) == Usage(input_tokens=5, output_tokens=4)


@pytest.mark.fault(43)
@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"prompt_tokens": 5},
        {"completion_tokens": 5, "total_tokens": 5},
        {"prompt_tokens": 9, "total_tokens": 5},
        BASE | {"prompt_tokens": -100},
        BASE | {"completion_tokens": 20.0},
        BASE | {"completion_tokens": "20"},
        BASE | {"completion_tokens": True},
        BASE | {"prompt_tokens": 2**63, "total_tokens": 2**63 + 20},
        BASE | {"prompt_tokens": float("nan")},
        BASE | {"total_tokens": 119},
        BASE | {"prompt_tokens_details": {"cached_tokens": 101}},
        BASE | {"prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 60}},
        BASE | {"prompt_tokens_details": {"cached_tokens": -1}},
        BASE | {"prompt_tokens_details": {"audio_tokens": 101}},
        BASE | {"prompt_tokens_details": 7},
        BASE | {"completion_tokens_details": {"audio_tokens": 21}},
        BASE | {"completion_tokens_details": []},
    ],
)
def test_what_cannot_be_trusted_is_no_usage(bad: dict[str, object]) -> None:
    assert decode_usage(bad) is None


counts = st.integers(0, 10**6)


classes = [name for name in Usage.__struct_fields__ if name not in ("source", "images", "unplaced_tokens")]


@given(st.builds(Usage, **dict.fromkeys(classes, counts)))
def test_there_and_back(usage: Usage) -> None:
    usage = msgspec.structs.replace(usage, reasoning_tokens=min(usage.reasoning_tokens, usage.output_tokens))
    wire = msgspec.json.decode(msgspec.json.encode(encode_usage(usage)), type=dict[str, object])
    assert wire["total_tokens"] == wire["prompt_tokens"] + wire["completion_tokens"]
    assert decode_usage(wire) == usage


def test_counters_that_are_always_there() -> None:
    assert encode_usage(Usage(input_tokens=3, output_tokens=2)) == {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "total_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


SETTLED = Usage(input_tokens=7, output_tokens=3, source="estimated")


@pytest.mark.fault(43, 44)
@pytest.mark.parametrize(
    "counters",
    [
        {
            "prompt_tokens": 7,
            "completion_tokens": 1,
            "total_tokens": 8,
            "prompt_tokens_details": {"cached_tokens": 163},
        },
        {"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109},
        {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "queue_time": 0.1},
        {"completion_tokens": 2, "prompt_tokens": 12, "total_tokens": 1},
    ],
)
def test_the_providers_own_figures_are_shown_even_where_they_contradict_each_other(counters: dict[str, Any]) -> None:
    shown = shown_usage({**counters, "cost": 9, "cost_details": {"upstream": 9}}, SETTLED, 1_500_000)
    into = {"cached_tokens": 0, **counters.get("prompt_tokens_details", {})}
    details = {"prompt_tokens_details": into, "completion_tokens_details": {"reasoning_tokens": 0}}
    assert json.loads(msgspec.json.encode(shown)) == {**counters, **details, "cost": 0.0015}
    assert "cost" not in shown_usage({**counters, "cost_in_usd_ticks": 9}, SETTLED)


def test_what_the_contract_requires_is_added_to_the_providers_figures() -> None:
    told = {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": None, "prompt_tokens_details": {"x": 1}}
    assert shown_usage(told, SETTLED) == {
        "prompt_tokens": 5,
        "completion_tokens": 4,
        "total_tokens": 9,
        "prompt_tokens_details": {"x": 1, "cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def test_cached_tokens_under_a_name_of_the_provider_stay_there() -> None:
    shown = shown_usage({**BASE, "num_cached_tokens": 48}, SETTLED)
    assert shown == {**BASE, "num_cached_tokens": 48, "completion_tokens_details": {"reasoning_tokens": 0}}


@pytest.mark.fault(42, 43)
@pytest.mark.parametrize(
    "told",
    [
        None,
        {"prompt_tokens": 5},
        {"completion_tokens": 5, "total_tokens": 5},
        BASE | {"prompt_tokens": -1},
        BASE | {"total_tokens": 2**63},
        BASE | {"completion_tokens": "20"},
        BASE | {"prompt_tokens_details": 7},
        BASE | {"completion_tokens_details": {"reasoning_tokens": 1.5}},
    ],
)
def test_what_are_no_counts_is_not_shown(told: dict[str, Any] | None) -> None:
    assert shown_usage(told, SETTLED, 5) == encode_usage(SETTLED, 5)


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, b"0"),
        (1, b"0.000000001"),
        (1_500_000, b"0.0015"),
        (10**9, b"1"),
        (12_000_000_010, b"12.00000001"),
        (-5, b"-0.000000005"),
    ],
)
def test_cost_is_an_exact_number(nano: int, text: bytes) -> None:
    assert bytes(usd_number(nano)) == text


@given(st.integers(0, 10**18))
def test_cost_loses_nothing(nano: int) -> None:
    body = msgspec.json.encode(encode_usage(Usage(), nano))
    assert json.loads(body, parse_float=Decimal, parse_int=Decimal)["cost"] * 10**9 == nano
