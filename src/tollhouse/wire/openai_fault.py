"""Faults of providers that word errors as OpenAI does: whole answers, and error objects inside of a 200."""

from collections.abc import Sequence
from datetime import datetime
from typing import cast

import msgspec

from tollhouse.ir.fault import Fault
from tollhouse.wire.provider_faults import fault_of, read_error, status_of


def decode_fault(status: int, headers: Sequence[tuple[str, str]], body: bytes, now: datetime | None = None) -> Fault:
    """What a provider's answer of `status` >= 400 means; never raises. `now` is for a Retry-After that is a date."""
    return fault_of(status, headers, read_error(body), now)


def decode_stream_fault(error: object) -> Fault:
    """What an error object in the middle of a stream, or in a body with status 200, means."""
    body = msgspec.json.encode({"error": error})
    code = cast("dict[str, object]", error).get("code") if isinstance(error, dict) else None
    if isinstance(code, str) and code.isdecimal() and len(code) == 3:
        code = int(code)
    status = code if type(code) is int and 400 <= code <= 599 else status_of(read_error(body))
    return msgspec.structs.replace(decode_fault(status, (), body), upstream_status=status)
