"""Pricing: exact against fractions, monotone, bounded, each class once."""

from fractions import Fraction
from math import ceil

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.catalog.entries import Price, Rates, ServiceTier, Tier
from tollhouse.ir.usage import GeneratedImages, Usage
from tollhouse.money.pricing import charge_lines, unpriced_feature, upper_bound
from tollhouse.money.store import ChargeLine

CLASSES = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "audio_input_tokens",
    "image_input_tokens",
    "output_tokens",
    "audio_output_tokens",
    "image_output_tokens",
)

pico = st.integers(min_value=0, max_value=10**12)
optional_pico = st.none() | pico
rates = st.builds(
    Rates,
    prompt=pico,
    completion=pico,
    cached_prompt=optional_pico,
    cache_write=optional_pico,
    cache_write_1h=optional_pico,
    image_input=optional_pico,
    image_output=optional_pico,
    audio_input=optional_pico,
    audio_output=optional_pico,
)
thresholds = st.lists(st.integers(min_value=1, max_value=5000), max_size=3, unique=True).map(sorted)
tiers = thresholds.flatmap(
    lambda starts: st.tuples(*(st.builds(Tier, above_prompt_tokens=st.just(start), rates=rates) for start in starts))
)
service_tiers = st.lists(
    st.builds(ServiceTier, name=st.sampled_from(["flex", "priority"]), rates=rates, tiers=tiers),
    max_size=2,
    unique_by=lambda tier: tier.name,
).map(tuple)
prices = st.builds(
    Price,
    rates=rates,
    tiers=tiers,
    service_tiers=service_tiers,
    per_image_pico_usd=optional_pico,
    tool_fees=st.dictionaries(st.sampled_from(["web_search", "code"]), pico, max_size=2).map(
        lambda d: tuple(d.items())
    ),
)
tokens = st.integers(min_value=0, max_value=3000)
usages = st.builds(Usage, **dict.fromkeys(CLASSES, tokens))
service_names = st.sampled_from([None, "flex", "priority", "unheard-of"])


def tokens_cost(price, usage, service_tier=None):
    return charge_lines(price, usage, service_tier)[0].amount_nano_usd


def reference(price, usage, service_tier):
    """The rule of the books, written a second time with fractions of a USD."""
    found, steps = price.rates, price.tiers
    for service in price.service_tiers:
        if service.name == service_tier:
            found, steps = service.rates, service.tiers
    for step in steps:
        if usage.prompt_tokens > step.above_prompt_tokens:
            found = step.rates

    def first(*choices):
        return Fraction(next(choice for choice in choices if choice is not None), 10**12)

    write = (found.cache_write, found.prompt)
    total = (
        usage.input_tokens * first(found.prompt)
        + usage.cache_read_tokens * first(found.cached_prompt, found.prompt)
        + usage.cache_write_tokens * first(*write)
        + usage.cache_write_1h_tokens * first(found.cache_write_1h, *write)
        + usage.audio_input_tokens * first(found.audio_input, found.prompt)
        + usage.image_input_tokens * first(found.image_input, found.prompt)
        + usage.output_tokens * first(found.completion)
        + usage.audio_output_tokens * first(found.audio_output, found.completion)
        + usage.image_output_tokens * first(found.image_output, found.completion)
    )
    return ceil(total * 10**9)


@given(prices, usages, service_names)
def test_line_0_is_exact_and_rounded_up_once(price, usage, service_tier):
    lines = charge_lines(price, usage, service_tier)
    assert lines == (ChargeLine(line=0, code="model", amount_nano_usd=reference(price, usage, service_tier)),)
    assert lines[0].amount_nano_usd >= 0


@given(prices, usages, st.sampled_from(CLASSES), st.integers(min_value=1, max_value=500), service_names)
def test_more_tokens_never_cost_less_within_a_tier(price, usage, name, more, service_tier):
    flat = msgspec.structs.replace(
        price, tiers=(), service_tiers=tuple(msgspec.structs.replace(s, tiers=()) for s in price.service_tiers)
    )
    grown = msgspec.structs.replace(usage, **{name: getattr(usage, name) + more})
    assert tokens_cost(flat, grown, service_tier) >= tokens_cost(flat, usage, service_tier)


@given(prices, usages)
def test_two_parts_cost_at_least_the_whole_and_a_nano_more_at_most(price, usage):
    flat = msgspec.structs.replace(price, tiers=())
    prompt = msgspec.structs.replace(usage, output_tokens=0, audio_output_tokens=0, image_output_tokens=0)
    answer = Usage(**{name: getattr(usage, name) for name in CLASSES if "output" in name})
    whole, parts = tokens_cost(flat, usage), tokens_cost(flat, prompt) + tokens_cost(flat, answer)
    assert whole <= parts <= whole + 1


@given(usages)
def test_every_class_counts_once_and_reasoning_not_at_all(usage):
    one = Price(rates=Rates(prompt=1000, completion=1000))
    assert tokens_cost(one, usage) == usage.total_tokens
    reasoned = msgspec.structs.replace(usage, reasoning_tokens=usage.output_tokens)
    assert tokens_cost(one, reasoned) == tokens_cost(one, usage)


