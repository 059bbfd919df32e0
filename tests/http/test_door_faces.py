"""HyperInfer's three formats at the door: envelopes, keys, counting, the list of models, WebSockets."""

from typing import Any

import pytest

from support.dialect_samples import DIALECTS
from support.door import KEY, Answer, House, post, request, run
from tollhouse.http.limits import Limits
from tollhouse.relay.call import Call

RESPONSES, MESSAGES, COUNT = "/api/v1/responses", "/api/v1/messages", "/api/v1/messages/count_tokens"
OPENAI = ("/api/v1/chat/completions", RESPONSES)
ANTHROPIC = (MESSAGES, COUNT)


async def one_token(call: Call) -> bytes:
    call.voice.validate(call.body)
    return b'{"input_tokens":1}'


def house() -> House:
    return House(dialects=DIALECTS, limits=Limits(max_body_bytes=1000), options={"count_tokens": one_token})


def told(answer: Answer, path: str) -> tuple[int, str, str]:
    """Status, class and code, out of the envelope that belongs to the path."""
    body: dict[str, Any] = answer.json()
    error = body["error"]
    if path.startswith(MESSAGES):
        assert (set(body), body["type"]) == ({"type", "error", "request_id"}, "error")
        assert set(error) == {"type", "code", "message"}
        assert body["request_id"] == answer.headers["x-request-id"]
    else:
        assert set(body) == {"error"}
        assert set(error) == {"message", "type", "code", "param", "request_id"}
        assert error["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["content-type"] == "application/json"
    return answer.status, error["type"], error["code"]


@pytest.mark.row(47, 58, 59, 91, 139)
@pytest.mark.fault(3, 10, 15, 16, 24)
@pytest.mark.parametrize("path", OPENAI + ANTHROPIC)
def test_each_format_has_its_envelope_for_what_the_door_refuses(path: str) -> None:
    invalid = "invalid_request_error"

    async def story() -> None:
        async with house().open() as open_house:
            ask = open_house.ask
            large = "request_too_large" if path in ANTHROPIC else invalid
            assert told(await ask(post(path, b"x" * 1001)), path) == (413, large, "payload_too_large")
            for data in (post(path, key="bad"), post(path).replace(b"Authorization", b"X-Other")):
                assert told(await ask(data), path) == (401, "authentication_error", "invalid_api_key")
            for data, status in (
                (post(path, b"{}", "Content-Length: 2"), 400),
                (request("POST", path + "/nowhere"), 404),
                (request("PUT", path), 405),
                (post(path, b"{}", "Content-Encoding: gzip"), 415),
                (post(path, b"{}", *["X-A: b"] * 100), 431),
            ):
                assert told(await ask(data), path) == (status, invalid, "invalid_request")
            assert not open_house.calls

    run(story())


@pytest.mark.row(48)
@pytest.mark.parametrize("path", OPENAI + ANTHROPIC)
def test_x_api_key_alone_works_for_messages_only(path: str) -> None:
    async def story() -> None:
        async with house().open() as open_house:
            body = b'{"model":"a","messages":[{"role":"user","content":"x"}]}'
            data = post(path + "?beta=true", body).replace(b"Authorization: Bearer ", b"X-Api-Key: ")
            answer = await open_house.ask(data)
            assert answer.status == (200 if path in ANTHROPIC else 401)
            assert open_house.keys == ([KEY] if path in ANTHROPIC else [None])

    run(story())


def test_counting_tokens() -> None:
    async def story() -> None:
        async with house().open() as open_house:
            body = b'{"model":"a","messages":[{"role":"user","content":"x"}]}'
            answer = await open_house.ask(post(COUNT, body))
            assert (answer.status, answer.json()) == (200, {"input_tokens": 1})
            answer = await open_house.ask(post(COUNT, b'{"model":"a"}'))
            assert told(answer, COUNT) == (400, "invalid_request_error", "invalid_request")
            assert not open_house.calls
        async with House(dialects=DIALECTS).open() as without:
            answer = await without.ask(post(COUNT, body))
            assert told(answer, COUNT) == (404, "invalid_request_error", "invalid_request")

    run(story())


def test_a_web_socket_on_responses_is_told_to_fall_back() -> None:
    wish = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: a", "Sec-WebSocket-Version: 13")

    async def story() -> None:
        async with house().open() as open_house:
            answer = await open_house.ask(request("GET", RESPONSES, *wish))
            assert told(answer, RESPONSES) == (426, "invalid_request_error", "invalid_request")
            for path in (*ANTHROPIC, OPENAI[0]):
                assert (await open_house.ask(request("GET", path, *wish))).status == 405

    run(story())


@pytest.mark.row(107)
def test_an_anthropic_sdk_reads_the_list_of_models() -> None:
    async def story() -> None:
        async with house().open() as open_house:
            answer = await open_house.ask(request("GET", "/api/v1/models?limit=1000", "X-Api-Key: whatever"))
            assert answer.status == 200
            assert {"object", "data", "has_more", "first_id", "last_id"} <= set(answer.json())
            assert not open_house.keys

    run(story())
