"""What the client sends: the exact bytes, large bodies, and servers that answer before they have read it all."""

import asyncio

import pytest

from support.scripted_tcp import LOOPS, OK, QUICK, answering, read_all, read_request, request, run, with_server
from tollhouse.catalog.entries import Timeouts
from tollhouse.upstream.client import HttpUpstream, UpstreamRequest
from tollhouse.upstream.request_bytes import Origin, render_request

both_loops = pytest.mark.parametrize("loop", LOOPS)


@both_loops
def test_a_request_is_these_bytes_and_no_others(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            seen.append(await read_request(reader))
            writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\n{}")

    async def body(upstream: HttpUpstream, url: str) -> None:
        for _ in range(2):
            await read_all(upstream, request(url, body=b'{"a":1}'))
        port = url.partition("127.0.0.1:")[2].partition("/")[0]
        expected = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
            'authorization: Bearer secret\r\nContent-Length: 7\r\n\r\n{"a":1}'
        )
        assert seen == [expected.encode()] * 2

    run(with_server(serve, body), loop)


@pytest.mark.parametrize(
    ("url", "origin", "begins"),
    [
        ("https://api.example.com/v1", Origin(True, "api.example.com", 443), "POST /v1 HTTP/1.1\r\nHost: api.ex"),
        ("https://h:8443", Origin(True, "h", 8443), "POST / HTTP/1.1\r\nHost: h:8443\r\n"),
        ("http://h:80/a b?c=d%20&e=é", Origin(False, "h", 80), "POST /a%20b?c=d%20&e=%C3%A9 HTTP/1.1\r\nHost: h\r\n"),
        ("http://[::1]:81/x#part", Origin(False, "::1", 81), "POST /x HTTP/1.1\r\nHost: [::1]:81\r\n"),
        ("http://BÜCHER.example/", Origin(False, "xn--bcher-kva.example", 80), "POST / HTTP/1.1\r\nHost: xn--bcher"),
    ],
)  # fmt: skip
def test_a_url_says_where_and_what(url: str, origin: Origin, begins: str) -> None:
    where, head = render_request(url, ())
    assert where == origin
    assert head.decode("ascii").startswith(begins)
    assert head.endswith(b"\r\nContent-Length: ")


@pytest.mark.parametrize(
    "header",
    [
        ("x", "a\r\nTransfer-Encoding: chunked"),
        ("x", "a\nb"),
        ("x", "a\rb"),
        ("x", "a\0b"),
        ("x", "\ud800"),
        ("x\r\ny", "a"),
        ("x y", "a"),
        ("x:", "a"),
        ("", "a"),
        ("é", "a"),
        ("Content-Length", "1"),
        ("Transfer-Encoding", "chunked"),
        ("Host", "other"),
        ("connection", "close"),
    ],
)
def test_a_header_that_could_end_early_is_refused_before_anything_is_sent(header: tuple[str, str]) -> None:
    asked = UpstreamRequest(url="http://127.0.0.1:9/", headers=(header,), body=b"", timeouts=QUICK, stream=True)

    async def body() -> None:
        upstream = HttpUpstream()
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            await upstream.send(asked)
        assert "chunked" not in str(caught.value)
        await upstream.close()

    run(body())


@pytest.mark.parametrize(
    "url", ["ftp://h/", "h/v1", "http:///v1", "http://user:pass@h/", "http://h:99999/", "http://["]
)
def test_a_url_that_cannot_be_called_is_refused(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        render_request(url, ())


@both_loops
@pytest.mark.parametrize("size", [0, 65536, 65537, 300_000, 20_000_000])
def test_a_body_of_any_size_arrives_whole_though_the_server_reads_slowly(loop: str, size: int) -> None:
    sent = (bytes(range(251)) * (size // 251 + 1))[:size]
    got: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(0.05)  # the sender runs into the limits of its buffers
            got.append(await reader.readexactly(size))
            writer.write(OK)

    async def body(upstream: HttpUpstream, url: str) -> None:
        for _ in range(2):
            assert await read_all(upstream, request(url, Timeouts(), body=sent)) == b"{}"

    run(with_server(serve, body), loop)
    assert got == [sent, sent]


@both_loops
def test_an_early_refusal_is_read_and_the_rest_is_not_sent(loop: str) -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        rest = await reader.read()  # until the client goes, which has far more to send
        assert len(rest) < 30_000_000

    async def body(upstream: HttpUpstream, url: str) -> None:
        for _ in range(2):
            answer = await upstream.send(request(url, Timeouts(), body=b"x" * 60_000_000))
            assert answer.status == 413
            assert await answer.read() == b"big"
            answer.close()

    run(with_server(serve, body), loop)
    assert connections == 2


@both_loops
def test_an_answer_may_come_while_the_body_still_goes_out(loop: str) -> None:
    sent = b"x" * 20_000_000

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nearly\r\n")
        await writer.drain()
        assert await reader.readexactly(len(sent)) == sent
        writer.write(b"4\r\nlate\r\n0\r\n\r\n")
        await reader.read()

    async def body(upstream: HttpUpstream, url: str) -> None:
        answer = await upstream.send(request(url, Timeouts(), body=sent))
        assert await answer.read() == b"early"
        assert await answer.read() == b"late"
        assert await answer.read() == b""
        answer.close()

    run(with_server(serve, body), loop)


@both_loops
@pytest.mark.fault(47)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(loop: str, status: int) -> None:
    head = b"HTTP/1.1 %d Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n" % status

    async def body(upstream: HttpUpstream, url: str) -> None:
        answer = await upstream.send(request(url))
        assert answer.status == status
        assert await answer.read() == b""
        answer.close()

    run(with_server(answering(head, b"HTTP/1.1 500 Asked twice\r\nContent-Length: 0\r\n\r\n"), body), loop)
