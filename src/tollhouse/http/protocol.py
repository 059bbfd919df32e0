"""The HTTP protocol of the door: uvicorn's, with deadlines, caps, no smuggling, and a word when the caller leaves."""

import asyncio
import enum
import re
import urllib.parse
from collections import deque
from typing import Any, cast

import httptools
from uvicorn._types import ASGI3Application, HTTPScope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from tollhouse.http import head
from tollhouse.http.answer_head import render_head
from tollhouse.http.config import DoorConfig
from tollhouse.http.exchange import STATE_KEY, Exchange
from tollhouse.http.request_id import new_request_id
from tollhouse.ir.fault import Fault, FaultError, FaultKind
from tollhouse.relay.call import Worded

_METHOD = re.compile(rb"[A-Za-z][A-Za-z-]{0,31} ")
_MALFORMED = Fault(
    kind=FaultKind.INVALID_REQUEST,
    source="client",
    message="The request is not well-formed HTTP/1.1, so it was not read; the connection is closed.",
)
_METHOD_UNKNOWN = Fault(
    kind=FaultKind.METHOD_NOT_ALLOWED,
    source="client",
    message="This method is not known here; the APIs are served with GET and POST.",
)
_HEAD_LATE = Fault(
    kind=FaultKind.REQUEST_TIMEOUT,
    source="client",
    message="The request's headers did not come in time; send them at once.",
)
_FULL = Fault(
    kind=FaultKind.BUSY,
    message="The gateway has as many connections open as it may; try again in a moment.",
    retry_after_s=1,
)
_ALLOW = (b"allow", b"GET, HEAD, POST")


class Phase(enum.Enum):
    """What the next byte from the caller belongs to. CLOSING: to nothing, it is thrown away."""

    IDLE = enum.auto()
    HEAD = enum.auto()
    BODY = enum.auto()
    CLOSING = enum.auto()


class _RefusedError(Exception):
    """Stops the parser; the fault waits in the protocol."""


