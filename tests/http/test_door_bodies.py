"""Bodies: caps, deadlines, encodings and the order of the checks, over real sockets."""

import asyncio
import gzip
import time
import tracemalloc

import pytest

from support.door import KEY, House, post, request, run, until
from tollhouse.http.body import BodyBudget
from tollhouse.http.limits import Limits
from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.relay.call import Call, Caller

HEAD = f"POST /one/v1/chat HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {KEY}\r\n".encode()
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.mark.fault(3)
@pytest.mark.row(58)
def test_too_long_a_body_is_refused_by_its_length_before_it_is_read_or_the_key_looked_at() -> None:
    async def story() -> None:
        async with House(limits=Limits(max_body_bytes=1000)).open() as house, house.client() as client:
            client.send(HEAD + b"Content-Length: 1001\r\n\r\n")
            answer = await client.answer()
            assert (answer.status, answer.json()["kind"]) == (413, "body_too_large")
            assert answer.json()["dialect"] == "one"
            assert answer.headers["connection"] == "close"
            assert await client.closed() == b""
            assert not house.keys
            assert not house.calls
            assert (await house.ask(post(body=b"x" * 1000))).json()["size"] == 1000

    run(story())


@pytest.mark.fault(3)
def test_a_caller_who_still_sends_his_long_body_can_read_the_refusal() -> None:
    async def story() -> None:
        async with House(limits=Limits(max_body_bytes=1000)).open() as house, house.client() as client:
            client.send(HEAD + b"Content-Length: 8000000\r\n\r\n")
            client.send(b"x" * 8_000_000)
            assert (await client.answer()).status == 413
            assert await client.closed() == b""

    run(story())


@pytest.mark.fault(4)
def test_a_chunked_body_is_counted_while_it_is_read() -> None:
    async def story() -> None:
        async with House(limits=Limits(max_body_bytes=1000)).open() as house, house.client() as client:
            client.send(CHUNKED + chunk(b"x" * 600))
            client.send(chunk(b"x" * 600))
            answer = await client.answer()
            assert (answer.status, answer.headers["connection"]) == (413, "close")
            assert await client.closed() == b""
            assert not house.calls
            whole = await house.ask(CHUNKED + chunk(b"x" * 600) + chunk(b"y" * 400) + b"0\r\n\r\n")
            assert whole.json()["size"] == 1000

    run(story())


@pytest.mark.fault(4)
def test_a_small_chunked_body_over_the_limit_that_came_at_once_is_refused_too() -> None:
    async def story() -> None:
        async with House(limits=Limits(max_body_bytes=10)).open() as house:
            assert (await house.ask(CHUNKED + chunk(b"x" * 11) + b"0\r\n\r\n")).status == 413
            assert not house.calls

    run(story())


@pytest.mark.fault(10)
@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "gzip, identity", "zstd", "nonsense"])
def test_a_compressed_body_is_refused_and_not_unpacked(coding: str) -> None:
    async def story() -> None:
        async with House().open() as house:
            bomb = gzip.compress(b"\0" * 1_000_000)
            answer = await house.ask(post("/one/v1/chat", bomb, f"Content-Encoding: {coding}"))
            assert (answer.status, answer.json()["kind"]) == (415, "unsupported_encoding")
            assert not house.calls
            plain = await house.ask(post("/one/v1/chat", b"{}", "Content-Encoding: Identity"))
            assert plain.status == 200

    run(story())


@pytest.mark.fault(18)
def test_a_body_of_one_byte_a_second_is_late() -> None:
    async def story() -> None:
        limits = Limits(body_deadline_s=0.2, tick_s=0.02)
        async with House(limits=limits).open() as house, house.client() as client:
            started_s = time.monotonic()
            client.send(HEAD + b"Content-Length: 100\r\n\r\n{")
            answer = await client.answer()
            assert (answer.status, answer.json()["kind"]) == (408, "request_timeout")
            assert answer.headers["connection"] == "close"
            assert 0.1 < time.monotonic() - started_s < 5
            assert await client.closed() == b""
            assert not house.calls

    run(story())


def test_a_long_body_may_take_longer_while_it_comes_fast_enough() -> None:
    async def story() -> None:
        limits = Limits(body_deadline_s=0.1, min_body_bytes_per_s=1000, tick_s=0.02)
        async with House(limits=limits).open() as house, house.client() as client:
            client.send(HEAD + b"Content-Length: 1001\r\n\r\n" + b"x" * 1000)
            await asyncio.sleep(0.3)
            client.send(b"x")
            assert (await client.answer()).json()["size"] == 1001

    run(story())


@pytest.mark.fault(1, 2)
@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'{"a"', b"\xff"])
def test_what_a_body_says_is_the_dialects_business(body: bytes) -> None:
    async def story() -> None:
        async with House().open() as house:
            assert (await house.ask(post(body=body))).status == 200
            assert house.calls[0].body == body

    run(story())


@pytest.mark.fault(1)
def test_a_body_cut_short_makes_no_call() -> None:
    async def story() -> None:
        async with House().open() as house, house.client() as client:
            client.send(HEAD + b"Content-Length: 100\r\n\r\n{}")
            client.writer.write_eof()
            assert await client.closed() == b""
            assert house.keys == [KEY]
            assert not house.calls

    run(story())


