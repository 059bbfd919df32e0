"""Peek: the few facts of a Responses request that are needed before it is forwarded."""

from collections.abc import Iterable, Mapping

import msgspec

from tollhouse.ir.fault import invalid_request
from tollhouse.ir.plain import is_array, is_object
from tollhouse.wire.elsewhere import named_in_openai
from tollhouse.wire.format import Peek
from tollhouse.wire.offered_tools import are_spare
from tollhouse.wire.peeking import FREE_TIERS, MAX_OUTPUT_LIMIT, may_hold, read_field, read_integer

# Tools that the caller runs, or that only group or find tools.
_PLAIN_TOOLS = frozenset({"function", "custom", "namespace", "tool_search", "local_shell", "apply_patch"})

# What a provider of the format reads into the prompt from its own store.
_KEPT_FIELDS = ("conversation", "prompt")


class _Tool(msgspec.Struct):
    type: str | None = None


_text_decoder = msgspec.json.Decoder(str | None)
_flag_decoder = msgspec.json.Decoder(bool | None)
_tools_decoder = msgspec.json.Decoder(list[_Tool] | None)


def peek_fields(fields: Mapping[str, msgspec.Raw]) -> Peek:
    """Read the peeked fields. Raises FaultError (invalid_request) that names a field of the wrong type or size.

    An explicit null counts as absent. A stream of this format always tells its usage.
    """
    model = read_field(fields, "model", _text_decoder, "a string")
    if not model:
        raise invalid_request("'model' is required: name the model to call as a string.", "model")
    tools: list[_Tool] = read_field(fields, "tools", _tools_decoder, "an array of objects, each with a type") or []
    provider_tools = len(_provider_tools(tools)) if tools else 0
    elsewhere = named_in_openai(fields.get("input"))
    return Peek(
        model=model,
        stream=read_field(fields, "stream", _flag_decoder, "true or false") or False,
        output_limit=read_integer(fields, "max_output_tokens", MAX_OUTPUT_LIMIT),
        wants_usage=True,
        has_tools=bool(tools),
        paid=tuple(dict.fromkeys(_paid(fields, tools))),
        spare_tools=provider_tools > 0 and are_spare(fields, len(tools), provider_tools),
        keeps_turns=_is_set(fields, "conversation"),
        is_partial=elsewhere.files
        or any(_is_set(fields, name) for name in _KEPT_FIELDS)
        or _has_references(fields.get("input")),
        remote_pictures=elsewhere.pictures,
    )


def _is_set(fields: Mapping[str, msgspec.Raw], name: str) -> bool:
    return name in fields and bytes(fields[name]) != b"null"


def _paid(fields: Mapping[str, msgspec.Raw], tools: list[_Tool]) -> Iterable[tuple[str, str]]:
    """(field, price name) of whatever costs extra."""
    tier = read_field(fields, "service_tier", _text_decoder, "a string")
    if tier is not None and tier not in FREE_TIERS:
        yield "service_tier", f"service_tier:{tier}"
    if _has_audio_parts(fields.get("input")):
        yield "input", "audio_input"
    for name in _provider_tools(tools):
        yield "tools", name


def _provider_tools(tools: list[_Tool]) -> list[str]:
    return [tool_price_name(tool.type) for tool in tools if tool.type is not None and tool.type not in _PLAIN_TOOLS]


def tool_price_name(kind: str | None) -> str:
    """Under which name a tool of this type has its price, if the provider runs it."""
    return f"tool:{kind}"


def _has_audio_parts(items: msgspec.Raw | None) -> bool:
    """Whether an item holds sound; decodes only where the bytes make it possible."""
    if items is None or not may_hold(bytes(items), b'"input_audio"'):
        return False
    decoded: object = msgspec.json.decode(items)
    return any(
        part.get("type") == "input_audio"
        for item in _objects(decoded)
        for part in (*_objects(item.get("content")), *_objects(item.get("output")))
    )


def _has_references(items: msgspec.Raw | None) -> bool:
    """Whether an item stands for one that the provider keeps; decodes only where the bytes make it possible."""
    if items is None or not may_hold(bytes(items), b'"item_reference"'):
        return False
    return any(item.get("type") == "item_reference" for item in _objects(msgspec.json.decode(items)))


def _objects(value: object) -> Iterable[dict[str, object]]:
    """The objects in `value`, if it is a list."""
    return [item for item in value if is_object(item)] if is_array(value) else []
