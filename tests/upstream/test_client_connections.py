"""Which connections the client keeps, which it gives up, and when it asks a second time."""

import asyncio
import gc
import socket
import struct
import sys
from collections.abc import Awaitable, Callable

import pytest

from support.scripted_tcp import (
    LOOPS,
    OK,
    QUICK,
    answering,
    fault_of,
    read_all,
    read_request,
    request,
    run,
    serving,
    with_server,
)
from tollhouse.catalog.entries import Timeouts
from tollhouse.ir.fault import FaultKind
from tollhouse.upstream.client import HttpUpstream
from tollhouse.upstream.connection import Connection
from tollhouse.upstream.pool import Pool
from tollhouse.upstream.request_bytes import Origin

pytestmark = pytest.mark.parametrize("loop", LOOPS)


class Counted:
    """A script that counts its connections and the requests that came."""

    def __init__(self, *scripts: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> None:
        self.scripts = scripts
        self.connections = 0
        self.open = 0
        self.closed = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            await self.scripts[min(self.connections, len(self.scripts)) - 1](reader, writer)
        finally:
            self.open -= 1
            self.closed.set()


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nTrailer: x\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_a_complete_answer_gives_its_connection_back(loop: str, answer: bytes) -> None:
    serve = Counted(answering(answer))

    async def body(upstream: HttpUpstream, url: str) -> None:
        for _ in range(3):
            await read_all(upstream, request(url))

    run(with_server(serve, body), loop)
    assert serve.connections == 1


@pytest.mark.fault(48)
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", id="close"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", id="1.0"),
        pytest.param(OK + b"garbage", id="garbage"),
        pytest.param(OK + OK, id="second-answer"),
        pytest.param(b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n{}", id="body-of-204"),
    ],
)
def test_a_connection_that_is_not_clean_is_not_used_again(loop: str, answer: bytes) -> None:
    serve = Counted(answering(answer))

    async def body(upstream: HttpUpstream, url: str) -> None:
        for _ in range(3):
            assert await read_all(upstream, request(url)) in {b"{}", b""}

    run(with_server(serve, body), loop)
    assert serve.connections == 3


def test_the_connection_used_last_is_used_first(loop: str) -> None:
    used: list[int] = []

    async def body(upstream: HttpUpstream, url: str) -> None:
        answers = [await upstream.send(request(url)) for _ in range(3)]
        for answer in answers:
            while await answer.read():
                pass
            answer.close()
        used.clear()
        for _ in range(3):
            await read_all(upstream, request(url))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        me = len(used)
        while True:
            await read_request(reader)
            used.append(me)
            writer.write(OK)

    run(with_server(serve, body), loop)
    assert used == [2, 2, 2]


def test_an_answer_that_is_not_read_to_its_end_is_cut_off(loop: str) -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        await reader.read()  # until the client goes

    serve = Counted(endless)

    async def body(upstream: HttpUpstream, url: str) -> None:
        answer = await upstream.send(request(url))
        assert await answer.read() == b"x"
        answer.close()
        answer.close()
        assert (await fault_of(answer.read())).kind is FaultKind.PROVIDER_UNAVAILABLE
        await serve.closed.wait()

    run(with_server(serve, body), loop)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"])
def test_a_kept_connection_that_the_provider_ends_or_talks_on_is_dropped(loop: str, said: bytes) -> None:
    rested = asyncio.Event()
    spoken = asyncio.Event()

    async def farewell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        await rested.wait()
        writer.write(said)
        if said:
            await reader.read()  # the client goes because of it
        writer.close()
        await writer.wait_closed()
        spoken.set()

    serve = Counted(farewell, answering(OK))

    async def body(upstream: HttpUpstream, url: str) -> None:
        await read_all(upstream, request(url))
        rested.set()
        await spoken.wait()
        answer = await upstream.send(request(url))
        assert answer.status == 200
        answer.close()

    run(with_server(serve, body), loop)
    assert serve.connections == 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what has not been acknowledged")
@pytest.mark.fault(33)
def test_a_request_that_crosses_the_servers_farewell_is_sent_again_once(loop: str) -> None:
    async def body() -> None:
        current = asyncio.get_running_loop()
        upstream = HttpUpstream()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"

            async def answer_one() -> socket.socket:
                peer, _ = await current.sock_accept(listener)
                while not (await current.sock_recv(peer, 65536)).endswith(b"{}"):
                    pass
                await current.sock_sendall(peer, OK)
                return peer

            for _ in range(3):
                serving_one = asyncio.create_task(answer_one())
                assert await read_all(upstream, request(url, Timeouts())) == b"{}"
                # The next request goes out before the event loop can have seen this.
                (await serving_one).close()
        await upstream.close()

    run(body(), loop)


@pytest.mark.fault(33)
@pytest.mark.parametrize("reset", [False, True])
def test_a_request_that_was_read_is_not_sent_again(loop: str, reset: bool) -> None:
    async def leaving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        await read_request(reader)
        if reset:
            linger_not = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_not)
        writer.transport.abort()

    serve = Counted(leaving, answering(OK))

    async def body(upstream: HttpUpstream, url: str) -> None:
        await read_all(upstream, request(url))
        assert (await fault_of(upstream.send(request(url)))).kind is FaultKind.PROVIDER_UNAVAILABLE

    run(with_server(serve, body), loop)
    assert serve.connections == 1


