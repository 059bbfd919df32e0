"""Requests that two readers could read in two ways: refused, and nothing after them is executed."""

import asyncio

import pytest

from support.door import KEY, House, post, request, run, until
from tollhouse.http.limits import Limits
from tollhouse.relay.call import Call, Caller

START = f"POST /one/v1/chat HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {KEY}\r\n".encode()
CHUNKED = START + b"Transfer-Encoding: chunked\r\n\r\n"
SECOND = post(body=b"smuggled")

AMBIGUOUS = {
    "length and chunks": START + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": START + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": START + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
    "the same length twice": START + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a list of lengths": START + b"Content-Length: 2, 2\r\n\r\n{}",
    "a signed length": START + b"Content-Length: +2\r\n\r\n{}",
    "a negative length": START + b"Content-Length: -2\r\n\r\n{}",
    "a hexadecimal length": START + b"Content-Length: 0x2\r\n\r\n{}",
    "an empty length": START + b"Content-Length: \r\n\r\n{}",
    "an endless length": START + b"Content-Length: 99999999999999999999999\r\n\r\n{}",
    "an unknown coding": START + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a coding before chunks": START + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunks twice": START + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "two codings": START + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "identity": START + b"Transfer-Encoding: identity\r\n\r\n",
    "an empty coding": START + b"Transfer-Encoding: \r\n\r\n0\r\n\r\n",
    "a vertical tab": START + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + b"0\r\n\r\n",
    "a folded header": START + b"X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "a folded coding": START + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a fold before the first header": b"POST /one/v1/chat HTTP/1.1\r\n Host: gateway\r\n\r\n",
    "a space before the colon": START + b"Content-Length : 2\r\n\r\n{}",
    "bare line feeds": START.replace(b"\r\n", b"\n") + b"Content-Length: 2\n\n{}",
    "one bare line feed": START + b"X-A: b\nContent-Length: 2\r\n\r\n{}",
    "a bare line feed at the end": START + b"Content-Length: 2\r\n\n{}",
    "a bare carriage return": START + b"X-A: b\rContent-Length: 2\r\n\r\n{}",
    "a NUL in a header": START + b"X-A: b\x00\r\nContent-Length: 2\r\n\r\n{}",
    "no line break after a chunk": CHUNKED + b"2\r\n{}0\r\n\r\n",
    "a wrong line break after a chunk": CHUNKED + b"2\r\n{}XX0\r\n\r\n",
    "a bare line feed after a chunk": CHUNKED + b"2\r\n{}\n0\r\n\r\n",
    "a bare line feed after a chunk's size": CHUNKED + b"2\n{}\r\n0\r\n\r\n",
    "a bare line feed in a chunk's extension": CHUNKED + b"2;a\nb\r\n{}\r\n0\r\n\r\n",
    "a signed chunk": CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n",
    "a chunk with 0x": CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n",
    "an endless chunk": CHUNKED + b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    "a length among the trailers": CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n",
    "two hosts": START + b"Host: other\r\nContent-Length: 2\r\n\r\n{}",
    "no host": START.replace(b"Host: gateway\r\n", b"") + b"Content-Length: 2\r\n\r\n{}",
    "two keys": START + b"Authorization: Bearer other\r\nContent-Length: 2\r\n\r\n{}",
    "HTTP/0.9": b"GET /healthz\r\n\r\n",
    "HTTP/2.0": START.replace(b"HTTP/1.1", b"HTTP/2.0") + b"Content-Length: 2\r\n\r\n{}",
    "HTTP/1.2": START.replace(b"HTTP/1.1", b"HTTP/1.2") + b"Content-Length: 2\r\n\r\n{}",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a space in the path": b"GET /one/v1/models x HTTP/1.1\r\nHost: gateway\r\n\r\n",
    "a byte beyond ASCII in the path": b"GET /one/v1/models\xff HTTP/1.1\r\nHost: gateway\r\n\r\n",
    "a TLS greeting": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@pytest.mark.fault(15)
@pytest.mark.parametrize("name", AMBIGUOUS)
@pytest.mark.parametrize("bytewise", [False, True], ids=["at once", "byte by byte"])
def test_an_ambiguous_request_is_400_and_the_next_is_not_executed(name: str, bytewise: bool) -> None:
    async def story() -> None:
        async with House().open() as house, house.client() as client:
            data = AMBIGUOUS[name] + SECOND
            for part in [data[at : at + 1] for at in range(len(data))] if bytewise else [data]:
                client.send(part)
                if bytewise:
                    await asyncio.sleep(0)
            answer = await client.answer()
            assert (answer.status, answer.headers["connection"]) == (400, "close")
            assert answer.headers["content-type"] == "application/json"
            assert len(answer.headers["x-request-id"]) == 44
            told = answer.json()
            assert told.get("kind", told.get("error")) == "invalid_request"
            assert await client.closed() == b""
            assert b"smuggled" not in [call.body for call in house.calls]
            assert not house.calls

    run(story())


@pytest.mark.fault(15)
def test_a_refusal_speaks_in_the_words_of_the_paths_dialect() -> None:
    async def story() -> None:
        async with House().open() as house:
            answer = await house.ask(AMBIGUOUS["two lengths"])
            assert (answer.json()["dialect"], answer.json()["at"]) == ("one", "/one/v1/chat")
            assert (await house.ask(AMBIGUOUS["a TLS greeting"])).json()["error"] == "invalid_request"

    run(story())


@pytest.mark.fault(15)
@pytest.mark.parametrize(
    "ending",
    [
        b"0\r\n\r\n",
        b"0;last=1\r\n\r\n",
        b"0\r\nX-Trailer: a\r\nHost: evil\r\nX-Api-Key: evil\r\n\r\n",
    ],
)
def test_extensions_and_trailers_of_chunks_change_nothing(ending: bytes) -> None:
    async def story() -> None:
        async with House().open() as house, house.client() as client:
            client.send(CHUNKED + b"1;a=b\r\n{\r\n01\r\n}\r\n" + ending + post(body=b"[]"))
            assert (await client.answer()).status == 200
            assert (await client.answer()).status == 200
            assert [call.body for call in house.calls] == [b"{}", b"[]"]
            assert "x-trailer" not in house.calls[0].headers
            assert "x-api-key" not in house.calls[0].headers
            assert house.calls[0].headers["host"] == "gateway"

    run(story())


@pytest.mark.fault(16)
@pytest.mark.parametrize("what", ["trailer", "extension"])
def test_an_endless_trailer_or_extension_is_cut(what: str) -> None:
    async def story() -> None:
        async with House().open() as house, house.client() as client:
            client.send(CHUNKED + b"2\r\n{}\r\n" + (b"0\r\nX-Trailer: " if what == "trailer" else b"2;a="))
            with_room = b"x" * 10_000
            for _ in range(30):
                client.send(with_room)
                await asyncio.sleep(0)
            assert (await client.answer()).status == 400
            assert not house.calls

    run(story())


@pytest.mark.fault(15)
def test_a_wish_to_upgrade_is_ignored_and_the_body_is_still_the_body() -> None:
    upgrade = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")

    async def story() -> None:
        async with House().open() as house, house.client() as client:
            inner = post(body=b"smuggled")
            client.send(post("/one/v1/chat", inner, *upgrade) + post("/one/v1/chat", b"[]", *upgrade))
            assert (await client.answer()).json()["size"] == len(inner)
            assert (await client.answer()).json()["size"] == 2
            assert [call.body for call in house.calls] == [inner, b"[]"]
            # The head and the body in pieces.
            data = post("/one/v1/chat", inner, *upgrade)
            for at in range(0, len(data), 7):
                client.send(data[at : at + 7])
                await asyncio.sleep(0)
            assert (await client.answer()).json()["size"] == len(inner)
            assert len(house.calls) == 3

    run(story())


def test_a_web_socket_is_answered_quickly_as_an_ordinary_request() -> None:
    async def story() -> None:
        async with House().open() as house:
            wish = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: a", "Sec-WebSocket-Version: 13")
            answer = await house.ask(request("GET", "/one/v1/chat", *wish))
            assert (answer.status, answer.json()["kind"]) == (405, "method_not_allowed")

    run(story())


@pytest.mark.fault(16)
@pytest.mark.parametrize(
    "data",
    [
        request("GET", "/healthz", *[f"X-{number}: a" for number in range(10_000)]),
        request("GET", "/healthz", *[f"X-{number}: a" for number in range(100)]),
        request("GET", "/healthz", "X-Long: " + "a" * 65_536),
        request("GET", "/healthz", "X" * 65_536 + ": a"),
        request("GET", "/healthz", *[f"X-{number}: " + "a" * 7000 for number in range(10)]),
        request("GET", "/healthz?" + "a" * 8192),
        request("GET", "/healthz?" + "a" * 100_000),
    ],
    ids=["10k headers", "101 headers", "a long value", "a long name", "together", "a long path", "a longer path"],
)
@pytest.mark.parametrize("step", [1 << 20, 9_000])
def test_too_many_or_too_long_headers_are_431(data: bytes, step: int) -> None:
    async def story() -> None:
        async with House().open() as house, house.client() as client:
            for at in range(0, len(data), step):
                client.send(data[at : at + step])
                await asyncio.sleep(0)
            answer = await client.answer()
            assert (answer.status, answer.json().get("kind", answer.json().get("error"))) == (431, "headers_too_large")
            assert answer.headers["connection"] == "close"
            assert await client.closed() == b""

    run(story())


@pytest.mark.fault(16)
def test_a_head_that_never_ends_is_431() -> None:
    async def story() -> None:
        async with House().open() as house, house.client() as client:
            client.send(b"GET /healthz HTTP/1.1\r\nHost: gateway\r\nX-Long: ")
            for _ in range(8):
                client.send(b"a" * 10_000)
                await asyncio.sleep(0)
            assert (await client.answer()).status == 431

    run(story())


def test_ordinary_headers_pass() -> None:
    async def story() -> None:
        async with House().open() as house, house.client() as client:
            many = [f"X-{number}: " + "a" * 600 for number in range(90)]
            for _ in range(3):
                client.send(request("GET", "/healthz", *many))
                assert (await client.answer()).status == 200
            # A long body before it is not counted as part of a head.
            client.send(post(body=b"x" * 70_000) + request("GET", "/healthz", *many))
            assert (await client.answer()).status == 200
            assert (await client.answer()).json() == {"status": "ok"}

    run(story())


@pytest.mark.fault(22)
def test_pipelined_requests_are_answered_in_order_one_at_a_time() -> None:
    async def story() -> None:
        running = 0

        async def alone(call: Call, caller: Caller) -> None:
            nonlocal running
            assert running == 0
            running += 1
            await asyncio.sleep(0.001)
            await caller.start(200, ())
            await caller.write(call.body)
            running -= 1
            await caller.end(b".")

        async with House(handle=alone).open() as house, house.client() as client:
            client.send(b"".join(post(body=b"%d" % number) for number in range(10)))
            assert [(await client.answer()).body for _ in range(10)] == [b"%d." % number for number in range(10)]
            client.send(post(body=b"more"))
            assert (await client.answer()).body == b"more."

    run(story())


@pytest.mark.fault(22)
def test_a_connection_is_used_again_after_errors() -> None:
    async def story() -> None:
        async with House().open() as house, house.client() as client:
            for _ in range(3):
                client.send(post(key="bad") + request("GET", "/nowhere") + post())
                assert [(await client.answer()).status for _ in range(3)] == [401, 404, 200]

    run(story())


@pytest.mark.fault(22, 15)
def test_a_call_before_a_faulty_request_is_still_answered_and_then_the_connection_closes() -> None:
    async def story() -> None:
        go = asyncio.Event()

        async def wait(call: Call, caller: Caller) -> None:
            await go.wait()
            await caller.start(200, ())
            await caller.end(b"first")

        async with House(handle=wait).open() as house, house.client() as client:
            client.send(post() + AMBIGUOUS["two lengths"] + SECOND)
            await until(lambda: bool(house.calls))
            go.set()
            answer = await client.answer()
            assert (answer.body, answer.headers["connection"]) == (b"first", "close")
            assert await client.closed() == b""
            assert len(house.calls) == 1

    run(story())


@pytest.mark.fault(22)
def test_a_flood_of_pipelined_requests_is_not_queued_without_end() -> None:
    async def story() -> None:
        go = asyncio.Event()

        async def wait(call: Call, caller: Caller) -> None:
            await go.wait()
            await caller.start(200, ())
            await caller.end(b"first")

        async with House(limits=Limits(max_pipelined=4), handle=wait).open() as house, house.client() as client:
            client.send(post() * 100)
            await until(lambda: bool(house.calls))
            go.set()
            assert (await client.answer()).headers["connection"] == "close"
            assert len(house.calls) == 1

    run(story())


@pytest.mark.fault(15)
def test_a_broken_chunk_in_the_middle_of_a_body_is_400_and_makes_no_call() -> None:
    async def story() -> None:
        async with House().open() as house, house.client() as client:
            client.send(CHUNKED + b"2\r\n{}\r\n")
            await until(lambda: bool(house.keys))
            client.send(b"nonsense\r\n" + SECOND)
            assert (await client.answer()).status == 400
            assert await client.closed() == b""
            await until(lambda: not house.app.in_flight)
            assert not house.calls
            assert house.app._budget.held_bytes == 0

    run(story())
