"""VoltageGPU's OpenAPI document."""

from collections.abc import Mapping
from typing import Final

from tollhouse.dialects.dialect import Route
from tollhouse.dialects.embeddings import TextsRequest
from tollhouse.dialects.openapi import Documented, Published, render
from tollhouse.dialects.voltagegpu.answers import ChatAnswer, ModelList, VectorList
from tollhouse.dialects.voltagegpu.errors import Envelope, VoltageWording
from tollhouse.dialects.voltagegpu.schema import ChatRequest
from tollhouse.relay.call import Voice

_ROOT: Final = "/v1"
_SECURITY: Final[Mapping[str, dict[str, object]]] = {
    "ApiKeyAuth": {"type": "apiKey", "in": "header", "name": "X-VoltageGPU-Key"},
    "BearerAuth": {"type": "http", "scheme": "bearer"},
}


def voltage_document(routes: Mapping[str, Route], chat: Voice) -> bytes:
    """The document of these routes, by path; `chat` has the defaults of chat."""
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
                    route=routes["/v1/chat/completions"],
                    operation_id="createChatCompletion",
                    summary="Create chat completion",
                    request=ChatRequest,
                    defaults=chat.defaults(),
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
                    route=routes["/v1/models"],
                    operation_id="listModels",
                    summary="List the names that can be called",
                    answer=ModelList,
                ),
            ),
        )
    )
