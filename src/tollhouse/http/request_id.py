"""Request ids: 128 random bits as 32 hex digits, drawn from the operating system in batches."""

import os

_ID_BYTES = 16
_BATCH = 256
_pool: list[str] = []


def new_request_id() -> str:
    """A fresh id; never the same one twice, in forked workers neither."""
    if not _pool:
        digits = os.urandom(_ID_BYTES * _BATCH).hex()
        step = 2 * _ID_BYTES
        _pool.extend(digits[start : start + step] for start in range(0, len(digits), step))
    return _pool.pop()


# A forked worker must not draw from the batch of its parent.
os.register_at_fork(after_in_child=_pool.clear)


def clean_client_id(value: str | None) -> str | None:
    """A caller's own request id as it may be logged: printable ASCII, at most 128 characters; else None."""
    if not value or len(value) > 128 or not value.isascii() or not value.isprintable():
        return None
    return value
