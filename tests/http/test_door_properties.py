"""However the bytes are cut, the same requests are read; whatever the bytes are, the door answers or closes."""

import asyncio
import itertools

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.door import Client, House, post, request, run
from tollhouse.http.limits import Limits

_LIMITS = Limits(header_deadline_s=0.05, body_deadline_s=0.05, keep_alive_s=0.05, linger_s=0.05, tick_s=0.01)
_CHUNKED = (
    b"POST /one/v1/chat HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer th-good\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\n1;x=y\r\nd\r\n0\r\nX-Trailer: 1\r\n\r\n"
)
_UPGRADE = post("/one/v1/chat", b"GET / HTTP/1.1\r\n\r\n", "Connection: Upgrade", "Upgrade: h2c")
_REQUESTS = {
    post(body=b"abc"): (200, 3),
    post(body=b""): (200, 0),
    post(body=b"x" * 700): (200, 700),
    _CHUNKED: (200, 4),
    _UPGRADE: (200, 18),
    post(body=b"", key="bad"): (401, None),
    request("GET", "/healthz?a=b"): (200, None),
    request("PUT", "/one/v1/chat", "Content-Length: 0"): (405, None),
    request("GET", "/nowhere"): (404, None),
}
_SLOW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


async def _send_in_pieces(client: Client, data: bytes, cuts: list[int]) -> None:
    edges = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    for start, end in itertools.pairwise(edges):
        client.send(data[start:end])
        await asyncio.sleep(0)


@_SLOW
@given(
    st.lists(st.sampled_from(sorted(_REQUESTS)), min_size=1, max_size=6), st.lists(st.integers(0, 5000), max_size=40)
)
def test_the_same_answers_come_however_the_requests_are_cut(requests: list[bytes], cuts: list[int]) -> None:
    async def story() -> None:
        async with House().open() as house, house.client() as client:
            await _send_in_pieces(client, b"".join(requests), cuts)
            for each in requests:
                status, size = _REQUESTS[each]
                answer = await client.answer()
                assert answer.status == status
                if size is not None:
                    assert answer.json()["size"] == size

    run(story())


_PARTS = st.sampled_from(
    [
        *sorted(_REQUESTS),
        b"\r\n",
        b"\n",
        b" ",
        b"\x00",
        b"POST /one/v1/chat HTTP/1.1\r\n",
        b"Host: g\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n",
        b"Upgrade: h2c\r\nConnection: upgrade\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"0\r\n\r\n",
        b"ffff\r\n",
    ]
)


@_SLOW
@given(st.lists(st.one_of(_PARTS, st.binary(max_size=20)), max_size=12), st.lists(st.integers(0, 2000), max_size=10))
def test_any_bytes_end_in_answers_and_a_closed_connection(parts: list[bytes], cuts: list[int]) -> None:
    async def story() -> None:
        async with House(limits=_LIMITS).open() as house, house.client() as client:
            await _send_in_pieces(client, b"".join(parts), cuts)
            received = await client.closed()
            assert not received or received.startswith(b"HTTP/1.1 ")
            assert b" 500 " not in received
            assert house.app._budget.held_bytes == 0

    run(story())