def test_a_fresh_connection_that_closes_is_not_asked_again(loop: str) -> None:
    async def leaving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)

    serve = Counted(leaving)

    async def body(upstream: HttpUpstream, url: str) -> None:
        assert (await fault_of(upstream.send(request(url)))).kind is FaultKind.PROVIDER_UNAVAILABLE

    run(with_server(serve, body), loop)
    assert serve.connections == 1


@pytest.mark.parametrize("first", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_a_kept_connection_on_which_something_came_is_not_asked_again(loop: str, first: bytes) -> None:
    async def breaking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        await read_request(reader)
        writer.write(first)

    serve = Counted(breaking)

    async def body(upstream: HttpUpstream, url: str) -> None:
        await read_all(upstream, request(url))
        assert (await fault_of(upstream.send(request(url)))).kind is FaultKind.PROVIDER_UNAVAILABLE

    run(with_server(serve, body), loop)
    assert serve.connections == 1


@pytest.mark.parametrize("when", ["before the head", "in the body"])
def test_a_cancelled_wait_leaves_nothing_behind(loop: str, when: str) -> None:
    asked = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        if when == "in the body":
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        asked.set()
        await reader.read()

    serve = Counted(slow)

    async def body(upstream: HttpUpstream, url: str) -> None:
        task = asyncio.create_task(read_all(upstream, request(url, Timeouts())))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await serve.closed.wait()  # at once, not when the client is closed

    run(with_server(serve, body), loop)


def test_connecting_can_be_cancelled(loop: str) -> None:
    async def body() -> None:
        async with serving(answering(OK)) as port:
            upstream = HttpUpstream()
            task = asyncio.create_task(upstream.send(request(f"http://localhost:{port}/", Timeouts())))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await upstream.close()

    run(body(), loop)
    gc.collect()


def test_closing_cuts_off_what_is_under_way_and_what_rests(loop: str) -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        await reader.read()

    serve = Counted(answering(OK), half)

    async def body(upstream: HttpUpstream, url: str) -> None:
        resting = await upstream.send(request(url))
        answer = await upstream.send(request(url))
        assert await resting.read() == b"{}"
        resting.close()
        assert await answer.read() == b"x"
        reading = asyncio.create_task(fault_of(answer.read()))
        await asyncio.sleep(0)
        await upstream.close()
        assert (await reading).kind is FaultKind.PROVIDER_UNAVAILABLE
        answer.close()
        while serve.open:
            serve.closed.clear()
            await serve.closed.wait()
        assert (await fault_of(upstream.send(request(url)))).kind is FaultKind.PROVIDER_UNAVAILABLE

    run(with_server(serve, body), loop)
    gc.collect()


def test_connections_are_closed_before_a_server_would(loop: str) -> None:
    serve = Counted(answering(OK))

    async def rest_one(pool: Pool, origin: Origin) -> Connection:
        connection = await pool.connect(origin, 1)
        connection.send(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n", b"{}")
        while not connection.ended:
            await connection.wait()
        pool.give_back(connection)
        return connection

    async def body() -> None:
        async with serving(serve) as port:
            origin = Origin(tls=False, host="127.0.0.1", port=port)
            pool = Pool(idle_s=0.1)
            kept = await rest_one(pool, origin)
            assert pool.take(origin) is kept
            assert pool.take(origin) is None
            await rest_one(pool, origin)
            await rest_one(pool, origin)
            while serve.open > 1:  # the first one is in use
                serve.closed.clear()
                await serve.closed.wait()
            assert pool.take(origin) is None
            await pool.close()

    run(body(), loop)


@pytest.mark.fault(31)
def test_a_name_that_nobody_has_is_a_fault_of_the_network(loop: str) -> None:
    async def body() -> None:
        upstream = HttpUpstream()
        for host in ("nobody.invalid", "a" * 70 + ".invalid"):
            fault = await fault_of(upstream.send(request(f"http://{host}/v1", Timeouts())))
            assert fault.kind is FaultKind.PROVIDER_UNAVAILABLE
            assert host not in fault.message
        await upstream.close()

    run(body(), loop)


@pytest.mark.fault(31)
def test_all_addresses_of_a_host_are_tried(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(upstream: HttpUpstream, url: str) -> None:
        port = int(url.split(":")[2].split("/", maxsplit=1)[0])

        async def getaddrinfo(*_: object, **__: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
            return [(2, 1, 6, "", ("127.0.0.2", port)), (2, 1, 6, "", ("127.0.0.1", port))]

        current = asyncio.get_running_loop()
        if loop == "asyncio":  # uvloop's cannot be replaced
            monkeypatch.setattr(current, "getaddrinfo", getaddrinfo)
        assert await read_all(upstream, request(f"http://localhost:{port}/v1", Timeouts())) == b"{}"

    run(with_server(answering(OK), body), loop)


@pytest.mark.fault(31)
def test_a_host_that_lets_nobody_in_is_late(loop: str) -> None:
    """A TLS handshake that is never answered."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def body(upstream: HttpUpstream, url: str) -> None:
        fault = await fault_of(upstream.send(request(url.replace("http:", "https:"), QUICK)))
        assert fault.kind is FaultKind.PROVIDER_TIMEOUT
        assert "could not be connected to within 0.5 s" in fault.message

    run(with_server(silent, body), loop)
