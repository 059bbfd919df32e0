"""How a provider's key is sent: one function per scheme."""

from tollhouse.catalog.entries import Provider


def authorization(provider: Provider) -> tuple[tuple[str, str], ...]:
    """Headers that sign a call to `provider` (RFC 6750, bearer); none for a provider without a key."""
    if provider.api_key is None:
        return ()
    return (("authorization", f"Bearer {provider.api_key}"),)
