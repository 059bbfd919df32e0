"""Trail: the attempts of a call in one line, for the caller's header and for the log."""

import functools
import re
from collections.abc import Sequence

from tollhouse.observe.record import Attempt

ATTEMPTS_HEADER = b"x-tollhouse-attempts"

_MOST_BYTES = 1024
# Names come from the catalogue and are visible ASCII, but for what separates the parts of the line.
_SEPARATORS = re.compile(r"[^!-+\--:<-~]")


def attempts_line(trail: Sequence[Attempt]) -> str:
    """`provider:model 503 provider_overloaded 12ms, other:model 200 ok 340ms`; 0 stands where nobody answered. Of a
    line that is too long the beginning is left out: the last attempt is the one that counts."""
    parts: list[str] = [
        f"{_safe(one.deployment)} {one.status} {_safe(one.outcome)} {one.elapsed_ms}ms" for one in trail
    ]
    line = ", ".join(parts)
    while len(line) > _MOST_BYTES and len(parts) > 1:
        parts = parts[1:]
        line = "..., " + ", ".join(parts)
    return line[:_MOST_BYTES]


def attempts_headers(trail: Sequence[Attempt]) -> tuple[tuple[bytes, bytes], ...]:
    """The header, where something was attempted."""
    return ((ATTEMPTS_HEADER, attempts_line(trail).encode()),) if trail else ()


@functools.lru_cache(maxsize=1024)
def _safe(name: str) -> str:
    return _SEPARATORS.sub("_", name)
