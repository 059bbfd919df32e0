"""Pictures by address: what a browser or program gets that fetches one, without a key, by its name alone."""

from typing import Final

from tollhouse.http.exchange import Exchange
from tollhouse.relay.picture_store import KeptPicture

# Nothing of a picture may act as a page of ours, and nobody is to guess its type.
_HARMLESS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; sandbox"),
    (b"cross-origin-resource-policy", b"cross-origin"),
)


async def send_picture(exchange: Exchange, picture: KeptPicture, now_ms: int) -> None:
    """Send it whole; it may be kept by the caller, and nobody on the way, until it expires. Raises CallerGoneError."""
    left_s = max(0, (picture.expires_at_ms - now_ms) // 1000)
    await exchange.start(
        200,
        (
            (b"content-type", picture.media_type.encode()),
            (b"cache-control", b"private, max-age=%d, immutable" % left_s),
            *_HARMLESS,
        ),
    )
    await exchange.end(picture.data)
