"""Dialect: one published API as data and a few pure functions; `http` serves its routes."""

import enum
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from tollhouse.accounts.quotas import ConsumerStanding
from tollhouse.catalog.entries import Catalog
from tollhouse.relay.call import Voice, Wording
from tollhouse.relay.generations import Generation


class Operation(enum.Enum):
    """What a route does."""

    CHAT = "chat"
    EMBEDDINGS = "embeddings"
    IMAGES = "images"
    COUNT_TOKENS = "count_tokens"
    GENERATION = "generation"
    MODELS = "models"
    ACCOUNT = "account"
    HEALTH = "health"
    READY = "ready"
    DOCUMENT = "document"


class Probes(Protocol):
    """The bodies of the HEALTH and READY routes; the statuses are 200, and 503 for READY when it is not ready."""

    def alive(self) -> bytes:
        """The body of an answer that touches no dependency."""
        ...

    def ready(self, *, books_ok: bool, limits_ok: bool, draining: bool) -> bytes:
        """The body that names what is up and what is down: the ledger's store, and the one of limits and caches.
        A gateway that is `draining` is not ready either."""
        ...


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One method and path of a dialect.

    `endpoint` is the path as the dialect's errors name it. `voice` speaks for the routes that make calls or count
    tokens, also in faults found at the door; `probes` for HEALTH and READY; `view` makes the body of ACCOUNT, which
    tells what the key's consumer has and used, and `show` that of GENERATION, which tells what became of one call.
    `public` ones need no key. `read_key` is for a route that takes keys in other headers than the rest of its dialect.
    `no_websocket` marks a path that other servers also offer as a WebSocket: a handshake there is answered 426, so that
    programs fall back to HTTP at once. `document` is the body of DOCUMENT, the dialect's OpenAPI document. `claim` is
    there where another dialect has the same path: by a request's headers it says how strongly the route lays claim to
    it, 0 for not at all.
    """

    method: str
    path: str
    operation: Operation
    endpoint: str
    voice: Voice | None = None
    probes: Probes | None = None
    view: Callable[[ConsumerStanding], bytes] | None = None
    public: bool = False
    read_key: Callable[[Mapping[str, str]], str | None] | None = None
    no_websocket: bool = False
    document: bytes = b""
    show: Callable[[Generation], bytes] | None = None
    claim: Callable[[Mapping[str, str]], int] | None = None


def document_route(path: str, document: bytes) -> Route:
    """Where a dialect's OpenAPI document is served; anybody may read it."""
    return Route(method="GET", path=path, operation=Operation.DOCUMENT, endpoint=path, public=True, document=document)


class Dialect(Wording, Protocol):
    """One published API."""

    name: str
    routes: tuple[Route, ...]
    roots: tuple[str, ...]
    """Path prefixes that belong to the dialect: an unknown path below one is refused in the dialect's words, and
    HEAD on one answers 200."""

    def read_key(self, headers: Mapping[str, str]) -> str | None:
        """The key that a request carries, by the dialect's own rules; header names are lower case."""
        ...

    def models(self, catalog: Catalog) -> bytes:
        """The body of its list of models."""
        ...
