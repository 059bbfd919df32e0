"""The load client: keep-alive connections that ask again as soon as they are answered, and check every answer."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import cast

import httptools

from bench.loads import Load, WrongAnswerError

# Ids, costs and headers of one gateway vary little; a lost chunk or an error body shows.
_LENGTH_TOLERANCE = 64
_CONNECT_S = 10
_ANSWER_S = 60


@dataclass(frozen=True)
class Target:
    """Whom to ask: a port on loopback, the path of a load there, the model's name and the headers."""

    name: str
    port: int
    path: str
    model: str
    headers: tuple[str, ...] = ()

    def request(self, load: Load) -> bytes:
        """The bytes of one call."""
        body = load.request(self.model)
        lines = (
            f"POST {self.path} HTTP/1.1",
            f"host: 127.0.0.1:{self.port}",
            "content-type: application/json",
            "accept-encoding: identity",
            f"content-length: {len(body)}",
            *self.headers,
        )
        return "\r\n".join((*lines, "", "")).encode() + body


@dataclass
class Tally:
    """What a run has seen: answers, events, bytes, and what an answer must look like once one was checked."""

    load: Load
    answers: int = 0
    events: int = 0
    expected_length: int | None = None
    expected_events: int = 0
    stopping: bool = False
    failure: Exception | None = None
    latencies: list[float] = field(default_factory=list[float])

    def count(self, status: int, body: list[bytes], length: int, events: int) -> None:
        """Take in one answer. Raises WrongAnswerError."""
        if status != 200:
            raise WrongAnswerError(f"load {self.load.name}: status {status}: {b''.join(body)[:500].decode('latin-1')}")
        if self.expected_length is None:
            self.load.check(b"".join(body))
            self.expected_length, self.expected_events = length, events
        elif abs(length - self.expected_length) > _LENGTH_TOLERANCE or events != self.expected_events:
            raise WrongAnswerError(
                f"load {self.load.name}: an answer of {length} bytes and {events} events, "
                f"not {self.expected_length} and {self.expected_events}: {b''.join(body)[-500:]!r}"
            )
        self.answers += 1

    @property
    def calls(self) -> float:
        """Answers, with the streams at hand as parts of one."""
        return self.events / self.expected_events if self.expected_events else self.answers


class Connection(asyncio.Protocol):
    """One keep-alive connection that asks the same thing again and again."""

    def __init__(self, request: bytes, tally: Tally) -> None:
        self._request = request
        self._tally = tally
        self._asked = 0.0
        self._again = False
        self._status = 0
        self._reset()
        self.idle: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit asyncio.Transport.
        self._transport = cast("asyncio.Transport", transport)

    def ask(self, *, again: bool) -> asyncio.Future[None]:
        """Send a call, and with `again` one after each answer until the tally stops; the result is when it is idle."""
        self.idle = asyncio.get_running_loop().create_future()
        self._again = again
        self._send()
        return self.idle

    def close(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, WrongAnswerError) as error:
            # The parser wraps what its callbacks raise.
            self._fail(error.__context__ if isinstance(error.__context__, WrongAnswerError) else error)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.idle.done():
            self._fail(exc or ConnectionResetError(f"load {self._tally.load.name}: the connection closed in a call"))

    def on_status(self, _: bytes) -> None:
        self._status = self._parser.get_status_code()

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self._length += len(body)
        self._body.append(body)
        if self._tally.load.stream:
            ends = body.count(b"\n\n") + (self._half and body[:1] == b"\n")
            self._half = body[-1:] == b"\n" and body[-2:] != b"\n\n"
            self._events += ends
            self._tally.events += ends

    def on_message_complete(self) -> None:
        tally = self._tally
        tally.latencies.append(time.perf_counter() - self._asked)
        tally.count(self._status, self._body, self._length, self._events)
        self._reset()
        if self._again and not tally.stopping:
            self._send()
        elif not self.idle.done():
            self.idle.set_result(None)

    def _send(self) -> None:
        self._asked = time.perf_counter()
        self._transport.write(self._request)

    def _reset(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._length = 0
        self._events = 0
        self._half = False

    def _fail(self, error: BaseException) -> None:
        self._tally.stopping = True
        if not self.idle.done():
            self.idle.set_exception(error)
        self._transport.abort()


async def connect(target: Target, tally: Tally) -> Connection:
    """A connection to `target`, not asking yet. Raises OSError."""
    loop = asyncio.get_running_loop()
    request = target.request(tally.load)
    async with asyncio.timeout(_CONNECT_S):
        _, connection = await loop.create_connection(lambda: Connection(request, tally), "127.0.0.1", target.port)
    return connection


async def call_once(target: Target, load: Load) -> None:
    """One call on a connection of its own. Raises OSError, WrongAnswerError or TimeoutError."""
    connection = await connect(target, Tally(load))
    try:
        async with asyncio.timeout(_ANSWER_S):
            await connection.ask(again=False)
    finally:
        connection.close()
