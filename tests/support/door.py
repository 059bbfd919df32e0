"""A door for tests: a small dialect, a scripted relay, a server on a loopback socket, and a raw HTTP client."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import uvloop
from uvicorn.server import ServerState

from tollhouse.accounts.principal import Principal
from tollhouse.catalog.entries import Catalog
from tollhouse.dialects.dialect import Operation, Route
from tollhouse.http.app import DoorApp
from tollhouse.http.door import Door, Readiness
from tollhouse.http.limits import Limits
from tollhouse.http.serving import server_config
from tollhouse.ir.fault import Fault, FaultError, FaultKind
from tollhouse.relay.call import Call, Caller, CallerGoneError, Worded

KEY = "th-good"
_STATUS = {
    FaultKind.INVALID_REQUEST: 400,
    FaultKind.INVALID_KEY: 401,
    FaultKind.NOT_FOUND: 404,
    FaultKind.METHOD_NOT_ALLOWED: 405,
    FaultKind.REQUEST_TIMEOUT: 408,
    FaultKind.BODY_TOO_LARGE: 413,
    FaultKind.UNSUPPORTED_ENCODING: 415,
    FaultKind.HEADERS_TOO_LARGE: 431,
    FaultKind.BUSY: 503,
}
PRINCIPAL = Principal(workspace_id="w1", workspace="demo", key_id="k1", key_hint="th-…good", account_id="a1")


class PlainProbes:
    def alive(self) -> bytes:
        return b'{"status":"ok"}'

    def ready(self, *, books_ok: bool, limits_ok: bool, draining: bool) -> bytes:
        return msgspec.json.encode({"books": books_ok, "limits": limits_ok})


class PlainDialect:
    """Serves `<root>/chat` and `<root>/models`; its errors name it, so that tests see whose words they read."""

    format_name = "plain"

    def __init__(self, name: str, root: str) -> None:
        self.name = self.dialect = name
        self.roots = (root,)
        self.listed = 0
        chat = root + "/chat"
        models = root + "/models"
        self.routes = (
            Route(method="POST", path=chat, operation=Operation.CHAT, endpoint=chat, voice=self),
            Route(method="GET", path=models, operation=Operation.MODELS, endpoint=models),
        )
        if name == "one":
            probes = PlainProbes()
            self.routes += (
                Route(
                    method="GET", path="/healthz", operation=Operation.HEALTH, endpoint="", probes=probes, public=True
                ),
                Route(method="GET", path="/readyz", operation=Operation.READY, endpoint="", probes=probes, public=True),
            )

    def read_key(self, headers: Mapping[str, str]) -> str | None:
        return headers.get("authorization", "").removeprefix("Bearer ") or None

    def models(self, catalog: Catalog) -> bytes:
        self.listed += 1
        return b'{"data":[]}'

    def word(self, fault: Fault, request_id: str, endpoint: str, attempts: tuple[Any, ...] = ()) -> Worded:
        body = {"dialect": self.name, "kind": fault.kind, "message": fault.message, "id": request_id, "at": endpoint}
        return Worded(status=_STATUS.get(fault.kind, 500), body=msgspec.json.encode(body))

    def validate(self, body: bytes) -> None:
        return

    def defaults(self) -> Mapping[str, msgspec.Raw]:
        return {}

    def policy(self, request_id: str, slug: str, asked: Any) -> Any:
        raise NotImplementedError

    def headers(self, slug: str, decision: Any = None) -> tuple[tuple[bytes, bytes], ...]:
        return ()


async def echo(call: Call, caller: Caller) -> None:
    """A relay that answers with what it got."""
    seen = {"size": len(call.body), "id": call.request_id, "client": call.client_request_id}
    await caller.start(200, ((b"content-type", b"application/json"),))
    await caller.end(json.dumps(seen).encode())


@dataclass
class House:
    """What stands behind the door in a test. `calls` and `keys` are what came through it."""

    limits: Limits = field(default_factory=Limits)
    handle: Callable[[Call, Caller], Awaitable[None]] = echo
    options: dict[str, Any] = field(default_factory=dict)
    readiness: Readiness = field(default_factory=lambda: Readiness(books_ok=True, limits_ok=True))
    calls: list[Call] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    gate: asyncio.Event | None = None
    dialects: tuple[Any, ...] = field(
        default_factory=lambda: (PlainDialect("one", "/one/v1"), PlainDialect("two", "/one/v1/two"))
    )

    def __post_init__(self) -> None:
        self.catalog = Catalog({}, ())
        self.app = DoorApp(
            Door(
                dialects=self.dialects,
                authenticate=self._authenticate,
                handle=self._handle,
                catalog=lambda: self.catalog,
                readiness=self._readiness,
                metrics=lambda: b"up 1\n",
                limits=self.limits,
                **self.options,
            )
        )
        self.state = ServerState()
        self.port = 0

    async def _authenticate(self, key: str | None) -> Principal:
        self.keys.append(key)
        if self.gate is not None:
            await self.gate.wait()
        if key != KEY:
            raise FaultError(Fault(kind=FaultKind.INVALID_KEY, message="The key is not known."))
        return PRINCIPAL

    async def _handle(self, call: Call, caller: Caller) -> None:
        self.calls.append(call)
        # The real relay never raises; nor does this one when the caller has left.
        with contextlib.suppress(CallerGoneError):
            await self.handle(call, caller)

    async def _readiness(self) -> Readiness:
        return self.readiness

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["House"]:
        """Listen on a loopback port."""
        config = server_config(self.app, self.limits)
        config.load()
        loop = asyncio.get_running_loop()
        make = config.http_protocol_class
        server = await loop.create_server(
            lambda: make(config=config, server_state=self.state, app_state={}), "127.0.0.1", 0
        )
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for connection in list(self.state.connections):
                connection.transport.abort()
            for connection in list(self.state.connections):
                connection.connection_lost(None)
            await asyncio.gather(*self.state.tasks)
            await server.wait_closed()

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator["Client"]:
        """A connection to it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Client(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def ask(self, data: bytes) -> "Answer":
        """Send raw bytes on a connection of their own and read one answer."""
        async with self.client() as client:
            client.send(data)
            return await client.answer()


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self, *, head_only: bool = False) -> Answer:
        """The next answer on the connection."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 20)
        first, *lines = head.decode().rstrip("\r\n").split("\r\n")
        pairs = [line.split(": ", 1) for line in lines]
        headers = {name.lower(): value for name, value in pairs}
        assert len(headers) == len(pairs), f"a header stands twice: {pairs}"
        status = int(first.split(" ")[1])
        if head_only or status in {100, 204}:
            return Answer(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            body = b"".join([chunk async for chunk in self.chunks()])
        elif "content-length" in headers:
            body = await self.reader.readexactly(int(headers["content-length"]))
        else:
            body = await self.reader.read()
        return Answer(status, headers, body)

    async def chunks(self) -> AsyncIterator[bytes]:
        while True:
            size = int((await self.reader.readline()).strip(), 16)
            data = (await self.reader.readexactly(size + 2))[:-2]
            if not data:
                return
            yield data

    async def closed(self) -> bytes:
        """What still comes until the server closes."""
        try:
            return await asyncio.wait_for(self.reader.read(), 20)
        except ConnectionError:
            return b""


def post(path: str = "/one/v1/chat", body: bytes = b"{}", *headers: str, key: str = KEY) -> bytes:
    """A call as bytes."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: gateway",
        f"Authorization: Bearer {key}",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def request(method: str, path: str, *headers: str) -> bytes:
    """A request without a body."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: gateway", *headers]).encode() + b"\r\n\r\n"


def run(story: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine on uvloop, as the server does."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until the condition holds; fails after 20 s."""
    deadline_s = time.monotonic() + 20
    for _ in iter(condition, True):
        assert time.monotonic() < deadline_s, "it never came true"
        await asyncio.sleep(0.001)
