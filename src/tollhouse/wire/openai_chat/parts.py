"""Content parts of Chat Completions, in both directions: text, refusals, images, files, sound."""

from tollhouse.ir.parts import (
    AudioPart,
    FilePart,
    ImagePart,
    MediaData,
    MediaId,
    MediaSource,
    MediaText,
    MediaUrl,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from tollhouse.ir.plain import is_array, is_object
from tollhouse.wire.breakpoints import decode_cache_control, encode_cache_control
from tollhouse.wire.fields import Fields
from tollhouse.wire.leftovers import Losses, kept
from tollhouse.wire.media import decode_file_data, decode_url, encode_text_url, encode_url

NAME = "openai_chat"
THINKING_FORM = "thinking"
"""Form of reasoning that stands among the content parts (Mistral, docs "Reasoning", November 2026)."""


def decode_content_part(fields: Fields) -> Part:
    """One member of a content array; a kind that is not known is kept verbatim."""
    kind = fields.text("type")
    match kind:
        case "text" | "input_text" | "output_text":
            return _decode_text(fields)
        case "refusal":
            text = _required_text(fields, "refusal")
            return RefusalPart(text=text, extensions=kept(NAME, fields.rest()))
        case "image_url":
            return _decode_image(fields)
        case "file":
            return _decode_file(fields)
        case "input_audio":
            return _decode_audio(fields)
        case "thinking" if (thinking := _decode_thinking(fields)) is not None:
            return thinking
        case None:
            raise fields.missing("type", "the kind of the part, such as text")
        case _:
            return OpaquePart(format=NAME, value={"type": kind, **fields.rest()})


def encode_content_part(part: Part, path: str, losses: Losses) -> dict[str, object] | None:
    """The member of a content array that says `part`; None, with a loss, when there is none."""
    if isinstance(part, OpaquePart) and part.format == NAME:
        return dict(part.value)
    encoded: dict[str, object] | None
    match part:
        case TextPart():
            for number in range(len(part.citations)):
                losses.note(f"{path}.citations[{number}]", "a message of openai_chat cannot cite")
            encoded = {"type": "text", "text": part.text}
        case RefusalPart():
            encoded = {"type": "refusal", "refusal": part.text}
        case ReasoningPart(form="thinking"):
            encoded = {"type": "thinking", "thinking": [{"type": "text", "text": part.text}]}
            losses.drop(f"{path}.opaque", part.opaque)
            losses.drop(f"{path}.summary", part.summary)
        case ImagePart() | FilePart() | AudioPart():
            encoded = _encode_media(part)
        case _:
            encoded = None
    if encoded is None or isinstance(part, ToolCallPart | ToolResultPart | OpaquePart):
        losses.note(path, "openai_chat has no such part here")
        return None
    if not isinstance(part, ReasoningPart):
        encoded |= encode_cache_control(part.cache_control, path, losses)
    losses.restore(encoded, part.extensions, path)
    return encoded


def _encode_media(part: ImagePart | FilePart | AudioPart) -> dict[str, object] | None:
    """None for media that this format takes in another way only."""
    match part:
        case ImagePart():
            url = encode_url(part.source)
            detail: dict[str, object] = {} if part.detail is None else {"detail": part.detail}
            return None if url is None else {"type": "image_url", "image_url": {"url": url, **detail}}
        case FilePart():
            return {"type": "file", "file": _encode_file(part)}
        case AudioPart(source=MediaData() as sound):
            name = (sound.media_type or "audio/wav").removeprefix("audio/")
            return {"type": "input_audio", "input_audio": {"data": sound.data, "format": name}}
        case AudioPart():
            return None


def plain_text(member: dict[str, object]) -> str | None:
    """The text of a member of a content array, if that is all that it says."""
    text = member.get("text")
    return text if isinstance(text, str) and member == {"type": "text", "text": text} else None


def _decode_text(fields: Fields) -> TextPart:
    text = _required_text(fields, "text")
    control = decode_cache_control(fields, NAME)
    return TextPart(text=text, cache_control=control, extensions=kept(NAME, fields.rest()))


def _required_text(fields: Fields, key: str) -> str:
    text = fields.text(key)
    if text is None:
        raise fields.missing(key, "a string")
    return text


def _decode_image(fields: Fields) -> ImagePart:
    # Mistral takes a bare URL in place of the object (docs "Vision", November 2026).
    image = Fields({"url": fields.get("image_url")}) if isinstance(fields.get("image_url"), str) else None
    if image is None:
        image = fields.child("image_url")
    else:
        fields.drop("image_url")
    if image is None:
        raise fields.missing("image_url", "an object with a url")
    url = image.text("url")
    if url is None:
        raise image.missing("url", "a URL or a data: URL")
    detail = image.text("detail")
    control = decode_cache_control(fields, NAME)
    source = decode_url(url)
    return ImagePart(source=source, detail=detail, cache_control=control, extensions=kept(NAME, fields.rest()))


def _decode_file(fields: Fields) -> FilePart:
    file = fields.child("file")
    if file is None:
        raise fields.missing("file", "an object with file_data, file_url or file_id")
    source: MediaSource
    if (data := file.text("file_data")) is not None:
        source = decode_file_data(data)
    elif (url := file.text("file_url")) is not None:
        source = MediaUrl(url=url)
    elif (file_id := file.text("file_id")) is not None:
        source = MediaId(id=file_id)
    else:
        raise file.missing("file_data", "the file's data (or give file_url or file_id)")
    filename = file.text("filename")
    control = decode_cache_control(fields, NAME)
    return FilePart(source=source, filename=filename, cache_control=control, extensions=kept(NAME, fields.rest()))


def _decode_audio(fields: Fields) -> AudioPart:
    audio = fields.child("input_audio")
    if audio is None:
        raise fields.missing("input_audio", "an object with data and format")
    data = audio.text("data")
    if data is None:
        raise audio.missing("data", "base64 text")
    name = audio.text("format")
    control = decode_cache_control(fields, NAME)
    source = MediaData(data=data, media_type=None if name is None else f"audio/{name}")
    return AudioPart(source=source, cache_control=control, extensions=kept(NAME, fields.rest()))


def _decode_thinking(fields: Fields) -> ReasoningPart | None:
    """Reasoning among the content; None when its inside is not the list of texts that is known."""
    pieces = fields.get("thinking")
    if not is_array(pieces):
        return None
    text: list[str] = []
    for piece in pieces:
        words = piece.get("text") if is_object(piece) and set(piece) == {"type", "text"} else None
        if not isinstance(words, str):
            return None
        text.append(words)
    fields.drop("thinking")
    return ReasoningPart(text="".join(text), form=THINKING_FORM, extensions=kept(NAME, fields.rest()))


def _encode_file(part: FilePart) -> dict[str, object]:
    file: dict[str, object] = {} if part.filename is None else {"filename": part.filename}
    match part.source:
        case MediaUrl():
            file["file_url"] = part.source.url
        case MediaData(media_type=None):
            file["file_data"] = part.source.data
        case MediaData():
            file["file_data"] = encode_url(part.source)
        case MediaText():
            file["file_data"] = encode_text_url(part.source)
        case MediaId():
            file["file_id"] = part.source.id
    return file
