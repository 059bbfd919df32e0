"""Whole answers of Chat Completions: what they mean, what they refuse, what comes back, what is lost."""

import json
from typing import Any

import pytest

from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.ir.loss import Loss
from tollhouse.ir.parts import (
    Citation,
    ImagePart,
    MediaUrl,
    OpaquePart,
    Part,
    ReasoningOrigin,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
)
from tollhouse.ir.response import ChatResponse, Choice, Finish, FinishReason
from tollhouse.ir.usage import Usage
from tollhouse.wire.openai_chat.response import decode_response, encode_response

TOKEN = {"token": "Hi", "logprob": -0.5}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CITED = {"type": "url_citation", "url_citation": {"url": "u", "title": "t", "start_index": 0, "end_index": 2}}
DETAIL = {"type": "reasoning.text", "text": "so", "signature": "s==", "index": 0}


def _body(message: dict[str, Any], finish: str | None = "stop", **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "logprobs": None, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion", "created": 7, "model": "m", "choices": [choice], **more}


def _decode(body: object) -> ChatResponse:
    return decode_response(json.dumps(body).encode())


def _choice(message: dict[str, Any], finish: str | None = "stop") -> Choice:
    return _decode(_body(message, finish)).choices[0]


def _encode(*parts: Part, reason: FinishReason = FinishReason.STOP) -> tuple[dict[str, Any], list[str]]:
    """The encoded choice, and the paths of what was lost."""
    losses: list[Loss] = []
    answer = ChatResponse(choices=(Choice(parts=parts, finish=Finish(reason=reason)),))
    return json.loads(encode_response(answer, losses))["choices"][0], [loss.path for loss in losses]


BODIES: dict[str, dict[str, Any]] = {
    "text": _body({"content": "Hi"}),
    "nothing": _body({"content": ""}),
    "several choices": {
        **_body({"content": "a"}),
        "choices": [{**_body({"content": text})["choices"][0], "index": n} for n, text in enumerate("ab")],
    },
    "tool calls": _body({"content": None, "tool_calls": [CALL, {**CALL, "id": "d", "x": 1}]}, "tool_calls"),
    "text and a custom tool": _body(
        {"content": "Hi", "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "f", "input": "x"}}]},
        "tool_calls",
    ),
    "a refusal": _body({"content": None, "refusal": "No"}),
    "reasoning": _body({"content": "Hi", "reasoning": "so"}),
    "reasoning_content": _body({"content": "Hi", "reasoning_content": "so"}),
    "reasoning details": _body({"content": "Hi", "reasoning": "so", "reasoning_details": [DETAIL]}),
    "citations": _body({"content": "Hi", "annotations": [CITED, {"type": "file_citation", "x": 1}]}),
    "annotations without text": _body({"content": None, "annotations": [CITED], "tool_calls": [CALL]}, "tool_calls"),
    "a part nobody knows": _body({"content": [{"type": "text", "text": "Hi"}, {"type": "reference", "ids": [1]}]}),
    "unknown fields": _body(
        {"content": "Hi", "audio": {"id": "a"}, "images": [{"x": 1}]},
        service_tier="flex",
        system_fingerprint=None,
        provider="acme",
    ),
    "length": _body({"content": "Hi"}, "length"),
    "filtered": _body({"content": ""}, "content_filter"),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_an_answer_comes_back_as_it_was(body: dict[str, Any]) -> None:
    losses: list[Loss] = []
    assert json.loads(encode_response(_decode(body), losses)) == body
    assert losses == []


def test_content_that_came_as_a_list_goes_out_as_text_and_reasoning() -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "so"}]}
    answer = _decode(_body({"content": [thinking, {"type": "text", "text": "Hi"}, {"type": "text", "text": "!"}]}))
    assert answer.choices[0].parts == (ReasoningPart(text="so", form="thinking"), TextPart(text="Hi!"))
    assert json.loads(encode_response(answer, [])) == _body({"content": "Hi!", "reasoning": "so"})


def test_log_probabilities_belong_to_the_text() -> None:
    body = _body({"content": "Hi"})
    body["choices"][0]["logprobs"] = {"content": [TOKEN], "refusal": None}
    answer = _decode(body)
    assert answer.choices[0].parts == (TextPart(text="Hi", logprobs=(TOKEN,)),)
    assert json.loads(encode_response(answer, [])) == body


def test_usage_is_read_wherever_it_stands() -> None:
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 5,
        "total_tokens": 14,
        "prompt_tokens_details": {"cached_tokens": 4},
    }
    expected = Usage(input_tokens=5, cache_read_tokens=4, output_tokens=5)
    assert _decode(_body({"content": "Hi"}, usage=usage)).usage == expected
    assert _decode(_body({"content": "Hi"}, x_groq={"usage": usage})).usage == expected
    assert _decode(_body({"content": "Hi"}, usage=None)).usage is None


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("stop", FinishReason.STOP),
        ("eos", FinishReason.STOP),
        ("", FinishReason.STOP),
        (None, FinishReason.STOP),
        ("STOP", FinishReason.STOP),
        ("length", FinishReason.LENGTH),
        ("model_length", FinishReason.LENGTH),
        ("content_filter", FinishReason.CONTENT_FILTER),
        ("tool_calls", FinishReason.STOP),
        ("tired", FinishReason.OTHER),
    ],
)
def test_finish_reasons(raw: str | None, reason: FinishReason) -> None:
    assert _choice({"content": "Hi"}, raw).finish == Finish(reason=reason, raw=raw or None)


