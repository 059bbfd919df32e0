"""Provider, Model, Deployment and Price: the catalogue's entries, frozen."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from tollhouse.tokens.encodings import BYTES
from tollhouse.wire.format import ModelOperation
from tollhouse.wire.quirks import Quirks

_REST_OF_NAME = re.compile(r"[!-~]{1,1024}", re.ASCII)

Strategy = Literal["weighted", "ordered", "cheapest", "fastest"]
"""Which of a model's deployments goes first among those of one order: by chance and weight, as they are written, the
one that costs callers least, the one that answers soonest."""


OnDisconnect = Literal["cancel", "cancel_streams", "drain"]
"""What becomes of an answer whose caller has hung up: it is cut off, because the provider then stops and bills no more
(`cancel`: always, `cancel_streams`: of streams only), or read to its end, because the provider bills all of it."""


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one attempt in seconds: `total_s` for an answer in one piece, `first_byte_s` and `stream_s` for a
    stream's beginning and its whole life."""

    connect_s: float = 10.0
    first_byte_s: float = 300.0
    idle_s: float = 120.0
    total_s: float = 600.0
    stream_s: float = 3600.0


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """One account at one vendor. `format` names its wire format, `more_formats` those in which it serves other
    operations. `api_key` and `more_keys` are secrets: never logged, never shown."""

    id: str
    format: str
    more_formats: tuple[str, ...] = ()
    base_url: str
    api_key: str | None = None
    more_keys: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    quirks: Quirks = Quirks()
    timeouts: Timeouts = Timeouts()
    on_disconnect: OnDisconnect = "cancel"

    @property
    def keys(self) -> tuple[str | None, ...]:
        """All keys that a call may be sent with; one None for a provider without any."""
        return (self.api_key, *self.more_keys)

    def __repr__(self) -> str:
        """Without the keys and the headers, which may hold one."""
        return f"Provider({self.id!r}, {self.format!r}, {self.base_url!r})"


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Prices per token in integer pico-USD; None where there is no price of its own (see `Price`)."""

    prompt: int = 0
    completion: int = 0
    cached_prompt: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    image_input: int | None = None
    image_output: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    """Other rates for the whole call once its prompt has more than `above_prompt_tokens` tokens."""

    above_prompt_tokens: int
    rates: Rates


class ServiceTier(msgspec.Struct, frozen=True, kw_only=True):
    """What a model costs at another service level (`priority`, `flex`), by its name in the request."""

    name: str
    rates: Rates
    tiers: tuple[Tier, ...] = ()


class ImagePrice(msgspec.Struct, frozen=True, kw_only=True):
    """What one picture of a size (`1024x1024`) and quality costs in pico-USD, None for `per_image`, and how many output
    tokens it takes at most, 0 where unknown. None stands for every size, or every quality, that has no entry."""

    size: str | None = None
    quality: str | None = None
    pico_usd: int | None = None
    output_tokens: int = 0


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """What a model costs.

    A missing rate falls back to the rate that a provider would bill it at: cached_prompt, cache_write and image_input
    to prompt, cache_write_1h to cache_write, image_output to completion. Audio has no fallback: a call that asks for
    it without a price is refused, as is a service tier or a provider's own tool that is not listed (where the model
    says `unpriced: allow`, audio counts as text, an unlisted service tier as the standard one, a tool as free).
    `tiers` are in ascending order. `per_image_pico_usd` is charged per generated image, unless `images` has another
    price for its size and quality; `tool_fees` per use in pico-USD by the tool's name. `version` is a short stable hash
    of all the rest.
    """

    rates: Rates = Rates()
    tiers: tuple[Tier, ...] = ()
    service_tiers: tuple[ServiceTier, ...] = ()
    per_image_pico_usd: int | None = None
    tool_fees: tuple[tuple[str, int], ...] = ()
    images: tuple[ImagePrice, ...] = ()
    version: str = ""

    @property
    def is_free(self) -> bool:
        """Whether nothing of the model costs anything."""
        return self == Price(version=self.version)


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """A model at a provider, for one operation. `order` 0 is tried before 1; `weight` shares the load within an order.
    `quirks` and `timeouts` are the ones in force: the provider's, with the deployment's own in their place. `price`
    stands in place of the model's where it has one of its own. `spoken` is the format in which the provider is asked,
    None for its first."""

    provider: Provider
    upstream_model: str
    order: int = 0
    weight: int = 1
    quirks: Quirks = Quirks()
    timeouts: Timeouts = Timeouts()
    price: Price | None = None
    operation: ModelOperation = "chat"
    spoken: str | None = None

    @property
    def name(self) -> str:
        """`provider:upstream-model`, as trails and logs show it; with `@embeddings` or `@images` behind it, since those
        may fail where chat does not."""
        name = f"{self.provider.id}:{self.upstream_model}"
        return name if self.operation == "chat" else f"{name}@{self.operation}"

    @property
    def format(self) -> str:
        """The wire format in which the deployment is asked."""
        return self.spoken or self.provider.format


class Creator(msgspec.Struct, frozen=True, kw_only=True):
    """Who made a model."""

    slug: str
    name: str
    brand_color: str | None = None


class Benchmark(msgspec.Struct, frozen=True, kw_only=True):
    """One published score. `score` stays text: it is shown, never computed with. tier: primary or extra."""

    label: str
    score: str
    source_url: str
    tier: str = "extra"
    unit: str | None = None
    mode: str | None = None


class Fallbacks(msgspec.Struct, frozen=True, kw_only=True):
    """Slugs of the models that may answer in a model's place, in order: when none of its deployments can, when its
    context is too short for the request, and when its content filter refuses it."""

    unavailable: tuple[str, ...] = ()
    context_length: tuple[str, ...] = ()
    content_filter: tuple[str, ...] = ()

    @property
    def slugs(self) -> tuple[str, ...]:
        """All of them, each once."""
        return tuple(dict.fromkeys((*self.unavailable, *self.context_length, *self.content_filter)))


NO_FALLBACKS = Fallbacks()


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One model that callers can name. A wildcard (`slug` ends in `*`) hands the rest of the name on to its
    deployments' `*` and is never listed. `demo` marks a model that the simulator answers in place of a provider that
    is not configured. `context_length` and `max_output_tokens` are in tokens, 0 where unknown. `tokenizer` names the
    encoding (`tokens/encodings.py`) in which prompts are counted where the provider does not. `strategy` orders its
    deployments; `sticky` keeps a conversation where it was, among deployments that the strategy holds for equal. A
    deployment stands there once for each of the `operations`."""

    slug: str
    name: str
    creator: Creator
    deployments: tuple[Deployment, ...]
    price: Price
    aliases: tuple[str, ...] = ()
    description: str = ""
    release_date: str = ""
    context_length: int = 0
    max_output_tokens: int = 0
    features: tuple[str, ...] = ()
    operations: tuple[ModelOperation, ...] = ("chat",)
    datacenter_locations: tuple[str, ...] = ()
    benchmarks: tuple[Benchmark, ...] = ()
    hugging_face_id: str | None = None
    demo: bool = False
    unpriced_allowed: bool = False
    strategy: Strategy = "weighted"
    sticky: bool = True
    fallbacks: Fallbacks = NO_FALLBACKS
    tokenizer: str = BYTES

    @property
    def is_wildcard(self) -> bool:
        """Whether the slug is a pattern."""
        return self.slug.endswith("*")


