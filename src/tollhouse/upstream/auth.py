"""How a provider's key is sent: one function per scheme."""

from collections.abc import Iterable

from tollhouse.catalog.entries import Provider

ANTHROPIC_VERSION = "2023-06-01"
"""The version of the Messages API where the caller names none; the only one in use (docs "Versions", 2026-11)."""

_Headers = tuple[tuple[str, str], ...]


def authorization(provider: Provider, sent: Iterable[tuple[str, str]] = (), key: int = 0) -> _Headers:
    """Headers that sign a call to `provider`, in the way of its format, with one of its keys counted from 0; `sent`
    are the headers that it has already."""
    secret = provider.keys[key]
    if provider.format == "anthropic_messages":
        return _anthropic(secret, {name.lower() for name, _ in sent})
    return _bearer(secret)


def _bearer(secret: str | None) -> _Headers:
    """RFC 6750; nothing for a provider without a key."""
    if secret is None:
        return ()
    return (("authorization", f"Bearer {secret}"),)


def _anthropic(secret: str | None, sent: set[str]) -> _Headers:
    """The key in a header of its own, and the required version (docs "API overview", 2026-11)."""
    version = () if "anthropic-version" in sent else (("anthropic-version", ANTHROPIC_VERSION),)
    key = () if secret is None else (("x-api-key", secret),)
    return (*version, *key)
