"""Image pricing: what pictures cost beside their tokens, and how many tokens they may take, by size and quality."""

from tollhouse.catalog.entries import ImagePrice, Price

ASSUMED_IMAGE_TOKENS = 8192
"""What a picture is taken to have at most where it is paid by tokens and the catalogue does not say how many; the
dearest that OpenAI has listed takes 6,240 (guide "Image generation", read 2026-11)."""


def image_pico_usd(price: Price, size: str | None, quality: str | None) -> int:
    """What one picture costs in pico-USD: the dearest of all that it may be, where size or quality is not known."""
    fitting = _matching(price, size, quality)
    priced = [one.pico_usd for one in fitting if one.pico_usd is not None]
    # It may also be one that no entry is for.
    unlisted = (size is None and all(one.size is not None for one in fitting)) or (
        quality is None and all(one.quality is not None for one in fitting)
    )
    if (unlisted or not priced) and price.per_image_pico_usd is not None:
        priced.append(price.per_image_pico_usd)
    return max(priced, default=0)


def image_tokens(price: Price, size: str | None, quality: str | None) -> int:
    """How many output tokens one picture takes at most, by the catalogue; 0 where it does not say."""
    return max((one.output_tokens for one in _matching(price, size, quality)), default=0)


def most_image_tokens(price: Price, size: str | None, quality: str | None) -> int:
    """The same, with an assumption where tokens are paid for and the catalogue does not say."""
    known = image_tokens(price, size, quality)
    paid = price.rates.image_output or price.rates.completion
    return known or (ASSUMED_IMAGE_TOKENS if paid else 0)


def _matching(price: Price, size: str | None, quality: str | None) -> list[ImagePrice]:
    """The entries that a picture may fall under. One that names no size is for every size that no other names, and so
    with qualities."""
    fitting = [
        one
        for one in price.images
        if (one.size is None or size is None or one.size == size)
        and (one.quality is None or quality is None or one.quality == quality)
    ]
    if size is not None and any(one.size is not None for one in fitting):
        fitting = [one for one in fitting if one.size is not None]
    if quality is not None and any(one.quality is not None for one in fitting):
        fitting = [one for one in fitting if one.quality is not None]
    return fitting
