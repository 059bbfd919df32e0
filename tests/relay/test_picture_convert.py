"""Pictures made into files of another kind."""

import pytest
from PIL import Image

from support.image_provider import opened, picture
from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.relay import picture_convert
from tollhouse.relay.picture_convert import convert


@pytest.mark.row(130)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
@pytest.mark.parametrize(("media_type", "made"), [("image/png", "PNG"), ("image/jpeg", "JPEG"), ("image/webp", "WEBP")])
def test_any_kind_becomes_any(kind: str, media_type: str, made: str) -> None:
    found = opened(convert(picture(10, kind), media_type))
    assert (found.format, found.size) == (made, (8, 6))
    pixel = found.convert("RGB").getpixel((4, 3))
    assert isinstance(pixel, tuple)
    assert all(abs(is_ - was) < 12 for is_, was in zip(pixel, (10, 100, 200), strict=True))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "1"])
def test_a_jpeg_has_white_where_nothing_was(mode: str) -> None:
    layer = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    data = picture(mode="RGBA") if mode == "RGBA" else None
    assert convert(data or _saved(layer, mode), "image/jpeg").startswith(b"\xff\xd8")
    found = opened(convert(_saved(layer, "RGBA"), "image/jpeg"))
    assert found.getpixel((1, 1)) == (255, 255, 255)


def _saved(layer: Image.Image, mode: str) -> bytes:
    import io

    out = io.BytesIO()
    layer.convert(mode).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("data", [b"", b"no picture", picture()[:40], picture(kind="JPEG")[:30]])
def test_what_is_no_picture_is_a_fault_of_the_provider(data: bytes) -> None:
    with pytest.raises(FaultError) as raised:
        convert(data, "image/png")
    assert raised.value.fault.kind is FaultKind.PROVIDER_UNAVAILABLE


def test_a_picture_that_would_fill_the_memory_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_convert, "_MOST_PIXELS", 47)
    with pytest.raises(FaultError):
        convert(picture(), "image/jpeg")
