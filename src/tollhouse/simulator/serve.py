"""Serves the simulator: inside a running loop on a port of its own, or as a process (`tollhouse simulate`)."""

import asyncio
import errno
import signal
import socket
import struct
import sys
from typing import Any, Final, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from tollhouse.simulator.app import LINE_EXTENSION, Simulator
from tollhouse.simulator.recorder import Arrival

_IDLE_CONNECTION_S: Final = 300
_BACKLOG: Final = 2048
# SO_LINGER with a time of nought: closing sends a reset.
_LINGER_NOT: Final = struct.pack("ii", 1, 0)


class _TransportLine:
    """The connection under a call, by its transport."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def close(self) -> None:
        self._transport.close()

    def reset(self) -> None:
        raw: socket.socket = self._transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self._transport.abort()


class _Protocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1, which also hands its connection to the application."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        cast("dict[str, Any]", self.scope)["extensions"] = {LINE_EXTENSION: _TransportLine(self.transport)}


class RunningSimulator:
    """A simulator that answers on `url` until `stop()`."""

    def __init__(self, url: str, app: Simulator, server: asyncio.Server, state: ServerState) -> None:
        self.url = url
        self._app = app
        self._server = server
        self._state = state

    @property
    def requests(self) -> list[Arrival]:
        """What arrived, oldest first; empty unless recording."""
        return list(self._app.recorder.arrivals) if self._app.recorder is not None else []

    async def settled(self) -> None:
        """Wait until every call at hand has ended, so that each outcome is known."""
        while self._state.tasks:
            await asyncio.wait(set(self._state.tasks))

    async def stop(self) -> None:
        """Close the port, cut the connections, and end the calls at hand."""
        self._server.close()
        for connection in list(self._state.connections):
            connection.transport.abort()
        tasks = set(self._state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        # The transports report their end in the next turn of the loop.
        await asyncio.sleep(0)


async def start_simulator(host: str = "127.0.0.1", port: int = 0, *, record: bool = False) -> RunningSimulator:
    """Serve the simulator on the running loop; port 0 takes a free one.

    With `record`, what arrives is kept, and GET and DELETE of `/_simulator/requests` read and forget it. Raises
    OSError when the port cannot be had.
    """
    app = Simulator(record=record)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_keep_alive=_IDLE_CONNECTION_S,
        server_header=False,
        date_header=False,
    )
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Protocol(config, state, {}, loop), host, port, backlog=_BACKLOG)
    name = server.sockets[0].getsockname()
    shown = f"[{host}]" if ":" in host else host
    return RunningSimulator(f"http://{shown}:{name[1]}", app, server, state)


def run(host: str = "127.0.0.1", port: int = 9090, *, record: bool = True) -> int:
    """Serve the simulator until SIGINT or SIGTERM; the exit code is 0, or 1 when the port cannot be had."""
    try:
        return asyncio.run(_serve(host, port, record=record))
    except OSError as error:
        why = "is in use by another program" if error.errno == errno.EADDRINUSE else "cannot be listened on"
        sys.stderr.write(f"tollhouse: {host}:{port} {why} ({error.strerror}). Choose another --port or --host.\n")
        return 1


async def _serve(host: str, port: int, *, record: bool) -> int:
    running = await start_simulator(host, port, record=record)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    sys.stdout.write(_usage(running.url))
    sys.stdout.flush()
    await stopped.wait()
    await running.stop()
    return 0


def _usage(url: str) -> str:
    return f"""The simulator answers on {url} (docs/simulator.md says what it speaks, under any path prefix). Try:

  curl {url}/v1/chat/completions -H 'content-type: application/json' \\
    -d '{{"model":"echo","messages":[{{"role":"user","content":"Hello"}}]}}'

The model name scripts the answer: script/text=200/delay=5ms, script/tools=2, script/status=429/retry_after=2,
script/cut=5. What arrived: GET {url}/_simulator/requests. Stop with Ctrl+C.
"""
