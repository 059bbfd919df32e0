"""Sdapi: `POST /sdapi/v1/txt2img` of a diffusion server, as AUTOMATIC1111's web UI and those that follow it have it."""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from tollhouse.ir.fault import Fault
from tollhouse.ir.images import ImageRequest, ImageResponse, Picture
from tollhouse.ir.loss import Loss
from tollhouse.ir.usage import Usage
from tollhouse.wire.fields import unreadable_answer
from tollhouse.wire.images import UNREADABLE, side_lengths, unsaid
from tollhouse.wire.openai_fault import decode_fault
from tollhouse.wire.quirks import Quirks

_USUAL_SIDES: Final = (1024, 1024)
_DATA: Final = "data:"


class _Answer(msgspec.Struct):
    """`info` is JSON within the JSON."""

    images: list[str]
    info: str = "{}"


class _Info(msgspec.Struct):
    """A server may put an overview of all pictures before them."""

    index_of_first_image: int = 0


_answer_decoder = msgspec.json.Decoder(_Answer)
_info_decoder = msgspec.json.Decoder(_Info)


class Sdapi:
    """The fields are those of its modules/api/models.py and processing.py, v1.10 (github.com/AUTOMATIC1111/
    stable-diffusion-webui, read 2026-11). A picture's file type is the server's own setting, whatever a call says."""

    name = "sdapi"
    operation: Literal["images"] = "images"
    path = "/sdapi/v1/txt2img"
    forwarded_headers: frozenset[str] = frozenset()

    def encode_request(self, request: ImageRequest, losses: list[Loss], quirks: Quirks) -> bytes:
        """The body: pictures one after another, since several at once need the memory of several."""
        del quirks
        width, height = side_lengths(request.size) or _USUAL_SIDES
        body = {
            "prompt": request.prompt,
            "negative_prompt": request.negative_prompt,
            "width": width,
            "height": height,
            "steps": request.steps,
            "cfg_scale": request.guidance_scale,
            "seed": request.seed,
            "n_iter": request.count,
            "batch_size": 1,
            "override_settings": {"sd_model_checkpoint": request.model},
        }
        unknown = (
            ("quality", None if request.quality == "auto" else request.quality),
            ("background", None if request.background == "auto" else request.background),
            ("user", request.user),
            *request.extras.items(),
        )
        unsaid(losses, request, unknown, "a diffusion server has no such field")
        return msgspec.json.encode({name: value for name, value in body.items() if value is not None})

    def decode_response(self, body: bytes, wanted: int) -> ImageResponse:
        """The pictures. Raises FaultError where there is none."""
        try:
            answer = _answer_decoder.decode(body)
            first = max(0, _info_decoder.decode(answer.info).index_of_first_image)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            unreadable_answer(UNREADABLE, str(error)[:200])
        # With or without the head of a data URL, depending on the server.
        found = [text.partition(",")[2] if text.startswith(_DATA) else text for text in answer.images[first:]]
        pictures = tuple(Picture(base64=text) for text in found[:wanted] if text)
        if not pictures:
            unreadable_answer(UNREADABLE, "no pictures")
        return ImageResponse(pictures=pictures)

    def decode_fault(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> Fault:
        """What a provider's answer of status >= 400 means; never raises. 422 tells it in `detail`, as FastAPI does."""
        return decode_fault(status, headers, body)

    def failed_usage(self, body: bytes) -> Usage | None:
        """Never anything: nobody counts there."""
        del body
        return None
