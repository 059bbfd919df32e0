"""ImageRequest and ImageResponse: one call for pictures and its answer, whatever the format of either."""

import msgspec

from tollhouse.ir.usage import Usage

Extras = dict[str, msgspec.Raw]
"""Fields that no format here knows, as they came."""


class ImagesAsked(msgspec.Struct, frozen=True, kw_only=True):
    """How many pictures were asked for, and of which size (`1024x1024`) and quality; None where that was left to the
    model. `handed_over` says how the caller wants them, by address or as base64, and `output_format` as what kind of
    file; None where he said nothing."""

    count: int = 1
    size: str | None = None
    quality: str | None = None
    handed_over: str | None = None
    output_format: str | None = None


class ImageRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A wish for `count` pictures. `size` is `WIDTHxHEIGHT`; what the caller left to the model is None. `defaulted` are
    fields that the dialect's contract has set, and not the caller: to leave one out is no loss."""

    model: str
    prompt: str
    count: int = 1
    size: str | None = None
    quality: str | None = None
    background: str | None = None
    output_format: str | None = None
    negative_prompt: str | None = None
    guidance_scale: float | None = None
    steps: int | None = None
    seed: int | None = None
    user: str | None = None
    defaulted: frozenset[str] = frozenset()
    extras: Extras = {}


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """One picture, as base64 or at an address."""

    base64: str | None = None
    url: str | None = None
    extras: Extras = {}


class ImageResponse(msgspec.Struct, frozen=True, kw_only=True):
    """An answer. `created` is in seconds since 1970; `size` and `quality` are those that were made, where the provider
    says so; `told_usage` is the provider's own object."""

    pictures: tuple[Picture, ...]
    created: int | None = None
    size: str | None = None
    quality: str | None = None
    usage: Usage | None = None
    told_usage: dict[str, object] | None = None
    extras: Extras = {}
