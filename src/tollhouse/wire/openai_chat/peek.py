"""Peek: the few facts of a Chat Completions request that are needed before it is forwarded."""

from collections.abc import Iterable, Mapping
from typing import cast

import msgspec

from tollhouse.ir.fault import invalid_request
from tollhouse.wire.elsewhere import named_in_openai
from tollhouse.wire.format import Peek
from tollhouse.wire.offered_tools import are_spare
from tollhouse.wire.peeking import FREE_TIERS, MAX_OUTPUT_LIMIT, may_hold, read_field, read_integer, reasoning_budget

MAX_CHOICES = 128

PEEKED = frozenset(
    {
        "max_tokens",
        "max_completion_tokens",
        "stream_options",
        "tools",
        "stream",
        "n",
        "service_tier",
        "web_search_options",
        "modalities",
        "thinking",
    }
)
"""What is looked at beside model and messages."""
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
    model = read_field(fields, "model", _text_decoder, "a string")
    if not model:
        raise invalid_request("'model' is required: name the model to call as a string.", "model")
    elsewhere = named_in_openai(fields.get("messages"))
    if PEEKED.isdisjoint(fields):
        # The common request: all that is below would find nothing, but for sound in messages.
        return Peek(
            model=model,
            paid=tuple(_paid(fields, [])),
            is_partial=elsewhere.files,
            remote_pictures=elsewhere.pictures,
        )
    older = read_integer(fields, "max_tokens", MAX_OUTPUT_LIMIT)
    newer = read_integer(fields, "max_completion_tokens", MAX_OUTPUT_LIMIT)
    options = read_field(fields, "stream_options", _options_decoder, "an object with include_usage as true or false")
    tools: list[_Tool] = read_field(fields, "tools", _tools_decoder, "an array of objects, each with a type") or []
    provider_tools = len(_provider_tools(tools)) if tools else 0
    return Peek(
        model=model,
        stream=read_field(fields, "stream", _flag_decoder, "true or false") or False,
        output_limit=older if newer is None else newer,
        choices=read_integer(fields, "n", MAX_CHOICES) or 1,
        wants_usage=options is not None and options.include_usage is True,
        has_tools=bool(tools),
        paid=tuple(dict.fromkeys(_paid(fields, tools))),
        spare_tools=provider_tools > 0 and are_spare(fields, len(tools), provider_tools),
        reasoning_budget=reasoning_budget(fields),
        is_partial=elsewhere.files,
        remote_pictures=elsewhere.pictures,
    )


def _paid(fields: Mapping[str, msgspec.Raw], tools: list[_Tool]) -> Iterable[tuple[str, str]]:
    """(field, price name) of whatever costs extra."""
    tier = read_field(fields, "service_tier", _text_decoder, "a string")
    if tier is not None and tier not in FREE_TIERS:
        yield "service_tier", f"service_tier:{tier}"
    if read_field(fields, "web_search_options", _object_decoder, "an object") is not None:
        yield "web_search_options", "tool:web_search"
    if "audio" in (read_field(fields, "modalities", _texts_decoder, "an array of strings") or ()):
        yield "modalities", "audio_output"
    if _has_audio_parts(fields.get("messages")):
        yield "messages", "audio_input"
    for name in _provider_tools(tools):
        yield "tools", name


def _provider_tools(tools: list[_Tool]) -> list[str]:
    return [tool_price_name(tool.type) for tool in tools if tool.type is not None and tool.type not in _PLAIN_TOOLS]


def tool_price_name(kind: str | None) -> str:
    """Under which name a tool of this type has its price, if the provider runs it."""
    return f"tool:{kind}"


def _has_audio_parts(messages: msgspec.Raw | None) -> bool:
    """Whether a message holds sound; decodes only where the bytes make it possible."""
    if messages is None:
        return False
    raw = bytes(messages)
    if not may_hold(raw, b'"input_audio"'):
        return False
    decoded: object = msgspec.json.decode(raw)
    return any(
        part.get("type") == "input_audio" for message in _objects(decoded) for part in _objects(message.get("content"))
    )


def _objects(value: object) -> Iterable[dict[str, object]]:
    """The objects in `value`, if it is a list."""
    if isinstance(value, list):
        for item in cast("list[object]", value):
            if isinstance(item, dict):
                yield cast("dict[str, object]", item)
