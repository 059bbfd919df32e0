"""Chat in one piece through the three dialects, over the wire, against the simulator."""

import json
from typing import Any

import pytest

from support.callers import FACES, HPP, HYPERINFER, USER, VOLTAGE, VOLTAGE_LOCAL, Face, ask, chat
from support.gateway import RunningGateway

MODEL = "simulator/script/text=3"
CALL = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"q": 1}'}}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}


@pytest.mark.row(4, 60, 61, 121)
@pytest.mark.parametrize("face", FACES, ids=lambda f: f.name)
def test_a_minimal_call(gateway: RunningGateway, face: Face) -> None:
    reply = chat(gateway, face, gateway.key(), MODEL)
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    answer = reply.json()
    assert answer["id"]
    assert answer["object"] == "chat.completion"
    assert isinstance(answer["created"], int)
    assert answer["model"] == MODEL
    (choice,) = answer["choices"]
    assert choice["index"] == 0
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"] == "a quick coin"
    assert choice["finish_reason"] == "stop"
    usage = answer["usage"]
    assert usage["completion_tokens"] == 3
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


@pytest.mark.row(60, 61)
def test_hyperinfer_answers_have_every_field_of_the_contract(gateway: RunningGateway) -> None:
    reply = chat(gateway, HYPERINFER, gateway.key(), "simulator/script/usage=1000:50:400:20/text=2")
    answer = reply.json()
    assert answer["id"] == f"gen-{reply.headers['x-request-id']}"
    assert answer["choices"][0]["logprobs"] is None
    usage = answer["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (1000, 50, 1050)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 400
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 20
    # 600 fresh at 1, 400 cached at 0.1, 50 out at 2 USD per 1M.
    assert usage["cost"] == 0.00074
    assert gateway.record(reply.headers["x-request-id"]).cost_nano_usd == 740_000


@pytest.mark.row(60)
@pytest.mark.parametrize("face", FACES, ids=lambda f: f.name)
def test_every_answer_has_a_request_id_of_ours(gateway: RunningGateway, face: Face) -> None:
    key = gateway.key()
    headers = face.auth(key) | {"x-request-id": "the-callers-own"}
    good = ask(gateway, "POST", face.chat, headers, {"model": MODEL, "messages": [USER]})
    bad = ask(gateway, "POST", face.chat, headers, {"model": MODEL})
    no_key = ask(gateway, "POST", face.chat, {}, {})
    listed = ask(gateway, "GET", face.models, headers)
    ids = [reply.headers["x-request-id"] for reply in (good, bad, no_key, listed)]
    assert len(set(ids)) == 4
    assert all(len(name) == 44 and set(name) <= set("0123456789abcdef") for name in ids)
    assert gateway.record(ids[0]).client_request_id == "the-callers-own"


@pytest.mark.row(5, 62, 122)
@pytest.mark.parametrize("face", FACES, ids=lambda f: f.name)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"messages":[{"role":"user","content":"x"}]}',
        b'{"model":"simulator/echo"}',
        b'{"model":"simulator/echo","messages":[]}',
        b'{"model":"simulator/echo","messages":[{"role":"robot","content":"x"}]}',
        b'{"model":"simulator/echo","messages":[{"role":"user","content":"x"}],"max_tokens":0}',
        b'{"model":"simulator/echo","messages":[{"role":"user","content":"x"}],"temperature":1e999}',
        b'{"model":"simulator/echo","messages":[{"role":"user","content":"\xff"}]}',
        b'{"model":"simulator/echo","messages":[{"role":"user","content":"x"}],"extra":"\xff"}',
        b'{"model":"simulator/echo","messages":[{"role":"user","content":"x"}],"extra":"\\ud800"}',
        b'{"model":"simulator/echo","messages":[{"role":"user","content":"x"}],"extra":'
        + b"[" * 10_000
        + b"]" * 10_000
        + b"}",
    ],
)
def test_what_no_contract_takes_is_400_and_not_forwarded(gateway: RunningGateway, face: Face, body: bytes) -> None:
    arrived = len(gateway.arrivals())
    reply = ask(gateway, "POST", face.chat, face.auth(gateway.key()), body)
    assert reply.status == 400
    assert reply.headers["content-type"] == "application/json"
    error = reply.json()["error"]
    code = error["code"] if face is HYPERINFER else error
    assert code == "invalid_request" or code.startswith("Invalid request parameters")
    assert len(gateway.arrivals()) == arrived


