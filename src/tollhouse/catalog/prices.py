"""Reads `pricing`: decimal USD per 1M tokens to integer pico-USD per token, with a version that names the result."""

import hashlib
import re
from collections.abc import Sequence

import msgspec

from tollhouse.catalog.entries import ImagePrice, Price, Rates, ServiceTier, Tier
from tollhouse.catalog.fields import PICO_USD_PER_TOKEN_PLACES, PICO_USD_PER_USD_PLACES, Fields
from tollhouse.wire.format import ModelOperation

_SIZE = re.compile(r"[1-9][0-9]{0,4}x[1-9][0-9]{0,4}", re.ASCII)
_QUALITY = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)
_OPTIONAL_RATES = (
    "cached_prompt",
    "cache_write",
    "cache_write_1h",
    "image_input",
    "image_output",
    "audio_input",
    "audio_output",
)


def read_price(model: Fields, operations: Sequence[ModelOperation]) -> Price:
    """The price of a model for these operations: from `pricing`, or nothing where it says `free: true`; a problem when
    it says neither."""
    is_free = model.flag("free", default=False)
    pricing = model.mapping("pricing")
    if pricing is None:
        if not is_free and not model.has("pricing"):
            model.report("has no prices; add `pricing`, or `free: true` when nothing of it costs anything")
        return _versioned(Price())
    if is_free:
        model.report("is `free: true` and has `pricing`; remove one of them", "free")
    problems_before = len(pricing.problems)
    price = _read_pricing(pricing, _required(operations))
    if len(pricing.problems) > problems_before:
        return _versioned(price)
    if price.is_free:
        pricing.report("every price is 0; say `free: true` in its place")
    elif tuple(operations) == ("images",) and not _has_image_price(price):
        pricing.report("has no price for a picture; add `per_image`, `images` or `image_output`")
    return _versioned(price)


def _has_image_price(price: Price) -> bool:
    rates = price.rates
    listed = any(one.pico_usd for one in price.images)
    return bool(price.per_image_pico_usd or listed or rates.image_output or rates.completion)


def price_version(price: Price) -> str:
    """Twelve hex digits that change with anything of the price but its own `version`."""
    canonical = msgspec.json.encode(msgspec.structs.replace(price, version=""), order="deterministic")
    return hashlib.sha256(canonical).hexdigest()[:12]


def _versioned(price: Price) -> Price:
    return msgspec.structs.replace(price, version=price_version(price))


def _required(operations: Sequence[ModelOperation]) -> tuple[str, ...]:
    """The rates that must stand there: nothing but vectors comes out of a model for embeddings."""
    return ("prompt", "completion") if "chat" in operations else ("prompt",) if "embeddings" in operations else ()


def _read_pricing(pricing: Fields, required: Sequence[str]) -> Price:
    price = Price(
        rates=_read_rates(pricing, required),
        tiers=_read_tiers(pricing, required),
        service_tiers=_read_service_tiers(pricing, required),
        per_image_pico_usd=pricing.usd("per_image", PICO_USD_PER_USD_PLACES),
        tool_fees=_read_tool_fees(pricing),
        images=_read_images(pricing),
    )
    pricing.done()
    return price


def _read_rates(fields: Fields, required: Sequence[str]) -> Rates:
    for key in required:
        if not fields.has(key):
            fields.report(f"needs `{key}` (USD per 1M tokens)")
    optional = {key: fields.usd(key, PICO_USD_PER_TOKEN_PLACES) for key in _OPTIONAL_RATES}
    return Rates(
        prompt=fields.usd("prompt", PICO_USD_PER_TOKEN_PLACES) or 0,
        completion=fields.usd("completion", PICO_USD_PER_TOKEN_PLACES) or 0,
        **optional,
    )


def _read_tiers(fields: Fields, required: Sequence[str]) -> tuple[Tier, ...]:
    tiers: list[Tier] = []
    for entry in fields.mappings("tiers"):
        if not entry.has("above_prompt_tokens"):
            entry.report("needs `above_prompt_tokens`")
        above = entry.integer("above_prompt_tokens")
        if tiers and above <= tiers[-1].above_prompt_tokens:
            entry.report("tiers go up: this one has to begin above the one before it", "above_prompt_tokens")
        tiers.append(Tier(above_prompt_tokens=above, rates=_read_rates(entry, required)))
        entry.done()
    return tuple(tiers)


def _read_service_tiers(fields: Fields, required: Sequence[str]) -> tuple[ServiceTier, ...]:
    group = fields.mapping("service_tiers")
    if group is None:
        return ()
    found: list[ServiceTier] = []
    for name in group.keys:
        entry = group.mapping(name)
        if entry is not None:
            found.append(ServiceTier(name=name, rates=_read_rates(entry, required), tiers=_read_tiers(entry, required)))
            entry.done()
    return tuple(found)


def _read_tool_fees(fields: Fields) -> tuple[tuple[str, int], ...]:
    group = fields.mapping("tool_fees")
    if group is None:
        return ()
    fees = [(name, group.usd(name, PICO_USD_PER_USD_PLACES)) for name in group.keys]
    return tuple((name, fee) for name, fee in fees if fee is not None)


def _read_images(fields: Fields) -> tuple[ImagePrice, ...]:
    found: list[ImagePrice] = []
    for entry in fields.mappings("images"):
        hint = "a size such as 1024x1024"
        one = ImagePrice(
            size=entry.text("size", pattern=_SIZE, hint=hint) or None,
            quality=entry.text("quality", pattern=_QUALITY, hint="a word such as high") or None,
            pico_usd=entry.usd("usd", PICO_USD_PER_USD_PLACES),
            output_tokens=entry.integer("output_tokens"),
        )
        if not entry.has("usd") and not entry.has("output_tokens"):
            entry.report("needs `usd` (a picture's price in USD), or `output_tokens`")
        if any((one.size, one.quality) == (other.size, other.quality) for other in found):
            entry.report("another entry is for the same size and quality")
        found.append(one)
        entry.done()
    return tuple(found)
