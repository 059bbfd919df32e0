"""Delivery: brings an answer to the caller the way the script says, with its delays, slices and broken ends."""

import asyncio
import functools
import gzip
import http
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from typing import Any, Final, Protocol

from tollhouse.simulator.format import Event
from tollhouse.simulator.recorder import Arrival
from tollhouse.simulator.script import FOREVER, Script

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# The peer reads what it got before the reset arrives.
_BEFORE_RESET_S: Final = 0.01
_BOMB_BYTES: Final = 64 * 1024 * 1024
_ENDLESS_BLOCK: Final = b"x" * 65536


class CallerGoneError(Exception):
    """The caller hung up."""


class Line(Protocol):
    """The TCP connection under a call, for what HTTP does not allow."""

    def write(self, data: bytes) -> None:
        """Write bytes past the HTTP server."""
        ...

    def close(self) -> None:
        """Send what is waiting, then close."""
        ...

    def reset(self) -> None:
        """Close with a TCP reset."""
        ...


class Delivery:
    """One answer on its way; `gone` is set once the caller has hung up."""

    def __init__(self, send: Send, line: Line, gone: asyncio.Event, script: Script, arrival: Arrival) -> None:
        self._send = send
        self._line = line
        self._gone = gone
        self._script = script
        self._arrival = arrival
        self._zip = zlib.compressobj(wbits=31) if script.encoding == "gzip" else None

    async def before(self) -> bool:
        """Wait as told before the head; False when the script ends the call here."""
        script = self._script
        await self._pause(script.first)
        if script.reset:
            await self._reset()
        elif script.garbage:
            self._line.write(b"THIS IS NOT HTTP\r\n\r\n")
            await self._close()
        else:
            if script.informational:
                hint = b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n"
                self._line.write(hint * script.informational)
            return True
        return False

    async def whole(self, status: int, content_type: str, body: bytes) -> None:
        """Send `body` as one answer."""
        script = self._script
        body = self._coded(body, last=True)
        if script.truncate:
            body = body[: len(body) // 2]
        if script.length_off:
            self._line.write(_raw_head(status, content_type, len(body) + script.length_off) + body)
            await self._close()
            return
        await self._start(status, content_type, len(body))
        await self._pause(script.wait)
        stop_at = min(len(body) if k is None else k for k in (script.cut, script.eof, script.end, script.stall))
        for piece in _sliced(body[:stop_at], script.slice):
            await self._write(piece)
            await self._pause(script.delay)
        await self._finish(cut_short=stop_at < len(body))

    async def stream(self, status: int, frames: Iterable[bytes], content_type: str = "text/event-stream") -> None:
        """Send `frames` as a body of unknown length."""
        script = self._script
        await self._start(status, content_type, None)
        await self._pause(script.wait)
        stops = [k for k in (script.cut, script.eof, script.end, script.stall) if k is not None]
        waiting: list[bytes] = []
        for number, frame in enumerate(frames):
            if number in stops:
                break
            if number and script.delay:
                await self._pause(script.delay)
            if script.burst:
                waiting.append(frame)
            else:
                await self._write_frame(frame)
            self._arrival.events_sent += 1
        if waiting:
            await self._write_frame(b"".join(waiting))
        await self._finish(cut_short=script.end is None)

    async def endless_line(self, limit: int) -> None:
        """A line of `limit` bytes without an end, 0 for as long as the caller reads."""
        await self._start(200, "text/event-stream", None)
        await self._write(b"data: ")
        sent = 0
        while limit == 0 or sent < limit:
            block = _ENDLESS_BLOCK if limit == 0 else _ENDLESS_BLOCK[: limit - sent]
            await self._write(block)
            sent += len(block)
            await self._pause(0)
        await self._finish(cut_short=False)

    async def _start(self, status: int, content_type: str, length: int | None) -> None:
        script = self._script
        headers = [
            ("content-type", script.content_type or content_type),
            ("x-request-id", f"req_{self._arrival.number}"),
        ]
        if length is not None:
            headers.append(("content-length", str(length)))
        if script.encoding is not None:
            headers.append(("content-encoding", "gzip"))
        if script.retry_after is not None:
            headers.append(("retry-after", script.retry_after))
        headers.extend(script.header)
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def _write_frame(self, frame: bytes) -> None:
        for piece in _sliced(self._coded(frame), self._script.slice):
            await self._write(piece)
            await self._pause(0)

    async def _write(self, data: bytes) -> None:
        if self._gone.is_set():
            raise CallerGoneError
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def _finish(self, *, cut_short: bool) -> None:
        script = self._script
        if script.cut is not None:
            await self._reset()
        elif script.eof is not None:
            await self._close()
        elif script.stall is not None and cut_short:
            await self._pause(FOREVER)
        elif script.trailers:
            self._line.write(b"0\r\nx-trailer: late\r\nset-cookie: late=1\r\n\r\n")
            await self._close()
        elif cut_short and script.end is not None:
            await self._close()
        else:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _reset(self) -> None:
        self._arrival.outcome = "cut"
        await asyncio.sleep(_BEFORE_RESET_S)
        self._line.reset()
        await self._gone.wait()

    async def _close(self) -> None:
        self._arrival.outcome = "cut"
        self._line.close()
        await self._gone.wait()

    async def _pause(self, seconds: float) -> None:
        if seconds == 0:
            await asyncio.sleep(0)
        else:
            try:
                async with asyncio.timeout(None if seconds == FOREVER else seconds):
                    await self._gone.wait()
            except TimeoutError:
                return
        if self._gone.is_set():
            raise CallerGoneError

    def _coded(self, data: bytes, *, last: bool = False) -> bytes:
        if self._zip is not None:
            return self._zip.compress(data) + self._zip.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)
        return _bomb() if self._script.encoding == "bomb" else data