@given(
    prices,
    usages,
    st.integers(min_value=1, max_value=4),
    st.sampled_from([(), (("service_tier", "service_tier:flex"),), (("tools[0]", "tool:web_search"),)]),
    st.data(),
)
def test_the_bound_holds_for_every_usage_within_it(price, usage, choices, paid, data):
    """A call that stays within its prompt bytes and output limit costs no more than its bound, at any service tier
    that it asked for or fell back to."""
    slack = data.draw(st.integers(min_value=0, max_value=100))
    limit = -(-usage.completion_tokens // choices) + slack
    bound = upper_bound(price, usage.prompt_tokens + slack, limit, choices, paid)
    asked = next((name.partition(":")[2] for field, name in paid if field == "service_tier"), None)
    uses = {name.partition(":")[2]: 1 for field, name in paid if field != "service_tier"}
    for service_tier in {None, asked}:
        made = msgspec.structs.replace(usage, images=GeneratedImages(count=choices))
        lines = charge_lines(price, made, service_tier, tool_uses=uses)
        assert sum(line.amount_nano_usd for line in lines) <= bound


@given(prices, tokens, tokens, st.integers(min_value=0, max_value=100))
def test_the_bound_grows_with_its_parts(price, prompt_bytes, limit, more):
    bound = upper_bound(price, prompt_bytes, limit)
    assert bound >= 0
    assert upper_bound(price, prompt_bytes + more, limit) >= bound
    assert upper_bound(price, prompt_bytes, limit + more) >= bound
    assert upper_bound(price, prompt_bytes, limit, 2) >= bound


def test_a_fraction_of_a_pico_price_is_kept_to_the_end():
    """37.5 nano-USD per token: 0.0375 USD per 1M tokens is 37,500 pico-USD."""
    price = Price(rates=Rates(prompt=37_500, completion=0))
    assert tokens_cost(price, Usage(input_tokens=1)) == 38
    assert tokens_cost(price, Usage(input_tokens=2)) == 75
    assert tokens_cost(price, Usage(input_tokens=1_000_000)) == 37_500_000


def test_a_tier_is_for_the_whole_call_and_begins_above_its_number():
    price = Price(
        rates=Rates(prompt=1000, completion=1000),
        tiers=(
            Tier(above_prompt_tokens=100, rates=Rates(prompt=2000, completion=3000)),
            Tier(above_prompt_tokens=200, rates=Rates(prompt=4000, completion=5000)),
        ),
    )
    assert tokens_cost(price, Usage(input_tokens=100, output_tokens=10)) == 110
    assert tokens_cost(price, Usage(input_tokens=101, output_tokens=10)) == 232
    assert tokens_cost(price, Usage(input_tokens=1, cache_read_tokens=200, output_tokens=10)) == 854


def test_images_and_tools_are_lines_of_their_own_where_they_have_a_price():
    price = Price(
        rates=Rates(prompt=1, completion=1),
        per_image_pico_usd=40_000_000_000,
        tool_fees=(("web_search", 10_000_000_001),),
    )
    two = Usage(images=GeneratedImages(count=2))
    lines = charge_lines(price, two, tool_uses={"web_search": 3, "code": 5, "idle": 0})
    assert [(line.line, line.code, line.amount_nano_usd) for line in lines] == [
        (0, "model", 0),
        (1, "image", 80_000_000),
        (2, "tool:web_search", 30_000_001),
    ]
    assert charge_lines(Price(), two, tool_uses={"web_search": 1}) == (
        ChargeLine(line=0, code="model", amount_nano_usd=0),
    )


def test_a_free_model_costs_nothing_and_its_tokens_still_make_a_line():
    assert charge_lines(Price(version="x"), Usage(input_tokens=10, output_tokens=10)) == (
        ChargeLine(line=0, code="model", amount_nano_usd=0),
    )
    assert upper_bound(Price(version="x"), 10**9, 10**9, 10) == 0


def test_negative_counts_never_pay_the_caller():
    price = Price(rates=Rates(prompt=1000, completion=1000))
    assert tokens_cost(price, Usage(input_tokens=-5, output_tokens=3)) == 3
    assert upper_bound(price, -5, -5, -5) == 0


PRICED = Price(
    rates=Rates(prompt=1, completion=1, audio_input=1),
    service_tiers=(ServiceTier(name="flex", rates=Rates(prompt=1, completion=1)),),
    tool_fees=(("web_search", 1),),
)


@pytest.mark.parametrize(
    ("paid", "unpriced"),
    [
        ((), None),
        ((("service_tier", "service_tier:flex"), ("web_search_options", "tool:web_search")), None),
        ((("service_tier", "service_tier:priority"),), 0),
        ((("service_tier", "service_tier:flex"), ("tools[1]", "tool:code")), 1),
        ((("modalities", "audio_input"),), None),
        ((("modalities", "audio_output"),), 0),
        ((("n", "image"),), 0),
        ((("x", "anything"),), 0),
    ],
)
def test_what_has_no_price_is_named(paid, unpriced):
    assert unpriced_feature(PRICED, paid) == (None if unpriced is None else paid[unpriced])


def test_nothing_of_a_free_model_needs_a_price():
    assert unpriced_feature(Price(version="v"), (("service_tier", "service_tier:priority"),)) is None
    assert unpriced_feature(msgspec.structs.replace(PRICED, per_image_pico_usd=5), (("n", "image"),)) is None
