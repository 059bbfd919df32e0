"""HttpUpstream: calls to providers over HTTP/1.1, with a limit on every wait; knows no format."""

import asyncio
import ssl
from typing import Protocol

import msgspec

from tollhouse.catalog.entries import Timeouts
from tollhouse.ir.fault import FaultError
from tollhouse.upstream.answer import HttpAnswer, late_fault, network_fault
from tollhouse.upstream.connection import Connection
from tollhouse.upstream.pool import Pool
from tollhouse.upstream.request_bytes import Origin, render_request


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

    async def arrives(self, within_s: float) -> bool:
        """Whether `read` would return, or fail, at once within so many seconds. Cancelled, it cuts nothing off."""
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
    """Upstream on one pool of connections, which all calls of the process share.

    No redirects, no cookies, no proxies of the environment. `tls` replaces the system's trust in certificates.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._pool = Pool(tls)

    async def send(self, request: UpstreamRequest) -> HttpAnswer:
        """POST the body and wait for the head of the answer. Raises ValueError for what no request can say.

        Redirects are answers like any other: following one would carry our credential to another host.

        A server may close a kept connection at the moment at which we write to it. When that connection ends in good
        order, without a single byte, and its kernel has not acknowledged our request, then nobody there has read it,
        and it is sent once more on a fresh connection. Any other end may be that of a server which was working on it:
        a fault, and the plan decides.
        """
        origin, head = render_request(request.url, request.headers)
        head += b"%d\r\n\r\n" % len(request.body)
        sent_s = asyncio.get_running_loop().time()
        kept = self._pool.take(origin)
        if kept is not None:
            answer = self._answer(kept, request, sent_s)
            try:
                await answer.ask(head, request.body)
            except FaultError:
                if not answer.crossed:
                    raise
            else:
                return answer
        answer = self._answer(await self._connect(origin, request.timeouts.connect_s), request, sent_s)
        await answer.ask(head, request.body)
        return answer

    async def close(self) -> None:
        """Close all connections, and cut off what is still being answered."""
        await self._pool.close()

    async def _connect(self, origin: Origin, connect_s: float) -> Connection:
        try:
            return await self._pool.connect(origin, connect_s)
        except TimeoutError as error:
            raise FaultError(late_fault(f"could not be connected to within {connect_s:g} s")) from error
        except (OSError, UnicodeError) as error:
            raise network_fault(type(error).__name__) from error

    def _answer(self, connection: Connection, request: UpstreamRequest, sent_s: float) -> HttpAnswer:
        return HttpAnswer(self._pool, connection, request.timeouts, stream=request.stream, sent_s=sent_s)
