"""PictureStore: pictures that callers fetch by address, kept for a while under names that nobody guesses."""

import re
import secrets
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from tollhouse.ir.fault import Fault, FaultError, FaultKind

EXTENSIONS: Final = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif"}
MEDIA_TYPES: Final = {extension: media_type for media_type, extension in EXTENSIONS.items()}

_NAME_BYTES: Final = 32
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{43}\.(?:png|jpg|webp|gif)", re.ASCII)


class KeptPicture(msgspec.Struct, frozen=True, kw_only=True):
    """One file; its type is told by the end of its name. `expires_at_ms` is Unix time."""

    name: str
    data: bytes
    expires_at_ms: int

    @property
    def media_type(self) -> str:
        """What kind of picture it is."""
        return MEDIA_TYPES[self.name.rpartition(".")[2]]


class PictureStore(Protocol):
    """Where they are. Every method raises FaultError (books_unavailable) when that cannot be used."""

    async def has_room(self) -> bool:
        """Whether another one may be kept, as of the last minute or so."""
        ...

    async def keep(self, pictures: Sequence[KeptPicture]) -> None:
        """Keep all of them."""
        ...

    async def find(self, name: str, now_ms: int) -> KeptPicture | None:
        """The picture of this name, None for none and for one that has expired. Names are checked before."""
        ...

    async def sweep(self, now_ms: int) -> None:
        """Delete those that have expired."""
        ...


def new_name(media_type: str) -> str:
    """A fresh name: 256 random bits, and the file's type."""
    return f"{secrets.token_urlsafe(_NAME_BYTES)}.{EXTENSIONS[media_type]}"


def is_name(text: str) -> bool:
    """Whether a picture could have this name; anything else never reaches a store."""
    return _NAME.fullmatch(text) is not None


def full() -> FaultError:
    """There is no room for another picture."""
    return FaultError(
        Fault(
            kind=FaultKind.BUSY,
            message="The gateway's store of pictures is full, so the call was not forwarded. Ask for `response_format: "
            "b64_json`, or try again when older pictures have expired.",
            retry_after_s=60,
        )
    )
