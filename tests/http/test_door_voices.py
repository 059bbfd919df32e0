"""Routes with a voice, a key header or an operation of their own: who speaks at the door, who counts tokens, and what a
WebSocket is told."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from support.door import KEY, House, PlainDialect, post, request, run
from tollhouse.dialects.dialect import Operation, Route
from tollhouse.http.limits import Limits
from tollhouse.ir.fault import Fault, FaultError, FaultKind
from tollhouse.relay.call import Call

WISH = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: a", "Sec-WebSocket-Version: 13")


def other_key(headers: Mapping[str, str]) -> str | None:
    return headers.get("x-other-key")


class TwoVoices(PlainDialect):
    """Its chat is spoken by itself; `letters` and `letters/count` by another voice, with another key header."""

    def __init__(self) -> None:
        super().__init__("one", "/one/v1")
        other: dict[str, Any] = {"voice": PlainDialect("other", "/nowhere"), "read_key": other_key}
        letters, count, sockets = "/one/v1/letters", "/one/v1/letters/count", "/one/v1/sockets"
        self.routes += (
            Route(method="POST", path=letters, operation=Operation.CHAT, endpoint=letters, **other),
            Route(method="POST", path=count, operation=Operation.COUNT_TOKENS, endpoint=count, **other),
            Route(
                method="POST", path=sockets, operation=Operation.CHAT, endpoint=sockets, voice=self, no_websocket=True
            ),
        )


async def count_size(call: Call) -> bytes:
    if not call.body.startswith(b"{"):
        raise FaultError(Fault(kind=FaultKind.INVALID_REQUEST, message="Not an object."))
    return json.dumps({"input_tokens": len(call.body), "for": call.principal and call.principal.workspace}).encode()


def house(**options: Any) -> House:
    return House(dialects=(TwoVoices(),), limits=Limits(max_body_bytes=1000), options=options)


def letter(path: str, body: bytes = b"{}", *headers: str) -> bytes:
    return post(path, body, f"X-Other-Key: {KEY}", *headers, key="bad")


@pytest.mark.row(47, 58)
@pytest.mark.fault(3, 10, 15, 16, 24)
@pytest.mark.parametrize(
    ("path", "speaker"),
    [("/one/v1/chat", "one"), ("/one/v1/letters", "other"), ("/one/v1/letters/count", "other")],
)
def test_a_routes_voice_words_whatever_is_refused_on_its_path(path: str, speaker: str) -> None:
    async def story() -> None:
        async with house(count_tokens=count_size).open() as open_house:
            for data, status in (
                (post(path, b"x" * 1001), 413),
                (post(path, key="bad"), 401),
                (request("GET", path), 405),
                (request("POST", path + "/nowhere"), 404),
                (post(path, b"{}", "Content-Length: 2"), 400),
                (post(path, b"{}", *["X-A: b"] * 100), 431),
            ):
                answer = await open_house.ask(data)
                assert (answer.status, answer.json()["dialect"]) == (status, speaker)
            assert (await open_house.ask(request("GET", "/one/v1/nowhere"))).json()["dialect"] == "one"
            assert (await open_house.ask(request("GET", "/one/v1/lettersmith"))).json()["dialect"] == "one"
            assert not open_house.calls

    run(story())


@pytest.mark.row(48)
def test_a_route_reads_its_key_where_it_says() -> None:
    async def story() -> None:
        async with house(count_tokens=count_size).open() as open_house:
            assert (await open_house.ask(letter("/one/v1/letters"))).status == 200
            assert (await open_house.ask(letter("/one/v1/letters/count"))).status == 200
            assert (await open_house.ask(letter("/one/v1/chat"))).status == 401
            assert (await open_house.ask(post("/one/v1/letters"))).status == 401
            assert open_house.keys == [KEY, KEY, "bad", None]

    run(story())


def test_tokens_are_counted_without_a_call() -> None:
    refused: list[tuple[str, FaultKind]] = []

    def tell(name: str, kind: FaultKind) -> None:
        refused.append((name, kind))

    async def story() -> None:
        async with house(count_tokens=count_size, refused=tell).open() as open_house:
            answer = await open_house.ask(letter("/one/v1/letters/count", b'{"a":1}'))
            assert (answer.status, answer.json()) == (200, {"input_tokens": 7, "for": "demo"})
            assert answer.headers["content-type"] == "application/json"
            assert len(answer.headers["x-request-id"]) == 44
            answer = await open_house.ask(letter("/one/v1/letters/count?beta=true", b"[]"))
            assert (answer.status, answer.json()["dialect"]) == (400, "other")
            assert answer.json()["id"] == answer.headers["x-request-id"]
            assert not open_house.calls
            assert refused == [("one", FaultKind.INVALID_REQUEST)]

    run(story())


def test_where_nobody_counts_the_route_is_not_served() -> None:
    async def story() -> None:
        async with house().open() as open_house:
            answer = await open_house.ask(letter("/one/v1/letters/count"))
            assert (answer.status, answer.json()["dialect"], answer.json()["kind"]) == (404, "other", "not_found")
            assert (await open_house.ask(letter("/one/v1/letters"))).status == 200

    run(story())


@pytest.mark.parametrize("wish", [WISH, WISH[:2], ("Connection: keep-alive, upgrade", "upgrade: WebSocket"), WISH[1:]])
def test_a_web_socket_is_told_to_fall_back_where_programs_try_one(wish: tuple[str, ...]) -> None:
    async def story() -> None:
        async with house().open() as open_house, open_house.client() as client:
            client.send(request("GET", "/one/v1/sockets", *wish))
            answer = await client.answer()
            assert (answer.status, answer.json()["kind"]) == (426, "method_not_allowed")
            assert (answer.headers["upgrade"], answer.headers["connection"]) == ("HTTP/1.1", "upgrade")
            assert "not served as a WebSocket; use POST over HTTP" in answer.json()["message"]
            # The connection is as good as before, and the wish is forgotten.
            client.send(request("GET", "/one/v1/sockets") + post("/one/v1/sockets"))
            assert (await client.answer()).status == 405
            assert (await client.answer()).status == 200
            assert not open_house.keys[1:]

    run(story())


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request("GET", "/one/v1/chat", *WISH), 405),
        (request("GET", "/one/v1/nowhere", *WISH), 404),
        (request("GET", "/one/v1/sockets", "Connection: Upgrade", "Upgrade: h2c"), 405),
        (request("GET", "/healthz", *WISH), 200),
        (request("PUT", "/one/v1/sockets", *WISH), 405),
        (post("/one/v1/sockets", b"{}", *WISH), 200),
    ],
)
def test_other_wishes_are_ignored(data: bytes, status: int) -> None:
    async def story() -> None:
        async with house().open() as open_house:
            answer = await open_house.ask(data)
            assert answer.status == status
            assert "upgrade" not in answer.headers

    run(story())
