"""Whole answers of Messages, usage, stop reasons, faults and the peek."""

import json
from typing import Any

import pytest

from support.strategies import loss_paths
from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.ir.loss import Loss
from tollhouse.ir.parts import (
    Citation,
    ImagePart,
    MediaUrl,
    OpaquePart,
    ReasoningOrigin,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
)
from tollhouse.ir.response import ChatResponse, Choice, Finish, FinishReason
from tollhouse.ir.usage import Usage
from tollhouse.wire.anthropic_messages.fault import decode_stream_fault
from tollhouse.wire.anthropic_messages.format import AnthropicMessages
from tollhouse.wire.anthropic_messages.usage import decode_usage, encode_usage
from tollhouse.wire.format import Peek
from tollhouse.wire.quirks import Quirks

FORMAT = AnthropicMessages()
NAME = FORMAT.name


def decode(*content: Any, **fields: Any) -> ChatResponse:
    body = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": list(content)}
    usage = {"input_tokens": 5, "output_tokens": 9}
    return FORMAT.decode_response(json.dumps({**body, "stop_reason": "end_turn", "usage": usage, **fields}).encode())


def encode(*parts: Any, **fields: Any) -> tuple[dict[str, Any], list[str]]:
    losses: list[Loss] = []
    finish = fields.pop("finish", Finish(reason=FinishReason.STOP))
    response = ChatResponse(choices=(Choice(parts=parts, finish=finish),), **fields)
    return json.loads(FORMAT.encode_response(response, losses)), loss_paths(losses)


def peek(**fields: Any) -> Peek:
    return FORMAT.scan(json.dumps({"model": "m", "max_tokens": 5, "messages": [], **fields}).encode()).peek


def test_what_is_not_understood_is_kept() -> None:
    odd = [
        {"type": "text"},
        {"kind": "x"},
        {"type": "tool_use", "id": "t"},
        {"type": "tool_result", "tool_use_id": "t"},
    ]
    response = decode(*odd, container={"id": "c"}, stop_details=None, x_new=1)
    assert response.choices[0].parts == tuple(OpaquePart(format=NAME, value=value) for value in odd)
    assert response.extensions == {NAME: {"container": {"id": "c"}, "x_new": 1}}
    losses: list[Loss] = []
    assert json.loads(FORMAT.encode_response(response, losses))["content"] == odd
    assert losses == []


def test_kinds_that_are_no_text_are_kept() -> None:
    odd = {"type": [], "text": "Hi"}
    assert decode(odd).choices[0].parts == (OpaquePart(format=NAME, value=odd),)
    (part,) = decode({"type": "text", "text": "Hi", "citations": [{"type": {}, "title": "t"}]}).choices[0].parts
    assert part == TextPart(text="Hi", citations=(Citation(title="t", extensions={NAME: {"type": {}}}),))


def test_an_answer_of_another_format() -> None:
    foreign = ReasoningOrigin(format="openai_responses")
    body, lost = encode(
        ReasoningPart(summary=("one", "two"), opaque="S", origin=foreign),
        ReasoningPart(opaque="R", origin=foreign, redacted=True),
        TextPart(text="So.", citations=(Citation(url="u", title="t", start=0, end=2), Citation(title="book"))),
        RefusalPart(text="No."),
        ToolCallPart(id="functions.f:0", name="f", arguments="{}"),
        ImagePart(source=MediaUrl(url="u")),
        OpaquePart(format="openai_chat", value={"type": "x"}),
        usage=Usage(input_tokens=5, audio_input_tokens=2, cache_write_1h_tokens=3, output_tokens=4, reasoning_tokens=1),
        service_tier="priority",
    )
    cited = {"type": "web_search_result_location", "url": "u", "title": "t", "cited_text": "", "encrypted_index": ""}
    assert body["content"] == [
        {"type": "thinking", "thinking": "one", "signature": ""},
        {"type": "thinking", "thinking": "two", "signature": ""},
        {"type": "text", "text": "So.", "citations": [cited]},
        {"type": "text", "text": "No."},
        {"type": "tool_use", "id": "functions.f:0", "name": "f", "input": {}},
    ]
    assert body["stop_reason"] == "tool_use"
    assert body["usage"] == {
        "input_tokens": 7,
        "cache_creation_input_tokens": 3,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 3},
        "output_tokens": 4,
        "output_tokens_details": {"thinking_tokens": 1},
        "service_tier": "priority",
    }
    assert lost == [
        "choices[0].parts[0].opaque",
        "choices[0].parts[1].opaque",
        "choices[0].parts[2].citations[0].start",
        "choices[0].parts[2].citations[0].end",
        "choices[0].parts[2].citations[1]",
        "choices[0].parts[3]",
        "choices[0].parts[5]",
        "choices[0].parts[6]",
    ]


