"""Status of a Responses answer, in both directions: whether it is complete, and why not."""

from collections.abc import Mapping
from typing import NoReturn

from tollhouse.ir.fault import FaultError
from tollhouse.ir.plain import is_object
from tollhouse.ir.response import Finish, FinishReason, settled_reason
from tollhouse.wire.fields import unreadable_answer
from tollhouse.wire.openai_fault import decode_stream_fault

_REASONS = {
    "max_output_tokens": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "length": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
}
_WORDS = {FinishReason.LENGTH: "max_output_tokens", FinishReason.CONTENT_FILTER: "content_filter"}


def decode_finish(response: Mapping[str, object], *, has_tool_calls: bool) -> Finish:
    """Why an answer ended. Raises FaultError when it says that it failed, or was called off."""
    status = response.get("status")
    if status in ("failed", "cancelled"):
        raise_failure(response)
    raw = reason_of(response)
    if raw is not None:
        reason = _REASONS.get(raw, FinishReason.OTHER)
    elif status in (None, "completed", "complete"):
        reason = FinishReason.STOP
    else:
        reason = FinishReason.OTHER
    word = raw or (status if isinstance(status, str) else None)
    return Finish(reason=settled_reason(reason, has_tool_calls=has_tool_calls), raw=word)


def reason_of(response: Mapping[str, object]) -> str | None:
    """Why an answer is incomplete; None when it is complete."""
    details = response.get("incomplete_details")
    reason = details.get("reason") if is_object(details) else None
    return reason if isinstance(reason, str) and reason else None


def raise_failure(response: Mapping[str, object]) -> NoReturn:
    """Raise the FaultError that a failed answer means."""
    if error := response.get("error"):
        raise FaultError(decode_stream_fault(error))
    unreadable_answer("The provider failed while it was answering.")


def encode_finish(finish: Finish | None) -> tuple[str, dict[str, object] | None]:
    """`status` and `incomplete_details`."""
    word = None if finish is None else _WORDS.get(finish.reason)
    return ("completed", None) if word is None else ("incomplete", {"reason": word})
