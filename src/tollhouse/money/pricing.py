"""Pricing: tokens and a price to charge lines in nano-USD, exact, each rounded up once."""

import functools
from collections.abc import Iterable, Mapping

import msgspec

from tollhouse.catalog.entries import Price, Rates, Tier
from tollhouse.ir.images import ImagesAsked
from tollhouse.ir.usage import Usage
from tollhouse.money.image_pricing import image_pico_usd, most_image_tokens
from tollhouse.money.store import ChargeLine

_PICO_PER_NANO = 1000
_SERVICE_TIER = "service_tier:"
_TOOL = "tool:"


def charge_lines(
    price: Price,
    usage: Usage,
    service_tier: str | None = None,
    *,
    tool_uses: Mapping[str, int] | None = None,
    calls: int = 1,
) -> tuple[ChargeLine, ...]:
    """What a call costs: line 0 for the model's tokens, always there, then generated images and the provider's own
    tools by name, as far as they were used and have a price. `usage` is the sum of so many `calls` of one prompt.

    A `service_tier` without a price of its own is charged at the standard rates. Each line is the exact sum in
    pico-USD, rounded up to a nano-USD once.
    """
    amounts = [("model", _tokens_pico_usd(_rates_for(price, usage.prompt_tokens // calls, service_tier), usage))]
    images = usage.images
    if images is not None and (per_image := image_pico_usd(price, images.size, images.quality)):
        amounts.append(("image", images.count * per_image))
    if tool_uses:
        fees = dict(price.tool_fees)
        for name, uses in sorted(tool_uses.items()):
            if uses > 0 and name in fees:
                amounts.append((_TOOL + name, uses * fees[name]))
    return tuple(
        [ChargeLine(line=line, code=code, amount_nano_usd=_to_nano(pico)) for line, (code, pico) in enumerate(amounts)]
    )


def upper_bound(
    price: Price,
    prompt_bytes: int,
    output_limit: int,
    choices: int = 1,
    paid: Iterable[tuple[str, str]] = (),
    calls: int = 1,
) -> int:
    """The most, in nano-USD, that a call can cost whose prompt has at most `prompt_bytes` tokens (a byte-level
    tokenizer makes no more tokens than there are UTF-8 bytes) and whose `choices` answers have at most
    `output_limit` tokens each; the prompt is sent in so many `calls`. Of `paid` features (see Peek) it takes the
    service tier, and each tool once.
    """
    named = [name for _, name in paid]
    service_tier: str | None = None
    tools_nano = 0
    if named:
        tiers = [name.removeprefix(_SERVICE_TIER) for name in named if name.startswith(_SERVICE_TIER)]
        service_tier = tiers[0] if tiers else None
        fees = dict(price.tool_fees)
        # Each is a line of its own and rounded up on its own.
        tools_nano = sum(_to_nano(fees.get(name.removeprefix(_TOOL), 0)) for name in named if name.startswith(_TOOL))
    sheets = [_sheet(rates) for rates in _possible_rates(price, prompt_bytes, service_tier)]
    prompt_pico = max([sheet.most_prompt for sheet in sheets])
    output_pico = max([sheet.most_output for sheet in sheets])
    tokens_pico = calls * max(0, prompt_bytes) * prompt_pico + max(0, choices) * max(0, output_limit) * output_pico
    images_nano = _to_nano(max(0, choices) * price.per_image_pico_usd) if price.per_image_pico_usd else 0
    return _to_nano(tokens_pico) + images_nano + tools_nano


def upper_bound_of_images(price: Price, prompt_bytes: int, images: ImagesAsked) -> int:
    """The same for a call for pictures: each as dear, and of as many tokens, as it may be at most."""
    size, quality = images.size, images.quality
    one_price = msgspec.structs.replace(price, per_image_pico_usd=image_pico_usd(price, size, quality))
    return upper_bound(one_price, prompt_bytes, most_image_tokens(price, size, quality), images.count)


def is_tool(name: str) -> bool:
    """Whether a price's name is that of a provider's own tool."""
    return name.startswith(_TOOL)


def unpriced_feature(price: Price, paid: Iterable[tuple[str, str]]) -> tuple[str, str] | None:
    """The first of `paid` that has no price, None when all have one.

    `paid` are pairs of a request's field and a price's name: `service_tier:NAME`, `tool:NAME`, `image`, `audio_input`
    or `audio_output`; an unknown name has no price. Nothing of a free model needs one.
    """
    return next(iter(unpriced_features(price, paid)), None)


def unpriced_features(price: Price, paid: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """All of `paid` that have no price."""
    return [] if price.is_free else [(field, name) for field, name in paid if not _has_price(price, name)]


def _has_price(price: Price, name: str) -> bool:
    if name.startswith(_SERVICE_TIER):
        return any(tier.name == name.removeprefix(_SERVICE_TIER) for tier in price.service_tiers)
    if name.startswith(_TOOL):
        return any(tool == name.removeprefix(_TOOL) for tool, _ in price.tool_fees)
    match name:
        case "image":
            return price.per_image_pico_usd is not None or price.rates.image_output is not None
        case "audio_input":
            return price.rates.audio_input is not None
        case "audio_output":
            return price.rates.audio_output is not None
        case _:
            return False


def _rates_for(price: Price, prompt_tokens: int, service_tier: str | None) -> Rates:
    """The rates of the whole call: those of the highest tier that its prompt is above."""
    rates, tiers = _service(price, service_tier)
    for tier in tiers:
        if prompt_tokens > tier.above_prompt_tokens:
            rates = tier.rates
    return rates


def _possible_rates(price: Price, prompt_tokens: int, service_tier: str | None) -> list[Rates]:
    """Every set of rates that a prompt of up to so many tokens can meet; a provider may fall back to its standard
    service, so that counts too."""
    if not price.tiers and not price.service_tiers:
        return [price.rates]
    found: list[Rates] = []
    for rates, tiers in (_service(price, None), _service(price, service_tier)):
        found.append(rates)
        found.extend(tier.rates for tier in tiers if prompt_tokens > tier.above_prompt_tokens)
    return found


def _service(price: Price, name: str | None) -> tuple[Rates, tuple[Tier, ...]]:
    for service in price.service_tiers:
        if service.name == name:
            return service.rates, service.tiers
    return price.rates, price.tiers


class _Sheet(msgspec.Struct, frozen=True):
    """Rates with what each falls back to: for prompt, cache read, cache write, cache write for an hour, audio and image
    that go in, then text with its reasoning, audio and image that come out; and the dearest of either kind."""

    each: tuple[int, ...]
    most_prompt: int
    most_output: int


@functools.lru_cache(maxsize=4096)
def _sheet(rates: Rates) -> _Sheet:
    """Made once per set of rates: each call asks for it twice."""
    cache_write = _or(rates.cache_write, rates.prompt)
    prompt = (
        rates.prompt,
        _or(rates.cached_prompt, rates.prompt),
        cache_write,
        _or(rates.cache_write_1h, cache_write),
        _or(rates.audio_input, rates.prompt),
        _or(rates.image_input, rates.prompt),
    )
    output = (
        rates.completion,
        _or(rates.audio_output, rates.completion),
        _or(rates.image_output, rates.completion),
    )
    return _Sheet((*prompt, *output), max(prompt), max(output))


def _tokens_pico_usd(rates: Rates, usage: Usage) -> int:
    """Every disjoint class once; reasoning is inside the output and costs nothing more."""
    tokens = (
        usage.input_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.cache_write_1h_tokens,
        usage.audio_input_tokens,
        usage.image_input_tokens,
        usage.output_tokens,
        usage.audio_output_tokens,
        usage.image_output_tokens,
    )
    return sum([count * pico for count, pico in zip(tokens, _sheet(rates).each, strict=True) if count > 0])


def _or(rate: int | None, fallback: int) -> int:
    return fallback if rate is None else rate


def _to_nano(pico_usd: int) -> int:
    return -(-pico_usd // _PICO_PER_NANO)