@pytest.mark.row(6)
@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_an_output_limit_of_one(gateway: RunningGateway, field: str) -> None:
    key = gateway.key()
    assert chat(gateway, HPP, key, MODEL, **{field: 0}).status == 400
    reply = chat(gateway, HPP, key, MODEL, **{field: 1})
    assert reply.status == 200
    assert reply.json()["choices"][0]["finish_reason"] == "length"
    assert reply.json()["usage"]["completion_tokens"] == 1


@pytest.mark.row(7, 8)
@pytest.mark.parametrize("face", [HPP, HYPERINFER], ids=lambda f: f.name)
def test_unknown_fields_arrive_unchanged(gateway: RunningGateway, face: Face) -> None:
    message: dict[str, Any] = {
        "role": "user",
        "vendor": {"a": [1, None, "ü"]},
        "content": [
            {"type": "text", "text": "what is it?", "cache_control": {"type": "ephemeral"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "extra": 1}},
            {"type": "vendor_part", "vendor_part": {"data": ""}},
        ],
    }
    extra = {"top_k": 5, "vendor_options": {"order": ["x"]}, "seed": 2**53, "min_p": 0.05, "messages": [message]}
    assert chat(gateway, face, gateway.key(), MODEL, **extra).status == 200
    arrived = gateway.last_body()
    assert {name: arrived[name] for name in extra} == extra
    assert arrived["model"] == "script/text=3"


@pytest.mark.row(10, 66)
@pytest.mark.parametrize("face", [HPP, HYPERINFER], ids=lambda f: f.name)
def test_a_tool_round_trip(gateway: RunningGateway, face: Face) -> None:
    key = gateway.key()
    asked = chat(gateway, face, key, "simulator/script/tools=1", tools=[TOOL])
    message = asked.json()["choices"][0]["message"]
    assert asked.json()["choices"][0]["finish_reason"] == "tool_calls"
    (call,) = message["tool_calls"]
    json.loads(call["function"]["arguments"])
    messages = [USER, message, {"role": "tool", "tool_call_id": call["id"], "content": "42"}]
    told = chat(gateway, face, key, "simulator/echo", tools=[TOOL], messages=messages)
    assert told.status == 200
    assert gateway.last_body()["messages"] == messages


@pytest.mark.row(11)
def test_names_with_a_colon_and_unknown_names(gateway: RunningGateway) -> None:
    key = gateway.key()
    for model in ("ollama/gpt-oss:120b", "ollama/solidity-master:2", "openai/gpt-5", "moonshotai/kimi-k2.6"):
        reply = chat(gateway, HPP, key, model)
        assert (reply.status, reply.json()["model"]) == (200, model)
    for model in ("nobody/nothing", "openai/nothing", "nothing", "hpprouter/nothing"):
        for face in FACES:
            reply = chat(gateway, face, key, model)
            assert reply.status == 400
            assert model in reply.body.decode()


@pytest.mark.row(14)
def test_hpp_names_the_resolved_model_and_no_basket(gateway: RunningGateway) -> None:
    reply = chat(gateway, HPP, gateway.key(), "gpt-4")
    assert reply.headers["x-hpp-router-resolved-model"] == "openai/gpt-4"
    assert reply.json()["model"] == "openai/gpt-4"
    assert [name for name in reply.headers if name.startswith("x-hpp-router")] == ["x-hpp-router-resolved-model"]
    for face in (HYPERINFER, VOLTAGE):
        headers = chat(gateway, face, gateway.key(), "gpt-4").headers
        assert not [name for name in headers if name.startswith("x-hpp-router")]


@pytest.mark.row(123)
def test_voltage_echoes_the_name_that_was_sent(gateway: RunningGateway) -> None:
    for face in (VOLTAGE, VOLTAGE_LOCAL):
        for name in ("gpt-4", "openai/gpt-4"):
            reply = chat(gateway, face, gateway.key(), name)
            assert (reply.status, reply.json()["model"]) == (200, name)
    assert chat(gateway, HYPERINFER, gateway.key(), "gpt-4").json()["model"] == "openai/gpt-4"


@pytest.mark.row(62)
@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("temperature", {"temperature": -0.1}),
        ("temperature", {"temperature": 2.1}),
        ("top_p", {"top_p": 1.1}),
        ("max_tokens", {"max_tokens": 0}),
        ("messages", {"messages": []}),
        ("messages[0].role", {"messages": [{"role": "robot", "content": "x"}]}),
    ],
)
def test_hyperinfer_names_the_field(gateway: RunningGateway, param: str, fields: dict[str, Any]) -> None:
    reply = chat(gateway, HYPERINFER, gateway.key(), MODEL, **fields)
    assert reply.status == 400
    assert (reply.json()["error"]["code"], reply.json()["error"]["param"]) == ("invalid_request", param)


