"""What pictures cost: by size and quality, by tokens, and never above what was held for them."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.catalog.entries import ImagePrice, Price, Rates
from tollhouse.ir.images import ImagesAsked
from tollhouse.ir.usage import GeneratedImages, Usage
from tollhouse.money.image_pricing import ASSUMED_IMAGE_TOKENS, image_pico_usd, image_tokens, most_image_tokens
from tollhouse.money.pricing import charge_lines, upper_bound_of_images

SIZES = (None, "256x256", "1024x1024", "1024x1536")
QUALITIES = (None, "low", "high")
LISTED = Price(
    rates=Rates(prompt=5, image_output=40),
    per_image_pico_usd=1_000,
    images=(
        ImagePrice(size="1024x1024", quality="low", pico_usd=10, output_tokens=272),
        ImagePrice(size="1024x1024", quality="high", pico_usd=20, output_tokens=4160),
        ImagePrice(size="256x256", pico_usd=5),
        ImagePrice(quality="high", pico_usd=2_000, output_tokens=6240),
    ),
)


@pytest.mark.row(37, 129)
@pytest.mark.parametrize(
    ("size", "quality", "pico_usd", "tokens"),
    [
        ("1024x1024", "low", 10, 272),
        ("1024x1024", "high", 20, 4160),
        ("1024x1024", None, 1_000, 4160),
        ("256x256", "low", 5, 0),
        ("256x256", "high", 5, 0),
        ("256x256", None, 5, 0),
        ("512x512", "high", 2_000, 6240),
        ("512x512", "low", 1_000, 0),
        (None, "low", 1_000, 272),
        (None, None, 2_000, 6240),
    ],
)
def test_an_entry_is_for_its_size_and_quality(
    size: str | None, quality: str | None, pico_usd: int, tokens: int
) -> None:
    assert image_pico_usd(LISTED, size, quality) == pico_usd
    assert image_tokens(LISTED, size, quality) == tokens


def test_what_is_assumed_where_tokens_are_paid_for_and_nobody_says_how_many() -> None:
    assert most_image_tokens(Price(rates=Rates(image_output=40)), None, None) == ASSUMED_IMAGE_TOKENS
    assert most_image_tokens(Price(rates=Rates(completion=40)), None, None) == ASSUMED_IMAGE_TOKENS
    assert most_image_tokens(Price(rates=Rates(prompt=5), per_image_pico_usd=7), None, None) == 0


def test_a_price_without_entries_is_that_of_every_picture() -> None:
    assert image_pico_usd(Price(per_image_pico_usd=7), "1x1", "low") == 7
    assert image_pico_usd(Price(), None, None) == 0


entries = st.builds(
    ImagePrice,
    size=st.sampled_from(SIZES),
    quality=st.sampled_from(QUALITIES),
    pico_usd=st.none() | st.integers(0, 10**12),
    output_tokens=st.integers(0, 10_000),
)
prices = st.builds(
    Price,
    rates=st.builds(Rates, prompt=st.integers(0, 10**8), image_output=st.none() | st.integers(0, 10**9)),
    per_image_pico_usd=st.none() | st.integers(0, 10**12),
    images=st.lists(entries, max_size=5, unique_by=lambda one: (one.size, one.quality)).map(tuple),
)


@pytest.mark.row(37)
@given(
    prices, st.integers(1, 10), st.sampled_from(SIZES), st.sampled_from(QUALITIES), st.integers(0, 10_000), st.data()
)
def test_the_bound_holds_for_every_picture_that_may_come(
    price: Price, count: int, size: str | None, quality: str | None, prompt: int, data: st.DataObject
) -> None:
    """Whatever the provider makes of a wish that leaves size or quality to it costs no more than was held."""
    asked = ImagesAsked(count=count, size=size, quality=quality)
    bound = upper_bound_of_images(price, prompt, asked)
    made_size = size or data.draw(st.sampled_from(SIZES))
    made_quality = quality or data.draw(st.sampled_from(QUALITIES))
    made = GeneratedImages(count=data.draw(st.integers(0, count)), size=made_size, quality=made_quality)
    tokens = made.count * image_tokens(price, made_size, made_quality)
    usage = Usage(input_tokens=data.draw(st.integers(0, prompt)), image_output_tokens=tokens, images=made)
    lines = charge_lines(price, usage)
    assert sum(line.amount_nano_usd for line in lines) <= bound
    without = msgspec.structs.replace(usage, images=None)
    assert [line.code for line in charge_lines(price, without)] == ["model"]
