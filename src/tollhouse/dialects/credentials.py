"""How a key is read out of request headers, as far as the published APIs agree."""

from collections.abc import Mapping


def named_key(headers: Mapping[str, str], name: str) -> str | None:
    """The key in the header `name` (lower case); None when it is absent or blank."""
    return headers.get(name, "").strip() or None


def bearer_key(headers: Mapping[str, str]) -> str | None:
    """The key in `Authorization: Bearer <key>`, the scheme in any case; None when there is no such header."""
    scheme, _, key = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() != "bearer":
        return None
    return key.strip() or None
