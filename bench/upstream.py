"""The upstream: a bare HTTP server that gives each load its canned answer, far cheaper than what is measured."""

import asyncio
import socket
import sys
from typing import cast

import httptools
import uvloop

from bench.loads import LOADS

_WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
_STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"

WHOLE_ANSWERS = {
    name.encode(): _WHOLE % (len(load.answer()), load.answer()) for name, load in LOADS.items() if not load.stream
}
STREAMED_ANSWERS = {
    name.encode(): [b"%x\r\n%b\r\n" % (len(event), event) for event in load.upstream_events()]
    for name, load in LOADS.items()
    if load.stream
}


class Upstream(asyncio.Protocol):
    """One connection; the first letter of the path names the load."""

    def __init__(self, running: set[asyncio.Task[None]]) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._running = running
        self._load = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit asyncio.Transport.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._load = url[1:2]

    def on_message_complete(self) -> None:
        whole = WHOLE_ANSWERS.get(self._load)
        if whole is not None:
            self._transport.write(whole)
            return
        pace_s = LOADS[self._load.decode()].pace_s
        task = asyncio.get_running_loop().create_task(self._stream(STREAMED_ANSWERS[self._load], pace_s))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _stream(self, chunks: list[bytes], pace_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._transport.write(_STREAM)
        begun = loop.time()
        for number, chunk in enumerate(chunks):
            # A chunk in each turn of the loop is a write of its own, as a model's tokens are.
            await asyncio.sleep(max(0.0, begun + number * pace_s - loop.time()) if pace_s else 0)
            if self._transport.is_closing():
                return
            self._transport.write(chunk)
        self._transport.write(b"0\r\n\r\n")


async def serve(listener: socket.socket) -> None:
    """Answer on `listener` until cancelled."""
    running: set[asyncio.Task[None]] = set()
    server = await asyncio.get_running_loop().create_server(lambda: Upstream(running), sock=listener)
    await server.serve_forever()


def main() -> None:
    """Serve on the loopback port given as the only argument."""
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1024)
    uvloop.run(serve(listener))


if __name__ == "__main__":
    main()
