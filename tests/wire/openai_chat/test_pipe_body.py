"""Answers in one piece: verbatim, patched or made to fit the contract; errors in disguise are found."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.chat_pipes import MODEL, PLAIN, TIDY, USAGE, opened, passed
from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.ir.usage import Usage
from tollhouse.wire.format import AnswerPolicy
from tollhouse.wire.openai_chat.body_pipe import BodyPipe

TEXT = 'Hi "model": "m-2025"'
ANSWER: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1763,
    "model": "m-2025",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": 'Hi "model": "m-2025"'}, "finish_reason": "stop"}
    ],
    "usage": USAGE,
    "system_fingerprint": "fp",
}


def body(policy: AnswerPolicy, answer: object, step: int = 1 << 20) -> dict[str, Any]:
    return json.loads(passed(opened(policy, streamed=False), json.dumps(answer).encode(), step))


def fault(data: bytes) -> FaultKind:
    with pytest.raises(FaultError) as raised:
        passed(opened(MODEL, streamed=False), data)
    return raised.value.fault.kind


@given(st.integers(1, 400), st.sampled_from([None, 1]))
def test_verbatim_and_patched(step: int, indent: int | None) -> None:
    data = json.dumps(ANSWER, indent=indent).encode()
    pipe = opened(PLAIN, streamed=False)
    assert passed(pipe, data, step) == data
    assert (pipe.usage, pipe.finish_reason) == (Usage(input_tokens=5, output_tokens=4), "stop")
    patched = passed(opened(MODEL, streamed=False), data, step)
    assert patched == data.replace(b'"model": "m-2025",', b'"model": "acme/large",')


def test_nothing_comes_before_finish() -> None:
    pipe = opened(PLAIN, streamed=False)
    assert pipe.feed(json.dumps(ANSWER).encode()) == b""
    assert pipe.close() == b""
    assert pipe.received_bytes == len(TEXT)


def test_members_that_are_missing_or_repeated_are_patched_by_joining() -> None:
    bare = {name: value for name, value in ANSWER.items() if name != "model"}
    assert body(MODEL, bare) == {**bare, "model": "acme/large"}
    nested = {**ANSWER, "routing": {"model": "m-2025"}}
    assert body(MODEL, nested) == {**nested, "model": "acme/large"}
    assert body(MODEL, {**ANSWER, "model": None})["model"] == "acme/large"


@pytest.mark.row(4)
@pytest.mark.parametrize("usage", [None, {}])
def test_missing_usage_is_estimated(usage: object) -> None:
    got = body(MODEL, {**ANSWER, "usage": usage})
    assert got["usage"]["total_tokens"] == 10


@pytest.mark.row(61)
def test_tidy_has_every_required_member() -> None:
    message = {
        "content": None,
        "reasoning_content": "hm",
        "tool_calls": [{"id": "c", "type": "function"}],
        "audio": None,
    }
    got = body(TIDY, {"choices": [{"message": message, "finish_reason": "stop"}, {"message": None}], "x": 1})
    assert list(got) == ["id", "object", "created", "model", "choices", "x", "usage"]
    assert (got["id"], got["object"], got["created"], got["model"]) == ("gen-1", "chat.completion", 0, "acme/large")
    others = {"tool_calls": message["tool_calls"], "audio": None, "reasoning": "hm"}
    assert got["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": None, **others},
            "logprobs": None,
            "finish_reason": "tool_calls",
        },
        {"index": 1, "message": {"role": "assistant", "content": None}, "logprobs": None, "finish_reason": "stop"},
    ]
    assert got["usage"]["cost"] == 0.0015
    assert got["usage"]["prompt_tokens_details"] == {"cached_tokens": 0}


@pytest.mark.fault(43)
def test_tidy_shows_the_figures_of_the_provider_and_our_cost() -> None:
    odd = {
        "prompt_tokens": 7,
        "completion_tokens": 1,
        "total_tokens": 8,
        "prompt_tokens_details": {"cached_tokens": 163},
    }
    reasoning = {"completion_tokens_details": {"reasoning_tokens": 0}}
    assert body(TIDY, {**ANSWER, "usage": {**odd, "cost": 9}})["usage"] == {**odd, **reasoning, "cost": 0.0015}
    assert body(MODEL, {**ANSWER, "usage": odd})["usage"] == odd
    settled = body(msgspec.structs.replace(TIDY, settled_usage=True), {**ANSWER, "usage": odd})["usage"]
    assert (settled["prompt_tokens"], settled["prompt_tokens_details"]) == (7, {"cached_tokens": 0})


@pytest.mark.fault(44)
@pytest.mark.parametrize("name", ["cost", "cost_details", "estimated_cost", "cost_in_usd_ticks"])
def test_what_a_provider_asks_of_the_gateway_is_not_shown(name: str) -> None:
    told = {**USAGE, name: {"upstream": 9}, "is_byok": False}
    got = body(MODEL, {**ANSWER, "usage": told})
    assert got == {**ANSWER, "model": "acme/large", "usage": {**USAGE, "is_byok": False}}


def test_tidy_flattens_content_in_parts() -> None:
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "ok"}]
    got = body(TIDY, {**ANSWER, "choices": [{"index": 0, "message": {"role": "assistant", "content": parts}}]})
    assert got["choices"][0]["message"] == {"role": "assistant", "content": "ok", "reasoning": "hm"}


@pytest.mark.fault(34, 35, 36)
@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", FaultKind.PROVIDER_UNAVAILABLE),
        (b"<html>", FaultKind.PROVIDER_UNAVAILABLE),
        (b"[]", FaultKind.PROVIDER_UNAVAILABLE),
        (b'{"id":"x","choi', FaultKind.PROVIDER_UNAVAILABLE),
        (b'{"id":"x"}', FaultKind.PROVIDER_UNAVAILABLE),
        (b'{"id":"x","choices":null}', FaultKind.PROVIDER_UNAVAILABLE),
        (b'{"id":"\xff","choices":[]}', FaultKind.PROVIDER_UNAVAILABLE),
        (b'{"choices":' + b"[" * 9000 + b"]" * 9000 + b"}", FaultKind.PROVIDER_UNAVAILABLE),
        (b'{"error":{"code":429,"message":"slow"}}', FaultKind.PROVIDER_RATE_LIMIT),
        (b'{"error":{"code":"context_length_exceeded","message":"too long"}}', FaultKind.CONTEXT_LENGTH),
        (b'{"choices":[{"message":{},"finish_reason":"error"}]}', FaultKind.PROVIDER_UNAVAILABLE),
    ],
)
def test_what_is_no_answer_is_a_fault(data: bytes, kind: FaultKind) -> None:
    assert fault(data) is kind


@pytest.mark.fault(37)
def test_bodies_above_the_cap_are_refused() -> None:
    pipe = BodyPipe(PLAIN, max_body_bytes=100)
    pipe.feed(b"x" * 100)
    with pytest.raises(FaultError) as raised:
        pipe.feed(b"x")
    assert raised.value.fault.kind is FaultKind.PROVIDER_UNAVAILABLE


def test_odd_types_never_break_the_pipe() -> None:
    odd: list[Any] = [None, 1, "x", [], {}, [1], [None], [{}]]
    for value in odd:
        for policy in (PLAIN, MODEL, TIDY):
            body(policy, {**ANSWER, "choices": [{"index": value, "message": value, "finish_reason": value}]})
            body(policy, {**ANSWER, "choices": [value]})
            body(policy, {**ANSWER, "id": value, "model": value, "created": value, "usage": value, "x_groq": value})
            body(policy, {**ANSWER, "choices": [{"message": {"content": value, "tool_calls": value}}]})


def test_a_second_choice_that_failed_is_found_before_the_answer_is_settled() -> None:
    choice = ANSWER["choices"][0]
    answer = ANSWER | {"choices": [choice, choice | {"index": 1, "finish_reason": "error"}]}
    pipe = opened(TIDY, streamed=False, choices=2)
    assert pipe.feed(json.dumps(answer).encode()) == b""
    with pytest.raises(FaultError):
        pipe.close()
