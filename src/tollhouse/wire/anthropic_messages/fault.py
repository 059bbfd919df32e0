"""Faults of Messages providers: whole answers, and error events in the middle of a stream."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from tollhouse.ir.fault import Fault
from tollhouse.wire.provider_faults import Told, fault_of, read_error, status_of

_QUOTA = "credit balance"


def decode_fault(status: int, headers: Sequence[tuple[str, str]], body: bytes, now: datetime | None = None) -> Fault:
    """What a provider's answer of `status` >= 400 means; never raises. `now` is for a Retry-After that is a date."""
    return _fault(status, headers, read_error(body), now)


def decode_stream_fault(error: object) -> Fault:
    """What the `error` object of an event, or of a body with status 200, means: its type says the status."""
    told = read_error(msgspec.json.encode({"error": error}))
    return _fault(status_of(told), (), told, None)


def _fault(status: int, headers: Sequence[tuple[str, str]], told: Told, now: datetime | None) -> Fault:
    # Anthropic says 400 invalid_request_error when the account has no credit left (docs "Errors", 2026-11).
    if status == 400 and _QUOTA in told.message.lower():
        return msgspec.structs.replace(fault_of(402, headers, told, now), upstream_status=status)
    return fault_of(status, headers, told, now)
