"""How the client reads answers: framing, caps, encodings, backpressure, and any split of the bytes."""

import asyncio
import gzip
import time
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.hostile import damaged
from support.scripted_tcp import (
    LOOPS,
    OK,
    answering,
    fault_of,
    read_all,
    read_request,
    request,
    run,
    with_server,
)
from tollhouse.catalog.entries import Timeouts
from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.upstream.answer import HttpAnswer
from tollhouse.upstream.client import HttpUpstream
from tollhouse.upstream.connection import Connection
from tollhouse.upstream.pool import Pool
from tollhouse.upstream.request_bytes import Origin

TEXT = b"data: \xc3\xa9 1\r\n\r\n" * 40
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
both_loops = pytest.mark.parametrize("loop", LOOPS)


def sized(body: bytes, *headers: bytes) -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return HEAD + lines + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(body: bytes, *headers: bytes, trailers: bytes = b"") -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    pieces = [body[at : at + 77] for at in range(0, len(body), 77)]
    chunks = b"".join(b"%x;ext=1\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return HEAD + lines + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n" + trailers + b"\r\n"


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


SOUND = {
    "sized": sized(TEXT),
    "chunked": chunked(TEXT),
    "trailers": chunked(TEXT, trailers=b"Set-Cookie: a=b\r\nX-Checksum: 1\r\n"),
    "interim": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + chunked(TEXT),
    "gzip": sized(gzip.compress(TEXT), b"Content-Encoding: gzip"),
    "gzip twice": chunked(gzip.compress(TEXT[:50]) + gzip.compress(TEXT[50:]), b"Content-Encoding: x-gzip"),
    "zlib": chunked(zlib.compress(TEXT), b"Content-Encoding: deflate"),
    "deflate": sized(raw_deflate(TEXT), b"Content-Encoding: DEFLATE"),
    "identity": sized(TEXT, b"Content-Encoding: identity"),
}
UNTIL_CLOSE = {"until close": HEAD + b"\r\n" + TEXT, "1.0": b"HTTP/1.0 200 OK\r\n\r\n" + TEXT}
BROKEN = {
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-",
    "short of its length": sized(TEXT)[:-1],
    "no last chunk": chunked(TEXT)[:-5],
    "no end of the last chunk": chunked(TEXT)[:-2],
    "interim only": b"HTTP/1.1 100 Continue\r\n\r\n",
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "status 099": b"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n",
    "upgrade": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
    "length and chunks": HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "other transfer encoding": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunks twice": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bad chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "chunk too long": HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",
    "negative length": HEAD + b"Content-Length: -1\r\n\r\n",
    "huge length": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}",
    "101 headers": HEAD + b"X: y\r\n" * 100 + b"Content-Length: 0\r\n\r\n",
    "64 KB of headers": HEAD + b"X: %b\r\nContent-Length: 0\r\n\r\n" % (b"y" * 65536),
    "endless header": HEAD + b"X: " + b"y" * 1_000_000,
    "endless reason": b"HTTP/1.1 200 " + b"y" * 1_000_000,
    "endless extension": HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"y" * 1_000_000,
    "endless trailers": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"T: y\r\n" * 100_000,
    "interim flood": b"HTTP/1.1 102 Processing\r\n\r\n" * 5000 + OK,
    "broken gzip": sized(gzip.compress(TEXT)[:-20] + b"x" * 20, b"Content-Encoding: gzip"),
    "no gzip": sized(TEXT, b"Content-Encoding: gzip"),
    "half a gzip": sized(gzip.compress(TEXT)[:-9], b"Content-Encoding: gzip"),
    "gzip and more": sized(gzip.compress(TEXT) + b"more", b"Content-Encoding: gzip"),
    "zlib and more": sized(zlib.compress(TEXT) + b"more", b"Content-Encoding: deflate"),
    "one byte of deflate": sized(b"x", b"Content-Encoding: deflate"),
    "gzip bomb": sized(gzip.compress(b"\0" * 50_000_000), b"Content-Encoding: gzip"),
    "unknown encoding": sized(TEXT, b"Content-Encoding: br"),
    "packed twice": sized(gzip.compress(gzip.compress(TEXT)), b"Content-Encoding: gzip, gzip"),
}


