"""HyperInfer's public catalogue of models, prices in USD per 1M tokens."""

import msgspec

from tollhouse.catalog.entries import Benchmark, Catalog, Creator, Model, Rates
from tollhouse.dialects.listing import Entry, Page, entry_fields, page
from tollhouse.dialects.prices import usd_per_million


class Branding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who made the model."""

    slug: str
    name: str
    brand_color: str | None = None


class Pricing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """USD per 1M tokens; `cached_prompt` only where it has a price of its own."""

    prompt: msgspec.Raw
    completion: msgspec.Raw
    cached_prompt: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Score(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One published benchmark."""

    label: str
    score: msgspec.Raw
    unit: str | None = None
    mode: str | None = None
    source_url: str
    tier: str


class PublicModel(Entry, frozen=True, kw_only=True):
    """One model: the contract's eleven fields, beside those of an Entry."""

    slug: str
    name: str
    provider: Branding
    description: str
    release_date: str
    context_length: int
    max_output_tokens: int
    pricing: Pricing
    features: tuple[str, ...]
    datacenter_locations: tuple[str, ...]
    benchmarks: list[Score]
    hugging_face_id: str | msgspec.UnsetType = msgspec.UNSET


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """What this deployment can do, whatever the model."""

    image_generation_configured: bool = False


class CatalogPage(Page, frozen=True, kw_only=True):
    """The list with its meta."""

    meta: Meta = Meta()


def model_list(catalog: Catalog) -> bytes:
    """The body, the models in the catalogue's order."""
    # There is no route for pictures here.
    listed = page([_public(model) for model in catalog.listed if model.operations != ("images",)])
    return msgspec.json.encode(CatalogPage(data=listed.data, first_id=listed.first_id, last_id=listed.last_id))


def _public(model: Model) -> PublicModel:
    return PublicModel(
        **entry_fields(model, model.slug),
        slug=model.slug,
        name=model.name,
        provider=_branding(model.creator),
        description=model.description,
        release_date=model.release_date,
        context_length=model.context_length,
        max_output_tokens=model.max_output_tokens,
        pricing=_pricing(model.price.rates),
        features=model.features,
        datacenter_locations=model.datacenter_locations,
        benchmarks=[_score(b) for b in sorted(model.benchmarks, key=lambda b: b.tier != "primary")],
        hugging_face_id=model.hugging_face_id or msgspec.UNSET,
    )


def _branding(creator: Creator) -> Branding:
    return Branding(slug=creator.slug, name=creator.name, brand_color=creator.brand_color)


def _pricing(rates: Rates) -> Pricing:
    cached = rates.cached_prompt
    return Pricing(
        prompt=usd_per_million(rates.prompt),
        completion=usd_per_million(rates.completion),
        cached_prompt=msgspec.UNSET if cached is None else usd_per_million(cached),
    )


def _score(benchmark: Benchmark) -> Score:
    return Score(
        label=benchmark.label,
        score=msgspec.Raw(benchmark.score.encode()),
        unit=benchmark.unit,
        mode=benchmark.mode,
        source_url=benchmark.source_url,
        tier=benchmark.tier,
    )
