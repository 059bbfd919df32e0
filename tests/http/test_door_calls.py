"""Routes, keys, ids and the plain answers of the door, over real sockets."""

import asyncio
import re

import msgspec
import pytest

from support.door import KEY, PRINCIPAL, Answer, House, post, request, run
from tollhouse.catalog.entries import Catalog
from tollhouse.http.cors import EXPOSED, Cors
from tollhouse.http.door import Readiness
from tollhouse.http.request_id import clean_client_id, new_request_id
from tollhouse.relay.call import Call, Caller

ID = re.compile(r"[0-9a-f]{44}")
AUTH = f"Authorization: Bearer {KEY}"


def test_a_call_reaches_the_relay_with_all_that_it_needs() -> None:
    async def story() -> None:
        async with House().open() as house:
            answer = await house.ask(post("/one/v1/chat?beta=true", b'{"a":1}', "X-Unknown: 1", "anthropic-beta: x"))
            assert answer.status == 200
            (call,) = house.calls
            assert call.body == b'{"a":1}'
            assert call.principal == PRINCIPAL
            assert call.voice is house.dialects[0]
            assert call.endpoint == "/one/v1/chat"
            assert call.headers["x-unknown"] == "1"
            assert call.headers["anthropic-beta"] == "x"
            assert answer.headers["x-request-id"] == call.request_id
            assert house.app.in_flight == 0

    run(story())


@pytest.mark.row(139)
@pytest.mark.parametrize(
    ("method", "path", "status", "dialect"),
    [
        ("GET", "/nowhere", 404, None),
        ("POST", "/", 404, None),
        ("GET", "/one/v1/nowhere", 404, "one"),
        ("GET", "/one/v1/two/nowhere", 404, "two"),
        ("GET", "/one/v1", 404, "one"),
        ("GET", "/one/v10", 404, None),
        ("GET", "/one/v1/chat", 405, "one"),
        ("HEAD", "/one/v1/chat", 405, "one"),
        ("PUT", "/one/v1/two/chat", 405, "two"),
        ("POST", "/one/v1/models", 405, "one"),
        ("POST", "/healthz", 405, "one"),
        ("POST", "/metrics", 405, None),
        ("GET", "/one/v1/chat/", 404, "one"),
    ],
)
def test_an_unknown_path_is_404_and_a_wrong_method_405(
    method: str, path: str, status: int, dialect: str | None
) -> None:
    async def story() -> None:
        async with House().open() as house, house.client() as client:
            client.send(request(method, path, AUTH))
            answer = await client.answer(head_only=method == "HEAD")
            assert answer.status == status
            assert answer.headers["content-type"] == "application/json"
            assert ID.fullmatch(answer.headers["x-request-id"])
            assert ("allow" in answer.headers) == (status == 405)
            if method != "HEAD":
                assert answer.json().get("dialect") == dialect
                assert answer.json().get("kind", answer.json().get("error")) in {"not_found", "method_not_allowed"}
            # The connection goes on.
            client.send(post())
            assert (await client.answer()).status == 200

    run(story())


@pytest.mark.fault(24)
@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request("TRACE", "/one/v1/models", AUTH), 405),
        (request("OPTIONS", "/one/v1/chat", AUTH), 405),
        (request("OPTIONS", "*", AUTH), 404),
        (request("DELETE", "/one/v1/models", AUTH), 405),
        (request("PROPFIND", "/one/v1/models", AUTH), 405),
        (request("BREW", "/one/v1/models", AUTH), 405),
        (request("get", "/one/v1/models", AUTH), 405),
        (request("CONNECT", "gateway:443", AUTH), 405),
        (request("GET", "http://gateway/one/v1/models", AUTH), 404),
        (request("GET", "//one/v1/models", AUTH), 404),
        (request("GET", "//admin", AUTH), 404),
        (request("GET", "/one%2Fv1/models", AUTH), 404),
        (request("GET", "/one/v1/%6dodels", AUTH), 404),
        (request("GET", "/one/v1/x/../models", AUTH), 404),
        (request("GET", "/one/v1/./models", AUTH), 404),
        (request("GET", "/one/v1/models%00", AUTH), 404),
        (request("GET", "/ONE/v1/models", AUTH), 404),
        (request("GET", "/one/v1/models#x", AUTH), 404),
    ],
)
def test_no_second_spelling_of_a_path_or_method_gets_in(data: bytes, status: int) -> None:
    async def story() -> None:
        async with House().open() as house:
            answer = await house.ask(data)
            assert answer.status == status
            assert answer.headers["content-type"] == "application/json"
            assert ID.fullmatch(answer.headers["x-request-id"])
            assert not house.calls
            assert not house.keys

    run(story())


