"""CORS: lets web pages of named origins call the APIs and read their headers; off unless configured."""

import msgspec

from tollhouse.relay.call import Headers

EXPOSED = (
    "X-Request-Id",
    "Retry-After",
    "X-HPP-Router-Resolved-Model",
    "X-HPP-Router-Basket",
    "X-HPP-Router-Tier",
    "X-HPP-Router-Rule-Id",
    "X-HPP-Router-Rules-Version",
    "X-Tollhouse-Attempts",
    "X-Tollhouse-Loss",
    "X-Tollhouse-Max-Tokens",
)
"""By exact names: with credentials a browser takes `*` for the name of a header."""


class Cors(msgspec.Struct, frozen=True, kw_only=True):
    """Which origins (`https://chat.example`) may call; `*` stands for all. `max_age_s`: how long a browser may
    remember a preflight."""

    origins: tuple[str, ...]
    max_age_s: int = 600

    def answer_headers(self, origin: str | None) -> Headers:
        """Headers for an answer to a request from `origin`."""
        allowed = self._allowed(origin)
        if allowed is None:
            return ((b"vary", b"Origin"),)
        return (
            (b"access-control-allow-origin", allowed),
            (b"access-control-expose-headers", ", ".join(EXPOSED).encode()),
            (b"vary", b"Origin"),
        )

    def preflight_headers(self, asked: str | None, methods: str) -> Headers:
        """What a preflight adds: `methods` are those of the path, `asked` the headers that the page wants to send."""
        return (
            (b"access-control-allow-methods", methods.encode("ascii")),
            (b"access-control-allow-headers", (asked or "*").encode("latin-1")),
            (b"access-control-max-age", b"%d" % self.max_age_s),
        )

    def _allowed(self, origin: str | None) -> bytes | None:
        if origin is None:
            return None
        if "*" in self.origins:
            return b"*"
        return origin.encode("latin-1") if origin in self.origins else None
