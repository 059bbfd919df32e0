"""HPP Router's answers to calls, as far as its contract types them: providers make them, and may say more."""

from typing import Any, Literal

import msgspec

from tollhouse.dialects.hpp_router.listing import PricedEntry


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One of the answers."""

    index: int
    message: dict[str, Any]
    finish_reason: str | None = None


class TokenUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What is billed."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None


class ChatAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A chat completion."""

    id: str | None = None
    object: str | None = None
    created: int | None = None
    model: str | None = None
    choices: list[Choice] | None = None
    usage: TokenUsage | None = None


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """One picture: as a file, or where it can be fetched."""

    b64_json: str | None = None
    url: str | None = None


class ImagesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The pictures, and the tokens that they took where the model counts them."""

    created: int | None = None
    data: list[Picture] | None = None
    usage: dict[str, Any] | None = None


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    """All models that can be called."""

    object: Literal["list"]
    data: list[PricedEntry]
    has_more: bool
    first_id: str | None
    last_id: str | None
