"""Content parts of Responses, in both directions: text, refusals, images, files, sound."""

from typing import assert_never

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
    RefusalPart,
    TextPart,
)
from tollhouse.ir.plain import is_array, is_object
from tollhouse.wire.breakpoints import decode_cache_control, encode_cache_control
from tollhouse.wire.fields import Fields
from tollhouse.wire.leftovers import Losses, kept
from tollhouse.wire.media import decode_file_data, decode_url, encode_text_url, encode_url
from tollhouse.wire.openai_responses.citations import decode_annotations, decode_logprobs, encode_annotations

NAME = "openai_responses"

ITEM = "item"
"""Among the leftovers of the first part of a message: those of the item that carries it."""

ContentPart = TextPart | RefusalPart | ImagePart | FilePart | AudioPart | OpaquePart


def decode_content(fields: Fields, key: str) -> list[ContentPart]:
    """The parts of a string or an array of parts under `key`; none where it is null. Raises FaultError
    (invalid_request) naming the field that does not fit."""
    content = fields.get(key)
    fields.drop(key)
    if content is None:
        return []
    if isinstance(content, str):
        return [TextPart(text=content)]
    if not is_array(content):
        raise fields.wrong(key, "a string or an array of parts")
    parts: list[ContentPart] = []
    for number, value in enumerate(content):
        path = f"{key}[{number}]"
        if not is_object(value):
            raise fields.wrong(path, "an object with a type")
        parts.append(decode_content_part(Fields(value, fields.path(path), strict=True)))
    return parts


def decode_content_part(fields: Fields) -> ContentPart:
    """One member of a content array; a kind that is not known is kept verbatim. Raises FaultError (invalid_request)."""
    kind = fields.text("type")
    match kind:
        case "input_text" | "output_text" | "text":
            return decode_text(fields)
        case "refusal":
            refusal = _required(fields, "refusal", "a string")
            control = decode_cache_control(fields, NAME)
            return RefusalPart(text=refusal, cache_control=control, extensions=kept(NAME, fields.rest()))
        case "input_image":
            return _decode_image(fields)
        case "input_file":
            return _decode_file(fields)
        case "input_audio":
            return _decode_audio(fields)
        case None:
            raise fields.missing("type", "the kind of the part, such as input_text")
        case _:
            return OpaquePart(format=NAME, value={"type": kind, **fields.rest()})


def decode_text(fields: Fields) -> TextPart:
    """A text with what belongs to it. Raises FaultError (invalid_request) when there is no text."""
    text = _required(fields, "text", "a string")
    return TextPart(
        text=text,
        citations=decode_annotations(fields),
        logprobs=decode_logprobs(fields),
        cache_control=decode_cache_control(fields, NAME),
        extensions=kept(NAME, fields.rest()),
    )


def encode_said(part: Part, path: str, losses: Losses) -> dict[str, object] | None:
    """The member of a content array of the caller's side that says `part`; None, with a loss, when there is none."""
    if isinstance(part, OpaquePart) and part.format == NAME:
        return dict(part.value)
    encoded: dict[str, object] | None
    match part:
        case TextPart():
            encoded = {"type": "input_text", "text": part.text}
            for number in range(len(part.citations)):
                losses.note(f"{path}.citations[{number}]", f"{NAME} cites in answers only")
            losses.drop(f"{path}.logprobs", part.logprobs)
        case RefusalPart():
            encoded = {"type": "refusal", "refusal": part.text}
        case ImagePart():
            encoded = _encode_image(part)
        case FilePart():
            encoded = {"type": "input_file", **_encode_file(part)}
        case AudioPart(source=MediaData() as sound):
            name = (sound.media_type or "audio/wav").removeprefix("audio/")
            encoded = {"type": "input_audio", "input_audio": {"data": sound.data, "format": name}}
        case _:
            losses.note(path, f"{NAME} has no such part here")
            return None
    if encoded is None:
        losses.note(path, f"{NAME} takes such media in another way only")
        return None
    return _finished(encoded, part, path, losses)


def encode_answered(part: TextPart | RefusalPart, path: str, losses: Losses) -> dict[str, object]:
    """The member of a content array of the model's side that says `part`; its fields are those of a whole answer."""
    if isinstance(part, RefusalPart):
        losses.drop(f"{path}.logprobs", part.logprobs)
        return _finished({"type": "refusal", "refusal": part.text}, part, path, losses)
    encoded: dict[str, object] = {
        "type": "output_text",
        "text": part.text,
        "annotations": encode_annotations(part.citations, path, losses),
        "logprobs": list(part.logprobs),
    }
    return _finished(encoded, part, path, losses)


def plain_text(member: dict[str, object]) -> str | None:
    """The text of a member of a content array, if that is all that it says."""
    text = member.get("text")
    if not isinstance(text, str) or len(member) != 2:
        return None
    return text if member.get("type") in ("input_text", "output_text") else None


def _finished(
    encoded: dict[str, object],
    part: TextPart | RefusalPart | ImagePart | FilePart | AudioPart,
    path: str,
    losses: Losses,
) -> dict[str, object]:
    encoded |= encode_cache_control(part.cache_control, path, losses)
    own = {key: value for key, value in part.extensions.get(NAME, {}).items() if key != ITEM}
    losses.restore(encoded, {**part.extensions, NAME: own}, path)
    return encoded


def _required(fields: Fields, key: str, what: str) -> str:
    text = fields.text(key)
    if text is None:
        raise fields.missing(key, what)
    return text


def _decode_image(fields: Fields) -> ImagePart:
    source: MediaSource
    if (url := fields.text("image_url")) is not None:
        source = decode_url(url)
    elif (file_id := fields.text("file_id")) is not None:
        source = MediaId(id=file_id)
    else:
        raise fields.missing("image_url", "a URL or a data: URL (or give file_id)")
    detail = fields.text("detail")
    control = decode_cache_control(fields, NAME)
    return ImagePart(source=source, detail=detail, cache_control=control, extensions=kept(NAME, fields.rest()))


def _encode_image(part: ImagePart) -> dict[str, object] | None:
    detail: dict[str, object] = {} if part.detail is None else {"detail": part.detail}
    if isinstance(part.source, MediaId):
        return {"type": "input_image", "file_id": part.source.id, **detail}
    url = encode_url(part.source)
    return None if url is None else {"type": "input_image", "image_url": url, **detail}


def _decode_file(fields: Fields) -> FilePart:
    source: MediaSource
    if (data := fields.text("file_data")) is not None:
        source = decode_file_data(data)
    elif (url := fields.text("file_url")) is not None:
        source = MediaUrl(url=url)
    elif (file_id := fields.text("file_id")) is not None:
        source = MediaId(id=file_id)
    else:
        raise fields.missing("file_data", "the file's data (or give file_url or file_id)")
    filename = fields.text("filename")
    control = decode_cache_control(fields, NAME)
    return FilePart(source=source, filename=filename, cache_control=control, extensions=kept(NAME, fields.rest()))


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
        case _:
            assert_never(part.source)
    return file


def _decode_audio(fields: Fields) -> AudioPart:
    audio = fields.child("input_audio")
    data = None if audio is None else audio.text("data")
    if audio is None or data is None:
        raise fields.missing("input_audio", "an object with base64 data and its format")
    name = audio.text("format")
    control = decode_cache_control(fields, NAME)
    source = MediaData(data=data, media_type=None if name is None else f"audio/{name}")
    return AudioPart(source=source, cache_control=control, extensions=kept(NAME, fields.rest()))
