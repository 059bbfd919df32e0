"""Exchange: one request and its answer on a connection; the relay's Caller, and an ASGI cycle for other apps."""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from uvicorn._types import ASGIReceiveEvent, HTTPScope
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from tollhouse.http.answer_head import render_head
from tollhouse.http.refusal import INTERNAL
from tollhouse.http.request_id import new_request_id
from tollhouse.ir.fault import Fault
from tollhouse.relay.call import CallerGoneError, Headers, Worded

STATE_KEY = "tollhouse.exchange"
"""Where an ASGI scope's state holds the exchange."""

_LOG = logging.getLogger("uvicorn.error")
# What one read of the socket may bring: stopping earlier would only cost system calls.
_UNAWAITED_BYTES = 256 * 1024
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_JSON = (b"content-type", b"application/json")
_CLOSE = (b"connection", b"close")
_CHUNKED = (b"transfer-encoding", b"chunked")


class Connection(Protocol):
    """What an exchange needs of the connection that it is on."""

    transport: asyncio.Transport
    flow: FlowControl

    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """Headers of every answer, such as Date."""
        ...

    def word(self, path: str, fault: Fault, request_id: str) -> Worded:
        """A fault in the words of whoever serves `path`."""
        ...

    def answered(self) -> None:
        """The answer is complete."""
        ...


