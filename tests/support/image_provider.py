"""A provider of pictures for tests: real files of a few pixels, in OpenAI's words or a diffusion server's."""

import base64
import io
import json
from typing import Any

from PIL import Image

from support.scripted_providers import Answer, Asked

USAGE = {
    "input_tokens": 7,
    "output_tokens": 100,
    "total_tokens": 107,
    "input_tokens_details": {"text_tokens": 7, "image_tokens": 0},
}


def picture(colour: int = 0, kind: str = "PNG", size: tuple[int, int] = (8, 6), mode: str = "RGB") -> bytes:
    """A file of one colour."""
    out = io.BytesIO()
    Image.new(mode, size, (colour, 100, 200, 128)[: len(mode)]).save(out, kind)
    return out.getvalue()


def as_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def opened(data: bytes) -> Image.Image:
    """The picture, decoded to its last pixel."""
    found = Image.open(io.BytesIO(data))
    found.load()
    return found


def painted(asked: Asked, **more: Any) -> Answer:
    """A good answer: `n` pictures, each of another colour."""
    count = asked.body.get("n", asked.body.get("n_iter", 1))
    files = [as_base64(picture(number)) for number in range(count)]
    if asked.path.endswith("/txt2img"):
        return Answer(body=json.dumps({"images": files, "parameters": {}, "info": "{}"} | more).encode())
    body: dict[str, Any] = {"created": 1700000000, "data": [{"b64_json": file} for file in files], "usage": USAGE}
    return Answer(body=json.dumps(body | more).encode())
