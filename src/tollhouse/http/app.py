"""The ASGI app: from a request to its route, past the checks that come before the body, to the relay."""

import asyncio
import time
from collections.abc import Mapping
from typing import assert_never, cast
from urllib.parse import parse_qsl

import msgspec
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, HTTPScope, Scope

from tollhouse.accounts.principal import Principal
from tollhouse.catalog.entries import Catalog
from tollhouse.dialects.dialect import Dialect, Operation, Route
from tollhouse.http.body import Body, BodyBudget
from tollhouse.http.door import Door
from tollhouse.http.exchange import STATE_KEY, Exchange
from tollhouse.http.pictures import send_picture
from tollhouse.http.proxies import TrustedProxies
from tollhouse.http.refusal import keyless, neutral
from tollhouse.http.request_id import clean_client_id
from tollhouse.http.routes import HostRoutes, Place, RouteTable, SharedPlace
from tollhouse.ir.fault import Fault, FaultError, FaultKind
from tollhouse.relay.call import Call, CallerGoneError, Voice, Worded
from tollhouse.relay.pictures import PATH as PICTURES

_METRICS_PATH = b"/metrics"
_CACHEABLE = ((b"cache-control", b"public, max-age=300"),)
_UPGRADE = ((b"upgrade", b"HTTP/1.1"), (b"connection", b"upgrade"))
_STOPPED = Fault(
    kind=FaultKind.BUSY,
    message="The gateway was stopped before it could answer; send the request again.",
    retry_after_s=1,
)


