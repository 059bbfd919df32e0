"""VoltageGPU's error envelope: a sentence, and details with status, endpoint and the attempts made."""

from typing import Final, assert_never
from urllib.parse import urlsplit

import msgspec

from tollhouse.dialects.wording import (
    AccountKind,
    ProviderKind,
    internal_words,
    retry_after_s,
    retry_headers,
    transport_status,
)
from tollhouse.ir.fault import Fault, FaultKind
from tollhouse.observe.record import Attempt
from tollhouse.relay.call import Worded

# The sample sentences of the contract; what happened exactly follows after a colon.
_INVALID_REQUEST: Final = "Invalid request parameters"
_INVALID_KEY: Final = (
    "Invalid or missing API key: send a valid one in the `X-VoltageGPU-Key` header or as `Authorization: Bearer <key>`."
)
_QUOTA: Final = "Quota exceeded"
_RATE: Final = "Rate limit exceeded"
_SERVER: Final = "Internal server error"


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt; `status` is 0 where the provider never answered."""

    step: str
    url: str
    status: int
    latency_ms: int


class TokenUsage(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a token quota was used."""

    tokens_used: int
    tokens_limit: int


class Details(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the error is about; `retry_after` is in seconds, `plan` and `usage` tell of a used-up quota."""

    status: int
    endpoint: str
    plan: str | None = None
    usage: TokenUsage | None = None
    retry_after: int | None = None
    attempts: list[Step] = []


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """The whole body."""

    error: str
    details: Details


class VoltageWording:
    """VoltageGPU's words for every fault (behaviour.md 3.5 and D10)."""

    def word(self, fault: Fault, request_id: str, endpoint: str, attempts: tuple[Attempt, ...] = ()) -> Worded:
        """The one wording of `fault`."""
        status, message = _verdict(fault, request_id)
        quota = fault.quota
        details = Details(
            status=status,
            endpoint=endpoint.removeprefix("/api/voltage"),
            plan=quota.plan or None if quota else None,
            usage=TokenUsage(tokens_used=quota.used, tokens_limit=quota.limit) if quota else None,
            retry_after=retry_after_s(fault),
            attempts=[_step(attempt) for attempt in attempts],
        )
        return Worded(status, msgspec.json.encode(Envelope(error=message, details=details)), retry_headers(fault))


def _verdict(fault: Fault, request_id: str) -> tuple[int, str]:
    """Status and sentence."""
    kind = fault.kind
    match kind:
        case (
            FaultKind.PROVIDER_RATE_LIMIT
            | FaultKind.PROVIDER_OVERLOADED
            | FaultKind.PROVIDER_TIMEOUT
            | FaultKind.PROVIDER_UNAVAILABLE
            | FaultKind.PROVIDER_AUTH
        ):
            return _provider_failure(kind, fault)
        case FaultKind.INTERNAL:
            return 500, f"{_SERVER}: {internal_words(request_id)}"
        case FaultKind.BOOKS_UNAVAILABLE | FaultKind.BUSY:
            return 500, f"{_SERVER}: {fault.message}"
        case (
            FaultKind.NOT_FOUND
            | FaultKind.METHOD_NOT_ALLOWED
            | FaultKind.BODY_TOO_LARGE
            | FaultKind.HEADERS_TOO_LARGE
            | FaultKind.REQUEST_TIMEOUT
            | FaultKind.UNSUPPORTED_ENCODING
        ):
            return transport_status(kind), fault.message
        case (
            FaultKind.INVALID_REQUEST
            | FaultKind.UNKNOWN_MODEL
            | FaultKind.CONTEXT_LENGTH
            | FaultKind.CONTENT_FILTER
            | FaultKind.SMART_ROUTING
        ):
            return 400, f"{_INVALID_REQUEST}: {fault.message}"
        case (
            FaultKind.INVALID_KEY
            | FaultKind.MODEL_NOT_ALLOWED
            | FaultKind.WORKSPACE_LOCKED
            | FaultKind.INSUFFICIENT_BALANCE
            | FaultKind.KEY_LIMIT
            | FaultKind.RATE_LIMIT
        ):
            return _account_refusal(kind, fault)
        case _:
            assert_never(kind)


def _account_refusal(kind: AccountKind, fault: Fault) -> tuple[int, str]:
    match kind:
        case FaultKind.INVALID_KEY:
            return 401, _INVALID_KEY
        case FaultKind.MODEL_NOT_ALLOWED | FaultKind.WORKSPACE_LOCKED:
            return 403, fault.message
        case FaultKind.INSUFFICIENT_BALANCE | FaultKind.KEY_LIMIT:
            return 403, f"{_QUOTA}: {fault.message}"
        case FaultKind.RATE_LIMIT:
            return 429, f"{_RATE}: {fault.message}"
        case _:
            assert_never(kind)


def _provider_failure(kind: ProviderKind, fault: Fault) -> tuple[int, str]:
    if kind is FaultKind.PROVIDER_RATE_LIMIT:
        return 429, f"{_RATE}: {fault.message}"
    return 500, f"{_SERVER}: {fault.message}"


def _step(attempt: Attempt) -> Step:
    """Scheme, host and path only: a credential may stand in the rest of a URL."""
    parts = urlsplit(attempt.url)
    url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return Step(step=attempt.deployment, url=url, status=attempt.status, latency_ms=attempt.elapsed_ms)
