"""The client over TLS: who is trusted, large bodies and streams, connections that are kept."""

import gc
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from support.certificate import server_context, trusting_context
from support.scripted_tcp import LOOPS, OK, Serve, answering, fault_of, read_all, request, run, serving
from tollhouse.catalog.entries import Timeouts
from tollhouse.ir.fault import FaultKind
from tollhouse.upstream.client import HttpUpstream

pytestmark = pytest.mark.parametrize("loop", LOOPS)
BIG = b"x" * 5_000_000
BIG_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BIG) + BIG


async def over_tls(
    folder: Path, serve: Serve, trust: ssl.SSLContext | None, body: Callable[[HttpUpstream, int], Awaitable[None]]
) -> None:
    async with serving(serve, server_context(folder)) as port:
        upstream = HttpUpstream(trust)
        try:
            await body(upstream, port)
        finally:
            await upstream.close()


def test_calls_go_both_ways_and_the_connection_is_kept(loop: str, tmp_path: Path) -> None:
    connections: list[object] = []
    script = answering(OK, BIG_ANSWER, OK)

    async def serve(reader, writer) -> None:
        connections.append(writer.get_extra_info("ssl_object").version())
        await script(reader, writer)

    async def body(upstream: HttpUpstream, port: int) -> None:
        url = f"https://localhost:{port}/v1"
        assert await read_all(upstream, request(url, Timeouts())) == b"{}"
        assert await read_all(upstream, request(url, Timeouts(), body=BIG)) == BIG
        assert await read_all(upstream, request(url, Timeouts())) == b"{}"

    run(over_tls(tmp_path, serve, trusting_context(), body), loop)
    gc.collect()
    assert connections == ["TLSv1.3"]


@pytest.mark.fault(31)
@pytest.mark.parametrize("case", ["unknown issuer", "other name", "no TLS there"])
def test_a_bad_certificate_is_a_fault_that_tells_nothing(loop: str, tmp_path: Path, case: str) -> None:
    asked = False

    async def serve(reader, writer) -> None:
        nonlocal asked
        asked = bool(await reader.read(1))

    async def body(upstream: HttpUpstream, port: int) -> None:
        host = "127.0.0.2" if case == "other name" else "localhost"
        fault = await fault_of(upstream.send(request(f"https://{host}:{port}/v1", Timeouts())))
        assert fault.kind is FaultKind.PROVIDER_UNAVAILABLE
        assert fault.source == "network"
        assert not any(word in f"{fault.message} {fault.detail}" for word in ("localhost", "127.0", "self-signed"))

    async def plain(reader, writer) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

    async def without_tls() -> None:
        async with serving(plain) as port:
            upstream = HttpUpstream(trusting_context())
            await body(upstream, port)
            await upstream.close()

    trust = None if case == "unknown issuer" else trusting_context()
    run(without_tls() if case == "no TLS there" else over_tls(tmp_path, serve, trust, body), loop)
    gc.collect()
    assert not asked


def test_an_answer_that_is_cut_off_leaves_nothing_behind(loop: str, tmp_path: Path) -> None:
    async def body(upstream: HttpUpstream, port: int) -> None:
        answer = await upstream.send(request(f"https://localhost:{port}/v1", Timeouts()))
        assert await answer.read()
        answer.close()
        assert await read_all(upstream, request(f"https://localhost:{port}/v1", Timeouts())) == BIG

    run(over_tls(tmp_path, answering(BIG_ANSWER), trusting_context(), body), loop)
    gc.collect()