class DoorApp:
    """Serves the dialects' routes, HEAD on their roots, and `/metrics`; runs under `DoorProtocol` only."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._routes = HostRoutes(door.dialects, _not_served(door), door.hosts)
        self._budget = BodyBudget(door.limits.max_bodies_bytes)
        self._proxies = TrustedProxies(door.trusted_proxies)
        self._lists: dict[str, tuple[Catalog, bytes]] = {}
        self._in_flight = 0
        self._draining = False

    async def __call__(self, scope: Scope, _receive: ASGIReceiveCallable, _send: ASGISendCallable) -> None:
        """Answer one request, through the exchange in the scope's state."""
        http = cast("HTTPScope", scope)
        # Popped, because the exchange refers to the scope.
        exchange = cast("Exchange", http.get("state", {}).pop(STATE_KEY))
        self._in_flight += 1
        try:
            await self._answer(http, exchange)
        except CallerGoneError:
            return
        except asyncio.CancelledError:
            # The drain limit has passed. As the server's own end this is no failure of the call to be logged.
            if exchange.response_started or exchange.disconnected:
                exchange.cut_off()
            else:
                await self._refuse(exchange, http["path"], _STOPPED)
        finally:
            self._in_flight -= 1

    @property
    def in_flight(self) -> int:
        """How many requests are being answered."""
        return self._in_flight

    def drain(self) -> None:
        """From now on every answer closes its connection, and READY says no."""
        self._draining = True

    def word(self, path: str, fault: Fault, request_id: str) -> Worded:
        """A fault in the words of whoever serves `path`, neutral ones when nobody does."""
        return self._routes.all.word(path, fault, request_id)

    async def _answer(self, scope: HTTPScope, exchange: Exchange) -> None:
        self._proxies.apply(scope, exchange.fields)
        if self._door.cors is not None:
            exchange.extra = self._door.cors.answer_headers(exchange.fields.get("origin"))
        if self._draining:
            exchange.keep_alive = False
        methods = self._routes_for(exchange).methods(scope["raw_path"])
        place = None if methods is None else methods.get(scope["method"])
        if isinstance(place, SharedPlace):
            shared, place = place, place.claimed(exchange.fields)
            if place is None:
                self._door.refused("none", FaultKind.INVALID_KEY)
                await exchange.reply(keyless(shared.places[0].route.endpoint))
                return
        if place is None:
            await self._answer_elsewhere(scope, exchange, methods)
            return
        try:
            await self._serve(exchange, place)
        except FaultError as error:
            self._door.refused(place.dialect.name, error.fault.kind)
            await exchange.reply(place.wording.word(error.fault, exchange.request_id, place.route.endpoint))

    async def _serve(self, exchange: Exchange, place: Place) -> None:
        dialect, route = place.dialect, place.route
        if route.voice is not None:
            await self._call(exchange, place, route.voice)
            return
        principal = None if route.public else await self._door.authenticate(place.read_key(exchange.fields))
        match route.operation:
            case Operation.MODELS:
                await exchange.reply(Worded(status=200, body=self._models(dialect)))
            case Operation.ACCOUNT | Operation.GENERATION:
                await exchange.reply(Worded(status=200, body=await self._told(exchange, route, principal)))
            case Operation.HEALTH:
                await exchange.reply(Worded(status=200, body=b"" if route.probes is None else route.probes.alive()))
            case Operation.READY:
                await exchange.reply(await self._ready(route))
            case Operation.DOCUMENT:
                await exchange.reply(Worded(status=200, body=route.document, headers=_CACHEABLE))
            case Operation.CHAT | Operation.EMBEDDINGS | Operation.IMAGES | Operation.COUNT_TOKENS:
                raise TypeError(f"the route {route.path} makes calls but has no voice")
            case _:
                assert_never(route.operation)

    async def _told(self, exchange: Exchange, route: Route, principal: Principal | None) -> bytes:
        """What the holder of a key may know: how its consumer stands, or what became of a call."""
        door = self._door
        if principal is not None and route.view is not None and door.standing is not None:
            return route.view(await door.standing(principal))
        if principal is not None and route.show is not None and door.generation is not None:
            return route.show(await door.generation(principal, _query(exchange, "id")))
        raise TypeError(f"the route {route.path} needs a key, somebody to show it and a port")

    async def _call(self, exchange: Exchange, place: Place, voice: Voice) -> None:
        started_s, started_at_ms = time.monotonic(), time.time_ns() // 1_000_000
        fields = exchange.fields
        body = Body(exchange, self._budget, self._door.limits.max_body_bytes)
        body.check_length()
        principal = await self._door.authenticate(place.read_key(fields))
        body.check_encoding()
        try:
            call = Call(
                request_id=exchange.request_id,
                voice=voice,
                endpoint=place.route.endpoint,
                principal=principal,
                body=await body.read(),
                headers=fields,
                started_s=started_s,
                started_at_ms=started_at_ms,
                client_request_id=clean_client_id(fields.get("x-request-id")),
                origin=self._origin(exchange) if place.route.operation is Operation.IMAGES else "",
            )
            if place.route.operation is Operation.COUNT_TOKENS and self._door.count_tokens is not None:
                await exchange.reply(Worded(status=200, body=await self._door.count_tokens(call)))
            else:
                await self._door.handle(call, exchange)
        finally:
            body.release()

    def _origin(self, exchange: Exchange) -> str:
        """Where the caller has found us: as the operator says, else as the caller does."""
        host = exchange.fields.get("host") or "localhost"
        return self._door.public_url or f"{exchange.scope['scheme']}://{host}"

    def _models(self, dialect: Dialect) -> bytes:
        catalog = self._door.catalog()
        known = self._lists.get(dialect.name)
        if known is None or known[0] is not catalog:
            known = self._lists[dialect.name] = (catalog, dialect.models(catalog))
        return known[1]

    async def _ready(self, route: Route) -> Worded:
        state = await self._door.readiness()
        books_ok, limits_ok, draining = state.books_ok, state.limits_ok, self._draining
        ready = books_ok and limits_ok and not draining
        probes = route.probes
        body = b"" if probes is None else probes.ready(books_ok=books_ok, limits_ok=limits_ok, draining=draining)
        return Worded(status=200 if ready else 503, body=body)

    async def _answer_elsewhere(
        self, scope: HTTPScope, exchange: Exchange, methods: Mapping[str, Place | SharedPlace] | None
    ) -> None:
        """A request that no route serves."""
        method, path = scope["method"], scope["raw_path"].decode("ascii")
        allowed = ", ".join(sorted(methods)) if methods is not None else "GET, HEAD"
        served = methods is not None or scope["raw_path"] == _METRICS_PATH
        routes = self._routes_for(exchange)
        if method == "HEAD" and routes.is_root(path):
            await exchange.reply(Worded(status=200, body=b""))
        elif method == "OPTIONS" and self._door.cors is not None and served:
            preflight = self._door.cors.preflight_headers(
                exchange.fields.get("access-control-request-headers"), allowed
            )
            await exchange.start(204, preflight)
            await exchange.end(b"")
        elif not served:
            if not await self._sent_picture(exchange, method, path):
                await self._refuse(exchange, path, _not_found(path, routes))
        elif methods is None and method in {"GET", "HEAD"}:
            await exchange.start(200, ((b"content-type", b"text/plain; version=0.0.4; charset=utf-8"),))
            await exchange.end(self._door.metrics())
        elif methods is not None and method == "GET" and _wants_websocket(exchange, methods):
            worded = routes.word(path, _no_websocket(path, allowed), exchange.request_id)
            # RFC 9110, 15.5.22: with 426 comes what to upgrade to, which is what is spoken already.
            await exchange.reply(msgspec.structs.replace(worded, status=426), *_UPGRADE)
        else:
            await self._refuse(exchange, path, _wrong_method(method, path, allowed), (b"allow", allowed.encode()))

    async def _sent_picture(self, exchange: Exchange, method: str, path: str) -> bool:
        """Answer with the picture of this address, or with why it cannot be told; False when there is none."""
        if self._door.picture is None or method not in {"GET", "HEAD"} or not path.startswith(PICTURES):
            return False
        try:
            picture = await self._door.picture(path.removeprefix(PICTURES))
        except FaultError as error:
            await exchange.reply(neutral(error.fault))
            return True
        if picture is None:
            return False
        await send_picture(exchange, picture, time.time_ns() // 1_000_000)
        return True

    def _routes_for(self, exchange: Exchange) -> RouteTable:
        return self._routes.on(exchange.fields.get("host"))

    async def _refuse(self, exchange: Exchange, path: str, fault: Fault, *more: tuple[bytes, bytes]) -> None:
        await exchange.reply(self._routes_for(exchange).word(path, fault, exchange.request_id), *more)


def _query(exchange: Exchange, name: str) -> str:
    """The first parameter of this name in the URL, empty without one."""
    asked = exchange.scope["query_string"].decode("ascii", "replace")
    return next((value for key, value in parse_qsl(asked) if key == name), "")


def _not_found(path: str, routes: RouteTable) -> Fault:
    message = f"Nothing is served at {path[:200]}; check the URL. The APIs are under {', '.join(sorted(routes.roots))}."
    return Fault(kind=FaultKind.NOT_FOUND, source="client", message=message)


def _not_served(door: Door) -> list[Operation]:
    """The operations that nobody stands behind."""
    ports = {
        Operation.COUNT_TOKENS: door.count_tokens,
        Operation.ACCOUNT: door.standing,
        Operation.GENERATION: door.generation,
    }
    return [operation for operation, port in ports.items() if port is None]


def _wrong_method(method: str, path: str, allowed: str) -> Fault:
    return Fault(
        kind=FaultKind.METHOD_NOT_ALLOWED,
        source="client",
        message=f"{path[:200]} is not served with {method}; use {allowed}.",
    )


def _wants_websocket(exchange: Exchange, methods: Mapping[str, Place | SharedPlace]) -> bool:
    """Whether this is a WebSocket's handshake on a path that has to tell its program to fall back."""
    wish = exchange.fields.get("upgrade", "").strip().lower()
    places = [place for place in methods.values() if isinstance(place, Place)]
    return wish == "websocket" and any(place.route.no_websocket for place in places)


def _no_websocket(path: str, allowed: str) -> Fault:
    return Fault(
        kind=FaultKind.METHOD_NOT_ALLOWED,
        source="client",
        message=f"{path[:200]} is not served as a WebSocket; use {allowed} over HTTP.",
    )
