"""VoltageGPU's OpenAPI document."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from tollhouse.dialects.dialect import Route
from tollhouse.dialects.embeddings import TextsRequest
from tollhouse.dialects.openapi import Documented, Published, render
from tollhouse.dialects.voltagegpu.answers import ChatAnswer, ImagesAnswer, ModelList, VectorList
from tollhouse.dialects.voltagegpu.errors import Envelope, VoltageWording
from tollhouse.dialects.voltagegpu.schema import ChatRequest
from tollhouse.dialects.voltagegpu.schema_images import ImagesRequest

_ROOT: Final = "/v1"
_SECURITY: Final[Mapping[str, dict[str, object]]] = {
    "ApiKeyAuth": {"type": "apiKey", "in": "header", "name": "X-VoltageGPU-Key"},
    "BearerAuth": {"type": "http", "scheme": "bearer"},
}
# What the gateway does where the caller says nothing, and no provider is told.
_OURS: Final[Mapping[str, msgspec.Raw]] = MappingProxyType({"response_format": msgspec.Raw(b'"url"')})
_FILE: Final[dict[str, object]] = {"type": "string", "format": "binary"}


def voltage_document(routes: Mapping[str, Route]) -> bytes:
    """The document of these routes, by path."""
    chat, images = routes["/v1/chat/completions"], routes["/v1/images/generations"]
    return render(
        Published(
            title="VoltageGPU API, by Tollhouse",
            version="1.0.0",
            description="Any model, any provider, prepaid.",
            servers=("/v1", "/api/voltage/v1"),
            root=_ROOT,
            security=_SECURITY,
            wording=VoltageWording(),
            errors=(Envelope,),
            operations=(
                Documented(
                    route=chat,
                    operation_id="createChatCompletion",
                    summary="Create chat completion",
                    request=ChatRequest,
                    defaults={} if chat.voice is None else chat.voice.defaults(),
                    answer=ChatAnswer,
                    media={"text/event-stream": {"type": "string"}},
                ),
                Documented(
                    route=routes["/v1/embeddings"],
                    operation_id="createEmbedding",
                    summary="Create embeddings",
                    request=TextsRequest,
                    answer=VectorList,
                ),
                Documented(
                    route=images,
                    operation_id="createImage",
                    summary="Create image",
                    request=ImagesRequest,
                    defaults={**({} if images.voice is None else images.voice.defaults()), **_OURS},
                    answer=ImagesAnswer,
                    media={"image/png": _FILE, "image/jpeg": _FILE},
                ),
                Documented(
                    route=routes["/v1/models"],
                    operation_id="listModels",
                    summary="List the names that can be called",
                    answer=ModelList,
                ),
            ),
        )
    )
