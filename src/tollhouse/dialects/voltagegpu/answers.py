"""VoltageGPU's answers to calls, as far as its contract types them: providers make them, and may say more."""

from typing import Literal

import msgspec

from tollhouse.dialects.listing import Entry


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """One message of the model."""

    role: Literal["system", "user", "assistant"]
    content: str
    name: str | None = None


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One of the answers."""

    index: int | None = None
    message: Said | None = None
    finish_reason: Literal["stop", "length", "content_filter"] | None


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of prompt and answer."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None


class ChatAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A chat completion."""

    id: str | None = None
    object: Literal["chat.completion"] | None = None
    created: int | None = None
    model: str | None = None
    choices: list[Choice] | None = None
    usage: Usage | None = None


class Vector(msgspec.Struct, frozen=True, kw_only=True):
    """The vector of one text."""

    object: Literal["embedding"] | None = None
    embedding: list[float] | None = None
    index: int | None = None


class VectorList(msgspec.Struct, frozen=True, kw_only=True):
    """The vectors of all texts, in their order."""

    object: Literal["list"] | None = None
    data: list[Vector] | None = None
    model: str | None = None
    usage: Usage | None = None


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """One picture: as a file, or where it can be fetched."""

    b64_json: str | None = None
    url: str | None = None


class ImagesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The pictures."""

    created: int | None = None
    data: list[Picture] | None = None


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    """All names that can be called."""

    object: Literal["list"]
    data: list[Entry]
    has_more: bool
    first_id: str | None
    last_id: str | None