def test_an_empty_answer_has_all_required_fields() -> None:
    body, lost = encode()
    assert body == {
        "id": "",
        "type": "message",
        "role": "assistant",
        "model": "",
        "content": [],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 0, "output_tokens": 0},
    }
    assert lost == []
    losses: list[Loss] = []
    FORMAT.encode_response(ChatResponse(choices=(Choice(), Choice(index=1))), losses)
    assert loss_paths(losses) == ["choices[1]"]


@pytest.mark.parametrize(
    ("raw", "sequence", "reason", "again"),
    [
        ("end_turn", None, FinishReason.STOP, "end_turn"),
        ("stop_sequence", "X", FinishReason.STOP_SEQUENCE, "end_turn"),
        ("end_turn", "X", FinishReason.STOP_SEQUENCE, "end_turn"),
        ("max_tokens", None, FinishReason.LENGTH, "max_tokens"),
        ("model_context_window_exceeded", None, FinishReason.LENGTH, "max_tokens"),
        ("tool_use", None, FinishReason.STOP, "end_turn"),
        ("refusal", None, FinishReason.CONTENT_FILTER, "refusal"),
        ("pause_turn", None, FinishReason.OTHER, "pause_turn"),
        ("a_new_word", None, FinishReason.OTHER, "end_turn"),
        (None, None, FinishReason.STOP, "end_turn"),
    ],
)
def test_stop_reasons(raw: str | None, sequence: str | None, reason: FinishReason, again: str) -> None:
    response = decode({"type": "text", "text": "Hi"}, stop_reason=raw, stop_sequence=sequence)
    finish = response.choices[0].finish
    assert finish == Finish(reason=reason, raw=raw, stop_sequence=sequence)
    body = json.loads(FORMAT.encode_response(response, []))
    assert (body["stop_reason"], body["stop_sequence"]) == (again, sequence)


@pytest.mark.parametrize(
    ("counters", "usage"),
    [
        ({"input_tokens": 1, "output_tokens": 2}, Usage(input_tokens=1, output_tokens=2)),
        (
            {"input_tokens": 1, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 4, "output_tokens": 2},
            Usage(input_tokens=1, cache_read_tokens=3, cache_write_tokens=4, output_tokens=2),
        ),
        (
            {"input_tokens": 1, "output_tokens": 2, "cache_creation": {"ephemeral_1h_input_tokens": 9}},
            Usage(input_tokens=1, cache_write_1h_tokens=9, output_tokens=2),
        ),
        (
            {
                "input_tokens": 1,
                "output_tokens": 2,
                "cache_creation_input_tokens": 5,
                "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 9},
            },
            Usage(input_tokens=1, cache_write_1h_tokens=5, output_tokens=2),
        ),
        (
            {"input_tokens": 1, "output_tokens": 2, "output_tokens_details": {"thinking_tokens": 7}},
            Usage(input_tokens=1, output_tokens=2, reasoning_tokens=2),
        ),
        ({"output_tokens": 2}, None),
        ({"input_tokens": 1}, None),
        ({"input_tokens": -1, "output_tokens": 2}, None),
        ({"input_tokens": 1.5, "output_tokens": 2}, None),
        ({"input_tokens": True, "output_tokens": 2}, None),
        ({"input_tokens": 2**63, "output_tokens": 2}, None),
        ({"input_tokens": 1, "output_tokens": 2, "cache_read_input_tokens": "3"}, None),
    ],
)
def test_usage(counters: dict[str, Any], usage: Usage | None) -> None:
    assert decode_usage(counters) == usage
    if usage is not None:
        assert decode_usage(encode_usage(usage)) == usage


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {"type": "invalid_request_error", "message": "messages.0: no"}, FaultKind.INVALID_REQUEST),
        (
            400,
            {"type": "invalid_request_error", "message": "prompt is too long: 210000 tokens > 200000 maximum"},
            FaultKind.CONTEXT_LENGTH,
        ),
        (
            400,
            {"type": "invalid_request_error", "message": "Output blocked by content filtering policy"},
            FaultKind.CONTENT_FILTER,
        ),
        (
            400,
            {"type": "invalid_request_error", "message": "Your credit balance is too low to access the API."},
            FaultKind.PROVIDER_UNAVAILABLE,
        ),
        (401, {"type": "authentication_error", "message": "invalid x-api-key"}, FaultKind.PROVIDER_AUTH),
        (403, {"type": "permission_error", "message": "no"}, FaultKind.PROVIDER_AUTH),
        (404, {"type": "not_found_error", "message": "model: x"}, FaultKind.PROVIDER_UNAVAILABLE),
        (413, {"type": "request_too_large", "message": "no"}, FaultKind.BODY_TOO_LARGE),
        (429, {"type": "rate_limit_error", "message": "slow"}, FaultKind.PROVIDER_RATE_LIMIT),
        (500, {"type": "api_error", "message": "oops"}, FaultKind.PROVIDER_UNAVAILABLE),
        (504, {"type": "timeout_error", "message": "late"}, FaultKind.PROVIDER_TIMEOUT),
        (529, {"type": "overloaded_error", "message": "Overloaded"}, FaultKind.PROVIDER_OVERLOADED),
    ],
)
def test_faults(status: int, error: dict[str, str], kind: FaultKind) -> None:
    body = json.dumps({"type": "error", "error": error, "request_id": "req_1"}).encode()
    fault = FORMAT.decode_fault(status, [("Retry-After", "7")], body)
    assert (fault.kind, fault.source, fault.upstream_status) == (kind, "provider", status)
    assert fault.upstream_code == error["type"]
    waits = kind in (FaultKind.PROVIDER_RATE_LIMIT, FaultKind.PROVIDER_OVERLOADED, FaultKind.PROVIDER_UNAVAILABLE)
    assert fault.retry_after_s == (7.0 if waits else None)
    assert decode_stream_fault(error).kind is kind


