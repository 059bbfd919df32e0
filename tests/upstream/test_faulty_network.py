"""A provider behind a network that fails, at the level of TCP: each failure is a fault in time, and none leaks."""

import asyncio
import time

import pytest

from support.fault_proxy import CLEAR, FaultProxy, Weather
from support.scripted_tcp import answering, fault_of, read_all, request, run, serving
from tollhouse.catalog.entries import Timeouts
from tollhouse.ir.fault import FaultKind
from tollhouse.upstream.client import HttpUpstream, UpstreamRequest

TEXT = b"data: " + b"x" * 3000 + b"\n\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(TEXT)
HASTY = Timeouts(connect_s=0.5, first_byte_s=0.25, idle_s=0.2, total_s=2.0, stream_s=2.0)
STEADY = Timeouts(connect_s=0.5, first_byte_s=5, idle_s=5, total_s=5, stream_s=5)

pytestmark = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])


class Site:
    """A provider, the proxy before it, and a client."""

    def __init__(self, upstream: HttpUpstream, proxy: FaultProxy, url: str) -> None:
        self.upstream = upstream
        self.proxy = proxy
        self._url = f"{url}/v1/chat/completions"

    def asked(self, timeouts: Timeouts = HASTY, *, stream: bool = True) -> UpstreamRequest:
        return request(self._url, timeouts, stream=stream)


def through(loop, work) -> None:
    async def body() -> None:
        async with serving(answering(HEAD + TEXT)) as port:
            proxy = FaultProxy(("127.0.0.1", port))
            url = await proxy.start()
            upstream = HttpUpstream()
            try:
                await work(Site(upstream, proxy, url))
            finally:
                await upstream.close()
                await proxy.stop()

    run(body(), loop)


@pytest.mark.fault(31, 33)
@pytest.mark.parametrize(
    ("weather", "kind"),
    [
        pytest.param(Weather(refuse=True), FaultKind.PROVIDER_UNAVAILABLE, id="refuse"),
        pytest.param(Weather(reset_after=0), FaultKind.PROVIDER_UNAVAILABLE, id="reset before the head"),
        pytest.param(Weather(reset_after=40), FaultKind.PROVIDER_UNAVAILABLE, id="reset in the head"),
        pytest.param(Weather(reset_after=len(HEAD)), FaultKind.PROVIDER_UNAVAILABLE, id="reset after the head"),
        pytest.param(Weather(reset_after=1000), FaultKind.PROVIDER_UNAVAILABLE, id="reset in the body"),
        pytest.param(Weather(close_after=1000), FaultKind.PROVIDER_UNAVAILABLE, id="close in the body"),
        pytest.param(Weather(deaf=True), FaultKind.PROVIDER_TIMEOUT, id="deaf"),
        pytest.param(Weather(bytes_per_s=500.0), FaultKind.PROVIDER_TIMEOUT, id="bandwidth"),
    ],
)
def test_each_failure_is_a_fault_and_the_next_call_is_well(loop: str, weather: Weather, kind: FaultKind) -> None:
    async def work(site: Site) -> None:
        site.proxy.weather = weather
        assert (await fault_of(read_all(site.upstream, site.asked()))).kind is kind
        site.proxy.weather = CLEAR
        assert await read_all(site.upstream, site.asked()) == TEXT

    through(loop, work)


@pytest.mark.fault(32)
@pytest.mark.parametrize(
    ("bytes_sent", "stream", "words"),
    [
        (0, True, "did not begin its answer within 0.25 s"),
        (40, True, "did not begin its answer within 0.25 s"),
        (len(HEAD), True, "sent nothing for 0.25 s"),
        (len(HEAD) + 100, True, "fell silent in mid-answer for 0.2 s"),
        (0, False, "did not finish its answer within 2 s"),
    ],
    ids=["before the head", "in the head", "before the body", "in the body", "in one piece"],
)
def test_a_stall_ends_at_its_own_limit(loop: str, bytes_sent: int, stream: bool, words: str) -> None:
    async def work(site: Site) -> None:
        site.proxy.weather = Weather(blackhole_after=bytes_sent)
        started_s = time.monotonic()
        fault = await fault_of(read_all(site.upstream, site.asked(stream=stream)))
        assert fault.kind is FaultKind.PROVIDER_TIMEOUT
        assert words in fault.message
        assert time.monotonic() - started_s < (3.5 if not stream else 1.5)
        site.proxy.weather = CLEAR
        assert await read_all(site.upstream, site.asked()) == TEXT

    through(loop, work)


@pytest.mark.fault(39)
@pytest.mark.parametrize(
    "weather", [Weather(slice_bytes=1), Weather(slice_bytes=7), Weather(latency_s=0.05), Weather(bytes_per_s=20_000.0)]
)
def test_a_poor_line_changes_nothing_in_what_comes(loop: str, weather: Weather) -> None:
    async def work(site: Site) -> None:
        site.proxy.weather = weather
        assert await read_all(site.upstream, site.asked(STEADY)) == TEXT

    through(loop, work)


@pytest.mark.fault(33)
def test_a_kept_connection_that_fails_is_not_used_for_good(loop: str) -> None:
    async def work(site: Site) -> None:
        assert await read_all(site.upstream, site.asked()) == TEXT
        assert await read_all(site.upstream, site.asked()) == TEXT
        assert site.proxy.connections == 1
        site.proxy.weather = Weather(reset_after=0)
        assert (await fault_of(read_all(site.upstream, site.asked()))).kind is FaultKind.PROVIDER_UNAVAILABLE
        site.proxy.weather = CLEAR
        assert await read_all(site.upstream, site.asked()) == TEXT
        async with asyncio.timeout(5):
            await site.proxy.quiet(most=1)

    through(loop, work)
