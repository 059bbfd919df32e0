"""HPP Router's routes, keys and voice."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

import msgspec

from tollhouse.catalog.entries import Catalog
from tollhouse.dialects.credentials import bearer_key, named_key
from tollhouse.dialects.dialect import Operation, Route, document_route
from tollhouse.dialects.hpp_router import account
from tollhouse.dialects.hpp_router.document import hpp_document
from tollhouse.dialects.hpp_router.errors import HppWording
from tollhouse.dialects.hpp_router.listing import model_list
from tollhouse.dialects.hpp_router.schema import check_chat
from tollhouse.dialects.hpp_router.schema_images import check_images
from tollhouse.dialects.strict import strict_routes
from tollhouse.relay.call import Headers
from tollhouse.routing.auto import Decision
from tollhouse.wire.format import AnswerPolicy, Peek

_AUTO_MODEL: Final = "hpprouter/auto"
_RESOLVED_MODEL: Final = b"x-hpp-router-resolved-model"
_SAFE_IN_HEADER: Final = "!\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"
_CHAT: Final = "/llm/v1/chat/completions"
_MODELS: Final = "/llm/v1/models"
_IMAGES: Final = "/v1/images/generations"
_USAGE: Final = "/api/usage"
_QUOTA: Final = "/api/quota-check"
_DOCUMENT: Final = "/openapi/hpp.json"


_IMAGE_DEFAULTS: Final[Mapping[str, msgspec.Raw]] = MappingProxyType(
    {
        "model": msgspec.Raw(b'"gpt-image-1"'),
        "n": msgspec.Raw(b"1"),
        "size": msgspec.Raw(b'"1024x1024"'),
        "quality": msgspec.Raw(b'"auto"'),
    }
)


def _key(headers: Mapping[str, str]) -> str | None:
    return named_key(headers, "apikey") or bearer_key(headers)


def _claim(headers: Mapping[str, str]) -> int:
    """Whoever sends one of our keys, and nobody else's own header (behaviour.md 5.1)."""
    return 0 if _key(headers) is None else 1


class HppChat(HppWording):
    """The voice of a chat call: the provider's answer as it is, under the resolved model's name."""

    dialect = "hpp_router"
    format_name = "openai_chat"
    auto_model: str | None = _AUTO_MODEL
    splits_choices = False

    def validate(self, body: bytes) -> None:
        """Check a request body against the contract. Raises FaultError (invalid_request)."""
        check_chat(body)

    def defaults(self) -> Mapping[str, msgspec.Raw]:
        """None: the provider's own defaults hold."""
        return {}

    def policy(self, request_id: str, slug: str, asked: Peek) -> AnswerPolicy:
        """The provider's id and frames; usage in a stream only when asked for."""
        del request_id, asked
        return AnswerPolicy(model=slug)

    def headers(self, slug: str, decision: Decision | None = None) -> Headers:
        """Which model answers, and by which rule if one chose it; percent-encoded where a header could not hold it."""
        resolved = (_RESOLVED_MODEL, _in_header(slug))
        if decision is None:
            return (resolved,)
        named = (
            (b"x-hpp-router-basket", decision.basket),
            (b"x-hpp-router-rule-id", decision.rule_id),
            (b"x-hpp-router-rules-version", decision.rules_version),
            (b"x-hpp-router-tier", decision.tier),
        )
        return (resolved, *((name, _in_header(value)) for name, value in named if value is not None))


class HppImages(HppWording):
    """The voice of a call for pictures: as the provider hands them over, under the resolved model's name."""

    dialect = "hpp_router"
    format_name = "openai_images"
    auto_model: str | None = None
    splits_choices = False

    def validate(self, body: bytes) -> None:
        """Check a request body against the contract. Raises FaultError (invalid_request)."""
        check_images(body)

    def defaults(self) -> Mapping[str, msgspec.Raw]:
        """The contract's documented defaults."""
        return _IMAGE_DEFAULTS

    def policy(self, request_id: str, slug: str, asked: Peek) -> AnswerPolicy:
        """As the provider hands them over, where the caller does not say."""
        del request_id, slug, asked
        return AnswerPolicy()

    def headers(self, slug: str, decision: Decision | None = None) -> Headers:
        """Which model answers."""
        del decision
        return ((_RESOLVED_MODEL, _in_header(slug)),)


class HppRouter(HppWording):
    """The dialect."""

    name = "hpp_router"
    roots: tuple[str, ...] = ("/llm", "/llm/v1", _IMAGES, _USAGE, _QUOTA, _DOCUMENT)
    routes: tuple[Route, ...] = (
        Route(method="POST", path=_CHAT, operation=Operation.CHAT, endpoint=_CHAT, voice=HppChat()),
        Route(method="GET", path=_MODELS, operation=Operation.MODELS, endpoint=_MODELS),
        Route(
            method="POST", path=_IMAGES, operation=Operation.IMAGES, endpoint=_IMAGES, voice=HppImages(), claim=_claim
        ),
        Route(method="GET", path=_USAGE, operation=Operation.ACCOUNT, endpoint=_USAGE, view=account.usage),
        Route(method="GET", path=_QUOTA, operation=Operation.ACCOUNT, endpoint=_QUOTA, view=account.quota_check),
    )

    def __init__(self, *, strict_schema: bool = False) -> None:
        """With `strict_schema`, what the published document does not allow is refused."""
        if strict_schema:
            self.routes = strict_routes(self.routes, __package__ or "", "openapi.yaml")
        document = hpp_document({route.path: route for route in self.routes})
        self.routes = (*self.routes, document_route(_DOCUMENT, document))

    def read_key(self, headers: Mapping[str, str]) -> str | None:
        """The `apikey` header; without one, Bearer."""
        return _key(headers)

    def models(self, catalog: Catalog) -> bytes:
        """The body of `GET /llm/v1/models`."""
        return model_list(catalog)


def _in_header(value: str) -> bytes:
    return quote(value, safe=_SAFE_IN_HEADER).encode()