class DoorProtocol(HttpToolsProtocol):
    """One connection. The app finds the `Exchange` itself in the scope's state.

    A fault that is found here is answered in JSON and closes the connection; a request that came before it on the
    same connection is still answered, one after it is never read.
    """

    def __init__(
        self,
        config: DoorConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.url = b""
        self._door = config
        self._app = cast("ASGI3Application", config.loaded_app)
        self._limits = config.limits
        self._phase = Phase.IDLE
        self._active: Exchange | None = None
        self._reading: Exchange | None = None
        self._queue: deque[Exchange] = deque()
        self._since_s = 0.0
        self._begun = False
        self._head_open = False
        self._wish = ""
        self._refusal: Fault | None = None
        # Bytes of the read at hand; of the open head so far; of the body's framing since its last byte.
        self._read_bytes = 0
        self._head_bytes = 0
        self._framing_bytes = 0
        self._unsent_bytes = 0
        self._unsent_since_s: float | None = None

    # The transport's callbacks.

    def connection_made(self, transport: asyncio.Transport) -> None:
        """A caller has connected; refuse him when there are too many."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=self._limits.write_buffer_bytes)
        self._since_s = self.loop.time()
        self._door.watch.start(self.loop, cast("set[DoorProtocol]", self.connections))
        if len(self.connections) > self._limits.max_connections:
            self._refuse(_FULL)
            transport.close()

    def data_received(self, data: bytes) -> None:
        """Parse what came, and count what the parser keeps to itself."""
        if self._phase is Phase.CLOSING:
            return
        self._read_bytes = size = len(data)
        if self._phase is Phase.IDLE:
            self._head_bytes = 0
        try:
            self._parse(data)
        except httptools.HttpParserError as error:
            self._garbled(data, error)
        if self._phase is Phase.HEAD:
            self._count_head(size)
        elif self._phase is Phase.BODY:
            self._framing_bytes += size
            if self._framing_bytes > self._limits.max_header_bytes:
                self._refuse(_MALFORMED)

    def eof_received(self) -> None:
        """The caller sends no more: he has left, whether or not he would still listen."""
        self._leave()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self.connections.discard(self)
        self._phase = Phase.CLOSING
        self._leave()
        self._active = self._reading = None
        self.flow.resume_writing()
        if exc is None:
            self.transport.close()
        self.parser = cast("httptools.HttpRequestParser", None)  # it refers back to us

    def shutdown(self) -> None:
        """The server stops: close when nothing is being answered, else after that."""
        self._queue.clear()
        if self._active is None:
            self.transport.close()
        else:
            self._active.keep_alive = False

    # The parser's callbacks.

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self.url = b""
        self.headers = []
        self._phase = Phase.HEAD

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; trailers after a body are dropped."""
        if self._phase is Phase.HEAD:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is complete: start the app on it, or queue it behind the request that is being answered."""
        if self.parser.should_upgrade():
            return
        try:
            exchange = self._read_head()
        except FaultError as error:
            self._refusal = error.fault
            raise _RefusedError from error
        self._head_open = False
        self._begun = True
        self._framing_bytes = -self._read_bytes
        self._phase = Phase.BODY
        self._reading = exchange
        if self._active is None:
            self._active = exchange
            self._start_asgi_task(exchange, self._app)
        else:
            self._queue.append(exchange)
            self.flow.pause_reading()

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._framing_bytes = -self._read_bytes
        if self._reading is not None:
            self._reading.feed(body)

    def on_message_complete(self) -> None:
        """The request is complete."""
        if self._reading is not None:
            self._reading.complete()
            self._reading = None
            self._phase = Phase.IDLE
            self._head_bytes = -self._read_bytes
            if not self._queue:
                # Only who is read from can be seen to leave.
                self.flow.resume_reading()

    # What exchanges need.

    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """Headers of every answer, such as Date."""
        return self.server_state.default_headers

    def word(self, path: str, fault: Fault, request_id: str) -> Worded:
        """A fault in the words of whoever serves `path`."""
        return self._door.word(path, fault, request_id)

    def answered(self) -> None:
        """The answer is complete: go on with the next request, wait for one, or close."""
        self.server_state.total_requests += 1
        exchange, self._active = self._active, None
        if exchange is None or self.transport.is_closing():
            return
        if exchange.more_body or self._phase is Phase.CLOSING:
            self._hang_up()
        elif not exchange.keep_alive:
            self.transport.close()
        elif self._queue:
            self._active = self._queue.popleft()
            if not self._queue:
                self.flow.resume_reading()
            self._start_asgi_task(self._active, self._app)
        else:
            self.flow.resume_reading()
            self._since_s = self.loop.time()

    # Deadlines.

    def check(self, now_s: float) -> None:
        """Act on every deadline that passes before the next tick."""
        limits = self._limits
        if self._caller_is_stuck(now_s):
            self.transport.abort()
            return
        age_s = now_s + limits.tick_s - self._since_s
        match self._phase:
            case Phase.HEAD if age_s >= limits.header_deadline_s and not self.flow.read_paused:
                self._refuse(_HEAD_LATE)
            case Phase.IDLE if self._active is None:
                if age_s >= (limits.keep_alive_s if self._begun else limits.header_deadline_s):
                    self.transport.close()
            case Phase.BODY if self._reading is not None and self._reading.reading_since_s is not None:
                allowed_s = limits.body_deadline_s + self._reading.body_bytes / limits.min_body_bytes_per_s
                if now_s + limits.tick_s - self._reading.reading_since_s >= allowed_s:
                    self._reading.overdue()
            case Phase.CLOSING if self._active is None and age_s >= limits.linger_s:
                self.transport.close()
            case _:
                pass

    def _caller_is_stuck(self, now_s: float) -> bool:
        """Whether he has taken nothing of what waits for him for too long."""
        unsent = self.transport.get_write_buffer_size()
        if not unsent or (self._active is not None and not self.flow.write_paused):
            self._unsent_since_s = None
            return False
        if self._unsent_since_s is None or unsent < self._unsent_bytes:
            self._unsent_since_s = now_s
        self._unsent_bytes = unsent
        return now_s + self._limits.tick_s - self._unsent_since_s >= self._limits.write_timeout_s

    # Reading.

    def _parse(self, data: bytes) -> None:
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                # The parser would take the body of such a request for the next request.
                if self.parser.get_method() == b"CONNECT":
                    self._refuse(_METHOD_UNKNOWN, _ALLOW)
                    return
                data = self._without_upgrade() + data[cast("int", upgrade.args[0]) :]
            else:
                return

    def _without_upgrade(self) -> bytes:
        """The head again, for a fresh parser: HTTP lets a server ignore the wish to change the protocol."""
        wishes = [value.decode("latin-1") for name, value in self.headers if name == b"upgrade"]
        self._wish = ", ".join(wishes)
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b: %b\r\n" % field for field in self.headers if field[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return b"".join(lines) + b"\r\n"

    def _read_head(self) -> Exchange:
        limits, headers, url = self._limits, self.headers, self.url
        if len(headers) > limits.max_headers:
            raise FaultError(head.too_many(limits.max_headers))
        if len(url) > limits.max_target_bytes:
            raise FaultError(head.target_too_long(limits.max_target_bytes))
        if self._read_bytes > limits.max_header_bytes or self._head_bytes + self._read_bytes > limits.max_header_bytes:
            head.check_size(headers, url, limits.max_header_bytes)
        if len(self._queue) >= limits.max_pipelined:
            raise FaultError(_FULL)
        version = self.parser.get_http_version()
        fields = head.read_fields(headers, version)
        if self._wish:
            fields["upgrade"], self._wish = self._wish, ""
        raw_path, _, query = url.partition(b"?")
        path = raw_path.decode("ascii")
        state = self.app_state.copy()
        scope: HTTPScope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme or "http",
            "method": self.parser.get_method().decode("ascii"),
            "root_path": "",
            "path": urllib.parse.unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": headers,
            "state": state,
        }
        exchange = Exchange(scope, fields, self, keep_alive=version == "1.1" and self.parser.should_keep_alive())
        state[STATE_KEY] = exchange
        return exchange

    def _count_head(self, size: int) -> None:
        """A head is not complete after this read: keep its size and its age in bounds."""
        if not self._head_open:
            self._head_open = True
            if self._begun:
                self._since_s = self.loop.time()
        self._head_bytes += size
        if self._head_bytes > self._limits.max_header_bytes:
            self._refuse(head.too_large(self._limits.max_header_bytes))

    def _garbled(self, data: bytes, error: httptools.HttpParserError) -> None:
        refusal, self._refusal = self._refusal, None
        if refusal is not None:
            self._refuse(refusal)
        elif isinstance(error, httptools.HttpParserInvalidMethodError) and _METHOD.match(data):
            self._refuse(_METHOD_UNKNOWN, _ALLOW)
        else:
            self._refuse(_MALFORMED)

    # Closing.

    def _refuse(self, fault: Fault, *more: tuple[bytes, bytes]) -> None:
        """Answer with a fault unless an answer is under way, and read no further."""
        active = self._active
        self._queue.clear()
        if active is not None and active is not self._reading:
            # The faulty request stands behind one that is still being answered.
            active.keep_alive = False
            self._phase = Phase.CLOSING
            return
        if active is not None and active.response_started:
            self.transport.close()
            return
        path = self.url.partition(b"?")[0].decode("ascii", "replace")
        request_id = active.request_id if active is not None else new_request_id()
        worded = self._door.word(path, fault, request_id)
        own = (
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(worded.body)),
            (b"x-request-id", request_id.encode()),
            (b"connection", b"close"),
        )
        self.transport.write(
            render_head(worded.status, self.default_headers(), worded.headers, more, own) + worded.body
        )
        self._leave()
        self._active = None
        self._hang_up()

    def _hang_up(self) -> None:
        """Say that this was all, and throw away what still comes: closing at once would reset the connection, and
        the caller might lose the answer."""
        self._phase = Phase.CLOSING
        self._queue.clear()
        self._reading = None
        self._since_s = self.loop.time()
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _leave(self) -> None:
        queue = list(self._queue)
        self._queue.clear()
        if self._active is not None:
            self._active.leave()
        for exchange in queue:
            exchange.leave()