class Exchange(RequestResponseCycle):
    """The relay's `Caller`, without ASGI's messages in between. The head of the answer travels with its first part.

    X-Request-Id and the framing (Content-Length, or chunks) are added here, unless `start` was given them.
    `fields` are the request's headers by lower-case name; `extra` are headers for every answer to it, `request_id`
    is ours. `reading_since_s` is set while the body is waited for (loop time); `late` says that it took too long.
    """

    def __init__(self, scope: HTTPScope, fields: dict[str, str], connection: Connection, *, keep_alive: bool) -> None:
        super().__init__(
            scope=scope,
            transport=connection.transport,
            flow=connection.flow,
            logger=_LOG,
            access_logger=_LOG,
            access_log=False,
            default_headers=connection.default_headers(),
            message_event=asyncio.Event(),
            expect_100_continue="expect" in fields and fields["expect"].lower() == "100-continue",
            keep_alive=keep_alive,
            on_response=connection.answered,
        )
        self.fields = fields
        self.request_id = new_request_id()
        self.extra: Headers = ()
        self.body_bytes = 0
        self.reading_since_s: float | None = None
        self.late = False
        self._connection = connection
        self._body: bytes | bytearray = b""
        self._status = 0
        self._headers: Headers = ()
        self._gone_callback: Callable[[], None] | None = None

    # The request's body.

    def feed(self, data: bytes) -> None:
        """A part of the body has come. Until somebody waits for it, the caller is stopped after 256 KiB."""
        if not self._body:
            self._body = data
        elif isinstance(self._body, bytearray):
            self._body += data
        else:
            # Not a list of parts: a body in chunks of one byte would weigh forty times its length.
            self._body = bytearray(self._body) + data
        self.body_bytes += len(data)
        if self.reading_since_s is None and self.body_bytes > _UNAWAITED_BYTES:
            self.flow.pause_reading()
        self.message_event.set()

    def complete(self) -> None:
        """The body has come to its end."""
        self.more_body = False
        self.message_event.set()

    def take_body(self) -> bytes:
        """What has come of the body since the last time."""
        body, self._body = self._body, b""
        return bytes(body)

    async def more(self) -> None:
        """Wait until more of the body has come, or it is late. Raises CallerGoneError."""
        if self.waiting_for_100_continue:
            self.waiting_for_100_continue = False
            self.transport.write(_CONTINUE)
        self.flow.resume_reading()
        await self.message_event.wait()
        self.message_event.clear()
        if self.disconnected:
            raise CallerGoneError

    def overdue(self) -> None:
        """The body took too long: wake whoever waits for it."""
        self.late = True
        self.message_event.set()

    # The answer, as the relay gives it.

    async def start(self, status: int, headers: Headers) -> None:
        """Set the head of the answer, again if need be until a part of it was sent. Raises CallerGoneError."""
        if self.disconnected:
            raise CallerGoneError
        self._status = status
        self._headers = headers

    async def write(self, data: bytes) -> None:
        """Send a part of the body, waiting while the caller reads slowly. Raises CallerGoneError."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            raise CallerGoneError
        if data:
            head = b"" if self.response_started else self._head(None)
            self.transport.write(head + self._framed(data))

    async def end(self, data: bytes) -> None:
        """Send the last part of the body. Raises CallerGoneError."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            raise CallerGoneError
        # One write, since each may be a system call.
        out = b"" if self.response_started else self._head(len(data))
        if data:
            out += self._framed(data)
        if self.chunked_encoding:
            out += b"0\r\n\r\n"
        if out:
            self.transport.write(out)
        self.response_complete = True
        self._gone_callback = None
        self.message_event.set()
        self._connection.answered()

    async def reply(self, worded: Worded, *more: tuple[bytes, bytes]) -> None:
        """Send a whole JSON answer. Raises CallerGoneError."""
        await self.start(worded.status, (_JSON, *worded.headers, *more))
        await self.end(worded.body)

    def comment(self, data: bytes) -> bool:
        """Send a part of the body at once; False when the caller has left, reads slowly, or has the whole answer."""
        if self.disconnected or self.response_complete or self.flow.write_paused:
            return False
        head = b"" if self.response_started else self._head(None)
        self.transport.write(head + self._framed(data))
        return True

    def on_gone(self, callback: Callable[[], None] | None) -> None:
        """Call back once when the caller hangs up, from now on or already; None cancels that."""
        if callback is not None and self.disconnected:
            callback()
        else:
            self._gone_callback = callback

    def leave(self) -> None:
        """The caller has hung up."""
        if self.response_complete or self.disconnected:
            return
        self.disconnected = True
        self.message_event.set()
        self.flow.resume_writing()
        callback, self._gone_callback = self._gone_callback, None
        if callback is not None:
            callback()

    def cut_off(self) -> None:
        """Close in the middle of the answer, which then lacks its end."""
        self.leave()
        self.transport.close()

    def _framed(self, data: bytes) -> bytes:
        if self.chunked_encoding:
            return b"%x\r\n%b\r\n" % (len(data), data)
        return b"" if self.scope["method"] == "HEAD" else data

    def _head(self, length: int | None) -> bytes:
        """`length` is that of the whole body, None when it comes in parts."""
        given = [name for name, _ in self._headers]
        own: list[tuple[bytes, bytes]] = []
        if b"x-request-id" not in given:
            own.append((b"x-request-id", self.request_id.encode()))
        if b"content-length" in given or self._status == 204:
            pass
        elif length is not None:
            own.append((b"content-length", b"%d" % length))
        elif self.scope["http_version"] == "1.1":
            own.append(_CHUNKED)
            self.chunked_encoding = self.scope["method"] != "HEAD"
        else:
            self.keep_alive = False
        if self.more_body:
            # The rest of the request is not waited for, so what follows it cannot be told from it.
            self.keep_alive = False
        if not self.keep_alive:
            own.append(_CLOSE)
        head = render_head(self._status, self.default_headers, self._headers, self.extra, own)
        self.response_started = True
        return head

    # What uvicorn's own cycle does for ASGI apps, where it has to differ.

    async def send_500_response(self) -> None:
        """The handler failed before it answered."""
        self.keep_alive = False
        try:
            await self.reply(self._connection.word(self.scope["path"], INTERNAL, self.request_id))
        except CallerGoneError:
            return

    async def receive(self) -> ASGIReceiveEvent:
        """ASGI's receive, on what `feed` collects."""
        if not self.disconnected and not self.response_complete:
            try:
                await self.more()
            except CallerGoneError:
                return {"type": "http.disconnect"}
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": self.take_body(), "more_body": self.more_body}
