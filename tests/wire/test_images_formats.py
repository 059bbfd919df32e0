"""The formats of pictures: what is asked of a provider, what its answer is read as, and what is lost on the way."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.image_provider import as_base64, picture
from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.ir.images import ImageRequest, ImageResponse, ImagesAsked, Picture
from tollhouse.ir.loss import Loss
from tollhouse.ir.usage import GeneratedImages, Usage
from tollhouse.wire.format import Answered
from tollhouse.wire.images import ImagesPipe, media_type_of, side_lengths
from tollhouse.wire.openai_images.format import OpenAIImages
from tollhouse.wire.openai_images.usage import decode_usage
from tollhouse.wire.quirks import STANDARD, Quirks
from tollhouse.wire.registry import IMAGES
from tollhouse.wire.sdapi.format import Sdapi

OPENAI, SDAPI = OpenAIImages(), Sdapi()
FILE = as_base64(picture())
DIFFUSION = Quirks(diffusion=True, image_response_format=True)


def scanned(**fields: Any) -> ImageRequest:
    scan = OPENAI.scan(json.dumps(fields).encode())
    return OPENAI.decode_request(scan, {})


def told(format_: OpenAIImages | Sdapi, request: ImageRequest, quirks: Quirks = STANDARD) -> tuple[Any, list[str]]:
    losses: list[Loss] = []
    return json.loads(format_.encode_request(request, losses, quirks)), [loss.path for loss in losses]


EVERYTHING: dict[str, Any] = {
    "model": "m",
    "prompt": "p",
    "n": 2,
    "size": "512x256",
    "quality": "high",
    "background": "opaque",
    "output_format": "webp",
    "negative_prompt": "fog",
    "guidance_scale": 3.5,
    "num_inference_steps": 20,
    "seed": 7,
    "user": "u",
    "own": {"deep": [1]},
}


def test_everything_reaches_a_provider_of_the_format_that_knows_it() -> None:
    assert told(OPENAI, scanned(**EVERYTHING), DIFFUSION) == (EVERYTHING | {"response_format": "b64_json"}, [])
    body, lost = told(OPENAI, scanned(**EVERYTHING))
    knobs = ["negative_prompt", "guidance_scale", "num_inference_steps", "seed"]
    assert (body, lost) == ({name: EVERYTHING[name] for name in EVERYTHING if name not in knobs}, knobs)


def test_a_diffusion_server_gets_its_own_words() -> None:
    body, lost = told(SDAPI, scanned(**EVERYTHING))
    assert body == {
        "prompt": "p",
        "negative_prompt": "fog",
        "width": 512,
        "height": 256,
        "steps": 20,
        "cfg_scale": 3.5,
        "seed": 7,
        "n_iter": 2,
        "batch_size": 1,
        "override_settings": {"sd_model_checkpoint": "m"},
    }
    # The kind of file is made afterwards, so it is no loss.
    assert lost == ["quality", "background", "user", "own"]
    body, lost = told(SDAPI, scanned(model="m", prompt="p", quality="auto", background="auto", size="auto"))
    assert (body["width"], body["height"], lost) == (1024, 1024, [])


def test_defaults_of_a_dialect_are_no_wish_of_the_caller() -> None:
    scan = OPENAI.scan(b'{"prompt": "p", "size": null}')
    defaults = {"model": msgspec.Raw(b'"usual"'), "size": msgspec.Raw(b'"1x2"'), "guidance_scale": msgspec.Raw(b"7.5")}
    assert scan.peek.images == ImagesAsked()
    understood = OPENAI.with_defaults(scan, defaults).peek
    assert (understood.model, understood.images) == ("usual", ImagesAsked(size="1x2"))
    assert told(OPENAI, OPENAI.decode_request(scan, defaults)) == (
        {"model": "usual", "prompt": "p", "n": 1, "size": "1x2"},
        [],
    )


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{}", "prompt"),
        (b'{"prompt": ""}', "prompt"),
        (b'{"prompt": 7}', "prompt"),
        (b'{"prompt": "p", "n": 0}', "n"),
        (b'{"prompt": "p", "n": 129}', "n"),
        (b'{"prompt": "p", "n": "2"}', "n"),
        (b'{"prompt": "p", "stream": true}', "stream"),
        (b'{"prompt": "p", "seed": 1.5}', "seed"),
        (b"[]", None),
    ],
)
def test_what_is_no_wish_for_pictures(body: bytes, param: str | None) -> None:
    with pytest.raises(FaultError) as raised:
        OPENAI.scan(body)
    assert (raised.value.fault.kind, raised.value.fault.param) == (FaultKind.INVALID_REQUEST, param)


def test_answers() -> None:
    body = {
        "created": 5,
        "data": [{"b64_json": FILE, "revised_prompt": "r"}, {"url": "https://x/1.png"}],
        "size": "1024x1024",
        "quality": "auto",
        "usage": {"input_tokens": 3, "output_tokens": 9, "total_tokens": 12},
        "note": 1,
    }
    answer = OPENAI.decode_response(json.dumps(body).encode(), 5)
    assert [(one.base64, one.url) for one in answer.pictures] == [(FILE, None), (None, "https://x/1.png")]
    assert (answer.created, answer.size, answer.quality) == (5, "1024x1024", None)
    assert answer.usage == Usage(input_tokens=3, image_output_tokens=9)
    again = json.loads(OPENAI.encode_response(answer, answer.usage))
    assert {name: value for name, value in again.items() if name != "usage"} == {
        name: value for name, value in body.items() if name != "usage"
    }
    assert again["usage"]["output_tokens_details"] == {"text_tokens": 0, "image_tokens": 9}
    first = OPENAI.decode_response(json.dumps(body).encode(), 1)
    assert len(first.pictures) == 1
    data_url = {"images": [f"data:image/png;base64,{FILE}", FILE]}
    assert SDAPI.decode_response(json.dumps(data_url).encode(), 2).pictures == (Picture(base64=FILE),) * 2


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"input_tokens": 3, "output_tokens": 9, "total_tokens": 12}, Usage(input_tokens=3, image_output_tokens=9)),
        (
            {
                "input_tokens": 10,
                "output_tokens": 9,
                "total_tokens": 19,
                "input_tokens_details": {"text_tokens": 3, "image_tokens": 7},
                "output_tokens_details": {"text_tokens": 2, "image_tokens": 7},
            },
            Usage(input_tokens=3, image_input_tokens=7, output_tokens=2, image_output_tokens=7),
        ),
        ({"input_tokens": -1, "output_tokens": 9}, None),
        ({"output_tokens": 9}, None),
        ({"input_tokens": 1, "output_tokens": 2, "output_tokens_details": "x"}, None),
    ],
)
def test_usage(usage: dict[str, object], expected: Usage | None) -> None:
    assert decode_usage(usage) == expected


BROKEN = [
    b"",
    b"<html>",
    b"[]",
    b"{}",
    b"\xff",
    b'{"data": []}',
    b'{"data": [7]}',
    b'{"data": [{}]}',
    b'{"data": [{"b64_json": 7}]}',
    b'{"data": [{"b64_json": "AAAA"}]}',
    b'{"data": [{"b64_json": "%%%"}]}',
    b'{"images": []}',
    b'{"images": [7]}',
    b'{"images": ["AAAA"]}',
    b'{"images": [""], "info": "{}"}',
    b'{"images": ["' + FILE.encode() + b'"], "info": "no json"}',
    b'{"images": ["' + FILE.encode() + b'"], "info": "{\\"index_of_first_image\\": 1}"}',
]


@pytest.mark.parametrize("format_", IMAGES, ids=lambda form: form.name)
@pytest.mark.parametrize("body", BROKEN, ids=lambda body: str(body[:40]))
def test_what_is_no_answer_is_a_fault_of_the_provider(format_: Any, body: bytes) -> None:
    pipe = ImagesPipe(format_, OPENAI, ImagesAsked())
    pipe.feed(body)
    with pytest.raises(FaultError) as raised:
        pipe.close()
    assert raised.value.fault.kind is FaultKind.PROVIDER_UNAVAILABLE


@given(st.binary(max_size=200) | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(repr))
def test_garbage_is_never_another_exception(body: bytes | str) -> None:
    raw = body if isinstance(body, bytes) else body.encode("utf-8", "replace")
    for format_ in IMAGES:
        pipe = ImagesPipe(format_, OPENAI, ImagesAsked())
        pipe.feed(raw)
        with pytest.raises(FaultError):
            pipe.close()
        assert format_.failed_usage(raw) is None
        assert format_.decode_fault(500, (), raw).kind is FaultKind.PROVIDER_UNAVAILABLE


def test_an_error_in_disguise_is_that_error() -> None:
    with pytest.raises(FaultError) as raised:
        OPENAI.decode_response(b'{"error": {"message": "slow down", "code": "rate_limit_exceeded"}}', 1)
    assert raised.value.fault.kind is FaultKind.PROVIDER_RATE_LIMIT


def test_the_words_of_a_diffusion_server_that_refuses() -> None:
    refused = SDAPI.decode_fault(422, (), b'{"detail": [{"loc": ["body"], "msg": "steps is too large"}]}')
    assert (refused.kind, refused.message) == (FaultKind.INVALID_REQUEST, "steps is too large")
    failed = SDAPI.decode_fault(500, (), b'{"error": "OutOfMemoryError", "detail": "", "errors": "CUDA"}')
    assert failed.kind is FaultKind.PROVIDER_UNAVAILABLE


def test_the_pipe_collects_and_hands_out_what_stands_in_it() -> None:
    pipe = ImagesPipe(OPENAI, OPENAI, ImagesAsked(count=2, size="1x1", quality="low"))
    body = json.dumps({"data": [{"b64_json": FILE}], "quality": "high"}).encode()
    assert pipe.feed(body[:9]) == pipe.feed(body[9:]) == pipe.release() == pipe.close() == b""
    assert pipe.generated == GeneratedImages(count=1, size="1x1", quality="high")
    answered = Answered(usage=Usage(input_tokens=2), cost_nano_usd=1)
    assert json.loads(pipe.finish(answered))["usage"]["total_tokens"] == 2
    pipe.raw = b"file"
    assert pipe.finish(answered) == b"file"
    with pytest.raises(FaultError):
        ImagesPipe(OPENAI, OPENAI, ImagesAsked(), max_body_bytes=3).feed(b"four")


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp"), ("GIF", "image/gif"), ("BMP", None)],
)
def test_kinds_of_files(kind: str, media_type: str | None) -> None:
    assert media_type_of(picture(kind=kind)) == media_type


@pytest.mark.parametrize(
    ("size", "sides"),
    [
        ("1024x1536", (1024, 1536)),
        (None, None),
        ("auto", None),
        ("x", None),
        ("1x", None),
        ("1x2x3", None),
        ("²x1", None),
    ],
)
def test_sizes(size: str | None, sides: tuple[int, int] | None) -> None:
    assert side_lengths(size) == sides


def test_an_empty_response_is_what_a_pipe_begins_with() -> None:
    assert ImagesPipe(SDAPI, OPENAI, ImagesAsked()).response == ImageResponse(pictures=())
