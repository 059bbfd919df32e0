"""Fault: the one error value that travels through the gateway, and the exception that carries it."""

import enum
from typing import Literal

import msgspec


class FaultKind(enum.StrEnum):
    """Why a call was refused or failed; each dialect words each kind once (behaviour.md, D10)."""

    # The caller's request.
    INVALID_REQUEST = "invalid_request"
    UNKNOWN_MODEL = "unknown_model"
    CONTEXT_LENGTH = "context_length"
    CONTENT_FILTER = "content_filter"
    SMART_ROUTING = "smart_routing"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    BODY_TOO_LARGE = "body_too_large"
    HEADERS_TOO_LARGE = "headers_too_large"
    REQUEST_TIMEOUT = "request_timeout"
    UNSUPPORTED_ENCODING = "unsupported_encoding"
    # Who is calling, and what they may spend.
    INVALID_KEY = "invalid_key"
    MODEL_NOT_ALLOWED = "model_not_allowed"
    WORKSPACE_LOCKED = "workspace_locked"
    INSUFFICIENT_BALANCE = "insufficient_balance"
    KEY_LIMIT = "key_limit"
    RATE_LIMIT = "rate_limit"
    # The provider.
    PROVIDER_RATE_LIMIT = "provider_rate_limit"
    PROVIDER_OVERLOADED = "provider_overloaded"
    PROVIDER_TIMEOUT = "provider_timeout"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    PROVIDER_AUTH = "provider_auth"
    # Ourselves.
    BOOKS_UNAVAILABLE = "books_unavailable"
    BUSY = "busy"
    INTERNAL = "internal"


FaultSource = Literal["client", "gateway", "policy", "budget", "provider", "network"]

_PROVIDER_KINDS = frozenset(
    {
        FaultKind.PROVIDER_RATE_LIMIT,
        FaultKind.PROVIDER_OVERLOADED,
        FaultKind.PROVIDER_TIMEOUT,
        FaultKind.PROVIDER_UNAVAILABLE,
        FaultKind.PROVIDER_AUTH,
    }
)


class TokenQuota(msgspec.Struct, frozen=True, kw_only=True):
    """A quota in tokens that refused a call; `plan` is the name of the plan that it belongs to, "" for none."""

    plan: str
    used: int
    limit: int


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One failure, as a value.

    `message` is for the caller: what happened, why, what to do next; it never holds a secret. `detail` is for the
    log only. `param` names the offending field of the request (`messages[0].role`). `retry_after_s` is in seconds.
    `code` is a word of the format's own on which programs act (`thread_unsupported_request`), where it has one.
    `quota` is the token quota that is used up.
    `upstream_status` is the HTTP status that the provider answered, None when it never answered.
    """

    kind: FaultKind
    message: str
    source: FaultSource = "gateway"
    param: str | None = None
    code: str | None = None
    retry_after_s: float | None = None
    provider: str | None = None
    upstream_status: int | None = None
    upstream_code: str | None = None
    detail: str | None = None
    quota: TokenQuota | None = None

    @property
    def from_provider(self) -> bool:
        """Whether a provider failed, rather than the caller or the gateway."""
        return self.kind in _PROVIDER_KINDS

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later, unchanged."""
        return self.from_provider and self.kind is not FaultKind.PROVIDER_AUTH


class FaultError(Exception):
    """Raised where a Fault ends the work at hand; whoever catches it words or retries `fault`."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"{fault.kind}: {fault.message}")
        self.fault = fault


def invalid_request(message: str, param: str | None = None) -> FaultError:
    """The commonest refusal: the caller's request does not fit its contract (HTTP 400)."""
    return FaultError(Fault(kind=FaultKind.INVALID_REQUEST, source="client", message=message, param=param))
