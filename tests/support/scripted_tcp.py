"""A provider on a TCP port that does what a test scripts, byte by byte, and what tests need to call it."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import uvloop

from tollhouse.catalog.entries import Timeouts
from tollhouse.ir.fault import Fault, FaultError
from tollhouse.upstream.client import HttpUpstream, UpstreamRequest

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Body = Callable[[HttpUpstream, str], Awaitable[None]]
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
QUICK = Timeouts(connect_s=0.5, first_byte_s=0.2, idle_s=0.2, total_s=0.5, stream_s=0.5)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def run(work: Coroutine[Any, Any, None], loop: str = "asyncio") -> None:
    """Run on one of the two event loops; whoever hangs fails."""

    async def in_time() -> None:
        async with asyncio.timeout(20):
            await work
        left = {repr(task) for task in asyncio.all_tasks() if task is not asyncio.current_task()}
        # asyncio's servers run a task of their own per TLS handshake.
        assert not {task for task in left if "_accept_connection2" not in task}, "tasks were left behind"

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(in_time())


@asynccontextmanager
async def serving(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve every connection by the script; gives the port."""
    handlers: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await serve(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in handlers:
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)


async def with_server(serve: Serve, body: Body) -> None:
    """A client and a scripted provider."""
    async with serving(serve) as port:
        upstream = HttpUpstream()
        try:
            await body(upstream, f"http://127.0.0.1:{port}/v1/chat/completions")
        finally:
            await upstream.close()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """One request, head and body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
    )
    return head + await reader.readexactly(length)


def answering(*answers: bytes, close: bool = False) -> Serve:
    """Answers request after request of a connection with the next of `answers`, the last one for ever."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = list(answers)
        while True:
            await read_request(reader)
            writer.write(left.pop(0) if len(left) > 1 else left[0])
            await writer.drain()
            if close:
                return

    return serve


def request(url: str, timeouts: Timeouts = QUICK, *, body: bytes = b"{}", stream: bool = True) -> UpstreamRequest:
    """A small call."""
    headers = (("content-type", "application/json"), ("authorization", "Bearer secret"))
    return UpstreamRequest(url=url, headers=headers, body=body, timeouts=timeouts, stream=stream)


async def read_all(upstream: HttpUpstream, asked: UpstreamRequest) -> bytes:
    """The whole body of the answer."""
    answer = await upstream.send(asked)
    try:
        got = b""
        while data := await answer.read():
            got += data
        return got
    finally:
        answer.close()


async def fault_of(work: Awaitable[object]) -> Fault:
    """The fault that `work` raises."""
    try:
        await work
    except FaultError as error:
        return error.fault
    raise AssertionError("no fault")
