"""HPP Router's wish for pictures; fields that the contract does not name pass."""

from typing import Annotated, Final, Literal

import msgspec

from tollhouse.dialects.fields import ModelName, Prompt, UserId
from tollhouse.dialects.reading import Reader


class ImagesRequest(msgspec.Struct, gc=False):
    """The body of a call for pictures."""

    prompt: Prompt
    model: ModelName | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=4)] | None = None
    size: Literal["1024x1024", "1024x1536", "1536x1024"] | None = None
    quality: Literal["low", "medium", "high", "auto"] | None = None
    background: str | None = None
    output_format: str | None = None
    response_format: Literal["url", "b64_json"] | None = None
    user: UserId | None = None


_READER: Final = Reader(
    ImagesRequest,
    {
        "size": "1024x1024, 1024x1536 or 1536x1024",
        "quality": "low, medium, high or auto",
        "response_format": "url or b64_json",
    },
)


def check_images(body: bytes) -> None:
    """Refuse a body that does not fit the contract. Raises FaultError (invalid_request) naming the field."""
    _READER.read(body)
