"""Pipes from Responses to Responses: the identity, or a patch in the fields that a policy names."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.hostile import damaged
from support.responses_grammar import check_responses_stream
from support.responses_pipes import ESTIMATE, NAMED, PLAIN, TIDY, events, opened, passed
from support.responses_streams import (
    BEGIN,
    CASES,
    COUNTED,
    HI,
    SEARCH,
    THOUGHT,
    USAGE,
    Case,
    added,
    body,
    call,
    called,
    completed,
    done,
    event,
    grown,
    message,
    said,
)
from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.ir.fold import fold
from tollhouse.ir.parts import TextPart, ToolCallPart
from tollhouse.wire.format import AnswerPolicy
from tollhouse.wire.openai_responses.format import OpenAIResponses
from tollhouse.wire.openai_responses.usage import encode_usage

ENDED = [case for case in CASES if not isinstance(case.means, FaultKind) and case.means.choices[0].finish.raw]
FAULTY = [case for case in CASES if isinstance(case.means, FaultKind)]
BODY = json.dumps(body("completed", [message("Hi")], usage=USAGE), indent=1).encode()


def _fold(data: bytes) -> Any:
    decoder = OpenAIResponses().stream_decoder()
    return fold(decoder.feed(data) + decoder.flush())


def _without(value: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: each for key, each in value.items() if key not in keys}


@pytest.mark.parametrize("line_end", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("step", [1 << 20, 7])
@pytest.mark.parametrize("case", ENDED, ids=lambda case: case.name)
def test_law_4_a_passthrough_is_the_identity_on_bytes(case: Case, step: int, line_end: str) -> None:
    data = case.stream.replace("\n", line_end).encode()
    pipe = opened()
    assert passed(pipe, data, step).rstrip() == data.rstrip()
    assert pipe.usage == case.means.usage


@pytest.mark.parametrize("case", ENDED, ids=lambda case: case.name)
def test_law_4_a_patch_differs_in_what_its_policy_names_only(case: Case) -> None:
    before, after = events(case.stream.encode()), events(passed(opened(NAMED), case.stream.encode(), 50))
    end = next(at for at, each in enumerate(before) if each["type"] in ("response.completed", "response.incomplete"))
    assert len(before) == len(after)
    for old, new in zip(before[: end + 1], after, strict=False):
        assert _without(old, "response") == _without(new, "response")
        if "response" in old:
            was, now = old["response"], new["response"]
            assert (now["id"], now["model"]) == ("resp_9", "acme/large")
            assert _without(was, "id", "model", "usage") == _without(now, "id", "model", "usage")


@pytest.mark.parametrize("case", ENDED, ids=lambda case: case.name)
def test_a_tidy_stream_means_the_same(case: Case) -> None:
    data = passed(opened(TIDY), case.stream.encode(), 50)
    got = _fold(data)
    assert got.choices[0].parts == case.means.choices[0].parts
    assert got.choices[0].finish.reason == case.means.choices[0].finish.reason
    told = events(data)
    assert told[-1]["type"] == "response.completed"
    assert told[-1]["response"]["usage"]["cost"] == 0.0015
    assert b"[DONE]" not in data
    numbers = [each["sequence_number"] for each in told]
    assert numbers == sorted(set(numbers))


def test_tidy_events_have_names() -> None:
    data = "".join(line + "\n" for line in (BEGIN + HI + completed()).split("\n") if not line.startswith("event:"))
    out = passed(opened(TIDY), data.encode()).decode()
    for frame in out.split("\n\n")[:-1]:
        name, told = frame.split("\n")
        assert json.loads(told[6:])["type"] == name[7:]


@pytest.mark.parametrize("policy", [PLAIN, NAMED, TIDY], ids=["plain", "named", "tidy"])
@pytest.mark.parametrize("case", FAULTY, ids=lambda case: case.name)
def test_a_stream_that_fails_is_a_fault(case: Case, policy: AnswerPolicy) -> None:
    with pytest.raises(FaultError) as raised:
        passed(opened(policy), case.stream.encode())
    assert raised.value.fault.kind is case.means


def test_the_last_answer_waits_until_all_is_settled() -> None:
    pipe = opened(TIDY)
    shown = pipe.feed((BEGIN + HI + completed([message("Hi é")])).encode()) + pipe.close()
    assert b"response.completed" not in shown
    assert (pipe.usage, pipe.finish_reason, pipe.received_bytes) == (COUNTED, "completed", 5)
    assert b"response.completed" in pipe.finish(ESTIMATE)


def test_nothing_is_shown_before_something_was_generated() -> None:
    pipe = opened()
    assert pipe.feed((BEGIN + added(message(None))).encode()) == b""
    assert not pipe.has_content
    assert pipe.feed(grown("output_text.delta", delta="").encode()) == b""
    shown = pipe.feed(grown("output_text.delta", delta="Hi").encode())
    assert pipe.has_content
    assert shown.startswith(b"event: response.created")


def test_what_was_held_comes_with_the_end() -> None:
    data = (BEGIN + completed()).encode()
    assert passed(opened(), data) == data


def test_bytes_are_counted_once() -> None:
    pipe = opened()
    passed(pipe, (BEGIN + done(THOUGHT) + said("Hi", " é", place=1) + called('{"a"', ":1}", place=2)
                  + done(call("{}", 3), 3) + completed()).encode())  # fmt: skip
    assert pipe.received_bytes == len("OneTwo") + len("Hi é".encode()) + len('{"a":1}') + len("f{}")


@pytest.mark.fault(43)
def test_the_figures_of_the_provider_are_shown_as_they_came() -> None:
    told = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    data = (BEGIN + HI + completed(usage={**told, "cost": 7})).encode()
    details = {
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    assert events(passed(opened(TIDY), data))[-1]["response"]["usage"] == {**told, **details, "cost": 0.0015}
    whole = json.dumps({**json.loads(BODY), "usage": told}).encode()
    assert json.loads(passed(opened(TIDY, streamed=False), whole))["usage"] == {**told, **details, "cost": 0.0015}


def test_settled_usage_where_the_provider_told_none() -> None:
    data = (BEGIN + HI + completed(usage=None)).encode()
    settled = json.loads(json.dumps(encode_usage(ESTIMATE.usage)))
    assert events(passed(opened(NAMED), data))[-1]["response"]["usage"] == settled
    assert events(passed(opened(), data))[-1]["response"]["usage"] is None


@pytest.mark.parametrize("policy", [PLAIN, NAMED, TIDY], ids=["plain", "named", "tidy"])
def test_an_end_that_the_provider_did_not_tell(policy: AnswerPolicy) -> None:
    out = passed(opened(policy), (BEGIN + HI + done(SEARCH, 1)).encode())
    end = events(out)[-1]
    assert (end["type"], end["response"]["status"]) == ("response.completed", "completed")
    assert end["response"]["output"] == [message("Hi é"), SEARCH]
    assert end["response"]["usage"]["output_tokens"] == 3


def test_an_answer_that_the_gateway_cuts_is_incomplete_and_well_formed() -> None:
    pipe = opened(TIDY)
    stream = (
        BEGIN
        + done(THOUGHT).replace("output_item.done", "output_item.added")
        + grown("reasoning_summary_text.delta", summary_index=0, delta="Hm")
        + added(message(None), 1)
        + grown("output_text.delta", 1, delta="Hi")
        + added(call("", 2), 2)
        + grown("function_call_arguments.delta", 2, delta='{"a')
        + added({"type": "custom_tool_call", "id": "ctc", "call_id": "c", "name": "f", "input": ""}, 3)
        + grown("custom_tool_call_input.delta", 3, delta="x")
    )
    data = pipe.feed(stream.encode()) + pipe.finish(ESTIMATE)
    end = events(data)[-1]["response"]
    assert (end["status"], end["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert pipe.finish_reason == "max_output_tokens"
    assert [item["type"] for item in end["output"]] == ["reasoning", "message", "function_call", "custom_tool_call"]
    parts = _fold(data).choices[0].parts
    assert [part.text for part in parts if isinstance(part, TextPart)] == ["Hi"]
    assert [part.arguments for part in parts if isinstance(part, ToolCallPart)] == ['{"a', "x"]


def test_our_own_streams_pass_a_tidy_pipe_well_formed() -> None:
    encoder = OpenAIResponses().stream_encoder()
    decoder = OpenAIResponses().stream_decoder()
    stream = BEGIN + done(THOUGHT) + said("Hi", place=1) + called("{}", place=2) + completed()
    data = b"".join(encoder.feed(each) for each in decoder.feed(stream.encode())) + encoder.flush()
    assert passed(opened(), data) == data
    check_responses_stream(passed(opened(TIDY), data))


def test_a_body_is_passed_on_verbatim() -> None:
    pipe = opened(streamed=False)
    assert passed(pipe, BODY, 10) == BODY
    assert (pipe.usage, pipe.received_bytes, pipe.finish_reason) == (COUNTED, 2, "completed")


def test_a_body_is_patched_in_what_its_policy_names() -> None:
    patched = json.loads(passed(opened(NAMED, streamed=False), BODY))
    assert (patched["id"], patched["model"]) == ("resp_9", "acme/large")
    assert _without(patched, "id", "model") == _without(json.loads(BODY), "id", "model")


def test_a_tidy_body_has_every_member() -> None:
    tidy = json.loads(passed(opened(TIDY, streamed=False), b'{"id":"x","output":[],"status":"incomplete"}'))
    assert (tidy["id"], tidy["object"], tidy["created_at"], tidy["status"]) == ("resp_9", "response", 0, "incomplete")
    assert tidy["usage"]["cost"] == 0.0015
    assert {"error", "incomplete_details", "tools", "tool_choice", "parallel_tool_calls"} <= tidy.keys()


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"output":[],"error":{"message":"x"}}',
                                  b'{"output":[],"status":"failed"}'])  # fmt: skip
def test_a_body_that_is_no_answer_is_a_fault(data: bytes) -> None:
    with pytest.raises(FaultError) as raised:
        passed(opened(streamed=False), data)
    assert raised.value.fault.kind is FaultKind.PROVIDER_UNAVAILABLE


@pytest.mark.parametrize("data", [b"data: 5\n\n", b"data: {\n\n", b'data: {"type":"response.failed"}\n\n',
                                  event("created", response=[]).encode() + b"data: x\n\n"])  # fmt: skip
def test_garbled_streams_are_faults(data: bytes) -> None:
    for policy in (PLAIN, TIDY):
        with pytest.raises(FaultError):
            passed(opened(policy), data)


@given(data=st.data(), case=st.sampled_from(CASES), policy=st.sampled_from([PLAIN, NAMED, TIDY]))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_law_5_a_damaged_stream_is_a_fault_or_an_answer(data: st.DataObject, case: Case, policy: AnswerPolicy) -> None:
    stream = data.draw(damaged(data.draw(damaged(case.stream.encode()))))
    cut_off = opened(policy)
    with suppress(FaultError):  # any other exception fails the test
        passed(opened(policy), stream, 11)
    with suppress(FaultError):
        cut_off.feed(stream)
        cut_off.finish(ESTIMATE)


def test_bytes_that_are_no_text_are_a_fault() -> None:
    for policy in (NAMED, TIDY):
        with pytest.raises(FaultError):
            passed(opened(policy), b'data: {"type":"response.created","response":{"\xff":1}}\n\n')
