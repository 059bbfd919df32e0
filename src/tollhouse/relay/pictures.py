"""Pictures: hands what a provider made over as the caller wants it: by address, as base64, or as the body itself."""

import asyncio
import base64
import binascii
import importlib
from collections.abc import Callable
from typing import Final, cast

import msgspec

from tollhouse.ir.fault import Fault, FaultError, FaultKind
from tollhouse.ir.images import ImagesAsked, Picture
from tollhouse.observe.logs import Log
from tollhouse.relay.call import Call
from tollhouse.relay.picture_store import KeptPicture, PictureStore, full, is_name, new_name
from tollhouse.upstream.guard import Guard, RefusedError
from tollhouse.wire.format import AnswerPolicy
from tollhouse.wire.images import ImagesPipe, media_type_of

PATH: Final = "/pictures/"
LIFE_S: Final = 3600
"""How long a picture can be fetched (behaviour.md 3.4: an hour)."""

SWEEP_S: Final = 60.0
"""How often what has expired is deleted."""

_ANY: Final = "image/*"
_RAW: Final = ("image/png", "image/jpeg")
_BY_FORMAT: Final = {"png": "image/png", "jpeg": "image/jpeg", "jpg": "image/jpeg", "webp": "image/webp"}

Convert = Callable[[bytes, str], bytes]


class Handing(msgspec.Struct, frozen=True, kw_only=True):
    """How one call's pictures go: `raw` is the type that the one picture has as the body (`image/*` for any), `how` the
    member that tells it otherwise, None for the provider's own; `media_type` what it has to be, None for anything."""

    raw: str | None = None
    how: str | None = None
    media_type: str | None = None


class Pictures:
    """One for all calls."""

    def __init__(self, store: PictureStore, guard: Guard, now_ms: Callable[[], int], log: Log) -> None:
        self._store = store
        self._guard = guard
        self._now_ms = now_ms
        self._log = log

    async def check_room(self, call: Call, asked: ImagesAsked, policy: AnswerPolicy) -> None:
        """Refuse a call whose pictures could not be kept, before it is forwarded. Raises FaultError (busy,
        books_unavailable)."""
        if handing_of(call, asked, policy).how == "url" and not await self._store.has_room():
            raise full()

    async def hand_over(self, pipe: ImagesPipe, call: Call, handing: Handing, base_url: str) -> str:
        """Put the pictures into the pipe as the caller gets them; the media type of his answer. What hangs at the
        provider's own origin, that of `base_url`, is fetched wherever that is. Raises FaultError: provider_unavailable
        for what is no picture or cannot be fetched, books_unavailable."""
        response = pipe.response
        handed: list[Picture] = []
        kept: list[KeptPicture] = []
        for picture in response.pictures:
            if handing.how is None and handing.raw is None and picture.base64 is None:
                handed.append(picture)
                continue
            made = await self._bytes_of(picture, base_url)
            data, media_type = await self._as_wanted(made, handing)
            if handing.raw is not None:
                pipe.raw = data
                return media_type
            if handing.how != "url":
                text = picture.base64 if data is made else None
                text = text or await asyncio.to_thread(_encoded, data)
                handed.append(msgspec.structs.replace(picture, base64=text, url=None))
                continue
            name = new_name(media_type)
            kept.append(KeptPicture(name=name, data=data, expires_at_ms=self._now_ms() + LIFE_S * 1000))
            handed.append(msgspec.structs.replace(picture, base64=None, url=f"{call.origin}{PATH}{name}"))
        if kept:
            await self._store.keep(kept)
        pipe.response = msgspec.structs.replace(
            response, pictures=tuple(handed), created=response.created or call.started_at_ms // 1000
        )
        return "application/json"

    async def find(self, name: str) -> KeptPicture | None:
        """A picture that somebody asks for by its name."""
        return await self._store.find(name, self._now_ms()) if is_name(name) else None

    async def sweep(self) -> None:
        """Delete what has expired."""
        await self._store.sweep(self._now_ms())

    async def _bytes_of(self, picture: Picture, base_url: str) -> bytes:
        if picture.base64 is not None:
            return await asyncio.to_thread(_decoded, picture.base64)
        try:
            fetched = await self._guard.fetch(picture.url or "", _ANY, (base_url,))
        except RefusedError as error:
            self._log.warning("a provider's picture was not fetched", why=error.why)
            raise _unusable(error.why) from error
        return fetched.body

    async def _as_wanted(self, data: bytes, handing: Handing) -> tuple[bytes, str]:
        found = media_type_of(data)
        if found is None:
            raise _unusable("it is no picture")
        wanted = handing.media_type if handing.raw in (None, _ANY) else handing.raw
        if wanted is None or wanted == found:
            return data, found
        return await asyncio.to_thread(_converter(), data, wanted), wanted


def handing_of(call: Call, asked: ImagesAsked, policy: AnswerPolicy) -> Handing:
    """How the caller wants it: by what he accepts (for one picture only), by what he says, by the dialect."""
    raw = accepted_picture(call.headers.get("accept", "")) if policy.raw_pictures and asked.count == 1 else None
    media_type = _BY_FORMAT.get(asked.output_format or "")
    return Handing(raw=raw, how=None if raw else asked.handed_over or policy.pictures_as, media_type=media_type)


def accepted_picture(accept: str) -> str | None:
    """The type of picture that an Accept header names before JSON: `image/png`, `image/jpeg` or `image/*`; None where
    it names none, or where JSON is as welcome and named first."""
    best: tuple[float, str] | None = None
    for part in accept.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        weight = _weight(parameters)
        if name in (*_RAW, _ANY, "application/json") and weight > 0 and (best is None or weight > best[0]):
            best = (weight, name)
    return None if best is None or best[1] == "application/json" else best[1]


def _weight(parameters: list[str]) -> float:
    text = next((each[2:] for each in parameters if each.startswith("q=")), "1")
    try:
        return min(1.0, max(0.0, float(text)))
    except ValueError:
        return 0.0


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _unusable("it is no base64") from error


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _converter() -> Convert:
    # By name: what it needs takes a while to load, and most gateways never convert anything.
    return cast("Convert", importlib.import_module("tollhouse.relay.picture_convert").convert)


def _unusable(why: str) -> FaultError:
    message = "The provider's picture cannot be read or fetched. Try again, or choose another model."
    return FaultError(Fault(kind=FaultKind.PROVIDER_UNAVAILABLE, source="provider", message=message, detail=why))
