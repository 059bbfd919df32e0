"""Keys and roots of the three dialects, over the wire."""

import pytest

from support.callers import FACES, HPP, HYPERINFER, USER, VOLTAGE, VOLTAGE_LOCAL, Face, Reply, ask, chat
from support.gateway import RunningGateway
from tollhouse.accounts import keys

MODEL = "simulator/script/text=3"
BY_HEADER = [(face, header) for face in FACES for header in face.key_headers]


def body_of(reply: Reply, face: Face) -> str:
    """The words of a refusal, once its envelope has been checked."""
    body = reply.json()
    if face is HPP:
        assert set(body) == {"error", "message"}
        return body["message"]
    if face is HYPERINFER:
        assert body["error"]["request_id"] == reply.headers["x-request-id"]
        return body["error"]["message"]
    assert body["details"]["status"] == reply.status
    assert body["details"]["endpoint"].startswith("/v1/")
    return body["error"]


@pytest.mark.row(1, 2, 119, 120)
@pytest.mark.parametrize(("face", "header"), BY_HEADER, ids=lambda v: getattr(v, "name", v))
def test_each_key_header_alone_opens_chat_and_models(gateway: RunningGateway, face: Face, header: str) -> None:
    headers = face.auth(gateway.key(), header)
    assert ask(gateway, "POST", face.chat, headers, {"model": MODEL, "messages": [USER]}).status == 200
    assert ask(gateway, "GET", face.models, headers).status == 200


@pytest.mark.row(3, 119)
@pytest.mark.parametrize("face", FACES, ids=lambda f: f.name)
def test_no_key_and_unknown_keys_are_refused_in_the_same_words(gateway: RunningGateway, face: Face) -> None:
    unknown = keys.new_key(bytes(32))
    tries = [{}, face.auth("th-nonsense"), face.auth(unknown), {"authorization": "Basic eDp5"}]
    for method, path in (("POST", face.chat), ("GET", face.models)):
        if face is HYPERINFER and path == face.models:
            continue
        replies = [ask(gateway, method, path, headers, {"model": MODEL, "messages": [USER]}) for headers in tries]
        assert [reply.status for reply in replies] == [401] * len(tries)
        assert len({body_of(reply, face) for reply in replies}) == 1


@pytest.mark.row(3)
def test_hpp_says_unauthorized(gateway: RunningGateway) -> None:
    reply = ask(gateway, "GET", HPP.models)
    assert (reply.status, reply.json()["error"]) == (401, "unauthorized")


def test_hyperinfer_lists_its_models_without_a_key(gateway: RunningGateway) -> None:
    assert ask(gateway, "GET", HYPERINFER.models).status == 200
    assert ask(gateway, "GET", HYPERINFER.models, {"authorization": "Bearer wrong"}).status == 200


def test_the_dialects_own_header_wins_over_bearer(gateway: RunningGateway) -> None:
    good, bad = gateway.key(), "th-nonsense"
    for face in (HPP, VOLTAGE, VOLTAGE_LOCAL):
        own = face.key_headers[0]
        assert ask(gateway, "GET", face.models, {own: good, "authorization": f"Bearer {bad}"}).status == 200
        assert ask(gateway, "GET", face.models, {own: bad, "authorization": f"Bearer {good}"}).status == 401


@pytest.mark.row(48)
def test_other_dialects_headers_do_not_open(gateway: RunningGateway) -> None:
    key = gateway.key()
    for header in ("apikey", "x-api-key", "x-voltagegpu-key"):
        body = {"model": MODEL, "messages": [USER]}
        assert ask(gateway, "POST", HYPERINFER.chat, {header: key}, body).status == 401


@pytest.mark.parametrize("root", ["/llm", "/llm/v1", "/api", "/api/v1", "/v1", "/api/voltage", "/api/voltage/v1"])
def test_head_on_a_root_answers(gateway: RunningGateway, root: str) -> None:
    for path in (root, root + "/"):
        reply = ask(gateway, "HEAD", path)
        assert (reply.status, reply.body) == (200, b"")


def test_one_key_opens_all_dialects_and_is_billed_to_one_purse(gateway: RunningGateway) -> None:
    key = gateway.key("one purse")
    before = gateway.balance("one purse")
    costs = 0
    for face in FACES:
        reply = chat(gateway, face, key, "simulator/script/usage=1000:10")
        assert reply.status == 200
        costs += gateway.record(reply.headers["x-request-id"]).cost_nano_usd
    assert costs == 4 * (1000 * 1000 + 10 * 2000)
    assert before - gateway.balance("one purse") == costs


@pytest.mark.parametrize("face", FACES, ids=lambda f: f.name)
def test_an_empty_purse_is_refused_before_anything_is_forwarded(gateway: RunningGateway, face: Face) -> None:
    key = gateway.key("empty purse", usd=0)
    arrived = len(gateway.arrivals())
    reply = chat(gateway, face, key, MODEL)
    assert reply.status == {"hpp": 429, "hyperinfer": 402}.get(face.name, 403)
    if face is HPP:
        assert reply.json()["error"] == "quota_exceeded"
    if face is HYPERINFER:
        assert reply.json()["error"]["code"] == "insufficient_credits"
    assert len(gateway.arrivals()) == arrived
