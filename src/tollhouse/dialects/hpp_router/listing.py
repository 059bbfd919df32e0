"""HPP Router's list of models, prices in USD per 1M tokens."""

import msgspec

from tollhouse.catalog.entries import Catalog, Model
from tollhouse.dialects.listing import Entry, entry_fields, page
from tollhouse.dialects.prices import JsonNumber, JsonNumberOrNull, optional_usd_per_million, usd_per_million


class Pricing(msgspec.Struct, frozen=True, kw_only=True):
    """USD per 1M tokens; null where reading from or writing to a cache has no price of its own."""

    input: JsonNumber
    output: JsonNumber
    cache_write: JsonNumberOrNull
    cache_read: JsonNumberOrNull


class PricedEntry(Entry, frozen=True, kw_only=True):
    """One model with its price; null for the virtual one, which costs what the chosen model costs."""

    pricing: Pricing | None
    name: str
    description: str
    context: int
    max_output: int


_AUTO = PricedEntry(
    id="hpprouter/auto",
    created=0,
    owned_by="hpprouter",
    display_name="Auto",
    created_at="1970-01-01T00:00:00Z",
    pricing=None,
    name="Auto",
    description="Chooses a model for each call by the operator's rules.",
    context=0,
    max_output=0,
)


def model_list(catalog: Catalog) -> bytes:
    """The body: the virtual model first, then the catalogue in its order."""
    # There is no route for embeddings here.
    entries = [_AUTO, *(_entry(model) for model in catalog.listed if model.operations != ("embeddings",))]
    return msgspec.json.encode(page(entries))


def _entry(model: Model) -> PricedEntry:
    rates = model.price.rates
    # What comes out of a model for pictures is pictures.
    output = rates.completion if "chat" in model.operations else rates.image_output or rates.completion
    return PricedEntry(
        **entry_fields(model, model.slug),
        pricing=Pricing(
            input=usd_per_million(rates.prompt),
            output=usd_per_million(output),
            cache_write=optional_usd_per_million(rates.cache_write),
            cache_read=optional_usd_per_million(rates.cached_prompt),
        ),
        name=model.name,
        description=model.description,
        context=model.context_length,
        max_output=model.max_output_tokens,
    )
