"""One connection to a provider: sends a request, parses the answer, keeps what waits in bounds; knows no clock."""

import asyncio
from collections.abc import Callable
from typing import cast

import httptools
import msgspec

from tollhouse.upstream.arrival import is_on_its_way
from tollhouse.upstream.request_bytes import Origin

_MAX_HEADERS = 100
_MAX_HEAD_BYTES = 64 * 1024
# Bytes in a row that are no content: an unfinished head, chunk extensions, trailers.
_MAX_FRAMING_BYTES = 64 * 1024
_MAX_INTERIM_ANSWERS = 10
# More waiting than this, and the provider has to wait as well.
_READ_AHEAD_BYTES = 256 * 1024
# A body up to this size goes out in one piece with its head.
_AT_ONCE_BYTES = 64 * 1024
_SLICE_BYTES = 256 * 1024


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The head of an answer. `until_close`: nothing but the end of the connection ends the body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    until_close: bool


class _RefusedError(Exception):
    """Stops the parser; why waits in the connection."""


class Connection(asyncio.Protocol):
    """One exchange after another: `send`, then `wait` until `head`, `waiting_bytes`, `ended` or `failure` say more.

    `failure` is a word for the log and never what the provider wrote. After it nothing works any more; what came
    before it can still be taken. `ended` means that the answer is complete and sound in its framing. `crossed` means
    that the provider had ended this kept connection before the request arrived there, so that nobody has read it.
    """

    _transport: asyncio.Transport

    def __init__(
        self, origin: Origin, loop: asyncio.AbstractEventLoop, on_lost: Callable[["Connection"], None]
    ) -> None:
        self.origin = origin
        self.idle_since_s = 0.0
        self.head: Head | None = None
        self.waiting_bytes = 0
        self.ended = False
        self.failure: str | None = None
        self.crossed = False
        self.loop = loop
        self._on_lost = on_lost
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._exchanges = 0
        self._busy = False
        self._heard = False
        self._clean = True
        self._unsent = memoryview(b"")
        self._write_paused = False
        self._read_paused = False
        self._headers: list[tuple[str, str]] = []
        self._head_bytes = 0
        self._framing_bytes = 0
        self._interim_answers = 0
        self._read_bytes = 0
        self._parts: list[bytes] = []
        self._refusal = ""

    # What an answer needs.

    @property
    def is_clean(self) -> bool:
        """Whether the next request may go out on it."""
        return self._clean and not self._busy and not self._transport.is_closing()

    def send(self, head: bytes, body: bytes) -> None:
        """Begin an exchange; what the transport does not take at once follows by itself."""
        self.head = None
        self.ended = False
        self._busy = True
        self._heard = False
        self._exchanges += 1
        self._framing_bytes = 0
        self._interim_answers = 0
        if not self._clean or self._transport.is_closing():
            self.fail("closed before it was asked")
            return
        if len(body) <= _AT_ONCE_BYTES:
            self._transport.write(head + body)
            return
        self._transport.write(head)
        self._unsent = memoryview(body)
        self._send_more()

    async def wait(self) -> None:
        """Until something happens. One may wait at a time."""
        waiter = self._waiter = self.loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def take(self) -> bytes:
        """All that waits."""
        parts = self._parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self.waiting_bytes = 0
        if self._read_paused:
            self._read_paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()
        return data

    def rest(self) -> bool:
        """End the exchange. True when it was complete and the connection is good for another one, else it is cut."""
        if self._busy and self.ended and self._clean and not self._unsent and not self._transport.is_closing():
            self.take()
            self._busy = False
            return True
        self.fail("cut off")
        return False

    def fail(self, why: str) -> None:
        """Cut the connection at once. An answer that is complete stays so."""
        if self.failure is None and not self.ended:
            self.failure = why
        self._clean = False
        self._unsent = memoryview(b"")
        self._transport.abort()
        self._wake()

    # The transport's callbacks.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The way is open."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse what came; nothing may come unasked."""
        if not self._busy or self.ended or self.failure is not None:
            self.fail("unasked")
            return
        self._heard = True
        self._read_bytes = size = len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.fail(self._refusal or type(error).__name__)
            return
        self._framing_bytes += size
        if self._framing_bytes > _MAX_FRAMING_BYTES:
            self.fail("endless framing")
            return
        if self.waiting_bytes > _READ_AHEAD_BYTES and not self.ended and not self._read_paused:
            self._read_paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """The provider sends no more."""
        if self._exchanges > 1 and not self._heard and self.failure is None:
            self.crossed = is_on_its_way(self._transport)
        self._closed_by_provider("closed early")
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, by whomever."""
        if exc is None:
            self._closed_by_provider("closed early")
        else:
            self._broke_off(type(exc).__name__)
        self._clean = False
        self._unsent = memoryview(b"")
        self._parser = cast("httptools.HttpResponseParser", None)  # it refers back to us
        self._on_lost(self)

    def pause_writing(self) -> None:
        """The transport has enough for now."""
        self._write_paused = True

    def resume_writing(self) -> None:
        """The transport takes more."""
        self._write_paused = False
        self._send_more()

    # The parser's callbacks.

    def on_message_begin(self) -> None:
        """The first byte of an answer, which may be an interim one."""
        if self.ended:
            # There was one request, so there is one answer.
            self._refuse("unasked")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; trailers after a body are dropped."""
        if self.head is not None:
            return
        self._head_bytes += len(name) + len(value) + 4
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")))
        if len(self._headers) > _MAX_HEADERS or self._head_bytes > _MAX_HEAD_BYTES:
            self._refuse("head too large")

    def on_headers_complete(self) -> None:
        """The head of an answer; the ones before the last (1xx) are dropped."""
        status = self._parser.get_status_code()
        headers, self._headers = tuple(self._headers), []
        self._head_bytes = 0
        if status < 200:
            self._interim_answers += 1
            if status < 100 or status == 101 or self._interim_answers > _MAX_INTERIM_ANSWERS:
                self._refuse("interim answers")
            return
        if self._parser.get_http_version() not in {"1.1", "1.0"}:
            self._refuse("HTTP version")
        self.head = Head(status=status, headers=headers, until_close=self._read_framing(status, headers))
        self._framing_bytes = -self._read_bytes
        if status >= 400:
            # Whoever refuses a request does not read the rest of it.
            self._stop_sending()

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._framing_bytes = -self._read_bytes
        self._parts.append(body)
        self.waiting_bytes += len(body)

    def on_message_complete(self) -> None:
        """The answer is complete, unless it was an interim one."""
        if self.head is not None:
            self.ended = True
            if not self._parser.should_keep_alive():
                self._clean = False

    # Inside.

    def _read_framing(self, status: int, headers: tuple[tuple[str, str], ...]) -> bool:
        """Whether the body goes on until the connection ends; the parser has checked Content-Length."""
        names = [name for name, _ in headers]
        if "transfer-encoding" in names:
            if [value.lower() for name, value in headers if name == "transfer-encoding"] != ["chunked"]:
                self._refuse("transfer encoding")
            return False
        return "content-length" not in names and status not in {204, 304}

    def _refuse(self, why: str) -> None:
        self._refusal = why
        raise _RefusedError(why)

    def _closed_by_provider(self, why: str) -> None:
        head = self.head
        if self._busy and head is not None and head.until_close and self.failure is None and not self.ended:
            self.ended = True
            self._clean = False
            self._wake()
        else:
            self._broke_off(why)

    def _broke_off(self, why: str) -> None:
        """The provider's side ended where an answer should begin or go on, or while nothing was asked."""
        self._clean = False
        if not self._busy or self.ended or self.failure is not None:
            return
        self.failure = why
        self._wake()

    def _send_more(self) -> None:
        while self._unsent and not self._write_paused and not self._transport.is_closing():
            piece, self._unsent = self._unsent[:_SLICE_BYTES], self._unsent[_SLICE_BYTES:]
            self._transport.write(piece)

    def _stop_sending(self) -> None:
        if self._unsent:
            self._unsent = memoryview(b"")
            self._clean = False

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