@pytest.mark.parametrize("path", ["/one/v1", "/one/v1/", "/one/v1/two", "/healthz", "/metrics"])
def test_head_answers_on_roots_and_wherever_get_does(path: str) -> None:
    async def story() -> None:
        async with House().open() as house, house.client() as client:
            client.send(request("HEAD", path) + request("GET", "/healthz"))
            assert (await client.answer(head_only=True)).status == 200
            assert (await client.answer()).json() == {"status": "ok"}

    run(story())


@pytest.mark.row(115)
def test_health_and_readiness_tell_in_the_dialects_words() -> None:
    async def story() -> None:
        house = House(readiness=Readiness(books_ok=False, limits_ok=True))
        async with house.open():
            health = await house.ask(request("GET", "/healthz?x=1"))
            assert (health.status, health.json()) == (200, {"status": "ok"})
            ready = await house.ask(request("GET", "/readyz"))
            assert (ready.status, ready.json()) == (503, {"books": False, "limits": True})
            house.readiness = Readiness(books_ok=True, limits_ok=True)
            assert (await house.ask(request("GET", "/readyz"))).status == 200
            house.app.drain()
            assert (await house.ask(request("GET", "/readyz"))).status == 503
            assert not house.keys

    run(story())


def test_metrics_are_served_as_text() -> None:
    async def story() -> None:
        async with House().open() as house:
            answer = await house.ask(request("GET", "/metrics"))
            assert answer.body == b"up 1\n"
            assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")

    run(story())


def test_the_list_of_models_is_made_once_per_catalogue_and_needs_a_key() -> None:
    async def story() -> None:
        async with House().open() as house:
            assert (await house.ask(request("GET", "/one/v1/models"))).status == 401
            for _ in range(3):
                answer = await house.ask(request("GET", "/one/v1/models?limit=1000", AUTH))
                assert (answer.status, answer.body) == (200, b'{"data":[]}')
            assert house.dialects[0].listed == 1
            house.catalog = Catalog({}, ())
            await house.ask(request("GET", "/one/v1/models", AUTH))
            assert house.dialects[0].listed == 2

    run(story())


@pytest.mark.row(60)
def test_every_answer_has_an_id_of_ours_and_the_callers_own_is_only_noted() -> None:
    async def story() -> None:
        async with House().open() as house:
            answers: list[Answer] = [
                await house.ask(post("/one/v1/chat", b"{}", "X-Request-Id: mine-1")),
                await house.ask(post("/one/v1/chat", b"{}", key="bad")),
                await house.ask(request("GET", "/healthz")),
                await house.ask(request("GET", "/nowhere")),
                await house.ask(b"nonsense\r\n\r\n"),
            ]
            ids = [answer.headers["x-request-id"] for answer in answers]
            assert all(ID.fullmatch(each) for each in ids)
            assert len(set(ids)) == len(ids)
            assert house.calls[0].client_request_id == "mine-1"

    run(story())


def test_a_callers_id_is_kept_only_when_it_is_harmless() -> None:
    assert clean_client_id("a b-1") == "a b-1"
    assert clean_client_id(None) is None
    assert clean_client_id("") is None
    assert clean_client_id("x" * 128) == "x" * 128
    assert clean_client_id("x" * 129) is None
    assert clean_client_id("a\x1b[31m") is None
    assert clean_client_id("caf\xe9") is None


def test_ids_do_not_repeat() -> None:
    ids = {new_request_id() for _ in range(2000)}
    assert len(ids) == 2000
    assert all(ID.fullmatch(each) for each in ids)


def test_an_answer_goes_out_whole_with_a_length_and_a_stream_in_chunks() -> None:
    async def stream(call: Call, caller: Caller) -> None:
        await caller.start(200, ((b"content-type", b"text/event-stream"),))
        for part in (b"one", b"", b"two"):
            await caller.write(part)
        await caller.end(b"three")

    async def story() -> None:
        async with House(handle=stream).open() as house, house.client() as client:
            for _ in range(2):
                client.send(post())
                answer = await client.answer()
                assert answer.headers["transfer-encoding"] == "chunked"
                assert "content-length" not in answer.headers
                assert "connection" not in answer.headers
                assert answer.body == b"onetwothree"
            assert (await house.ask(request("GET", "/healthz"))).headers["content-length"] == "15"

    run(story())


