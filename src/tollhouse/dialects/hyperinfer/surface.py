"""HyperInfer's routes, keys and probes."""

from collections.abc import Mapping
from typing import Final

import msgspec

from tollhouse.catalog.entries import Catalog
from tollhouse.dialects.credentials import bearer_key, named_key
from tollhouse.dialects.dialect import Operation, Route
from tollhouse.dialects.hyperinfer.errors import HyperInferWording
from tollhouse.dialects.hyperinfer.generation import generation_body
from tollhouse.dialects.hyperinfer.listing import model_list
from tollhouse.dialects.hyperinfer.voices import (
    HyperInferChat,
    HyperInferCount,
    HyperInferEmbeddings,
    HyperInferMessages,
    HyperInferResponses,
)
from tollhouse.dialects.strict import strict_routes
from tollhouse.relay.call import Voice

_CHAT: Final = "/api/v1/chat/completions"
_RESPONSES: Final = "/api/v1/responses"
_MESSAGES: Final = "/api/v1/messages"
_COUNT: Final = "/api/v1/messages/count_tokens"
_EMBEDDINGS: Final = "/api/v1/embeddings"
_MODELS: Final = "/api/v1/models"
_GENERATION: Final = "/api/v1/generation"
_HEALTHZ: Final = "/healthz"
_READYZ: Final = "/readyz"


class Checks(msgspec.Struct, frozen=True, kw_only=True):
    """The contract's two names, whatever stands behind them: redis for limits and caches, postgres for the books."""

    redis: str
    postgres: str


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `/readyz`."""

    status: str
    checks: Checks


class HyperInferProbes:
    """The bodies of `/healthz` and `/readyz`."""

    def alive(self) -> bytes:
        """Always the same: no dependency is asked."""
        return b'{"status":"ok"}'

    def ready(self, *, books_ok: bool, limits_ok: bool, draining: bool) -> bytes:
        """What is up and what is down; a gateway that is being stopped is degraded with all of it up."""
        status = "ok" if books_ok and limits_ok and not draining else "degraded"
        checks = Checks(redis="ok" if limits_ok else "down", postgres="ok" if books_ok else "down")
        return msgspec.json.encode(Readiness(status=status, checks=checks))


def _messages_key(headers: Mapping[str, str]) -> str | None:
    """Bearer, or `x-api-key`, which an Anthropic SDK sends unless it is told otherwise (behaviour.md D2).

    Bearer counts first: that SDK sends both when it finds a key of Anthropic's own in the environment beside the
    token that it was given for this gateway.
    """
    return bearer_key(headers) or named_key(headers, "x-api-key")


def _call(path: str, voice: Voice, *, operation: Operation = Operation.CHAT, no_websocket: bool = False) -> Route:
    return Route(method="POST", path=path, operation=operation, endpoint=path, voice=voice, no_websocket=no_websocket)


def _messages(path: str, operation: Operation, voice: Voice) -> Route:
    return Route(method="POST", path=path, operation=operation, endpoint=path, voice=voice, read_key=_messages_key)


def _probe(path: str, operation: Operation) -> Route:
    return Route(method="GET", path=path, operation=operation, endpoint=path, probes=HyperInferProbes(), public=True)


class HyperInfer(HyperInferWording):
    """The dialect."""

    name = "hyperinfer"
    roots: tuple[str, ...] = ("/api", "/api/v1", _HEALTHZ, _READYZ)
    routes: tuple[Route, ...] = (
        _call(_CHAT, HyperInferChat()),
        _call(_RESPONSES, HyperInferResponses(), no_websocket=True),
        _messages(_MESSAGES, Operation.CHAT, HyperInferMessages()),
        _call(_EMBEDDINGS, HyperInferEmbeddings(), operation=Operation.EMBEDDINGS),
        _messages(_COUNT, Operation.COUNT_TOKENS, HyperInferCount()),
        Route(method="GET", path=_MODELS, operation=Operation.MODELS, endpoint=_MODELS, public=True),
        Route(
            method="GET",
            path=_GENERATION,
            operation=Operation.GENERATION,
            endpoint=_GENERATION,
            show=generation_body,
        ),
        _probe(_HEALTHZ, Operation.HEALTH),
        _probe(_READYZ, Operation.READY),
    )

    def __init__(self, *, strict_schema: bool = False) -> None:
        """With `strict_schema`, what the published document does not allow is refused."""
        if strict_schema:
            self.routes = strict_routes(self.routes, __package__ or "", "openapi.json")

    def read_key(self, headers: Mapping[str, str]) -> str | None:
        """Bearer only, but for the routes of Messages."""
        return bearer_key(headers)

    def models(self, catalog: Catalog) -> bytes:
        """The body of `GET /api/v1/models`."""
        return model_list(catalog)
