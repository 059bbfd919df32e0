"""Refusal: the words for a fault where no dialect is known to speak."""

import msgspec

from tollhouse.ir.fault import Fault, FaultKind
from tollhouse.relay.call import Worded

_STATUS = {
    FaultKind.INVALID_REQUEST: 400,
    FaultKind.INVALID_KEY: 401,
    FaultKind.NOT_FOUND: 404,
    FaultKind.METHOD_NOT_ALLOWED: 405,
    FaultKind.REQUEST_TIMEOUT: 408,
    FaultKind.BODY_TOO_LARGE: 413,
    FaultKind.UNSUPPORTED_ENCODING: 415,
    FaultKind.HEADERS_TOO_LARGE: 431,
    FaultKind.BUSY: 503,
}


def neutral(fault: Fault) -> Worded:
    """`{"error": kind, "message": …}`, with Retry-After where the fault says when to come back."""
    body = msgspec.json.encode({"error": fault.kind.value, "message": fault.message})
    return Worded(status=_STATUS.get(fault.kind, 500), body=body, headers=retry_after(fault))


def retry_after(fault: Fault) -> tuple[tuple[bytes, bytes], ...]:
    """The Retry-After header in whole seconds, at least one; nothing when the fault names no time."""
    if fault.retry_after_s is None:
        return ()
    return ((b"retry-after", str(max(1, round(fault.retry_after_s))).encode()),)


def keyless(endpoint: str) -> Worded:
    """No key on a path that several dialects share: one body that fits the envelope of each."""
    message = "The request has no API key that is known here. Send one in the header of the API that you mean."
    details = {"status": 401, "endpoint": endpoint}
    return Worded(
        status=401, body=msgspec.json.encode({"error": "unauthorized", "message": message, "details": details})
    )


INTERNAL = Fault(
    kind=FaultKind.INTERNAL,
    message="The gateway failed on this request. Try again; if it goes on, tell its operator the request id.",
)
