"""HyperInfer's routes, keys, probes and voice."""

from collections.abc import Mapping
from typing import Final

import msgspec

from tollhouse.catalog.entries import Catalog
from tollhouse.dialects.credentials import bearer_key
from tollhouse.dialects.dialect import Operation, Route
from tollhouse.dialects.hyperinfer.errors import HyperInferWording
from tollhouse.dialects.hyperinfer.listing import model_list
from tollhouse.dialects.hyperinfer.schema_chat import check_chat
from tollhouse.relay.call import Headers
from tollhouse.wire.format import AnswerPolicy, Peek

_CHAT: Final = "/api/v1/chat/completions"
_MODELS: Final = "/api/v1/models"
_HEALTHZ: Final = "/healthz"
_READYZ: Final = "/readyz"


class HyperInferChat(HyperInferWording):
    """The voice of a chat call: the contract's own ids, frames, usage and cost, whatever the provider sends."""

    dialect = "hyperinfer"
    format_name = "openai_chat"

    def validate(self, body: bytes) -> None:
        """Check a request body against the contract. Raises FaultError (invalid_request)."""
        check_chat(body)

    def defaults(self) -> Mapping[str, msgspec.Raw]:
        """None: the provider's own defaults hold."""
        return {}

    def policy(self, request_id: str, slug: str, asked: Peek) -> AnswerPolicy:
        """The `gen-` id, the resolved model, and usage with its cost, asked for or not."""
        del asked
        return AnswerPolicy(answer_id=f"gen-{request_id}", model=slug, usage_always=True, cost=True, tidy=True)

    def headers(self, slug: str) -> Headers:
        """None of its own."""
        del slug
        return ()


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


def _probe(path: str, operation: Operation) -> Route:
    return Route(method="GET", path=path, operation=operation, endpoint=path, probes=HyperInferProbes(), public=True)


class HyperInfer(HyperInferWording):
    """The dialect."""

    name = "hyperinfer"
    roots: tuple[str, ...] = ("/api", "/api/v1", _HEALTHZ, _READYZ)
    routes: tuple[Route, ...] = (
        Route(method="POST", path=_CHAT, operation=Operation.CHAT, endpoint=_CHAT, voice=HyperInferChat()),
        Route(method="GET", path=_MODELS, operation=Operation.MODELS, endpoint=_MODELS, public=True),
        _probe(_HEALTHZ, Operation.HEALTH),
        _probe(_READYZ, Operation.READY),
    )

    def read_key(self, headers: Mapping[str, str]) -> str | None:
        """Bearer only."""
        return bearer_key(headers)

    def models(self, catalog: Catalog) -> bytes:
        """The body of `GET /api/v1/models`."""
        return model_list(catalog)
