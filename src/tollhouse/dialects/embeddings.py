"""Requests for embeddings, as far as OpenAI and those who follow it type them; fields that are not named here pass."""

from typing import Annotated, Final, Literal

import msgspec

from tollhouse.dialects.fields import ModelName, UserId
from tollhouse.dialects.members import check_length
from tollhouse.dialects.reading import Reader

# OpenAI takes 2,048 texts at once and vectors of 3,072 numbers; others take more.
MAX_TEXTS = 10_000
MAX_DIMENSIONS = 65_536

Texts = Annotated[list[str], msgspec.Meta(min_length=1, max_length=MAX_TEXTS)]
# Texts, or texts as their tokens: a list of tokens is one text, a list of such lists several.
TextsOrTokens = Annotated[list[str | int | list[int]], msgspec.Meta(min_length=1)]
Dimensions = Annotated[int, msgspec.Meta(ge=1, le=MAX_DIMENSIONS)]
Encoding = Literal["float", "base64"]

_CHOICES: Final = {"encoding_format": "float or base64"}


class TextsRequest(msgspec.Struct, gc=False):
    """The body of a call that may hold a text, or texts."""

    model: ModelName
    input: str | Texts
    encoding_format: Encoding | None = None
    dimensions: Dimensions | None = None
    user: UserId | None = None


class TextsOrTokensRequest(msgspec.Struct, gc=False):
    """The body of a call that may hold tokens as well."""

    model: ModelName
    input: str | TextsOrTokens
    encoding_format: Encoding | None = None
    dimensions: Dimensions | None = None
    user: UserId | None = None


_TEXTS: Final = Reader(TextsRequest, _CHOICES)
_TEXTS_OR_TOKENS: Final = Reader(TextsOrTokensRequest, _CHOICES)


def check_texts(body: bytes) -> None:
    """Refuse a body that is no request for vectors of texts. Raises FaultError (invalid_request) naming the field."""
    _TEXTS.read(body)


def check_texts_or_tokens(body: bytes) -> None:
    """The same, where texts may be given as their tokens."""
    request = _TEXTS_OR_TOKENS.read(body)
    if isinstance(request.input, list) and not isinstance(request.input[0], int):
        check_length(request.input, MAX_TEXTS, "input")