def test_a_bad_key_is_refused_before_the_body_is_read() -> None:
    async def story() -> None:
        async with House().open() as house, house.client() as client:
            client.send(HEAD.replace(KEY.encode(), b"bad") + b"Content-Length: 40000000\r\n\r\n")
            answer = await client.answer()
            assert (answer.status, answer.headers["connection"]) == (401, "close")
            assert await client.closed() == b""

    run(story())


def test_a_bad_key_with_a_small_body_that_is_there_keeps_the_connection() -> None:
    async def story() -> None:
        async with House().open() as house, house.client() as client:
            client.send(post(key="bad"))
            answer = await client.answer()
            assert (answer.status, answer.headers.get("connection")) == (401, None)
            client.send(post())
            assert (await client.answer()).status == 200

    run(story())


def test_a_caller_is_stopped_while_his_key_is_checked() -> None:
    async def story() -> None:
        house = House(gate=asyncio.Event())
        async with house.open(), house.client() as client:
            client.send(HEAD + b"Content-Length: 30000000\r\n\r\n")
            client.send(b"x" * 30_000_000)
            await until(lambda: bool(house.keys))
            (connection,) = house.state.connections
            await until(lambda: connection.flow.read_paused)
            assert connection._active.body_bytes < 1_000_000
            assert house.gate is not None
            house.gate.set()
            assert (await client.answer()).json()["size"] == 30_000_000

    run(story())


def test_expect_100_continue_is_granted_only_after_key_and_length() -> None:
    async def story() -> None:
        expect = b"Expect: 100-continue\r\n"
        async with House(limits=Limits(max_body_bytes=1000)).open() as house, house.client() as client:
            client.send(HEAD + expect + b"Content-Length: 2\r\n\r\n")
            assert (await client.answer()).status == 100
            client.send(b"{}")
            assert (await client.answer()).json()["size"] == 2
            client.send(HEAD.replace(KEY.encode(), b"bad") + expect + b"Content-Length: 2\r\n\r\n")
            assert (await client.answer()).status == 401
            assert await client.closed() == b""
        async with house.open(), house.client() as client:
            client.send(HEAD + expect + b"Content-Length: 2000\r\n\r\n")
            assert (await client.answer()).status == 413

    run(story())


def test_bodies_in_flight_have_one_budget() -> None:
    async def story() -> None:
        go = asyncio.Event()
        begun = asyncio.Event()

        async def hold(call: Call, caller: Caller) -> None:
            begun.set()
            await go.wait()
            await caller.start(200, ())
            await caller.end(b"done")

        house = House(limits=Limits(max_bodies_bytes=1500), handle=hold)
        async with house.open(), house.client() as first:
            first.send(post(body=b"x" * 1000))
            await begun.wait()
            for data in (
                post(body=b"x" * 501),
                HEAD + b"Content-Length: 501\r\n\r\n",
                CHUNKED + chunk(b"x" * 501) + b"0\r\n\r\n",
            ):
                answer = await house.ask(data)
                assert (answer.status, answer.json()["kind"]) == (503, "busy")
            go.set()
            assert (await first.answer()).body == b"done"
            assert (await house.ask(post(body=b"x" * 1500))).status == 200
            assert house.app._budget.held_bytes == 0

    run(story())


def test_a_refusal_for_lack_of_room_says_when_to_come_back() -> None:
    budget = BodyBudget(10)
    budget.take(10)
    with pytest.raises(FaultError) as caught:
        budget.take(1)
    assert (caught.value.fault.kind, caught.value.fault.retry_after_s) == (FaultKind.BUSY, 1)


def test_the_budget_is_given_back_when_the_body_never_comes() -> None:
    async def story() -> None:
        async with House().open() as house:
            async with house.client() as client:
                client.send(HEAD + b"Content-Length: 100000\r\n\r\n{")
                await until(lambda: house.app._budget.held_bytes > 0)
                client.writer.transport.abort()
            await until(lambda: not house.app.in_flight)
            assert house.app._budget.held_bytes == 0

    run(story())


def test_a_body_where_none_belongs_is_not_waited_for() -> None:
    async def story() -> None:
        async with House().open() as house, house.client() as client:
            client.send(request("GET", "/healthz", "Content-Length: 50000000"))
            answer = await client.answer()
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            assert await client.closed() == b""

    run(story())


@pytest.mark.parametrize("size", [1, 65_536, 65_537, 300_000, 3_000_000])
def test_bodies_of_any_size_arrive_whole(size: int) -> None:
    async def story() -> None:
        body = bytes(range(256)) * (size // 256 + 1)
        async with House().open() as house, house.client() as client:
            for _ in range(2):
                client.send(post(body=body[:size]))
                assert (await client.answer()).json()["size"] == size
            assert house.calls[1].body == body[:size]

    run(story())


@pytest.mark.fault(4)
def test_a_body_in_chunks_of_one_byte_weighs_no_more_than_its_bytes() -> None:
    async def story() -> None:
        async with House().open() as house, house.client() as client:
            client.send(CHUNKED)
            tracemalloc.start()
            for _ in range(20):
                client.send(chunk(b"x") * 10_000)
                await client.writer.drain()
            await until(lambda: house.app._budget.held_bytes == 200_000)
            grown, _peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert grown < 3_000_000
            client.send(b"0\r\n\r\n")
            assert (await client.answer()).json()["size"] == 200_000

    run(story())
