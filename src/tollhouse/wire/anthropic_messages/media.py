"""Images and documents of Messages, in both directions."""

import base64
import binascii

from tollhouse.ir.parts import (
    FilePart,
    ImagePart,
    MediaData,
    MediaId,
    MediaSource,
    MediaText,
    MediaUrl,
    OpaquePart,
)
from tollhouse.wire.anthropic_messages.names import NAME, decode_cache_control
from tollhouse.wire.fields import Fields
from tollhouse.wire.leftovers import Losses, kept

_PDF = "application/pdf"

# How base64 text of these media begins, for data that nobody gave a type.
_BEGINNINGS = {
    "iVBOR": "image/png",
    "/9j/": "image/jpeg",
    "R0lG": "image/gif",
    "UklG": "image/webp",
    "JVBERi": _PDF,
}


def decode_image(fields: Fields) -> ImagePart | OpaquePart:
    """An image block, its type taken already; one with a source that is not known is kept verbatim."""
    value = {"type": "image", **fields.rest()}
    source = _decode_source(fields)
    if source is None:
        return OpaquePart(format=NAME, value=value)
    control = decode_cache_control(fields)
    return ImagePart(source=source, cache_control=control, extensions=kept(NAME, fields.rest()))


def decode_document(fields: Fields) -> FilePart | OpaquePart:
    """A document block, its type taken already; one made of content blocks is kept verbatim."""
    value = {"type": "document", **fields.rest()}
    source = _decode_source(fields)
    if source is None:
        return OpaquePart(format=NAME, value=value)
    title = fields.text("title")
    control = decode_cache_control(fields)
    return FilePart(source=source, filename=title, cache_control=control, extensions=kept(NAME, fields.rest()))


def _decode_source(fields: Fields) -> MediaSource | None:
    source = fields.child("source")
    if source is None:
        raise fields.missing("source", "an object with a type")
    kind = source.get("type")
    found: MediaSource | None = None
    match kind:
        case "base64":
            data = source.text("data")
            found = None if data is None else MediaData(data=data, media_type=source.text("media_type"))
        case "url":
            url = source.text("url")
            found = None if url is None else MediaUrl(url=url)
        case "file":
            file_id = source.text("file_id")
            found = None if file_id is None else MediaId(id=file_id)
        case "text":
            text = source.text("data")
            found = None if text is None else MediaText(text=text, media_type=source.text("media_type") or "text/plain")
        case _:
            return None
    if found is None:
        raise source.missing({"url": "url", "file": "file_id"}.get(str(kind), "data"), "a string")
    source.drop("type")
    return found


def encode_image(part: ImagePart, path: str, losses: Losses) -> dict[str, object] | None:
    """The image block; None, with a loss, where there is none."""
    losses.drop(f"{path}.detail", part.detail)
    source = _encode_source(part.source, "image/jpeg")
    if source is None:
        losses.note(path, f"{NAME} takes an image as an address, as data or as an uploaded file")
        return None
    return {"type": "image", "source": source}


def encode_file(part: FilePart, path: str, losses: Losses) -> dict[str, object] | None:
    """The document block; a picture becomes an image block. None, with a loss, for what no block can hold."""
    source = part.source
    kind = _kind(source, _PDF) if isinstance(source, MediaData) else _PDF
    if isinstance(source, MediaData) and kind.startswith("image/"):
        losses.drop(f"{path}.filename", part.filename)
        return {"type": "image", "source": _encode_source(source, kind)}
    encoded: dict[str, object] | None = None
    if isinstance(source, MediaData) and kind != _PDF:
        text = _plain_text(source, kind)
        encoded = None if text is None else _encode_source(MediaText(text=text), kind)
    else:
        encoded = _encode_source(source, _PDF)
    if encoded is None:
        losses.note(path, f"{NAME} takes PDF and plain text, not {kind}")
        return None
    block: dict[str, object] = {"type": "document", "source": encoded}
    if part.filename is not None:
        block["title"] = part.filename
    return block


def _plain_text(source: MediaData, kind: str) -> str | None:
    """The text of a file that is text."""
    if not kind.startswith("text/") and kind not in ("application/json", "application/xml", "application/yaml"):
        return None
    try:
        return base64.b64decode(source.data, validate=True).decode()
    except (binascii.Error, ValueError):
        return None


def _kind(source: MediaData, otherwise: str) -> str:
    if source.media_type:
        return source.media_type.partition(";")[0].strip().lower()
    return next((kind for start, kind in _BEGINNINGS.items() if source.data.startswith(start)), otherwise)


def _encode_source(source: MediaSource, otherwise: str) -> dict[str, object] | None:
    match source:
        case MediaUrl():
            return {"type": "url", "url": source.url}
        case MediaData():
            return {"type": "base64", "media_type": _kind(source, otherwise), "data": source.data}
        case MediaId():
            return {"type": "file", "file_id": source.id}
        case MediaText():
            # The format knows no other kind of text.
            plain: dict[str, object] = {"type": "text", "media_type": "text/plain", "data": source.text}
            return plain if not otherwise.startswith("image/") else None
