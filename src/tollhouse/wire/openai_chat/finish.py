"""Finish reasons of Chat Completions, in both directions."""

from tollhouse.ir.fault import Fault, FaultError, FaultKind
from tollhouse.ir.response import Finish, FinishReason, settled_reason

# Besides the format's own five: words of providers that offer this format, as recorded in 2025 and 2026.
_REASONS = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "tool_use": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
    "safety": FinishReason.CONTENT_FILTER,
}
_WORDS = {
    FinishReason.STOP: "stop",
    FinishReason.STOP_SEQUENCE: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.TOOL_CALLS: "tool_calls",
    FinishReason.CONTENT_FILTER: "content_filter",
    FinishReason.ERROR: "error",
    FinishReason.OTHER: "stop",
}


def decode_finish(raw: str | None, *, has_tool_calls: bool) -> Finish:
    """Why a complete answer ended; `raw` may be missing or empty. Raises FaultError on "error": the provider failed
    after it had begun to answer (OpenRouter, docs "Errors", November 2026)."""
    if raw == "error":
        message = "The provider failed while it was answering."
        raise FaultError(Fault(kind=FaultKind.PROVIDER_UNAVAILABLE, source="provider", message=message))
    reason = _REASONS.get(raw.lower(), FinishReason.OTHER) if raw else FinishReason.STOP
    return Finish(reason=settled_reason(reason, has_tool_calls=has_tool_calls), raw=raw or None)


def encode_finish(finish: Finish | None, *, has_tool_calls: bool) -> str:
    """The word of the closed list that fits what was emitted."""
    reason = FinishReason.STOP if finish is None else finish.reason
    return _WORDS[settled_reason(reason, has_tool_calls=has_tool_calls)]