@pytest.mark.row(63)
def test_hyperinfer_takes_null_content_and_five_roles(gateway: RunningGateway) -> None:
    roles = ("system", "developer", "user", "assistant", "tool")
    messages = [{"role": role, "content": None} for role in roles] + [USER]
    assert chat(gateway, HYPERINFER, gateway.key(), MODEL, messages=messages).status == 200
    assert gateway.last_body()["messages"] == messages


@pytest.mark.row(121)
@pytest.mark.parametrize("face", [VOLTAGE, VOLTAGE_LOCAL], ids=lambda f: f.name)
def test_voltages_documented_defaults_reach_the_provider(gateway: RunningGateway, face: Face) -> None:
    defaults = {"temperature": 1, "top_p": 1, "n": 1, "presence_penalty": 0, "frequency_penalty": 0}
    assert chat(gateway, face, gateway.key(), MODEL).status == 200
    arrived = gateway.last_body()
    assert {name: arrived[name] for name in defaults} == defaults
    assert chat(gateway, face, gateway.key(), MODEL, temperature=0.3, n=2).status == 200
    arrived = gateway.last_body()
    assert {name: arrived[name] for name in defaults} == defaults | {"temperature": 0.3, "n": 2}


def test_no_other_dialect_adds_defaults(gateway: RunningGateway) -> None:
    for face in (HPP, HYPERINFER):
        assert chat(gateway, face, gateway.key(), MODEL).status == 200
        assert set(gateway.last_body()) == {"model", "messages"}


@pytest.mark.row(122, 123)
@pytest.mark.parametrize("face", [VOLTAGE, VOLTAGE_LOCAL], ids=lambda f: f.name)
@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": -0.1},
        {"temperature": 2.1},
        {"top_p": -0.1},
        {"top_p": 1.1},
        {"n": 0},
        {"n": 11},
        {"presence_penalty": 2.1},
        {"presence_penalty": -2.1},
        {"frequency_penalty": 2.1},
        {"frequency_penalty": -2.1},
        {"max_tokens": 0},
        {"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
    ],
)
def test_voltages_bounds(gateway: RunningGateway, face: Face, fields: dict[str, Any]) -> None:
    reply = chat(gateway, face, gateway.key(), MODEL, **fields)
    assert reply.status == 400
    assert reply.json()["details"] == {"status": 400, "endpoint": "/v1/chat/completions"}


@pytest.mark.row(123, 124)
def test_voltage_names_choices_and_stops(gateway: RunningGateway) -> None:
    key = gateway.key()
    named = [USER | {"name": "Ada"}]
    reply = chat(gateway, VOLTAGE, key, MODEL, messages=named, n=3)
    assert [choice["index"] for choice in reply.json()["choices"]] == [0, 1, 2]
    assert reply.json()["usage"]["completion_tokens"] == 9
    assert gateway.record(reply.headers["x-request-id"]).completion_tokens == 9
    for stop in ("coin", ["coin", "bridge"]):
        reply = chat(gateway, VOLTAGE, key, MODEL, stop=stop)
        assert reply.json()["choices"][0]["message"]["content"].strip() == "a quick"
        assert gateway.last_body()["stop"] == stop


@pytest.mark.row(33)
def test_the_lists_of_models(gateway: RunningGateway) -> None:
    key = gateway.key()
    hpp = ask(gateway, "GET", HPP.models, HPP.auth(key)).json()
    assert hpp["object"] == "list"
    assert (hpp["data"][0]["id"], hpp["data"][0]["pricing"]) == ("hpprouter/auto", None)
    priced = {model["id"]: model["pricing"] for model in hpp["data"][1:]}
    assert priced["openai/gpt-5"] == {"input": 1.25, "output": 10, "cache_write": None, "cache_read": 0.125}
    assert not [name for name in priced if name.endswith("*")]
    public = ask(gateway, "GET", HYPERINFER.models + "?limit=1000").json()
    assert public["meta"] == {"image_generation_configured": False}
    # Each lists what it has a route for: HPP Router pictures, HyperInfer vectors, VoltageGPU both.
    listed = {model.slug: set(model.operations) for model in gateway.gateway.catalog.listed}
    assert set(priced) == {slug for slug, operations in listed.items() if operations & {"chat", "images"}}
    assert {model["slug"] for model in public["data"]} == {
        slug for slug, operations in listed.items() if operations & {"chat", "embeddings"}
    }
    for face in (VOLTAGE, VOLTAGE_LOCAL):
        names = [model["id"] for model in ask(gateway, "GET", face.models, face.auth(key)).json()["data"]]
        assert "gpt-4" in names
        assert set(listed) <= set(names)
