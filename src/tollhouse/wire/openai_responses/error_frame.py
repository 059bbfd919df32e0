"""Error frame: the event that ends a Responses stream which failed."""

import msgspec

from tollhouse.ir.plain import is_object
from tollhouse.wire.fields import parse, render
from tollhouse.wire.framing import sse_frame


def error_frame(body: bytes) -> bytes:
    """The `error` event for the error body of a dialect. It is told twice: as the format's own vendor has it, with code
    and message in the event, and as an object beneath `error`, without which the official SDKs raise nothing."""
    try:
        value = parse(body)
    except (ValueError, msgspec.DecodeError):
        value = None
    told = value.get("error") if is_object(value) else None
    error: dict[str, object] = told if is_object(told) else {"message": body.decode(errors="replace")}
    flat = {key: error.get(key) for key in ("code", "message", "param")}
    return sse_frame(render({"type": "error", "sequence_number": 0, **flat, "error": error}), b"error")
