"""Door: what composition hands to the HTTP app."""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

import msgspec

from tollhouse.accounts.principal import Principal
from tollhouse.accounts.quotas import ConsumerStanding
from tollhouse.catalog.entries import Catalog
from tollhouse.dialects.dialect import Dialect
from tollhouse.http.cors import Cors
from tollhouse.http.limits import Limits
from tollhouse.ir.fault import FaultKind
from tollhouse.relay.call import Call, Caller
from tollhouse.relay.generations import Generation
from tollhouse.relay.picture_store import KeptPicture


class Readiness(msgspec.Struct, frozen=True):
    """What is up: the ledger's store, and the one of limits and caches."""

    books_ok: bool
    limits_ok: bool


def _uncounted(_dialect: str, _kind: FaultKind) -> None:
    """Nobody counts refusals."""


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """The ports of the HTTP app.

    `authenticate` turns a key, None when the request has none, into its principal; raises FaultError (invalid_key,
    workspace_locked, books_unavailable). `handle` answers a call, whatever happens. `catalog` gives the snapshot of
    the moment, the same object until it changes. `count_tokens` checks a request to count tokens by its voice's
    `validate`, and gives the body of its answer (status 200); raises FaultError, which the voice words. Where it is
    None, nothing is served on the routes for it. `standing` tells where the consumer of a key stands; raises FaultError
    (not_found, books_unavailable); None likewise. `generation` finds a call of the principal's workspace by its id;
    raises FaultError; None likewise. `picture` finds one that callers fetch by address, which begins with `public_url`,
    None for what they call us themselves. `metrics` gives Prometheus' text. `refused` is told of requests that
    never became a call, by dialect and reason. `hosts` are Host headers under which one dialect, by its name, is alone.
    """

    dialects: tuple[Dialect, ...]
    authenticate: Callable[[str | None], Awaitable[Principal]]
    handle: Callable[[Call, Caller], Awaitable[None]]
    catalog: Callable[[], Catalog]
    readiness: Callable[[], Awaitable[Readiness]]
    metrics: Callable[[], bytes]
    count_tokens: Callable[[Call], Awaitable[bytes]] | None = None
    standing: Callable[[Principal], Awaitable[ConsumerStanding]] | None = None
    generation: Callable[[Principal, str], Awaitable[Generation]] | None = None
    picture: Callable[[str], Awaitable[KeptPicture | None]] | None = None
    public_url: str | None = None
    refused: Callable[[str, FaultKind], None] = _uncounted
    limits: Limits = Limits()
    cors: Cors | None = None
    trusted_proxies: tuple[str, ...] = ()
    hosts: Mapping[str, str] = MappingProxyType({})
