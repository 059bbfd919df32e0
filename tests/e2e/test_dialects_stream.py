"""Streamed chat through the three dialects, over the wire, against the simulator."""

import json
from typing import Any

import pytest

from support.callers import FACES, HPP, HYPERINFER, VOLTAGE, VOLTAGE_LOCAL, Face, chat
from support.gateway import RunningGateway

MODEL = "simulator/script/text=4"
TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "parameters": {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]},
    },
}


def text_of(chunks: list[dict[str, Any]]) -> str:
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    return "".join(delta.get("content") or "" for delta in deltas)


@pytest.mark.row(15, 71, 125)
@pytest.mark.parametrize("face", FACES, ids=lambda f: f.name)
def test_a_stream_of_chunks_that_ends_with_done(gateway: RunningGateway, face: Face) -> None:
    reply = chat(gateway, face, gateway.key(), MODEL, stream=True)
    assert reply.status == 200
    chunks = reply.chunks()
    assert text_of(chunks) == "a quick coin rolls"
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert {chunk["model"] for chunk in chunks} == {MODEL}
    assert len({chunk["id"] for chunk in chunks}) == 1
    reasons = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]]
    assert [reason for reason in reasons if reason] == ["stop"]
    assert len(reply.headers["x-request-id"]) == 44


@pytest.mark.row(14)
def test_hpp_names_the_resolved_model_on_streams(gateway: RunningGateway) -> None:
    reply = chat(gateway, HPP, gateway.key(), "gpt-4", stream=True)
    assert reply.headers["x-hpp-router-resolved-model"] == "openai/gpt-4"
    assert {chunk["model"] for chunk in reply.chunks()} == {"openai/gpt-4"}


@pytest.mark.row(123)
def test_voltage_echoes_the_name_that_was_sent_on_streams(gateway: RunningGateway) -> None:
    for face in (VOLTAGE, VOLTAGE_LOCAL):
        assert {chunk["model"] for chunk in chat(gateway, face, gateway.key(), "gpt-4", stream=True).chunks()} == {
            "gpt-4"
        }


@pytest.mark.row(16)
@pytest.mark.parametrize("face", [HPP, VOLTAGE], ids=lambda f: f.name)
def test_usage_comes_only_when_asked_for(gateway: RunningGateway, face: Face) -> None:
    key = gateway.key()
    for options in (None, {}, {"include_usage": False}):
        fields = {} if options is None else {"stream_options": options}
        reply = chat(gateway, face, key, MODEL, stream=True, **fields)
        assert not any(chunk.get("usage") for chunk in reply.chunks())
        assert all(chunk["choices"] for chunk in reply.chunks())
        assert gateway.last_body()["stream_options"]["include_usage"] is True
        assert gateway.record(reply.headers["x-request-id"]).completion_tokens == 4
    options = {"include_usage": True, "vendor": 1}
    reply = chat(gateway, face, key, MODEL, stream=True, stream_options=options)
    last = reply.chunks()[-1]
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 4
    assert gateway.last_body()["stream_options"] == options


@pytest.mark.row(17)
@pytest.mark.parametrize("face", FACES, ids=lambda f: f.name)
@pytest.mark.parametrize("model", [MODEL, "simulator/script/usage=1234:567:89", "simulator/echo"])
def test_a_streamed_call_costs_the_same(gateway: RunningGateway, face: Face, model: str) -> None:
    key = gateway.key()
    whole = chat(gateway, face, key, model)
    streamed = chat(gateway, face, key, model, stream=True)
    costs = [gateway.record(reply.headers["x-request-id"]).cost_nano_usd for reply in (whole, streamed)]
    assert costs[0] == costs[1] > 0


@pytest.mark.row(60, 71, 72)
@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}, {"include_usage": True}])
def test_hyperinfers_order_of_frames(gateway: RunningGateway, options: dict[str, Any] | None) -> None:
    fields = {} if options is None else {"stream_options": options}
    reply = chat(gateway, HYPERINFER, gateway.key(), MODEL, stream=True, **fields)
    role, *deltas, finish, usage = reply.chunks()
    assert role["choices"][0]["delta"]["role"] == "assistant"
    assert role["choices"][0]["delta"]["content"] == ""
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in (role, *deltas))
    assert all(chunk["choices"][0]["delta"]["content"] for chunk in deltas)
    assert finish["choices"][0]["delta"] == {}
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 4
    cost = gateway.record(reply.headers["x-request-id"]).cost_nano_usd
    assert round(usage["usage"]["cost"] * 10**9) == cost > 0
    assert {chunk["id"] for chunk in reply.chunks()} == {f"gen-{reply.headers['x-request-id']}"}


@pytest.mark.row(71)
@pytest.mark.parametrize(
    "oddity",
    ["usage_at=every", "usage_at=choices", "usage_at=groq", "usage_at=first", "usage_at=twice", "finish_twice",
     "leading", "no_role", "crlf", "comments", "multiline", "slice=7", "no_done"],
)  # fmt: skip
def test_hyperinfers_order_holds_whatever_the_provider_does(gateway: RunningGateway, oddity: str) -> None:
    reply = chat(gateway, HYPERINFER, gateway.key(), f"{MODEL}/{oddity}", stream=True)
    role, *deltas, finish, usage = reply.chunks()
    assert role["choices"][0]["delta"]["role"] == "assistant"
    assert text_of(deltas) == "a quick coin rolls"
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 4


@pytest.mark.row(73)
@pytest.mark.parametrize("face", [HPP, HYPERINFER], ids=lambda f: f.name)
def test_tool_call_deltas_assemble_into_valid_arguments(gateway: RunningGateway, face: Face) -> None:
    reply = chat(gateway, face, gateway.key(), "simulator/script/tools=2", stream=True, tools=[TOOL])
    calls: dict[int, dict[str, str]] = {}
    for chunk in reply.chunks():
        for choice in chunk["choices"]:
            for delta in choice["delta"].get("tool_calls") or ():
                call = calls.setdefault(delta["index"], {"id": "", "name": "", "arguments": ""})
                call["id"] += delta.get("id") or ""
                call["name"] += delta["function"].get("name") or ""
                call["arguments"] += delta["function"].get("arguments") or ""
    assert sorted(calls) == [0, 1]
    for call in calls.values():
        assert call["id"]
        assert call["name"] == "look_up"
        assert set(json.loads(call["arguments"])) == {"q"}
    reasons = [choice["finish_reason"] for chunk in reply.chunks() for choice in chunk["choices"]]
    assert [reason for reason in reasons if reason] == ["tool_calls"]