def test_an_http_1_0_caller_gets_his_stream_unframed_and_closed() -> None:
    async def stream(call: Call, caller: Caller) -> None:
        await caller.start(200, ())
        await caller.write(b"one")
        await caller.end(b"two")

    async def story() -> None:
        async with House(handle=stream).open() as house:
            answer = await house.ask(post().replace(b"HTTP/1.1", b"HTTP/1.0"))
            assert answer.headers["connection"] == "close"
            assert "transfer-encoding" not in answer.headers
            assert answer.body == b"onetwo"

    run(story())


def test_headers_that_the_relay_sets_itself_stand_once() -> None:
    async def whole(call: Call, caller: Caller) -> None:
        await caller.start(200, ((b"content-length", b"2"), (b"x-request-id", call.request_id.encode())))
        await caller.end(b"ok")

    async def story() -> None:
        async with House(handle=whole).open() as house:
            answer = await house.ask(post())
            assert (answer.body, answer.headers["x-request-id"]) == (b"ok", house.calls[0].request_id)

    run(story())


def test_a_line_break_in_an_answers_header_becomes_a_500_in_the_dialects_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def split(call: Call, caller: Caller) -> None:
        await caller.start(200, ((b"x-model", b"a\r\nset-cookie: b"),))
        await caller.end(b"ok")

    async def story() -> None:
        async with House(handle=split).open() as house:
            answer = await house.ask(post())
            assert answer.status == 500
            assert "set-cookie" not in answer.headers
            assert answer.json()["dialect"] == "one"
            assert "line break" not in answer.body.decode()

    run(story())
    assert "Exception in ASGI application" in caplog.text


def test_cors_is_off_unless_configured() -> None:
    async def story() -> None:
        async with House().open() as house:
            answer = await house.ask(post("/one/v1/chat", b"{}", "Origin: https://chat.example"))
            assert not [name for name in answer.headers if name.startswith("access-control")]

    run(story())


def test_cors_lets_the_named_origins_in_and_exposes_our_headers() -> None:
    origin = "Origin: https://chat.example"

    async def story() -> None:
        async with House(options={"cors": Cors(origins=("https://chat.example",))}).open() as house:
            answer = await house.ask(post("/one/v1/chat", b"{}", origin))
            assert answer.headers["access-control-allow-origin"] == "https://chat.example"
            assert answer.headers["access-control-expose-headers"].split(", ") == list(EXPOSED)
            preflight = await house.ask(
                request(
                    "OPTIONS", "/one/v1/chat", origin, "Access-Control-Request-Headers: authorization, content-type"
                )
            )
            assert preflight.status == 204
            assert "content-length" not in preflight.headers
            assert preflight.headers["access-control-allow-methods"] == "POST"
            assert preflight.headers["access-control-allow-headers"] == "authorization, content-type"
            assert ID.fullmatch(preflight.headers["x-request-id"])
            stranger = await house.ask(post("/one/v1/chat", b"{}", "Origin: https://evil.example"))
            assert "access-control-allow-origin" not in stranger.headers
            assert stranger.headers["vary"] == "Origin"
            assert (await house.ask(request("OPTIONS", "/nowhere", origin))).status == 404

    run(story())


def test_any_origin_may_be_allowed() -> None:
    assert dict(Cors(origins=("*",)).answer_headers("https://a.example"))[b"access-control-allow-origin"] == b"*"


def test_draining_lets_calls_end_and_closes_connections() -> None:
    async def story() -> None:
        go = asyncio.Event()

        async def slow(call: Call, caller: Caller) -> None:
            await caller.start(200, ())
            await caller.write(b"begun")
            await go.wait()
            await caller.end(b"done")

        async with House(handle=slow).open() as house, house.client() as running, house.client() as other:
            other.send(request("GET", "/healthz"))
            assert "connection" not in (await other.answer()).headers
            running.send(post())
            await running.reader.readuntil(b"begun")
            house.app.drain()
            other.send(request("GET", "/healthz"))
            assert (await other.answer()).headers["connection"] == "close"
            assert await other.closed() == b""
            assert house.app.in_flight == 1
            go.set()
            await running.reader.readuntil(b"done")
            assert house.app.in_flight == 0

    run(story())


def test_two_dialects_cannot_serve_the_same_route() -> None:
    house = House()
    door = msgspec.structs.replace(house.app._door, dialects=(house.dialects[0], house.dialects[0]))
    with pytest.raises(ValueError, match="two routes for POST /one/v1/chat"):
        type(house.app)(door)
