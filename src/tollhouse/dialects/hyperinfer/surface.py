"""HyperInfer's routes, keys and probes."""

from collections.abc import Mapping
from typing import Final

import msgspec

from tollhouse.catalog.entries import Catalog
from tollhouse.dialects.credentials import bearer_key
from tollhouse.dialects.dialect import Operation, Route
from tollhouse.dialects.hyperinfer.errors import HyperInferWording
from tollhouse.dialects.hyperinfer.listing import model_list
from tollhouse.dialects.hyperinfer.voices import HyperInferChat

_CHAT: Final = "/api/v1/chat/completions"
_MODELS: Final = "/api/v1/models"
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
