"""ChatResponse: one whole answer, whatever the format in which it was given."""

import enum
from collections.abc import Sequence

import msgspec

from tollhouse.ir.parts import Extensions, Part, ToolCallPart
from tollhouse.ir.usage import Usage


class FinishReason(enum.StrEnum):
    """Why the model stopped, in one list for all formats."""

    STOP = "stop"
    STOP_SEQUENCE = "stop_sequence"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    ERROR = "error"
    OTHER = "other"


class Finish(msgspec.Struct, frozen=True, kw_only=True):
    """Why the model stopped. `raw` is the provider's word; `stop_sequence` the text that stopped it, where known."""

    reason: FinishReason
    raw: str | None = None
    stop_sequence: str | None = None


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One of the answers to the request; `finish` is None when the answer was cut short."""

    index: int = 0
    parts: tuple[Part, ...] = ()
    finish: Finish | None = None
    extensions: Extensions = {}


class ChatResponse(msgspec.Struct, frozen=True, kw_only=True):
    """An answer. `created` is in seconds since 1970; `choices` are in the order of their index."""

    id: str | None = None
    model: str | None = None
    created: int | None = None
    choices: tuple[Choice, ...] = ()
    usage: Usage | None = None
    service_tier: str | None = None
    extensions: Extensions = {}


def settled_reason(reason: FinishReason, *, has_tool_calls: bool) -> FinishReason:
    """The reason that fits what was emitted: providers end forced tool calls with "stop", and say "tool_calls" of
    answers that hold none, and a caller's tool loop follows the reason."""
    if has_tool_calls and reason in (FinishReason.STOP, FinishReason.STOP_SEQUENCE, FinishReason.OTHER):
        return FinishReason.TOOL_CALLS
    if not has_tool_calls and reason is FinishReason.TOOL_CALLS:
        return FinishReason.STOP
    return reason


def has_tool_calls(parts: Sequence[Part]) -> bool:
    """Whether the model asked for a tool."""
    return any(isinstance(part, ToolCallPart) for part in parts)
