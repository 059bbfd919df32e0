"""Stop reasons of Messages, in both directions."""

from tollhouse.ir.response import Finish, FinishReason, settled_reason

_REASONS = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP_SEQUENCE,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "tool_use": FinishReason.TOOL_CALLS,
    "refusal": FinishReason.CONTENT_FILTER,
    # The caller sends the answer back as it is, and the provider goes on with it (docs "Stop reasons", 2026-11).
    "pause_turn": FinishReason.OTHER,
}
# The contract's closed list has no word for a stop sequence: it is end_turn, and the field says which (behaviour 2.4).
_WORDS = {
    FinishReason.STOP: "end_turn",
    FinishReason.STOP_SEQUENCE: "end_turn",
    FinishReason.LENGTH: "max_tokens",
    FinishReason.TOOL_CALLS: "tool_use",
    FinishReason.CONTENT_FILTER: "refusal",
    FinishReason.ERROR: "end_turn",
    FinishReason.OTHER: "end_turn",
}
_TIDY = {"stop_sequence": "end_turn", "model_context_window_exceeded": "max_tokens"}


def decode_finish(raw: str | None, stop_sequence: str | None, *, has_tool_calls: bool) -> Finish:
    """Why a complete answer ended; `raw` may be missing or empty."""
    reason = _REASONS.get(raw, FinishReason.OTHER) if raw else FinishReason.STOP
    if reason is FinishReason.STOP and stop_sequence is not None:
        reason = FinishReason.STOP_SEQUENCE
    settled = settled_reason(reason, has_tool_calls=has_tool_calls)
    told = stop_sequence if settled is FinishReason.STOP_SEQUENCE else None
    return Finish(reason=settled, raw=raw or None, stop_sequence=told)


def encode_finish(finish: Finish | None, *, has_tool_calls: bool) -> dict[str, object]:
    """`stop_reason` and `stop_sequence` that fit what was emitted."""
    if finish is None:
        finish = Finish(reason=FinishReason.STOP)
    reason = settled_reason(finish.reason, has_tool_calls=has_tool_calls)
    paused = reason is FinishReason.OTHER and finish.raw == "pause_turn"
    stopped = finish.stop_sequence if reason is FinishReason.STOP_SEQUENCE else None
    return {"stop_reason": "pause_turn" if paused else _WORDS[reason], "stop_sequence": stopped}


def tidy_reason(raw: str) -> str:
    """The contract's word for a provider's own; words that it does not know stay."""
    return _TIDY.get(raw, raw)
