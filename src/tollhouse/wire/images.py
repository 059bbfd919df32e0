"""ImagesFormat: what a format for pictures must offer, and the pipe that collects an answer in one."""

import base64
import binascii
from collections.abc import Sequence
from typing import Final, Literal, Protocol

from tollhouse.ir.images import ImageRequest, ImageResponse, ImagesAsked
from tollhouse.ir.loss import Loss
from tollhouse.ir.usage import GeneratedImages, Usage
from tollhouse.wire.collecting import MAX_BODY_BYTES, WordlessBody
from tollhouse.wire.fields import unreadable_answer
from tollhouse.wire.format import Answered, UpstreamFormat
from tollhouse.wire.quirks import Quirks

UNREADABLE: Final = "The provider's answer holds no pictures that can be read. Try again, or choose another model."

_STARTS: Final = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}
_LOOKED_AT_CHARS: Final = 32


class ImagesFormat(UpstreamFormat, Protocol):
    """One wire format of providers of pictures."""

    operation: Literal["images"]

    def encode_request(self, request: ImageRequest, losses: list[Loss], quirks: Quirks) -> bytes:
        """The body for a provider; appends to `losses` what the format, or the deployment, cannot say."""
        ...

    def decode_response(self, body: bytes, wanted: int) -> ImageResponse:
        """The pictures of an answer, `wanted` at most. Raises FaultError (provider_unavailable, or what an error in
        disguise says) when there is none."""
        ...


class ImagesCaller(Protocol):
    """The format in which a caller gets pictures."""

    def encode_response(self, response: ImageResponse, usage: Usage) -> bytes:
        """The whole body of an answer; `usage` is what is charged."""
        ...


class ImagesPipe(WordlessBody):
    """`feed` collects, `close` reads the answer, `finish` gives the body: of the response as it stands by then, or the
    one picture in `raw`. Whoever hands the pictures over puts them there."""

    def __init__(
        self, source: ImagesFormat, target: ImagesCaller, asked: ImagesAsked, max_body_bytes: int = MAX_BODY_BYTES
    ) -> None:
        super().__init__(max_body_bytes)
        self.response = ImageResponse(pictures=())
        self.raw: bytes | None = None
        self._source = source
        self._target = target
        self._asked = asked

    @property
    def generated(self) -> GeneratedImages:
        """What was made, as far as the provider says, else as it was asked for."""
        asked, response = self._asked, self.response
        return GeneratedImages(
            count=len(response.pictures),
            size=response.size or asked.size,
            quality=response.quality or asked.quality,
        )

    def close(self) -> bytes:
        """Nothing yet. Raises FaultError when the body holds no picture, or something else in place of one."""
        self.response = self._source.decode_response(self._collector.take(), self._asked.count)
        for picture in self.response.pictures:
            if picture.base64 is not None and media_type_of_base64(picture.base64) is None:
                unreadable_answer(UNREADABLE, "a picture that is none")
        self.usage = self.response.usage
        return b""

    def finish(self, answered: Answered) -> bytes:
        """The whole body."""
        return self._target.encode_response(self.response, answered.usage) if self.raw is None else self.raw


def media_type_of(data: bytes) -> str | None:
    """What kind of picture the bytes are, by how they begin; None for what is none that is known here."""
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for start, kind in _STARTS.items() if data.startswith(start)), None)


def media_type_of_base64(text: str) -> str | None:
    """The same for bytes in base64, of which only the beginning is looked at."""
    try:
        return media_type_of(base64.b64decode(text[:_LOOKED_AT_CHARS], validate=True))
    except (binascii.Error, ValueError):
        return None


def side_lengths(size: str | None) -> tuple[int, int] | None:
    """Width and height of `1024x1536` in pixels; None for what names none."""
    width, _, height = (size or "").partition("x")
    if width.isascii() and height.isascii() and width.isdigit() and height.isdigit() and len(width + height) <= 12:
        return int(width), int(height)
    return None


def unsaid(losses: list[Loss], request: ImageRequest, fields: Sequence[tuple[str, object]], why: str) -> None:
    """Note each of these fields that the caller has set as lost."""
    losses.extend(Loss(name, why) for name, value in fields if value is not None and name not in request.defaulted)
