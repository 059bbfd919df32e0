"""Conversion of a picture's file into another kind; loaded only when somebody asks for one."""

import io
from typing import Final

from PIL import Image

from tollhouse.ir.fault import Fault, FaultError, FaultKind

_FORMATS: Final = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"}
_MOST_PIXELS: Final = 64 * 1024 * 1024
_WHITE: Final = (255, 255, 255)


def convert(data: bytes, media_type: str) -> bytes:
    """The picture as a file of `media_type`; what was transparent is white where that kind knows no transparency.

    Raises FaultError (provider_unavailable) for what is no picture, or one above 64 megapixels.
    """
    try:
        with Image.open(io.BytesIO(data)) as found:
            if found.width * found.height > _MOST_PIXELS:
                raise _unusable("it has too many pixels")
            found.load()
            picture = _opaque(found) if media_type == "image/jpeg" else found
            out = io.BytesIO()
            picture.save(out, _FORMATS[media_type])
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _unusable(type(error).__name__) from error
    return out.getvalue()


def _opaque(picture: Image.Image) -> Image.Image:
    if "A" not in picture.getbands() and "transparency" not in picture.info:
        return picture.convert("RGB")
    layer = picture.convert("RGBA")
    ground = Image.new("RGB", layer.size, _WHITE)
    ground.paste(layer, mask=layer.getchannel("A"))
    return ground


def _unusable(why: str) -> FaultError:
    message = "The provider's picture cannot be read. Try again, or choose another model."
    return FaultError(Fault(kind=FaultKind.PROVIDER_UNAVAILABLE, source="provider", message=message, detail=why))
