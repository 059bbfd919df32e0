"""A TCP proxy before a provider that makes the network fail as a test says; what a provider itself may do wrong is
scripted in the simulator's model names (`script/...`), and what no HTTP server would send in `support.scripted_tcp`."""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Any

import msgspec

_PIECE_BYTES = 64 * 1024
# Closing with a lingering time of nought sends a reset.
_RESET = struct.pack("ii", 1, 0)


class Weather(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of bytes on their way. Times are seconds; a count of bytes is of those that the provider sent on one
    connection since the weather changed; None is for never. Requests pass untouched, but for `refuse` and `deaf`."""

    refuse: bool = False
    """Connections are reset as soon as they are made."""
    deaf: bool = False
    """Connections are accepted, and nothing that comes is ever passed on."""
    latency_s: float = 0.0
    """Each piece of an answer waits for so long."""
    slice_bytes: int | None = None
    """Answers come in pieces of at most so many bytes, each in a packet of its own."""
    bytes_per_s: float | None = None
    reset_after: int | None = None
    blackhole_after: int | None = None
    """From then on nothing more comes, and the connection stays open."""
    close_after: int | None = None


CLEAR = Weather()


class FaultProxy:
    """Stands before `target` (host, port) on a port of its own; `weather` may be changed at any time, and holds for
    connections that are open as well."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.connections = 0
        """How many were made."""
        self._target = target
        self._weather = CLEAR
        self._changes = 0
        self._changed = asyncio.Event()
        self._lines: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()
        self._server: asyncio.Server | None = None

    @property
    def weather(self) -> Weather:
        """What holds now."""
        return self._weather

    @weather.setter
    def weather(self, weather: Weather) -> None:
        self._weather = weather
        self._changes += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def quiet(self, most: int = 0) -> None:
        """Wait until no more than `most` connections are open."""
        while len(self._lines) > most:
            await self._ended.wait()

    async def start(self) -> str:
        """Listen; gives the URL."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_PIECE_BYTES)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Close the port and cut every connection."""
        assert self._server is not None
        self._server.close()
        for line in self._lines:
            line.cancel()
        await asyncio.gather(*self._lines, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._lines.add(task)
        try:
            with suppress(ConnectionError, asyncio.CancelledError):
                await self._serve(reader, writer)
        finally:
            self._lines.discard(task)
            self._ended.set()
            self._ended = asyncio.Event()
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._weather.refuse:
            _reset(writer)
            return
        if self._weather.deaf:
            while await reader.read(_PIECE_BYTES):
                pass
            return
        far_reader, far_writer = await asyncio.open_connection(*self._target, limit=_PIECE_BYTES)
        try:
            # Whichever side ends first, ends the line.
            ways = [asyncio.ensure_future(way) for way in (_pass(reader, far_writer), self._answer(far_reader, writer))]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        finally:
            far_writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent, changes = 0, self._changes
        waiting = b""
        while True:
            weather = self._weather
            if changes != self._changes:
                sent, changes = 0, self._changes
            if (room := _room(weather, sent)) == 0:
                if weather.blackhole_after is None:
                    if weather.reset_after is not None:
                        _reset(writer)
                    return
                await self._changed.wait()
                continue
            waiting = waiting or await reader.read(_PIECE_BYTES)
            if not waiting:
                return
            if weather is not self._weather:
                continue
            piece = waiting[: min(room, weather.slice_bytes or _PIECE_BYTES)]
            waiting = waiting[len(piece) :]
            pause_s = weather.latency_s + (len(piece) / weather.bytes_per_s if weather.bytes_per_s else 0.0)
            if pause_s:
                await asyncio.sleep(pause_s)
            writer.write(piece)
            await writer.drain()
            sent += len(piece)
            if weather.slice_bytes:
                # Let the piece go before the next one comes.
                await asyncio.sleep(0)


def _room(weather: Weather, sent: int) -> int:
    """How many more bytes pass before the weather ends the answer."""
    ends = (weather.reset_after, weather.blackhole_after, weather.close_after)
    return max(0, min((end - sent for end in ends if end is not None), default=_PIECE_BYTES))


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_PIECE_BYTES):
        writer.write(data)
        await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    line: Any = writer.get_extra_info("socket")
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