def test_a_forced_call_that_ends_with_stop_is_a_tool_call() -> None:
    choice = _choice({"content": None, "tool_calls": [CALL]}, "stop")
    assert choice.finish == Finish(reason=FinishReason.TOOL_CALLS, raw="stop")


def test_lenient_forms_are_understood() -> None:
    calls = [{"index": 0, "function": {"name": "f", "arguments": "{}"}}, {"id": "d", "function": {"name": "g"}}]
    choice = _choice({"content": None, "tool_calls": calls, "refusal": None, "annotations": []})
    assert choice.parts == (
        ToolCallPart(id="call_c1_0", name="f", arguments="{}"),
        ToolCallPart(id="d", name="g", arguments=""),
    )
    assert choice.extensions == {}
    assert _choice({"content": ["a", {"type": "text", "text": "b"}, 7]}).parts == (TextPart(text="ab"),)
    broken = {"type": "image_url"}
    assert _choice({"content": [broken]}).parts == (OpaquePart(format="openai_chat", value=broken),)


def test_a_delta_beside_the_message_is_left_out() -> None:
    body = _body({"content": "Hi"})
    body["choices"][0]["delta"] = {"role": "assistant", "content": ""}
    assert _decode(body) == _decode(_body({"content": "Hi"}))


def test_a_known_field_of_another_type_is_kept_as_it_is() -> None:
    answer = _decode({**_body({"content": 7, "refusal": ["x"]}), "id": 9, "created": "now"})
    assert answer.choices[0].extensions == {"openai_chat": {"message": {"content": 7, "refusal": ["x"]}}}
    assert answer.extensions == {"openai_chat": {"id": 9, "created": "now"}}


REFUSED: dict[str, tuple[Any, FaultKind]] = {
    "a list": ([], FaultKind.PROVIDER_UNAVAILABLE),
    "no choices": ({"id": "x"}, FaultKind.PROVIDER_UNAVAILABLE),
    "empty choices": ({"choices": []}, FaultKind.PROVIDER_UNAVAILABLE),
    "a choice that is none": ({"choices": [7]}, FaultKind.PROVIDER_UNAVAILABLE),
    "a nameless call": (_body({"tool_calls": [{"id": "c"}]}), FaultKind.PROVIDER_UNAVAILABLE),
    "an error with status 200": ({"error": {"message": "slow down", "code": 429}}, FaultKind.PROVIDER_RATE_LIMIT),
    "finish reason error": (_body({"content": "Hi"}, "error"), FaultKind.PROVIDER_UNAVAILABLE),
}


@pytest.mark.parametrize(("body", "kind"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_answer_is_a_fault(body: Any, kind: FaultKind) -> None:
    with pytest.raises(FaultError) as raised:
        _decode(body)
    assert raised.value.fault.kind is kind


def test_the_texts_of_other_formats_become_one() -> None:
    choice, lost = _encode(
        ReasoningPart(text="so"),
        TextPart(text="Hé ", citations=(Citation(url="u", start=0, end=2),)),
        TextPart(text="you", citations=(Citation(url="v", start=0, end=3, cited_text="q"), Citation(title="t"))),
    )
    message = choice["message"]
    assert (message["content"], message["reasoning"]) == ("Hé you", "so")
    assert [note["url_citation"] for note in message["annotations"]] == [
        {"url": "u", "start_index": 0, "end_index": 2},
        {"url": "v", "start_index": 3, "end_index": 6},
    ]
    assert lost == ["choices[0].parts[2].citations[0].cited_text", "choices[0].parts[2].citations[1]"]


def test_a_payload_of_another_format_is_lost_and_our_own_is_kept() -> None:
    own = ReasoningOrigin(format="openai_chat")
    signed = ReasoningPart(text="so", opaque="own==", origin=own)
    redacted = ReasoningPart(opaque="gAAA", redacted=True, origin=own)
    foreign = ReasoningPart(text="on", opaque="sig==", origin=ReasoningOrigin(format="anthropic_messages"))
    choice, lost = _encode(signed, redacted, foreign, TextPart(text="Hi"))
    assert choice["message"]["reasoning_details"] == [
        {"type": "reasoning.text", "text": "so", "signature": "own==", "index": 0},
        {"type": "reasoning.encrypted", "data": "gAAA", "index": 1},
        {"type": "reasoning.text", "text": "on", "index": 2},
    ]
    assert choice["message"]["reasoning"] == "soon"
    assert lost == ["choices[0].parts[2].opaque"]
    assert "sig==" not in json.dumps(choice)


def test_what_an_answer_cannot_hold_is_named() -> None:
    image = ImagePart(source=MediaUrl(url="u"))
    server_tool = OpaquePart(format="anthropic_messages", value={"type": "server_tool_use"})
    choice, lost = _encode(image, server_tool, TextPart(text="Hi"))
    assert choice["message"] == {"role": "assistant", "content": "Hi"}
    assert lost == ["choices[0].parts[0]", "choices[0].parts[1]"]


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        (FinishReason.STOP, "stop"),
        (FinishReason.STOP_SEQUENCE, "stop"),
        (FinishReason.OTHER, "stop"),
        (FinishReason.LENGTH, "length"),
        (FinishReason.CONTENT_FILTER, "content_filter"),
        (FinishReason.TOOL_CALLS, "stop"),
    ],
)
def test_the_finish_reason_is_one_of_the_closed_list(reason: FinishReason, word: str) -> None:
    assert _encode(TextPart(text="Hi"), reason=reason)[0]["finish_reason"] == word


def test_a_refusal_alone_has_no_content() -> None:
    choice, _ = _encode(RefusalPart(text="No"))
    assert choice["message"] == {"role": "assistant", "content": None, "refusal": "No"}
