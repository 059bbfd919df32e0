"""HyperInfer's error envelope for the Messages format: Anthropic's, with the same sixteen codes."""

from typing import Final

import msgspec

from tollhouse.dialects.hyperinfer.errors import verdict
from tollhouse.dialects.wording import retry_headers
from tollhouse.ir.fault import Fault, FaultKind
from tollhouse.observe.record import Attempt
from tollhouse.relay.call import Worded

_INVALID_KEY: Final = (
    "The API key is missing, unknown or no longer valid. Send a valid one as `Authorization: Bearer` or `x-api-key`."
)

# The error class of each status, after Anthropic's list (behaviour.md 2.8).
_CLASSES: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class Details(msgspec.Struct, frozen=True):
    """What Anthropic's own libraries act on."""

    error_code: str


class AnthropicError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One error; `code` is one of the sixteen."""

    type: str
    code: str
    message: str
    details: Details | None = None


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """The whole body."""

    type: str = "error"
    error: AnthropicError
    request_id: str


class MessagesWording:
    """HyperInfer's words where Messages is spoken."""

    def word(self, fault: Fault, request_id: str, endpoint: str, attempts: tuple[Attempt, ...] = ()) -> Worded:
        """The one wording of `fault`."""
        del endpoint, attempts  # not part of the envelope
        status, code, message = verdict(fault, request_id)
        if fault.kind is FaultKind.INVALID_KEY:
            message = _INVALID_KEY
        details = None if fault.code is None else Details(fault.code)
        error = AnthropicError(type=_error_class(status), code=code, message=message, details=details)
        return Worded(status, msgspec.json.encode(Envelope(error=error, request_id=request_id)), retry_headers(fault))


def _error_class(status: int) -> str:
    return _CLASSES.get(status, "api_error" if status >= 500 else "invalid_request_error")
