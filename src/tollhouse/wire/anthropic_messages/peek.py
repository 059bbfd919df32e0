"""Peek: the few facts of a Messages request that are needed before it is forwarded."""

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

from tollhouse.ir.fault import FaultError, invalid_request
from tollhouse.wire.elsewhere import named_in_anthropic
from tollhouse.wire.format import Peek
from tollhouse.wire.offered_tools import are_spare
from tollhouse.wire.peeking import reasoning_budget

MAX_OUTPUT_LIMIT = 2**31 - 1

_T = TypeVar("_T")
_INTEGER = re.compile(rb"-?[0-9]{1,18}")
_DATE = re.compile(r"_[0-9]{8}$")

# Tools whose types the provider defines while the caller runs them, and its own ones that cost tokens only
# (docs "Tool reference" and "Pricing", 2026-11).
_FREE_TOOLS = frozenset(
    {
        "custom",
        "bash",
        "text_editor",
        "computer",
        "memory",
        "web_fetch",
        "tool_search_tool_bm25",
        "tool_search_tool_regex",
        "mcp_toolset",
    }
)


class _Tool(msgspec.Struct):
    type: str | None = None


_text_decoder = msgspec.json.Decoder(str | None)
_flag_decoder = msgspec.json.Decoder(bool | None)
_tools_decoder = msgspec.json.Decoder(list[_Tool] | None)


def peek_fields(fields: Mapping[str, msgspec.Raw]) -> Peek:
    """Read the peeked fields. Raises FaultError (invalid_request) that names a field of the wrong type or size.

    An explicit null counts as absent. Every stream of this format has usage.
    """
    model = _read(fields, "model", _text_decoder, "a string")
    if not model:
        raise invalid_request("'model' is required: name the model to call as a string.", "model")
    tools: list[_Tool] = _read(fields, "tools", _tools_decoder, "an array of objects") or []
    stream = _read(fields, "stream", _flag_decoder, "true or false") or False
    provider_tools = len(_provider_tools(tools)) if tools else 0
    elsewhere = named_in_anthropic(fields.get("messages"))
    return Peek(
        model=model,
        stream=stream,
        output_limit=_limit(fields),
        wants_usage=stream,
        has_tools=bool(tools),
        paid=tuple(dict.fromkeys(_paid(fields, tools))),
        spare_tools=provider_tools > 0 and are_spare(fields, len(tools), provider_tools),
        reasoning_budget=reasoning_budget(fields),
        is_partial=elsewhere.files,
        remote_pictures=elsewhere.pictures,
    )


def _paid(fields: Mapping[str, msgspec.Raw], tools: list[_Tool]) -> Iterable[tuple[str, str]]:
    """(field, price name) of whatever costs extra. `auto` and `standard_only` cost what they cost."""
    tier = _read(fields, "service_tier", _text_decoder, "a string")
    if tier is not None and tier not in ("auto", "standard_only"):
        yield "service_tier", f"service_tier:{tier}"
    speed = _read(fields, "speed", _text_decoder, "a string")
    if speed is not None and speed != "standard":
        yield "speed", f"service_tier:{speed}"
    for name in _provider_tools(tools):
        yield "tools", name


def _provider_tools(tools: list[_Tool]) -> list[str]:
    kinds = (_DATE.sub("", tool.type or "custom") for tool in tools)
    return [tool_price_name(kind) for kind in kinds if kind not in _FREE_TOOLS]


def tool_price_name(kind: str | None) -> str:
    """Under which name a tool of this type, whatever its date, has its price, if the provider runs it."""
    return f"tool:{_DATE.sub('', kind or 'custom')}"


def _limit(fields: Mapping[str, msgspec.Raw]) -> int | None:
    """`max_tokens`, a whole number from 1; huge ones are never computed with."""
    raw = fields.get("max_tokens")
    text = b"null" if raw is None else bytes(raw)
    if text == b"null":
        return None
    if _INTEGER.fullmatch(text) is None or not 1 <= (value := int(text)) <= MAX_OUTPUT_LIMIT:
        raise _refusal("max_tokens", f"a whole number from 1 to {MAX_OUTPUT_LIMIT}")
    return value


def _read(fields: Mapping[str, msgspec.Raw], name: str, decoder: msgspec.json.Decoder[_T], wanted: str) -> _T | None:
    raw = fields.get(name)
    if raw is None:
        return None
    try:
        return decoder.decode(raw)
    except msgspec.DecodeError:
        raise _refusal(name, wanted) from None


def _refusal(name: str, wanted: str) -> FaultError:
    return invalid_request(f"'{name}' must be {wanted}.", name)
