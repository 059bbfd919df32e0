"""What the three envelopes share: the kinds of fault in groups, HTTP's own refusals, and when to come back.

Messages come from where the fault arose: `Fault.message` is for callers by its definition, and never a provider's own
words but where those blame the caller's request.
"""

import math
from typing import Final, Literal, assert_never

from tollhouse.ir.fault import Fault, FaultKind

TransportKind = Literal[
    FaultKind.NOT_FOUND,
    FaultKind.METHOD_NOT_ALLOWED,
    FaultKind.BODY_TOO_LARGE,
    FaultKind.HEADERS_TOO_LARGE,
    FaultKind.REQUEST_TIMEOUT,
    FaultKind.UNSUPPORTED_ENCODING,
]
RequestKind = Literal[
    FaultKind.INVALID_REQUEST,
    FaultKind.UNKNOWN_MODEL,
    FaultKind.CONTEXT_LENGTH,
    FaultKind.CONTENT_FILTER,
    FaultKind.SMART_ROUTING,
]
AccountKind = Literal[
    FaultKind.INVALID_KEY,
    FaultKind.MODEL_NOT_ALLOWED,
    FaultKind.WORKSPACE_LOCKED,
    FaultKind.INSUFFICIENT_BALANCE,
    FaultKind.KEY_LIMIT,
    FaultKind.RATE_LIMIT,
]
ProviderKind = Literal[
    FaultKind.PROVIDER_RATE_LIMIT,
    FaultKind.PROVIDER_OVERLOADED,
    FaultKind.PROVIDER_TIMEOUT,
    FaultKind.PROVIDER_UNAVAILABLE,
    FaultKind.PROVIDER_AUTH,
]

_LONGEST_WAIT_S: Final = 86_400
_SHORT_WAIT_S: Final = 1


def transport_status(kind: TransportKind) -> int:
    """The HTTP status of a refusal that HTTP itself knows, the same in every dialect."""
    match kind:
        case FaultKind.NOT_FOUND:
            return 404
        case FaultKind.METHOD_NOT_ALLOWED:
            return 405
        case FaultKind.BODY_TOO_LARGE:
            return 413
        case FaultKind.HEADERS_TOO_LARGE:
            return 431
        case FaultKind.REQUEST_TIMEOUT:
            return 408
        case FaultKind.UNSUPPORTED_ENCODING:
            return 415
        case _:
            assert_never(kind)


def retry_after_s(fault: Fault) -> int | None:
    """Whole seconds to wait before a retry, 1 to 86400; None when unknown. What passes by itself soon has a wait."""
    seconds = fault.retry_after_s
    if seconds is None or math.isnan(seconds):
        brief = fault.kind in {FaultKind.BOOKS_UNAVAILABLE, FaultKind.BUSY}
        return _SHORT_WAIT_S if brief else None
    return math.ceil(min(max(seconds, _SHORT_WAIT_S), _LONGEST_WAIT_S))


def retry_headers(fault: Fault) -> tuple[tuple[bytes, bytes], ...]:
    """The `Retry-After` header, where a wait is known."""
    seconds = retry_after_s(fault)
    return () if seconds is None else ((b"retry-after", b"%d" % seconds),)


def internal_words(request_id: str) -> str:
    """The one wording of a fault of our own: what went wrong is for the log."""
    return f"The gateway failed to handle this request. Retry, or give the operator the request id {request_id}."
