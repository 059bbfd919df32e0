"""VoltageGPU's wish for pictures; fields that the contract does not name pass (behaviour.md D1)."""

from typing import Annotated, Final, Literal

import msgspec

from tollhouse.dialects.fields import ModelName, Prompt, UserId
from tollhouse.dialects.reading import Reader


class ImagesRequest(msgspec.Struct, gc=False):
    """The body of a call for pictures. The contract has no model; programs of its users send one."""

    prompt: Prompt
    model: ModelName | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=10)] | None = None
    size: Literal["256x256", "512x512", "1024x1024", "1792x1024", "1024x1792"] | None = None
    response_format: Literal["url", "b64_json"] | None = None
    guidance_scale: Annotated[float, msgspec.Meta(ge=1, le=20)] | None = None
    num_inference_steps: Annotated[int, msgspec.Meta(ge=10, le=150)] | None = None
    negative_prompt: str | None = None
    seed: int | None = None
    user: UserId | None = None


_READER: Final = Reader(
    ImagesRequest,
    {"size": "256x256, 512x512, 1024x1024, 1792x1024 or 1024x1792", "response_format": "url or b64_json"},
)


def check_images(body: bytes) -> None:
    """Refuse a body that does not fit the contract. Raises FaultError (invalid_request) naming the field."""
    _READER.read(body)