def frames(events: Iterable[Event], script: Script, error: str) -> Iterator[bytes]:
    """The events as server-sent events, in the dialect of the format that the script asks for.

    `error` is the data of the event that takes the place of event `error_at`, and of all that follow.
    """
    newline = "\r\n" if script.crlf else "\r" if script.cr else "\n"
    mark = "\ufeff" if script.bom else ""
    if script.comments:
        yield f"{mark}: a comment before the first event{newline}{newline}".encode()
        mark = ""
    for number, event in enumerate(events):
        data = event.data
        if number == script.error_at:
            yield (mark + _block(Event(error, event.name and "error"), script, newline)).encode()
            return
        if number == script.bad_json:
            data = data[: len(data) // 2]
        if script.comments:
            mark += f": keep-alive {number}{newline}"
        yield (mark + _block(Event(data, event.name), script, newline)).encode()
        mark = ""


def _block(event: Event, script: Script, newline: str) -> str:
    lines = [f"event: {event.name}"] if event.name else []
    if script.fields:
        lines += ["id: 7", "retry: 1000", "unknown: field"]
    if script.multiline and event.data.startswith("{"):
        # A newline between two members of a JSON object changes nothing in what it says.
        head, rest = event.data[:1], event.data[1:]
        lines += [f"data: {head}", f"data:{rest}"]
    else:
        lines.append(f"data: {event.data}")
    return newline.join(lines) + newline * 2


def _sliced(data: bytes, size: int | None) -> Iterator[bytes]:
    if size is None or not data:
        yield data
    else:
        for start in range(0, len(data), size):
            yield data[start : start + size]


def _raw_head(status: int, content_type: str, length: int) -> bytes:
    phrase = http.HTTPStatus(status).phrase
    head = f"HTTP/1.1 {status} {phrase}\r\ncontent-type: {content_type}\r\ncontent-length: {max(0, length)}\r\n\r\n"
    return head.encode()


@functools.cache
def _bomb() -> bytes:
    return gzip.compress(bytes(_BOMB_BYTES), compresslevel=9, mtime=0)
