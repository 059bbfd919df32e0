"""HPP Router's OpenAPI document."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tollhouse.dialects.dialect import Route
from tollhouse.dialects.hpp_router.account import QuotaCheck, Usage
from tollhouse.dialects.hpp_router.answers import ChatAnswer, ImagesAnswer, ModelList
from tollhouse.dialects.hpp_router.errors import HppWording, SimpleError, StructuredError
from tollhouse.dialects.hpp_router.schema import ChatRequest, Message
from tollhouse.dialects.hpp_router.schema_images import ImagesRequest
from tollhouse.dialects.openapi import Documented, Published, render

_SECURITY: Final[Mapping[str, dict[str, object]]] = {
    "ApiKeyAuth": {"type": "apiKey", "in": "header", "name": "apikey"},
    "BearerAuth": {"type": "http", "scheme": "bearer"},
}
_RESOLVED: Final[Mapping[str, str]] = MappingProxyType(
    {"X-HPP-Router-Resolved-Model": "The model that answers and is billed."}
)
_HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        **_RESOLVED,
        "X-HPP-Router-Basket": "The basket that the rules chose, for hpprouter/auto.",
        "X-HPP-Router-Rule-Id": "The rule that matched, for hpprouter/auto.",
        "X-HPP-Router-Rules-Version": "The version of the rules, for hpprouter/auto.",
        "X-HPP-Router-Tier": "The tier, where the rules chose one.",
    }
)


def hpp_document(routes: Mapping[str, Route]) -> bytes:
    """The document of these routes, by path."""
    images = routes["/v1/images/generations"]
    return render(
        Published(
            title="HPP Router Consumer API, by Tollhouse",
            version="0.1.0",
            description="Any model, any provider, prepaid.",
            servers=("/",),
            root="",
            security=_SECURITY,
            wording=HppWording(),
            errors=(SimpleError, StructuredError),
            operations=(
                Documented(
                    route=routes["/llm/v1/chat/completions"],
                    operation_id="createChatCompletion",
                    summary="Create a chat completion",
                    request=ChatRequest,
                    # Its absence is only taken beside an assistant's tool calls.
                    must={Message.__name__: ("content",)},
                    answer=ChatAnswer,
                    media={"text/event-stream": {"type": "string"}},
                    headers=_HEADERS,
                ),
                Documented(
                    route=routes["/llm/v1/models"],
                    operation_id="listModels",
                    summary="List available models",
                    answer=ModelList,
                ),
                Documented(
                    route=images,
                    operation_id="createImageGeneration",
                    summary="Generate images",
                    request=ImagesRequest,
                    defaults={} if images.voice is None else images.voice.defaults(),
                    answer=ImagesAnswer,
                    headers=_RESOLVED,
                ),
                Documented(
                    route=routes["/api/usage"],
                    operation_id="getUsage",
                    summary="Get current consumer usage",
                    answer=Usage,
                ),
                Documented(
                    route=routes["/api/quota-check"],
                    operation_id="checkQuota",
                    summary="Check current consumer quota",
                    answer=QuotaCheck,
                ),
            ),
        )
    )
