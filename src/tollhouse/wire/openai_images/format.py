"""OpenAIImages: the Images format, spoken by callers and providers alike."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal

import msgspec

from tollhouse.ir.fault import Fault, FaultError, invalid_request
from tollhouse.ir.images import ImageRequest, ImageResponse, ImagesAsked, Picture
from tollhouse.ir.loss import Loss
from tollhouse.ir.plain import is_object
from tollhouse.ir.usage import Usage
from tollhouse.wire.failed_usage import usage_object
from tollhouse.wire.fields import unreadable_answer
from tollhouse.wire.format import Peek, Scan
from tollhouse.wire.images import UNREADABLE, unsaid
from tollhouse.wire.openai_fault import decode_fault, decode_stream_fault
from tollhouse.wire.openai_images.usage import decode_usage, shown_usage
from tollhouse.wire.quirks import Quirks
from tollhouse.wire.scan import join_object, scan_object

MAX_COUNT: Final = 128
_NULL: Final = b"null"

Extras = dict[str, msgspec.Raw]


class _Asked(msgspec.Struct):
    """The fields that mean something here; the last four are diffusion servers' that took over OpenAI's path."""

    model: str = ""
    prompt: str | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=MAX_COUNT)] = 1
    size: str | None = None
    quality: str | None = None
    background: str | None = None
    output_format: str | None = None
    response_format: str | None = None
    user: str | None = None
    stream: bool = False
    negative_prompt: str | None = None
    guidance_scale: float | None = None
    num_inference_steps: int | None = None
    seed: int | None = None


class _Told(msgspec.Struct):
    """An entry of an answer."""

    b64_json: str | None = None
    url: str | None = None


_KNOWN: Final = frozenset(_Asked.__struct_fields__)
_asked_decoder = msgspec.json.Decoder(_Asked)
_told_decoder = msgspec.json.Decoder(_Told)
_object_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_entries_decoder = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_created_decoder = msgspec.json.Decoder(int | None)
_text_decoder = msgspec.json.Decoder(str | None)


class OpenAIImages:
    """`POST /images/generations` (developers.openai.com, API reference, "Create image", read 2026-11)."""

    name = "openai_images"
    operation: Literal["images"] = "images"
    path = "/images/generations"
    forwarded_headers: frozenset[str] = frozenset({"openai-beta"})

    def scan(self, body: bytes) -> Scan:
        """Cut a request body. Raises FaultError (invalid_request) when it is no wish for pictures."""
        fields = {name: value for name, value in scan_object(body).items() if bytes(value) != _NULL}
        peek = _peek(fields)
        return Scan(fields, peek, len(memoryview(fields["prompt"])))

    def with_defaults(self, scan: Scan, defaults: Mapping[str, msgspec.Raw]) -> Scan:
        """The same, as it is understood with the dialect's defaults."""
        return Scan(scan.fields, _peek({**defaults, **scan.fields}), scan.size_bytes)

    def decode_request(self, scan: Scan, defaults: Mapping[str, msgspec.Raw]) -> ImageRequest:
        """The wish, with the dialect's `defaults` where the caller said nothing."""
        fields = {**defaults, **scan.fields}
        asked = _read(fields)
        return ImageRequest(
            model=asked.model,
            prompt=asked.prompt or "",
            count=asked.n,
            size=asked.size,
            quality=asked.quality,
            background=asked.background,
            output_format=asked.output_format,
            negative_prompt=asked.negative_prompt,
            guidance_scale=asked.guidance_scale,
            steps=asked.num_inference_steps,
            seed=asked.seed,
            user=asked.user,
            defaulted=frozenset(name for name in defaults if name not in scan.fields),
            extras={name: value for name, value in fields.items() if name not in _KNOWN},
        )

    def encode_request(self, request: ImageRequest, losses: list[Loss], quirks: Quirks) -> bytes:
        """The body for a provider: what it does not know by its quirks is left out, all else is said."""
        body: dict[str, object] = {
            "model": request.model,
            "prompt": request.prompt,
            "n": request.count,
            "size": request.size,
            "quality": request.quality,
            "background": request.background,
            "output_format": request.output_format,
            "user": request.user,
        }
        diffusion = (
            ("negative_prompt", request.negative_prompt),
            ("guidance_scale", request.guidance_scale),
            ("num_inference_steps", request.steps),
            ("seed", request.seed),
        )
        if quirks.diffusion:
            body |= diffusion
        else:
            unsaid(losses, request, diffusion, "the provider's model has no such field")
        if quirks.image_response_format:
            body["response_format"] = "b64_json"
        said = {name: value for name, value in body.items() if value is not None}
        return msgspec.json.encode({**said, **request.extras})

    def decode_response(self, body: bytes, wanted: int) -> ImageResponse:
        """The pictures. Raises FaultError where there is none."""
        try:
            fields = _object_decoder.decode(body)
            if "data" not in fields and "error" in fields:
                raise FaultError(decode_stream_fault(msgspec.json.decode(fields["error"])))
            entries = _entries_decoder.decode(fields.pop("data", b""))
            pictures = tuple(_picture(entry) for entry in entries[:wanted])
            told: object = msgspec.json.decode(fields.pop("usage", b"null"))
            created = _created_decoder.decode(fields.pop("created", b"null"))
            size, quality = (_text_decoder.decode(fields.get(name, b"null")) for name in ("size", "quality"))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            unreadable_answer(UNREADABLE, str(error)[:200])
        if not pictures:
            unreadable_answer(UNREADABLE, "no pictures")
        usage = told if is_object(told) else None
        return ImageResponse(
            pictures=pictures,
            created=created,
            size=_settled(size),
            quality=_settled(quality),
            usage=None if usage is None else decode_usage(usage),
            told_usage=usage,
            extras=fields,
        )

    def encode_response(self, response: ImageResponse, usage: Usage) -> bytes:
        """The whole body of an answer; `usage` is what is charged."""
        data = [
            {**picture.extras, **{name: value for name, value in _handed(picture) if value is not None}}
            for picture in response.pictures
        ]
        members = {"data": data, "usage": shown_usage(response.told_usage, usage)}
        encoded = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in members.items()}
        created = msgspec.Raw(b"%d" % (response.created or 0))
        return join_object({"created": created, **response.extras, **encoded})

    def decode_fault(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> Fault:
        """What a provider's answer of status >= 400 means; never raises."""
        return decode_fault(status, headers, body)

    def failed_usage(self, body: bytes) -> Usage | None:
        """What an error says was used all the same; never raises."""
        usage = usage_object(body)
        return None if usage is None else decode_usage(usage)


def _peek(fields: Mapping[str, msgspec.Raw]) -> Peek:
    asked = _read(fields)
    if asked.stream:
        raise invalid_request("`stream` must be false: pictures are answered in one piece.", "stream")
    images = ImagesAsked(
        count=asked.n,
        size=_settled(asked.size),
        quality=_settled(asked.quality),
        handed_over=asked.response_format,
        output_format=asked.output_format,
    )
    return Peek(model=asked.model, output_limit=0, images=images)


def _read(fields: Mapping[str, msgspec.Raw]) -> _Asked:
    try:
        asked = _asked_decoder.decode(join_object({name: fields[name] for name in _KNOWN if name in fields}))
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        raise invalid_request(f"`{where.rstrip('`')}` does not fit: {what}.", where.rstrip("`") or None) from None
    if not asked.prompt:
        raise invalid_request("`prompt` is required: say in words what to make.", "prompt")
    return asked


def _settled(value: str | None) -> str | None:
    """A size or quality that is one, and not left to the model."""
    return None if value in (None, "", "auto") else value


def _picture(entry: Extras) -> Picture:
    told = _told_decoder.decode(join_object({name: entry[name] for name in ("b64_json", "url") if name in entry}))
    if not told.b64_json and not told.url:
        raise msgspec.DecodeError("an entry without a picture")
    extras = {name: value for name, value in entry.items() if name not in ("b64_json", "url")}
    return Picture(base64=told.b64_json or None, url=None if told.b64_json else told.url, extras=extras)


def _handed(picture: Picture) -> tuple[tuple[str, object], ...]:
    return (("b64_json", picture.base64), ("url", picture.url))