@both_loops
@pytest.mark.fault(48)
@pytest.mark.parametrize("name", [*SOUND, *UNTIL_CLOSE])
def test_a_sound_answer_is_read_whole(loop: str, name: str) -> None:
    data = {**SOUND, **UNTIL_CLOSE}[name]

    async def body(upstream: HttpUpstream, url: str) -> None:
        assert await read_all(upstream, request(url)) == TEXT

    run(with_server(answering(data, close=name in UNTIL_CLOSE), body), loop)


@both_loops
@pytest.mark.fault(34, 37, 48)
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_answer_is_a_fault_of_the_network(loop: str, name: str) -> None:
    async def body(upstream: HttpUpstream, url: str) -> None:
        fault = await fault_of(read_all(upstream, request(url, Timeouts())))
        assert fault.kind is FaultKind.PROVIDER_UNAVAILABLE
        assert fault.source == "network"
        assert "SSH" not in f"{fault}"

    run(with_server(answering(BROKEN[name], close=True), body), loop)


@both_loops
@pytest.mark.fault(33)
@pytest.mark.parametrize("head", [HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", HEAD + b"\r\n{}"])
def test_what_came_before_a_reset_is_given_out_first(loop: str, head: bytes) -> None:
    arrived = asyncio.Event()

    async def body(upstream: HttpUpstream, url: str) -> None:
        # A server resets when it closes with a part of the request unread.
        answer = await upstream.send(request(url, Timeouts(), body=b"x" * 30_000_000))
        assert await answer.read() == b"{}"
        arrived.set()
        assert (await fault_of(answer.read())).kind is FaultKind.PROVIDER_UNAVAILABLE
        answer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        await arrived.wait()
        writer.transport.abort()

    run(with_server(serve, body), loop)


@both_loops
def test_headers_come_in_order_with_small_names(loop: str) -> None:
    head = b"HTTP/1.1 429 Too Many\r\nRetry-After:  7 \r\nSet-Cookie: a=1\r\nSet-Cookie: b=\xff\r\n"

    async def body(upstream: HttpUpstream, url: str) -> None:
        answer = await upstream.send(request(url))
        assert answer.status == 429
        assert answer.headers == (
            ("retry-after", "7"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=ÿ"),
            ("content-length", "0"),
        )
        assert await answer.read() == b""
        assert await answer.read() == b""
        answer.close()

    run(with_server(answering(head + b"Content-Length: 0\r\n\r\n"), body), loop)


@both_loops
def test_all_that_waits_comes_at_once(loop: str) -> None:
    written = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(chunked(TEXT))
        await writer.drain()
        written.set()
        await reader.read()

    async def body(upstream: HttpUpstream, url: str) -> None:
        answer = await upstream.send(request(url))
        await written.wait()
        assert await answer.read() == TEXT
        assert await answer.read() == b""
        answer.close()

    run(with_server(serve, body), loop)


@both_loops
@pytest.mark.fault(40)
@pytest.mark.parametrize("packed", [False, True])
def test_a_provider_that_is_faster_than_the_caller_has_to_wait(loop: str, packed: bool) -> None:
    """An endless line: what nobody takes stays with the provider."""
    text = b"".join(b"%d " % (number * number) for number in range(500_000))
    whole = text * 8
    sent = gzip.compress(text, 1) * 8 if packed else whole
    written = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await read_request(reader)
        encoding = b"gzip" if packed else b"identity"
        writer.write(HEAD + b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (encoding, len(sent)))
        for at in range(0, len(sent), 65536):
            writer.write(sent[at : at + 65536])
            await writer.drain()
            written = at + 65536

    async def body(upstream: HttpUpstream, url: str) -> None:
        answer = await upstream.send(request(url, Timeouts()))
        before = -1
        while before != written:  # until nothing moves any more
            before = written
            await asyncio.sleep(0.2)
        assert written < len(sent)
        size, largest, check = 0, 0, zlib.crc32(b"")
        while data := await answer.read():
            size += len(data)
            largest = max(largest, len(data))
            check = zlib.crc32(data, check)
        answer.close()
        assert (size, check) == (len(whole), zlib.crc32(whole))
        assert largest <= 1024 * 1024

    run(with_server(serve, body), loop)


async def read_all_away(answer: HttpAnswer) -> None:
    try:
        while await answer.read():
            pass
    finally:
        answer.close()


@pytest.mark.fault(37)
def test_a_bomb_is_found_before_it_takes_memory() -> None:
    bomb = sized(gzip.compress(b"\0" * 200_000_000), b"Content-Encoding: gzip")

    async def body(upstream: HttpUpstream, url: str) -> None:
        tracemalloc.start()
        try:
            await fault_of(read_all_away(await upstream.send(request(url, Timeouts()))))
            assert tracemalloc.get_traced_memory()[1] < 8_000_000
        finally:
            tracemalloc.stop()

    run(with_server(answering(bomb), body))


class FakeTransport(asyncio.Transport):
    """Takes everything."""

    def __init__(self) -> None:
        super().__init__()
        self.closing = False

    def write(self, data: object) -> None:
        pass

    def abort(self) -> None:
        self.closing = True

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def read_pieces(pieces: list[bytes], *, close: bool) -> bytes:
    """What a caller reads when the answer comes in exactly these pieces."""
    loop = asyncio.get_running_loop()
    connection = Connection(Origin(tls=False, host="h", port=1), loop, lambda _: None)
    connection.connection_made(FakeTransport())
    answer = HttpAnswer(Pool(), connection, Timeouts(), stream=True, sent_s=loop.time())

    async def ask() -> bytes:
        try:
            await answer.ask(b"", b"")
            got = b""
            while data := await answer.read():
                got += data
            return got
        finally:
            answer.close()

    task = loop.create_task(ask())
    await asyncio.sleep(0)
    for piece in pieces:
        await asyncio.sleep(0)
        if connection.is_clean or not task.done():
            connection.data_received(piece)
    if close:
        connection.eof_received()
        connection.connection_lost(None)
    return await task


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted({**SOUND, **UNTIL_CLOSE})), st.data())
def test_any_split_gives_the_same_answer(name: str, data: st.DataObject) -> None:
    whole = {**SOUND, **UNTIL_CLOSE}[name]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=20)))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True) if start < end]
    assert asyncio.run(read_pieces(pieces, close=name in UNTIL_CLOSE)) == TEXT