class Resolved(msgspec.Struct, frozen=True, kw_only=True):
    """A name that a caller sent, looked up. `slug` is the full name that answers echo, `label` the bounded one for
    metrics (a wildcard's pattern); `rest` is what stood in place of the wildcard."""

    model: Model
    slug: str
    label: str
    rest: str | None = None

    def upstream_model(self, deployment: Deployment) -> str:
        """The name that the provider knows the model by."""
        if self.rest is None:
            return deployment.upstream_model
        return deployment.upstream_model.replace("*", self.rest, 1)


PlanPeriod = Literal["day", "month", "total"]
PLAN_PERIODS: Final[Mapping[str, PlanPeriod]] = MappingProxyType({"day": "day", "month": "month", "total": "total"})


class TokenPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A quota that workspaces and keys can be put on: so many tokens in each day or month (UTC), or in all."""

    name: str
    tokens: int
    period: PlanPeriod = "month"


class Catalog:
    """An immutable snapshot of all that can be called. `listed` is in the order of the file, without wildcards."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        models: tuple[Model, ...],
        plans: tuple[TokenPlan, ...] = (),
        defaults: Mapping[ModelOperation, str] | None = None,
    ) -> None:
        self.plans = plans
        self._defaults: Mapping[ModelOperation, str] = defaults or {}
        self.providers: Mapping[str, Provider] = MappingProxyType(dict(providers))
        self.models = models
        self.listed = tuple(model for model in models if not model.is_wildcard)
        self._by_name: dict[str, Resolved] = {}
        for model in self.listed:
            for name in (model.slug, *model.aliases):
                self._by_name.setdefault(name, Resolved(model=model, slug=model.slug, label=model.slug))
        wildcards = sorted((m for m in models if m.is_wildcard), key=lambda m: -len(m.slug))
        self._wildcards = tuple(wildcards)

    def default_model(self, operation: ModelOperation) -> str | None:
        """The model for calls that name none: the one that the catalogue says, if it can be called, else the first that
        is for this."""
        named = self._defaults.get(operation)
        if named is not None and self.resolve(named) is not None:
            return named
        return next((model.slug for model in self.listed if operation in model.operations), None)

    def resolve(self, name: str) -> Resolved | None:
        """The model of this name or alias; the longest matching wildcard when no name fits; None when none does."""
        found = self._by_name.get(name)
        if found is not None:
            return found
        for model in self._wildcards:
            prefix = model.slug[:-1]
            # The rest comes from a caller and goes into headers, logs and another's request: visible ASCII only.
            if name.startswith(prefix) and _REST_OF_NAME.fullmatch(name, len(prefix)):
                return Resolved(model=model, slug=name, label=model.slug, rest=name[len(prefix) :])
        return None
