"""HPP Router's two error envelopes: simple for the gateway's own refusals, structured for a provider's failures."""

from typing import assert_never

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

_INVALID_KEY = "Invalid API key: send a valid one in the `apikey` header or as `Authorization: Bearer <key>`."


class SimpleError(msgspec.Struct, frozen=True, kw_only=True):
    """`error` is a code."""

    error: str
    message: str


class ProviderError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a provider's failure looks like; `upstream_status` is what it answered, or HTTP's name for what it did."""

    message: str
    type: str
    code: str
    provider: str | None = None
    upstream_status: int
    retryable: bool


class StructuredError(msgspec.Struct, frozen=True, kw_only=True):
    """The envelope of a ProviderError."""

    error: ProviderError


class HppWording:
    """HPP Router's words for every fault (behaviour.md 1.9 and D10)."""

    def word(self, fault: Fault, request_id: str, endpoint: str, attempts: tuple[Attempt, ...] = ()) -> Worded:
        """The one wording of `fault`."""
        del endpoint, attempts  # not part of HPP Router's envelopes
        kind = fault.kind
        match kind:
            case (
                FaultKind.PROVIDER_RATE_LIMIT
                | FaultKind.PROVIDER_OVERLOADED
                | FaultKind.PROVIDER_TIMEOUT
                | FaultKind.PROVIDER_UNAVAILABLE
                | FaultKind.PROVIDER_AUTH
            ):
                return _structured(kind, fault)
            case FaultKind.INTERNAL:
                return _simple(500, "internal_error", internal_words(request_id), fault)
            case FaultKind.BOOKS_UNAVAILABLE | FaultKind.BUSY:
                return _simple(503, kind.value, fault.message, fault)
            case (
                FaultKind.NOT_FOUND
                | FaultKind.METHOD_NOT_ALLOWED
                | FaultKind.BODY_TOO_LARGE
                | FaultKind.HEADERS_TOO_LARGE
                | FaultKind.REQUEST_TIMEOUT
                | FaultKind.UNSUPPORTED_ENCODING
            ):
                return _simple(transport_status(kind), kind.value, fault.message, fault)
            case (
                FaultKind.INVALID_REQUEST
                | FaultKind.UNKNOWN_MODEL
                | FaultKind.CONTEXT_LENGTH
                | FaultKind.CONTENT_FILTER
                | FaultKind.SMART_ROUTING
            ):
                return _simple(400, _request_code(kind), fault.message, fault)
            case (
                FaultKind.INVALID_KEY
                | FaultKind.MODEL_NOT_ALLOWED
                | FaultKind.WORKSPACE_LOCKED
                | FaultKind.INSUFFICIENT_BALANCE
                | FaultKind.KEY_LIMIT
                | FaultKind.RATE_LIMIT
            ):
                status, code = _account_refusal(kind)
                message = _INVALID_KEY if kind is FaultKind.INVALID_KEY else fault.message
                return _simple(status, code, message, fault)
            case _:
                assert_never(kind)


def _request_code(kind: RequestKind) -> str:
    match kind:
        case FaultKind.INVALID_REQUEST | FaultKind.CONTENT_FILTER:
            return kind.value
        case FaultKind.SMART_ROUTING:
            return "smart_routing_failed"
        case FaultKind.UNKNOWN_MODEL:
            return "unsupported_model"
        case FaultKind.CONTEXT_LENGTH:
            return "context_length_exceeded"
        case _:
            assert_never(kind)


def _account_refusal(kind: AccountKind) -> tuple[int, str]:
    match kind:
        case FaultKind.INVALID_KEY:
            return 401, "unauthorized"
        case FaultKind.MODEL_NOT_ALLOWED:
            return 400, "model_not_allowed"
        case FaultKind.WORKSPACE_LOCKED:
            return 429, "workspace_locked"
        case FaultKind.INSUFFICIENT_BALANCE | FaultKind.KEY_LIMIT:
            return 429, "quota_exceeded"
        case FaultKind.RATE_LIMIT:
            return 429, "rate_limit_exceeded"
        case _:
            assert_never(kind)


def _simple(status: int, code: str, message: str, fault: Fault) -> Worded:
    body = msgspec.json.encode(SimpleError(error=code, message=message))
    return Worded(status, body, retry_headers(fault))


def _structured(kind: ProviderKind, fault: Fault) -> Worded:
    code, upstream_status = _provider_code(kind, fault.upstream_status)
    error = ProviderError(
        message=fault.message,
        type="upstream_error",
        code=code,
        provider=fault.provider,
        upstream_status=upstream_status,
        retryable=fault.retryable,
    )
    status = 429 if kind is FaultKind.PROVIDER_RATE_LIMIT else 500
    return Worded(status, msgspec.json.encode(StructuredError(error=error)), retry_headers(fault))


def _provider_code(kind: ProviderKind, answered: int | None) -> tuple[str, int]:
    """The code, and `upstream_status`: what the provider answered if that was an error, else HTTP's name for it."""
    failed = answered if answered is not None and answered >= 400 else None
    match kind:
        case FaultKind.PROVIDER_RATE_LIMIT:
            return "rate_limited", 429
        case FaultKind.PROVIDER_OVERLOADED:
            return "overloaded", 529 if failed == 529 else 503
        case FaultKind.PROVIDER_TIMEOUT:
            return "timeout", 504
        case FaultKind.PROVIDER_UNAVAILABLE:
            return "unavailable", failed or 502
        case FaultKind.PROVIDER_AUTH:
            return "provider_auth", failed or 502
        case _:
            assert_never(kind)