@pytest.mark.parametrize("name", [*SOUND, *UNTIL_CLOSE])
def test_byte_by_byte_gives_the_same_answer(name: str) -> None:
    whole = {**SOUND, **UNTIL_CLOSE}[name]
    pieces = [whole[at : at + 1] for at in range(len(whole))]
    assert asyncio.run(read_pieces(pieces, close=name in UNTIL_CLOSE)) == TEXT


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.sampled_from(sorted(SOUND.values())).flatmap(damaged)), st.integers(1, 99))
def test_garbage_is_an_answer_or_a_fault_and_nothing_else(data: bytes, size: int) -> None:
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    try:
        asyncio.run(read_pieces(pieces, close=True))
    except FaultError as error:
        assert error.fault.kind is FaultKind.PROVIDER_UNAVAILABLE  # noqa: PT017


@pytest.mark.parametrize("loop", LOOPS)
def test_waiting_for_a_part_cuts_nothing_off_and_keeps_the_limits(loop: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
        await reader.read(1)

    async def body(upstream: HttpUpstream, url: str) -> None:
        answer = await upstream.send(request(url, stream=True))
        assert await answer.arrives(5)
        assert await answer.read() == b"ab"
        assert not await answer.arrives(0.01)
        # Silence is a failure in the end, however often one asks.
        started_s = time.monotonic()
        while not await answer.arrives(0.05):
            assert time.monotonic() - started_s < 5
        with pytest.raises(FaultError) as caught:
            await answer.read()
        assert caught.value.fault.kind is FaultKind.PROVIDER_TIMEOUT
        answer.close()

    run(with_server(serve, body), loop)
