"""Peek: the few facts of a Chat Completions request that are needed before it is forwarded."""

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar, cast

import msgspec

from tollhouse.ir.fault import FaultError, invalid_request
from tollhouse.wire.format import Peek

MAX_OUTPUT_LIMIT = 2**31 - 1
MAX_CHOICES = 128

_T = TypeVar("_T")
_INTEGER = re.compile(rb"-?[0-9]{1,18}")
# An ASCII letter or underscore that somebody took the trouble to escape: the plain search would miss it.
_ESCAPED_LETTER = re.compile(rb"\\u00[4-7]")
_FREE_TIERS = frozenset({"auto", "default"})
_PLAIN_TOOLS = frozenset({"function", "custom"})


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Tool(msgspec.Struct):
    type: str | None = None


_text_decoder = msgspec.json.Decoder(str | None)
_flag_decoder = msgspec.json.Decoder(bool | None)
_options_decoder = msgspec.json.Decoder(_StreamOptions | None)
_tools_decoder = msgspec.json.Decoder(list[_Tool] | None)
_texts_decoder = msgspec.json.Decoder(list[str] | None)
_object_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)


def peek_fields(fields: Mapping[str, msgspec.Raw]) -> Peek:
    """Read the peeked fields. Raises FaultError (invalid_request) that names a field of the wrong type or size.

    An explicit null counts as absent. Of the two output limits, the newer name wins.
    """
    model = _read(fields, "model", _text_decoder, "a string")
    if not model:
        raise invalid_request("'model' is required: name the model to call as a string.", "model")
    older = _integer(fields, "max_tokens", MAX_OUTPUT_LIMIT)
    newer = _integer(fields, "max_completion_tokens", MAX_OUTPUT_LIMIT)
    options = _read(fields, "stream_options", _options_decoder, "an object with include_usage as true or false")
    tools: list[_Tool] = _read(fields, "tools", _tools_decoder, "an array of objects, each with a type") or []
    return Peek(
        model=model,
        stream=_read(fields, "stream", _flag_decoder, "true or false") or False,
        output_limit=older if newer is None else newer,
        choices=_integer(fields, "n", MAX_CHOICES) or 1,
        wants_usage=options is not None and options.include_usage is True,
        has_tools=bool(tools),
        paid=tuple(dict.fromkeys(_paid(fields, tools))),
    )


def _paid(fields: Mapping[str, msgspec.Raw], tools: list[_Tool]) -> Iterable[tuple[str, str]]:
    """(field, price name) of whatever costs extra."""
    tier = _read(fields, "service_tier", _text_decoder, "a string")
    if tier is not None and tier not in _FREE_TIERS:
        yield "service_tier", f"service_tier:{tier}"
    if _read(fields, "web_search_options", _object_decoder, "an object") is not None:
        yield "web_search_options", "tool:web_search"
    if "audio" in (_read(fields, "modalities", _texts_decoder, "an array of strings") or ()):
        yield "modalities", "audio_output"
    if _has_audio_parts(fields.get("messages")):
        yield "messages", "audio_input"
    for tool in tools:
        if tool.type is not None and tool.type not in _PLAIN_TOOLS:
            yield "tools", f"tool:{tool.type}"


def _has_audio_parts(messages: msgspec.Raw | None) -> bool:
    """Whether a message holds sound; decodes only where the bytes make it possible."""
    if messages is None:
        return False
    raw = bytes(messages)
    # rfind is three times as fast here as a search from the front (measured on CPython 3.11, 100 KB).
    if raw.rfind(b'"input_audio"') < 0 and not _has_escaped_letters(raw):
        return False
    decoded: object = msgspec.json.decode(raw)
    return any(
        part.get("type") == "input_audio" for message in _objects(decoded) for part in _objects(message.get("content"))
    )


def _has_escaped_letters(raw: bytes) -> bool:
    return b"\\" in raw and raw.rfind(b"\\u00") >= 0 and _ESCAPED_LETTER.search(raw) is not None


def _objects(value: object) -> Iterable[dict[str, object]]:
    """The objects in `value`, if it is a list."""
    if isinstance(value, list):
        for item in cast("list[object]", value):
            if isinstance(item, dict):
                yield cast("dict[str, object]", item)


def _read(fields: Mapping[str, msgspec.Raw], name: str, decoder: msgspec.json.Decoder[_T], wanted: str) -> _T | None:
    raw = fields.get(name)
    if raw is None:
        return None
    try:
        return decoder.decode(raw)
    except msgspec.DecodeError:
        raise _refusal(name, wanted) from None


def _integer(fields: Mapping[str, msgspec.Raw], name: str, highest: int) -> int | None:
    """A whole number from 1 to `highest`; huge ones are never computed with."""
    raw = fields.get(name)
    if raw is None:
        return None
    text = bytes(raw)
    if text == b"null":
        return None
    if _INTEGER.fullmatch(text) is None or not 1 <= (value := int(text)) <= highest:
        raise _refusal(name, f"a whole number from 1 to {highest}")
    return value


def _refusal(name: str, wanted: str) -> FaultError:
    return invalid_request(f"'{name}' must be {wanted}.", name)
