"""HyperInfer's verdict on every fault, with sixteen stable codes, in the envelope of the OpenAI formats."""

from typing import Final, assert_never

import msgspec

from tollhouse.dialects.wording import (
    AccountKind,
    ProviderKind,
    RequestKind,
    internal_words,
    retry_headers,
    transport_status,
)
from tollhouse.ir.fault import Fault, FaultKind
from tollhouse.observe.record import Attempt
from tollhouse.relay.call import Worded

_INVALID_KEY: Final = "The API key is missing, unknown or no longer valid. Send a valid one as `Authorization: Bearer`."

# The error class of each status (behaviour.md 2.8 and 5.23); 402 repeats its code, as the vendor's sample does.
_CLASSES: Final = {
    401: "authentication_error",
    402: "insufficient_credits",
    403: "permission_error",
    429: "rate_limit_error",
}


class OpenAIError(msgspec.Struct, frozen=True, kw_only=True):
    """One error; `code` is one of the sixteen."""

    message: str
    type: str
    code: str
    param: str | None
    request_id: str


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """The whole body."""

    error: OpenAIError


class HyperInferWording:
    """HyperInfer's words where no format, or one of OpenAI's, is spoken."""

    def word(self, fault: Fault, request_id: str, endpoint: str, attempts: tuple[Attempt, ...] = ()) -> Worded:
        """The one wording of `fault`."""
        del endpoint, attempts  # not part of HyperInfer's envelope
        status, code, message = verdict(fault, request_id)
        error = OpenAIError(
            message=message,
            type=_error_class(status),
            code=code,
            param=_param(fault),
            request_id=request_id,
        )
        return Worded(status, msgspec.json.encode(Envelope(error=error)), retry_headers(fault))


def verdict(fault: Fault, request_id: str) -> tuple[int, str, str]:
    """Status, code and message, the same in every format's envelope (behaviour.md 2.8 and D10)."""
    kind = fault.kind
    match kind:
        case (
            FaultKind.PROVIDER_RATE_LIMIT
            | FaultKind.PROVIDER_OVERLOADED
            | FaultKind.PROVIDER_TIMEOUT
            | FaultKind.PROVIDER_UNAVAILABLE
            | FaultKind.PROVIDER_AUTH
        ):
            return _provider_status(kind), kind.value, fault.message
        case FaultKind.INTERNAL:
            return 500, "internal_error", internal_words(request_id)
        case FaultKind.BOOKS_UNAVAILABLE | FaultKind.BUSY:
            return 500, "internal_error", fault.message
        case (
            FaultKind.NOT_FOUND
            | FaultKind.METHOD_NOT_ALLOWED
            | FaultKind.BODY_TOO_LARGE
            | FaultKind.HEADERS_TOO_LARGE
            | FaultKind.REQUEST_TIMEOUT
            | FaultKind.UNSUPPORTED_ENCODING
        ):
            code = "payload_too_large" if kind is FaultKind.BODY_TOO_LARGE else "invalid_request"
            return transport_status(kind), code, fault.message
        case (
            FaultKind.INVALID_REQUEST
            | FaultKind.UNKNOWN_MODEL
            | FaultKind.CONTEXT_LENGTH
            | FaultKind.CONTENT_FILTER
            | FaultKind.SMART_ROUTING
        ):
            return 400, _request_code(kind), fault.message
        case (
            FaultKind.INVALID_KEY
            | FaultKind.MODEL_NOT_ALLOWED
            | FaultKind.WORKSPACE_LOCKED
            | FaultKind.INSUFFICIENT_BALANCE
            | FaultKind.KEY_LIMIT
            | FaultKind.RATE_LIMIT
        ):
            status, code = _account_refusal(kind)
            return status, code, _INVALID_KEY if kind is FaultKind.INVALID_KEY else fault.message
        case _:
            assert_never(kind)


def _request_code(kind: RequestKind) -> str:
    match kind:
        case FaultKind.INVALID_REQUEST | FaultKind.UNKNOWN_MODEL | FaultKind.SMART_ROUTING:
            return "invalid_request"
        case FaultKind.CONTEXT_LENGTH:
            return "context_length_exceeded"
        case FaultKind.CONTENT_FILTER:
            return "content_filter"
        case _:
            assert_never(kind)


def _account_refusal(kind: AccountKind) -> tuple[int, str]:
    match kind:
        case FaultKind.INVALID_KEY:
            return 401, "invalid_api_key"
        case FaultKind.MODEL_NOT_ALLOWED | FaultKind.WORKSPACE_LOCKED:
            return 403, kind.value
        case FaultKind.INSUFFICIENT_BALANCE:
            return 402, "insufficient_credits"
        case FaultKind.KEY_LIMIT:
            return 402, "key_limit_exceeded"
        case FaultKind.RATE_LIMIT:
            return 429, "rate_limit_exceeded"
        case _:
            assert_never(kind)


def _provider_status(kind: ProviderKind) -> int:
    match kind:
        case FaultKind.PROVIDER_RATE_LIMIT:
            return 429
        case FaultKind.PROVIDER_OVERLOADED:
            return 529
        case FaultKind.PROVIDER_TIMEOUT:
            return 504
        case FaultKind.PROVIDER_UNAVAILABLE | FaultKind.PROVIDER_AUTH:
            return 502
        case _:
            assert_never(kind)


def _error_class(status: int) -> str:
    return "api_error" if status >= 500 else _CLASSES.get(status, "invalid_request_error")


def _param(fault: Fault) -> str | None:
    return fault.param or ("model" if fault.kind is FaultKind.UNKNOWN_MODEL else None)
