"""Refusals at the door, in the words of the three published APIs."""

import pytest

from support.dialect_samples import DIALECTS
from support.door import KEY, Answer, House, post, request, run
from tollhouse.dialects.dialect import Operation
from tollhouse.http.limits import Limits

CHATS = [route.path for dialect in DIALECTS for route in dialect.routes if route.operation is Operation.CHAT]
AUTH = f"Authorization: Bearer {KEY}"


def _check(answer: Answer, status: int) -> None:
    assert answer.status == status
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    # HPP: {"error": …}; HyperInfer: {"error": {"message", …}}; VoltageGPU: {"error": …, "message": …} or the like.
    assert "error" in told
    assert len(answer.headers["x-request-id"]) == 44


@pytest.mark.row(58, 139)
@pytest.mark.fault(3, 10, 15, 16, 24)
@pytest.mark.parametrize("path", CHATS)
def test_each_api_words_what_the_door_refuses(path: str) -> None:
    async def story() -> None:
        house = House(dialects=DIALECTS, limits=Limits(max_body_bytes=1000))
        async with house.open():
            _check(await house.ask(post(path, b"x" * 1001)), 413)
            _check(await house.ask(post(path, b"{}", key="bad")), 401)
            _check(await house.ask(post(path).replace(b"Authorization", b"X-Other")), 401)
            _check(await house.ask(post(path, b"{}", "Content-Encoding: gzip")), 415)
            _check(await house.ask(request("GET", path, AUTH)), 405)
            _check(await house.ask(request("POST", path + "/nowhere", AUTH)), 404)
            _check(await house.ask(post(path, b"{}", "Content-Length: 2")), 400)
            _check(await house.ask(post(path, b"{}", *["X-A: b"] * 100)), 431)
            assert not house.calls
            assert (await house.ask(post(path))).status == 200

    run(story())


@pytest.mark.row(58)
def test_hyperinfer_names_its_codes() -> None:
    async def story() -> None:
        house = House(dialects=DIALECTS, limits=Limits(max_body_bytes=1000))
        async with house.open():
            path = "/api/v1/chat/completions"
            assert (await house.ask(post(path, b"x" * 1001))).json()["error"]["code"] == "payload_too_large"
            assert (await house.ask(post(path, b"{}", key="bad"))).json()["error"]["code"] == "invalid_api_key"

    run(story())


@pytest.mark.parametrize("root", sorted({root for dialect in DIALECTS for root in dialect.roots}))
def test_head_on_each_root_answers(root: str) -> None:
    async def story() -> None:
        async with House(dialects=DIALECTS).open() as house, house.client() as client:
            for path in (root, root + "?x=1"):
                client.send(request("HEAD", path))
                assert (await client.answer(head_only=True)).status == 200

    run(story())


@pytest.mark.row(115)
def test_hyperinfers_probes_answer_without_a_key() -> None:
    async def story() -> None:
        async with House(dialects=DIALECTS).open() as house:
            assert (await house.ask(request("GET", "/healthz"))).json() == {"status": "ok"}
            ready = await house.ask(request("GET", "/readyz"))
            assert ready.json() == {"status": "ok", "checks": {"redis": "ok", "postgres": "ok"}}

    run(story())
