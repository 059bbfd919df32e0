"""Peeking: single fields of a scanned request, read with their types before the request is decoded."""

import re
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from tollhouse.ir.fault import FaultError, invalid_request

MAX_OUTPUT_LIMIT = 2**31 - 1
FREE_TIERS = frozenset({"auto", "default"})
"""Service tiers that cost nothing extra."""

_T = TypeVar("_T")
_INTEGER = re.compile(rb"-?[0-9]{1,18}")
# An ASCII letter or underscore that somebody took the trouble to escape: the plain search would miss it.
_ESCAPED_LETTER = re.compile(rb"\\u00[4-7]")
_LOOKS = 64


class _Thinking(msgspec.Struct):
    budget_tokens: int | None = None


_thinking_decoder = msgspec.json.Decoder(_Thinking)


def read_field(
    fields: Mapping[str, msgspec.Raw], name: str, decoder: msgspec.json.Decoder[_T], wanted: str
) -> _T | None:
    """The value of a field; None when it is absent. Raises FaultError (invalid_request): it must be `wanted`."""
    raw = fields.get(name)
    if raw is None:
        return None
    try:
        return decoder.decode(raw)
    except msgspec.DecodeError:
        raise _refusal(name, wanted) from None


def read_integer(fields: Mapping[str, msgspec.Raw], name: str, highest: int) -> int | None:
    """A whole number from 1 to `highest`, None for null; huge ones are never computed with. Raises FaultError."""
    raw = fields.get(name)
    if raw is None:
        return None
    text = bytes(raw)
    if text == b"null":
        return None
    if _INTEGER.fullmatch(text) is None or not 1 <= (value := int(text)) <= highest:
        raise _refusal(name, f"a whole number from 1 to {highest}")
    return value


def reasoning_budget(fields: Mapping[str, msgspec.Raw]) -> int:
    """The tokens of `thinking.budget_tokens`, as Messages and some providers of Chat have it; 0 where there is none
    that can be read: whoever serves the request says what is wrong with it."""
    raw = fields.get("thinking")
    if raw is None:
        return 0
    try:
        return _thinking_decoder.decode(raw).budget_tokens or 0
    except msgspec.DecodeError:
        return 0


def may_hold(raw: bytes, word: bytes) -> bool:
    """Whether the JSON `raw` may hold the string `word`, quotes included, however it is escaped."""
    return stands_in(raw, word) or (
        b"\\" in raw and raw.rfind(b"\\u00") >= 0 and _ESCAPED_LETTER.search(raw) is not None
    )


def stands_in(raw: bytes, word: bytes) -> bool:
    """Prose has few underscores, and a single byte is found an order of magnitude faster than a word, so the one in
    `word` is looked for first; a text full of them is searched for the whole word."""
    offset = word.find(b"_")
    at = -1
    for _ in range(_LOOKS if offset >= 0 else 0):
        at = raw.find(b"_", at + 1)
        if at < 0:
            return False
        if at >= offset and raw.startswith(word, at - offset):
            return True
    # rfind is three times as fast here as a search from the front (measured on CPython 3.11, 100 KB).
    return raw.rfind(word) >= 0


def _refusal(name: str, wanted: str) -> FaultError:
    return invalid_request(f"'{name}' must be {wanted}.", name)
