"""HttpUpstream: calls to providers over aiohttp, with a limit on every wait; knows no format."""

import asyncio
import functools
import io
import socket
from typing import Protocol

import aiohttp
import msgspec

from tollhouse.catalog.entries import Timeouts
from tollhouse.ir.fault import Fault, FaultError, FaultKind

# aiohttp warns about larger bodies given as bytes: it would copy them at once into the transport.
_STREAMED_BODY_BYTES = 1_000_000
_READ_BUFFER_BYTES = 64 * 1024


class UpstreamRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One POST to a provider. `headers` are complete but for Content-Length and Host."""

    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    timeouts: Timeouts
    stream: bool


class UpstreamAnswer(Protocol):
    """A provider's answer whose head has arrived. Whoever got it must `close` it."""

    status: int
    headers: tuple[tuple[str, str], ...]

    async def read(self) -> bytes:
        """The next piece of the body as it arrives; b"" at its end. Raises FaultError when it is late or breaks."""
        ...

    def close(self) -> None:
        """Done with it: an answer read to its end gives its connection back, any other one is cut off."""
        ...


class Upstream(Protocol):
    """The way out."""

    async def send(self, request: UpstreamRequest) -> UpstreamAnswer:
        """Send and wait for the head. Raises FaultError (provider_timeout, provider_unavailable)."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class HttpUpstream:
    """Upstream on one aiohttp session; connections are kept and shared by all calls of the process."""

    def __init__(self, max_connections: int = 0) -> None:
        connector = aiohttp.TCPConnector(
            limit=max_connections, ttl_dns_cache=60, keepalive_timeout=60, family=socket.AF_UNSPEC
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None),
            skip_auto_headers=("User-Agent", "Content-Type", "Accept", "Accept-Encoding"),
            read_bufsize=_READ_BUFFER_BYTES,
        )

    async def send(self, request: UpstreamRequest) -> "HttpAnswer":
        """POST the body and wait for the head of the answer.

        Redirects are answers like any other: following one would carry our credential to another host.
        """
        timeouts = request.timeouts
        sent_s = asyncio.get_running_loop().time()
        # An answer in one piece begins when it is complete.
        begin_s = timeouts.first_byte_s if request.stream else timeouts.total_s
        try:
            async with asyncio.timeout(timeouts.connect_s + begin_s):
                response = await self._session.post(
                    request.url,
                    data=request.body if len(request.body) < _STREAMED_BODY_BYTES else io.BytesIO(request.body),
                    headers=request.headers,
                    allow_redirects=False,
                    timeout=_client_timeout(timeouts.connect_s),
                )
        except TimeoutError as error:
            raise _timeout_fault(error, request) from error
        except (aiohttp.ClientError, OSError) as error:
            raise _network_fault(error) from error
        return HttpAnswer(response, request, sent_s)

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()


class HttpAnswer:
    """UpstreamAnswer on an aiohttp response.

    One timer per answer watches every limit: a chunk only notes its time, and the timer looks at that when it fires,
    so a chunk costs no timer of its own. `sent_s` is the loop's time at which the request went out.
    """

    def __init__(self, response: aiohttp.ClientResponse, request: UpstreamRequest, sent_s: float) -> None:
        self.status = response.status
        self.headers = tuple((name.lower(), value) for name, value in response.headers.items())
        self._response = response
        self._content = response.content
        self._timeouts = request.timeouts
        self._loop = asyncio.get_running_loop()
        self._sent_s = sent_s
        self._heard_s = self._loop.time()
        self._cap_s = request.timeouts.stream_s if request.stream else request.timeouts.total_s
        self._silence_s = request.timeouts.first_byte_s if request.stream else self._cap_s
        self._begun = False
        self._reading = False
        self._late: Fault | None = None
        self._timer = self._loop.call_at(self._due_s(), self._check)

    async def read(self) -> bytes:
        """The next piece of the body as it arrives; b"" at its end."""
        self._reading = True
        try:
            data = await self._content.readany()
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if self._late is not None:
                raise FaultError(self._late) from error
            raise _network_fault(error) from error
        self._reading = False
        self._heard_s = self._loop.time()
        if not self._begun:
            self._begun = True
            self._silence_s = self._timeouts.idle_s
            self._timer.cancel()
            self._timer = self._loop.call_at(self._due_s(), self._check)
        return data

    def close(self) -> None:
        """An answer read to its end gives its connection back, any other one is cut off."""
        self._timer.cancel()
        # aiohttp releases the connection by itself at the end of the body; close() before that drops it.
        self._response.close()

    def _due_s(self) -> float:
        return min(self._heard_s + self._silence_s, self._sent_s + self._cap_s)

    def _check(self) -> None:
        now_s = self._loop.time()
        if not self._reading:
            # A caller who reads slowly holds us up; that is no silence of the provider.
            self._heard_s = now_s
        if now_s < self._due_s():
            self._timer = self._loop.call_at(self._due_s(), self._check)
            return
        if now_s >= self._sent_s + self._cap_s:
            what = f"did not finish its answer within {self._cap_s:g} s"
        elif self._begun:
            what = f"fell silent in mid-answer for {self._silence_s:g} s"
        else:
            what = f"sent nothing for {self._silence_s:g} s"
        self._late = _late(what)
        self._content.set_exception(aiohttp.ClientError(what))
        self._response.close()


@functools.lru_cache(maxsize=256)
def _client_timeout(connect_s: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, sock_connect=connect_s)


def _late(what: str) -> Fault:
    return Fault(
        kind=FaultKind.PROVIDER_TIMEOUT,
        source="provider",
        message=f"The provider {what}. Try again later, or choose another model.",
    )


def _timeout_fault(error: TimeoutError, request: UpstreamRequest) -> FaultError:
    timeouts = request.timeouts
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return FaultError(_late(f"could not be connected to within {timeouts.connect_s:g} s"))
    if not request.stream:
        return FaultError(_late(f"did not finish its answer within {timeouts.total_s:g} s"))
    return FaultError(_late(f"did not begin its answer within {timeouts.first_byte_s:g} s"))


def _network_fault(error: Exception) -> FaultError:
    """Connection refused, lost or reset, unknown host, bad certificate, garbled HTTP; details only for the log."""
    return FaultError(
        Fault(
            kind=FaultKind.PROVIDER_UNAVAILABLE,
            source="network",
            message="The provider could not be reached or broke off. Try again, or choose another model.",
            detail=type(error).__name__,
        )
    )
