"""Order: in which order a model's deployments are asked, by the catalogue and by the caller; chance is an argument."""

import math
from collections.abc import Callable, Sequence

import msgspec

from tollhouse.catalog.entries import Deployment, Price, Strategy

_PROMPT_SHARE = 3
"""Prices are compared for three tokens of prompt to one of answer."""
_ALIKE = math.log(1.2)
"""Deployments whose times differ by less than about a fifth are equally fast."""


class Measured(msgspec.Struct, frozen=True):
    """What is known of a deployment of late: its time to the first byte, None while unknown, and its share of
    errors."""

    first_byte_s: float | None = None
    error_rate: float = 0.0


class MaxPrice(msgspec.Struct, frozen=True, kw_only=True):
    """The most that a caller would pay: USD per 1M tokens, and per image; None for no bound."""

    prompt: float | None = None
    completion: float | None = None
    image: float | None = None

    def covers(self, price: Price) -> bool:
        """Whether the price is within it."""
        # A price in USD per 1M tokens is the same number in micro-USD per token.
        bounds = (
            (self.prompt, price.rates.prompt, 1e6),
            (self.completion, price.rates.completion, 1e6),
            (self.image, price.per_image_pico_usd or 0, 1e12),
        )
        return all(bound is None or pico <= bound * scale for bound, pico, scale in bounds)


class Preferences(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller wants of the providers; ids of providers in lower case. `order` goes first, `only` and `ignore`
    choose, `sort` replaces the model's own strategy and order, without `fallbacks` one provider is asked (or those of
    `order`)."""

    order: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    sort: Strategy | None = None
    max_price: MaxPrice = MaxPrice()
    fallbacks: bool = True


NO_PREFERENCES = Preferences()


class View(msgspec.Struct, frozen=True):
    """What an order depends on beside the catalogue. `draw` gives each deployment its number from 0 to 1: by chance,
    or always the same for one conversation. `price` is what callers pay there."""

    draw: Callable[[Deployment], float]
    measured: Callable[[Deployment], Measured]
    price: Callable[[Deployment], Price]


def order(deployments: Sequence[Deployment], strategy: Strategy, wanted: Preferences, view: View) -> list[Deployment]:
    """The deployments to ask, the first one first; empty when the caller wants none of them."""
    found = deployments
    if wanted is not NO_PREFERENCES:
        found = [one for one in deployments if _is_wanted(one, wanted, view)]
    if len(found) > 1:
        chosen = wanted.sort or strategy
        levels = {} if wanted.sort else {one.name: one.order for one in found}
        rank = _rank(chosen, view)
        found = sorted(found, key=lambda one: (levels.get(one.name, 0), *rank(one)))
    if wanted.order:
        places = {provider: place for place, provider in enumerate(wanted.order)}
        found = sorted(found, key=lambda one: places.get(one.provider.id, len(places)))
        return [one for one in found if wanted.fallbacks or one.provider.id in places]
    return list(found) if wanted.fallbacks else list(found[:1])


def weighted_draw(draw: float, weight: int) -> float:
    """A number that is smallest for a deployment as often as its weight is in all of them (a draw of the exponential
    distribution): for draws that are equally spread, and independent of each other."""
    return -math.log(max(draw, 1e-300)) / weight


def blended_pico_usd(price: Price) -> int:
    """A price as one number, to compare it by."""
    return _PROMPT_SHARE * price.rates.prompt + price.rates.completion


def _is_wanted(deployment: Deployment, wanted: Preferences, view: View) -> bool:
    provider = deployment.provider.id
    if wanted.only and provider not in wanted.only:
        return False
    return provider not in wanted.ignore and wanted.max_price.covers(view.price(deployment))


def _rank(strategy: Strategy, view: View) -> Callable[[Deployment], tuple[float, float]]:
    match strategy:
        case "ordered":
            return lambda _: (0.0, 0.0)
        case "weighted":
            return lambda one: (0.0, _luck(one, view))
        case "cheapest":
            return lambda one: (blended_pico_usd(view.price(one)), _luck(one, view))
        case "fastest":
            return lambda one: (_slowness(view.measured(one)), _luck(one, view))


def _luck(deployment: Deployment, view: View) -> float:
    return weighted_draw(view.draw(deployment), deployment.weight)


def _slowness(measured: Measured) -> float:
    """Steps of a fifth; what was not measured of late comes first, and so is measured."""
    if measured.first_byte_s is None:
        return -math.inf
    expected_s = max(measured.first_byte_s, 0.001) / max(0.05, 1.0 - measured.error_rate)
    return math.floor(math.log(expected_s) / _ALIKE)
