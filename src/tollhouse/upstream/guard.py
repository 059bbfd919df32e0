"""Guard: the one client for addresses that are not the operator's own: public hosts only, and little of everything."""

import asyncio
import socket
import ssl
from collections.abc import Collection
from typing import Final
from urllib.parse import urljoin, urlsplit

import msgspec

from tollhouse.upstream.addresses import is_public
from tollhouse.upstream.connection import Connection
from tollhouse.upstream.request_bytes import Origin, origin_of, render_get

_PORTS: Final = frozenset({80, 443})
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_HEADERS: Final = (("user-agent", "tollhouse"), ("accept-encoding", "identity"))


class GuardRules(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one fetch: seconds to connect and in all, bytes of the body, redirects that are followed."""

    connect_s: float = 3.0
    total_s: float = 20.0
    max_bytes: int = 32 * 1024 * 1024
    redirects: int = 5


class RefusedError(Exception):
    """The address was not asked, or what it answered is not taken; `why` is for the log and holds no address."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Fetched(msgspec.Struct, frozen=True):
    """What an address answered."""

    content_type: str
    body: bytes


class Guard:
    """Fetches. No cookies, no credentials, no proxies of the environment; every redirect is looked at anew, and the
    connection goes to the very address that was looked at, so that no second look-up can lead elsewhere."""

    def __init__(self, rules: GuardRules | None = None, tls: ssl.SSLContext | None = None) -> None:
        self._rules = rules or GuardRules()
        self._tls = tls

    async def fetch(self, url: str, accept: str, trusted: Collection[str] = ()) -> Fetched:
        """GET what is at `url`. Origins of `trusted` URLs may be anywhere: they are the operator's own. Raises
        RefusedError."""
        own = {origin_of(each) for each in trusted}
        try:
            async with asyncio.timeout(self._rules.total_s):
                for _ in range(self._rules.redirects + 1):
                    fetched, moved = await self._get(url, accept, own)
                    if moved is None:
                        return fetched
                    url = urljoin(url, moved)
        except TimeoutError:
            raise RefusedError(f"not done within {self._rules.total_s:g} s") from None
        raise RefusedError(f"more than {self._rules.redirects} redirects")

    async def _get(self, url: str, accept: str, own: Collection[Origin]) -> tuple[Fetched, str | None]:
        """What one address answers, or where it sends us."""
        try:
            if urlsplit(url).scheme not in {"http", "https"}:
                raise RefusedError("no http")
            origin, head = render_get(url, (*_HEADERS, ("accept", accept)))
        except ValueError:
            raise RefusedError("no URL that can be asked") from None
        connection = await self._connect(origin, trusted=origin in own)
        try:
            connection.send(head, b"")
            while connection.head is None:
                await self._next(connection)
            status, headers = connection.head.status, dict(connection.head.headers)
            if status in _REDIRECTS and "location" in headers:
                return Fetched("", b""), headers["location"]
            if status != 200:
                raise RefusedError(f"status {status}")
            if headers.get("content-encoding", "identity").strip().lower() != "identity":
                raise RefusedError("an encoding that was not asked for")
            return Fetched(headers.get("content-type", ""), await self._body(connection)), None
        finally:
            connection.fail("done")

    async def _body(self, connection: Connection) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            data = connection.take()
            parts.append(data)
            size += len(data)
            if size > self._rules.max_bytes:
                raise RefusedError(f"larger than {self._rules.max_bytes} bytes")
            if connection.ended and not connection.waiting_bytes:
                return b"".join(parts)
            if not connection.waiting_bytes:
                await self._next(connection)

    async def _next(self, connection: Connection) -> None:
        if connection.failure is not None:
            raise RefusedError(connection.failure)
        await connection.wait()

    async def _connect(self, origin: Origin, *, trusted: bool) -> Connection:
        if not trusted and origin.port not in _PORTS:
            raise RefusedError("a port that is not the web's")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._rules.connect_s):
                address = await _address(loop, origin, trusted=trusted)
                tls = (self._tls or ssl.create_default_context()) if origin.tls else None
                _, connection = await loop.create_connection(
                    lambda: Connection(origin, loop, lambda _: None),
                    address,
                    origin.port,
                    ssl=tls,
                    server_hostname=origin.host if tls else None,
                )
        except TimeoutError:
            raise RefusedError("no connection in time") from None
        except (OSError, UnicodeError) as error:
            raise RefusedError(type(error).__name__) from None
        return connection


async def _address(loop: asyncio.AbstractEventLoop, origin: Origin, *, trusted: bool) -> str:
    """An address of the host. Raises RefusedError where one of them is not public: an honest host has no such."""
    found = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    addresses = [str(sockaddr[0]) for _, _, _, _, sockaddr in found]
    if not addresses:
        raise RefusedError("no address")
    if not trusted and not all(is_public(address) for address in addresses):
        raise RefusedError("an address that is not public")
    return addresses[0]
