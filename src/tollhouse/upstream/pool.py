"""Pool: the open connections to providers, kept for reuse per origin, the one used last first."""

import asyncio
import functools
import ipaddress
import socket
import ssl

from tollhouse.upstream.connection import Connection
from tollhouse.upstream.request_bytes import Origin

# Servers and balancers commonly close an idle connection after 60 s or more; we are to be first.
_IDLE_S = 55.0
_FAREWELL_S = 2.0


class Pool:
    """All connections of a process. `tls` replaces the system's trust in certificates."""

    def __init__(self, tls: ssl.SSLContext | None = None, *, idle_s: float = _IDLE_S) -> None:
        self._tls = tls
        self._idle_s = idle_s
        self._open: set[Connection] = set()
        # Per origin in the order in which they came to rest.
        self._idle: dict[Origin, dict[Connection, None]] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False
        self._emptied: asyncio.Future[None] | None = None

    def take(self, origin: Origin) -> Connection | None:
        """A connection that waits for a request, None when there is none."""
        idle = self._idle.get(origin)
        while idle:
            connection, _ = idle.popitem()
            if connection.is_clean:
                return connection
        return None

    def give_back(self, connection: Connection) -> None:
        """An exchange is over: keep the connection when it was complete, else cut it."""
        if self._closed:
            connection.fail("closed")
            return
        if not connection.rest():
            return
        loop = connection.loop
        connection.idle_since_s = loop.time()
        idle = self._idle.get(connection.origin)
        if idle is None:
            idle = self._idle[connection.origin] = {}
        idle[connection] = None
        if self._sweeper is None:
            self._sweeper = loop.call_later(self._idle_s, self._sweep, loop)

    async def connect(self, origin: Origin, limit_s: float) -> Connection:
        """A new connection, by the first of the host's addresses that takes it.

        Raises TimeoutError after `limit_s` seconds, else the OSError of the last address, or UnicodeError for a name
        that cannot be looked up.
        """
        loop = asyncio.get_running_loop()
        end_s = loop.time() + limit_s
        async with asyncio.timeout(limit_s):
            addresses = await _addresses(loop, origin)
        failed: OSError = ConnectionRefusedError("no address")
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            try:
                # An address that keeps silent leaves time for the others.
                async with asyncio.timeout((end_s - loop.time()) / left):
                    connection = await self._connect(loop, origin, address)
            except OSError as error:
                failed = error
                continue
            if not self._closed:
                return connection
            connection.fail("closed")
            raise ConnectionAbortedError("the gateway is closing its connections")
        raise failed

    async def close(self) -> None:
        """Cut all connections, those in use as well, and wait until they are gone."""
        self._closed = True
        self._idle.clear()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for connection in list(self._open):
            connection.fail("closed")
        if self._open:
            self._emptied = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._emptied], timeout=_FAREWELL_S)

    async def _connect(self, loop: asyncio.AbstractEventLoop, origin: Origin, address: str) -> Connection:
        _, connection = await loop.create_connection(
            functools.partial(Connection, origin, loop, self._lost),
            address,
            origin.port,
            ssl=self._tls_context() if origin.tls else None,
            server_hostname=origin.host.rstrip(".") if origin.tls else None,
        )
        if not connection.is_clean:
            raise ConnectionResetError("closed as soon as it was open")
        self._open.add(connection)
        return connection

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls

    def _lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        idle = self._idle.get(connection.origin)
        if idle is not None:
            idle.pop(connection, None)
        if self._emptied is not None and not self._open and not self._emptied.done():
            self._emptied.set_result(None)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close what has rested long enough, and come again when the next one will have."""
        self._sweeper = None
        now_s = loop.time()
        next_s: float | None = None
        for origin, idle in list(self._idle.items()):
            while idle:
                connection = next(iter(idle))
                due_s = connection.idle_since_s + self._idle_s
                if due_s > now_s:
                    next_s = due_s if next_s is None else min(next_s, due_s)
                    break
                del idle[connection]
                connection.fail("idle")
            if not idle:
                del self._idle[origin]
        if next_s is not None:
            self._sweeper = loop.call_at(next_s, self._sweep, loop)


async def _addresses(loop: asyncio.AbstractEventLoop, origin: Origin) -> list[str]:
    try:
        ipaddress.ip_address(origin.host)
    except ValueError:
        found = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))
    return [origin.host]
