"""HttpUpstream against a scripted TCP server: answers, limits of time, broken connections."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from tollhouse.catalog.entries import Provider, Timeouts
from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.upstream.auth import authorization
from tollhouse.upstream.client import HttpUpstream, UpstreamRequest

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
QUICK = Timeouts(connect_s=0.5, first_byte_s=0.2, idle_s=0.2, total_s=0.5, stream_s=0.5)
SLOW_START = Timeouts(first_byte_s=20, idle_s=0.2)


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
    )
    return head + await reader.readexactly(length)


async def with_server(serve: Serve, body: Callable[[HttpUpstream, str], Awaitable[None]]) -> None:
    handlers: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.add(asyncio.current_task())  # type: ignore[arg-type]
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await serve(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    upstream = HttpUpstream()
    try:
        await body(upstream, f"http://127.0.0.1:{port}/v1/chat/completions")
    finally:
        await upstream.close()
        server.close()
        for task in handlers:
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)


def request(url: str, timeouts: Timeouts = QUICK, *, body: bytes = b"{}", stream: bool = True) -> UpstreamRequest:
    headers = (("content-type", "application/json"), ("authorization", "Bearer secret"))
    return UpstreamRequest(url=url, headers=headers, body=body, timeouts=timeouts, stream=stream)


async def read_all(upstream: HttpUpstream, asked: UpstreamRequest) -> bytes:
    answer = await upstream.send(asked)
    try:
        got = b""
        while data := await answer.read():
            got += data
        return got
    finally:
        answer.close()


def test_a_body_arrives_in_pieces_and_the_connection_is_used_again() -> None:
    seen: list[bytes] = []
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            seen.append(await read_request(reader))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            for piece in (b"data: 1\n\n", b"data: 2\n\n"):
                writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                await writer.drain()
            writer.write(b"0\r\n\r\n")

    async def body(upstream: HttpUpstream, url: str) -> None:
        for _ in range(2):
            answer = await upstream.send(request(url))
            assert answer.status == 200
            assert ("content-type", "text/event-stream") in answer.headers
            got = b""
            while data := await answer.read():
                got += data
            answer.close()
            assert got == b"data: 1\n\ndata: 2\n\n"

    asyncio.run(with_server(serve, body))
    assert connections == 1
    assert b"user-agent" not in seen[0].lower()
    assert b"accept-encoding" not in seen[0].lower()
    assert b"authorization: bearer secret" in seen[0].lower()


def test_a_large_body_is_sent_whole() -> None:
    sizes: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sizes.append(len((await read_request(reader)).partition(b"\r\n\r\n")[2]))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()

    async def body(upstream: HttpUpstream, url: str) -> None:
        answer = await upstream.send(request(url, Timeouts(), body=b"x" * 3_000_000))
        assert await answer.read() == b"{}"
        answer.close()

    asyncio.run(with_server(serve, body))
    assert sizes == [3_000_000]


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await read_request(reader)
        asked += 1
        writer.write(b"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")

    async def body(upstream: HttpUpstream, url: str) -> None:
        answer = await upstream.send(request(url))
        assert answer.status == 307
        answer.close()

    asyncio.run(with_server(serve, body))
    assert asked == 1


@pytest.mark.row(95)
@pytest.mark.parametrize(
    ("pieces", "timeouts", "message"),
    [
        pytest.param([], QUICK, "did not begin its answer within 0.2 s", id="silent-before-the-head"),
        pytest.param(["head"], QUICK, "sent nothing for 0.2 s", id="silent-after-the-head"),
        pytest.param(["head", "data"], QUICK, "fell silent in mid-answer for 0.2 s", id="silent-in-mid-answer"),
        pytest.param(["head", "data"], SLOW_START, "fell silent in mid-answer for 0.2 s", id="silent-after-a-start"),
        pytest.param(["head", "drip"], QUICK, "did not finish its answer within 0.5 s", id="endless"),
    ],
)
def test_each_limit_of_time_ends_the_wait_in_its_own_words(pieces: list[str], timeouts: Timeouts, message: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        if "head" in pieces:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        if "data" in pieces:
            writer.write(b"1\r\nx\r\n")
        while "drip" in pieces:
            writer.write(b"1\r\nx\r\n")
            await writer.drain()
            await asyncio.sleep(0.02)
        await asyncio.sleep(30)

    async def body(upstream: HttpUpstream, url: str) -> None:
        with pytest.raises(FaultError) as caught:
            async with asyncio.timeout(5):
                await read_all(upstream, request(url, timeouts))
        assert caught.value.fault.kind is FaultKind.PROVIDER_TIMEOUT
        assert message in caught.value.fault.message

    asyncio.run(with_server(serve, body))


@pytest.mark.row(95)
@pytest.mark.parametrize("head_first", [True, False])
def test_an_answer_in_one_piece_may_take_its_whole_time_to_begin(head_first: bool) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(head if head_first else b"")
        await asyncio.sleep(0.4)
        writer.write(b"{}" if head_first else head + b"{}")
        await writer.drain()
        await asyncio.sleep(30)

    async def body(upstream: HttpUpstream, url: str) -> None:
        patient = Timeouts(connect_s=0.1, first_byte_s=0.1, idle_s=0.1, total_s=10, stream_s=0.1)
        assert await read_all(upstream, request(url, patient, stream=False)) == b"{}"
        late = Timeouts(connect_s=0.1, first_byte_s=10, idle_s=10, total_s=0.2, stream_s=10)
        with pytest.raises(FaultError) as caught:
            await read_all(upstream, request(url, late, stream=False))
        assert "did not finish its answer within 0.2 s" in caught.value.fault.message

    asyncio.run(with_server(serve, body))


@pytest.mark.row(95)
def test_time_in_which_nobody_reads_is_not_the_providers_silence() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        await asyncio.sleep(0.3)
        writer.write(b"1\r\ny\r\n0\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(30)

    async def body(upstream: HttpUpstream, url: str) -> None:
        answer = await upstream.send(request(url, Timeouts(idle_s=0.1)))
        assert await answer.read() == b"x"
        await asyncio.sleep(0.5)  # the caller takes nothing for so long
        assert await answer.read() == b"y"
        answer.close()

    asyncio.run(with_server(serve, body))


@pytest.mark.parametrize("after", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", b"garbage\r\n\r\n"])
def test_a_broken_connection_is_a_fault_of_the_network(after: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(after)
        await writer.drain()

    async def body(upstream: HttpUpstream, url: str) -> None:
        with pytest.raises(FaultError) as caught:
            await read_all(upstream, request(url, Timeouts()))
        assert caught.value.fault.kind is FaultKind.PROVIDER_UNAVAILABLE
        assert caught.value.fault.source == "network"

    asyncio.run(with_server(serve, body))


def test_nobody_there_is_a_fault_of_the_network() -> None:
    async def body() -> None:
        upstream = HttpUpstream()
        try:
            with pytest.raises(FaultError) as caught:
                await upstream.send(request("http://127.0.0.1:9/v1/chat/completions"))
            assert caught.value.fault.kind is FaultKind.PROVIDER_UNAVAILABLE
        finally:
            await upstream.close()

    asyncio.run(body())


def test_a_provider_without_a_key_gets_none() -> None:
    provider = Provider(id="local", format="openai_chat", base_url="http://127.0.0.1:1")
    assert authorization(provider) == ()