def test_a_fault_repeats_no_secret() -> None:
    error = {"type": "invalid_request_error", "message": "key sk-ant-api03-abcdef is bad, see https://x.test/a"}
    fault = FORMAT.decode_fault(400, (), json.dumps({"error": error}).encode())
    assert "abcdef" not in fault.message + str(fault.detail)
    assert "x.test" not in fault.message + str(fault.detail)
    for body in (b"", b"<html>", b"[]", b"\xff", b"[" * 9999):
        assert FORMAT.decode_fault(500, (), body).kind is FaultKind.PROVIDER_UNAVAILABLE


def test_an_error_in_the_middle_of_a_stream() -> None:
    assert FORMAT.error_frame(b'{"type":"error"}') == b'event: error\ndata: {"type":"error"}\n\n'


def test_the_peek() -> None:
    tools = [
        {"name": "f", "input_schema": {}},
        {"type": "web_search_20250305", "name": "web_search"},
        {"type": "web_search_20260318", "name": "web_search"},
        {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"},
        {"type": "code_execution_20260120", "name": "code_execution"},
    ]
    assert peek() == Peek(model="m", output_limit=5)
    assert peek(stream=True, max_tokens=None) == Peek(model="m", stream=True, wants_usage=True)
    assert peek(tools=tools, service_tier="standard_only").paid == (
        ("tools", "tool:web_search"),
        ("tools", "tool:code_execution"),
    )
    assert peek(tools=[]).has_tools is False
    assert peek(service_tier="turbo", speed="fast").paid == (
        ("service_tier", "service_tier:turbo"),
        ("speed", "service_tier:fast"),
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", 7),
        ("model", ""),
        ("model", None),
        ("max_tokens", 0),
        ("max_tokens", -5),
        ("max_tokens", 1.5),
        ("max_tokens", 10**30),
        ("max_tokens", "5"),
        ("stream", "yes"),
        ("tools", {}),
        ("tools", [7]),
        ("service_tier", 1),
    ],
)
def test_the_peek_refuses_by_name(field: str, value: Any) -> None:
    with pytest.raises(FaultError) as raised:
        peek(**{field: value})
    assert raised.value.fault.param == field


def test_a_rewritten_request_is_verbatim_but_for_the_changes() -> None:
    body = b'{"max_tokens": 5,  "model":"a","messages":[ {"role":"user","content":"\\u00e9"} ],"model":"b","x":1e2}'
    scan = FORMAT.scan(body)
    assert scan.peek.model == "b"
    changed = FORMAT.rewrite(scan, {"model": scan.fields["x"]}, Quirks())
    assert changed == b'{"max_tokens":5,"model":1e2,"messages":[ {"role":"user","content":"\\u00e9"} ],"x":1e2}'
