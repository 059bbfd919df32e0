"""Strict requests: nothing beside the published documents passes, and all that they show does."""

import json
from typing import Any

import pytest

from tollhouse.dialects.dialect import Dialect, Operation
from tollhouse.dialects.hpp_router.surface import HppRouter
from tollhouse.dialects.hyperinfer.surface import HyperInfer
from tollhouse.dialects.published import request_schemas
from tollhouse.dialects.strict import StrictVoice
from tollhouse.dialects.voltagegpu.surface import VoltageGpu
from tollhouse.ir.fault import Fault, FaultError, FaultKind
from tollhouse.relay.call import Voice

DIALECTS = (HppRouter, HyperInfer, VoltageGpu)
SAID: dict[str, Any] = {"role": "user", "content": "Hi"}
CHAT: dict[str, Any] = {"model": "a/b", "messages": [SAID]}
RESPONSES: dict[str, Any] = {"model": "a/b", "input": "Hi"}
MESSAGES: dict[str, Any] = {"model": "a/b", "max_tokens": 5, "messages": [SAID]}
LEAST = {"chat/completions": CHAT, "responses": RESPONSES, "messages": MESSAGES}


def voice(dialect: Dialect, path: str) -> Voice:
    (found,) = {route.voice for route in dialect.routes if route.path == path and route.voice is not None}
    return found


def refusal(speaker: Voice, body: dict[str, Any] | bytes) -> Fault | None:
    try:
        speaker.validate(body if isinstance(body, bytes) else json.dumps(body).encode())
    except FaultError as error:
        return error.fault
    return None


@pytest.mark.parametrize("make", DIALECTS)
def test_every_call_of_a_dialect_is_strict_when_it_is_told_so(make: Any) -> None:
    def strict(dialect: Dialect) -> set[str]:
        return {route.endpoint for route in dialect.routes if isinstance(route.voice, StrictVoice)}

    assert strict(make()) == set()
    called = {route.endpoint for route in make().routes if route.voice is not None}
    # Two additions of ours stand in no published document.
    assert strict(make(strict_schema=True)) == called - {"/api/v1/messages/count_tokens", "/api/v1/embeddings"}
    # A dialect that has been made serves its document besides.
    assert make.routes == tuple(route for route in make().routes if route.operation is not Operation.DOCUMENT)


@pytest.mark.row(64)
@pytest.mark.parametrize(
    ("path", "more", "param"),
    [
        ("chat/completions", {"messages": [{**SAID, "cache_control": {}}]}, "messages[0].cache_control"),
        ("chat/completions", {"messages": [{**SAID, "name": None}]}, "messages[0].name"),
        ("chat/completions", {"stream_options": {"include_obfuscation": True}}, "stream_options.include_obfuscation"),
        ("chat/completions", {"reasoning_effort": "xhigh"}, "reasoning_effort"),
        ("chat/completions", {"max_tokens": None}, "max_tokens"),
        ("chat/completions", {"tool_choice": "any"}, "tool_choice"),
        ("chat/completions", {"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools[0].type"),
        (
            "chat/completions",
            {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]},
            "messages[0].content[0].type",
        ),
        (
            "chat/completions",
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {}}]}]},
            "messages[0].content[0].cache_control",
        ),
        ("responses", {"input": [{**SAID, "id": "msg_1"}]}, "input[0].id"),
        ("responses", {"reasoning": {"effort": "low", "summary": "auto"}}, "reasoning.summary"),
        ("responses", {"tools": [{"type": "mcp"}]}, "tools[0].type"),
        ("responses", {"max_output_tokens": 0}, "max_output_tokens"),
        ("messages", {"thinking": {"type": "adaptive"}}, "thinking.type"),
        ("messages", {"messages": [{"role": "system", "content": "a"}]}, "messages[0].role"),
        ("messages", {"tools": [{"name": "f", "input_schema": {}, "cache_control": {}}]}, "tools[0].cache_control"),
    ],
)
def test_what_the_document_does_not_allow_is_refused_and_named(path: str, more: dict[str, Any], param: str) -> None:
    asked = LEAST[path] | more
    found = refusal(voice(HyperInfer(strict_schema=True), f"/api/v1/{path}"), asked)
    assert found is not None
    assert (found.kind, found.param) == (FaultKind.INVALID_REQUEST, param)
    if more != {"max_output_tokens": 0}:
        assert refusal(voice(HyperInfer(), f"/api/v1/{path}"), asked) is None


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("chat/completions", {"anything": 1, "reasoning_effort": "low", "stop": ["a"], "temperature": 2}),
        ("chat/completions", {"messages": [{"role": "assistant", "content": None, "reasoning": None}]}),
        (
            "chat/completions",
            {
                "messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}],
                "tools": [{"type": "function", "function": {"name": "f", "parameters": {"x-any": {"deep": [1]}}}}],
                "tool_choice": {"type": "function", "function": {"name": "f"}},
            },
        ),
        ("responses", {"input": [SAID, {"type": "reasoning"}], "reasoning": None, "temperature": None, "top_p": 1}),
        ("responses", {"tools": [{"type": "web_search", "anything": 1}, {"type": "function", "name": "f"}]}),
        ("messages", {"thinking": {"type": "enabled", "budget_tokens": 1024}, "metadata": {"any": 1}}),
    ],
)
def test_what_the_document_allows_passes(path: str, more: dict[str, Any]) -> None:
    assert refusal(voice(HyperInfer(strict_schema=True), f"/api/v1/{path}"), LEAST[path] | more) is None


def test_the_other_documents_count_too() -> None:
    hpp = voice(HppRouter(strict_schema=True), "/llm/v1/chat/completions")
    assert refusal(hpp, {**CHAT, "anything": {"deep": 1}}) is None
    assert refusal(hpp, {**CHAT, "temperature": None}) is not None
    for mount in ("", "/api/voltage"):
        voltage = voice(VoltageGpu(strict_schema=True), f"{mount}/v1/chat/completions")
        assert refusal(voltage, CHAT) is None
        assert refusal(voltage, {**CHAT, "top_p": None}) is not None


@pytest.mark.fault(5, 6)
def test_garbage_is_still_a_refusal() -> None:
    speaker = voice(HyperInfer(strict_schema=True), "/api/v1/chat/completions")
    deep = b"[" * 20_000 + b"]" * 20_000
    for unknown in (deep, b'"\xff"', b'"\\ud800"', b"1e999"):
        body = json.dumps(CHAT).encode()[:-1] + b', "anything": ' + unknown + b"}"
        found = refusal(speaker, body)
        assert found is None or found.kind is FaultKind.INVALID_REQUEST


def test_a_document_with_rules_that_are_not_checked_is_noticed(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"content": {"application/json": {"schema": {"type": "object", "maxProperties": 1}}}}
    monkeypatch.setattr("tollhouse.dialects.published.files", lambda _: tmp_path)
    (tmp_path / "a.json").write_text(json.dumps({"paths": {"/x": {"post": {"requestBody": body}}}}))
    with pytest.raises(ValueError, match="maxProperties"):
        request_schemas("any", "a.json")
