"""Request ids: the time, so that a store's index grows at its end, and 128 random bits from the operating system."""

import os
import time

_ID_BYTES = 16
_BATCH = 256
_pool: list[str] = []


def new_request_id() -> str:
    """A fresh id, 12 hex digits of Unix milliseconds and 32 of chance; never the same twice, in no worker.

    Purely random keys would dirty two pages of the database per call, at the cost of 20 to 30 µs.
    """
    if not _pool:
        digits = os.urandom(_ID_BYTES * _BATCH).hex()
        step = 2 * _ID_BYTES
        _pool.extend(digits[start : start + step] for start in range(0, len(digits), step))
    return f"{time.time_ns() // 1_000_000:012x}{_pool.pop()}"


# A forked worker must not draw from the batch of its parent.
os.register_at_fork(after_in_child=_pool.clear)


def clean_client_id(value: str | None) -> str | None:
    """A caller's own request id as it may be logged: printable ASCII, at most 128 characters; else None."""
    if not value or len(value) > 128 or not value.isascii() or not value.isprintable():
        return None
    return value
