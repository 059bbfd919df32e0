"""Whole answers of Responses: what they mean, and that clients with types find all that they require."""

import json
from typing import Any

import msgspec
import pytest
from openai.types.responses import Response

from support.responses_streams import (
    COUNTED,
    NAME,
    ORIGIN,
    SEARCH,
    THOUGHT,
    USAGE,
    answer,
    body,
    call,
    calls,
    message,
    text,
    tool,
)
from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.ir.loss import Loss
from tollhouse.ir.parts import Citation, OpaquePart, ReasoningPart, RefusalPart, TextPart, ToolCallPart
from tollhouse.ir.response import ChatResponse, Choice, Finish, FinishReason
from tollhouse.ir.usage import Usage
from tollhouse.wire.openai_responses.format import OpenAIResponses
from tollhouse.wire.openai_responses.usage import decode_usage, encode_usage

FORMAT = OpenAIResponses()


def decode(output: list[Any] | None = None, status: str = "completed", **more: Any) -> ChatResponse:
    whole = body(status, output, **{"usage": USAGE, **more})
    return FORMAT.decode_response(json.dumps(whole).encode())


def encode(response: ChatResponse) -> tuple[dict[str, Any], list[str]]:
    losses: list[Loss] = []
    return json.loads(FORMAT.encode_response(response, losses)), [loss.path for loss in losses]


def of(*parts: Any, reason: FinishReason = FinishReason.STOP) -> ChatResponse:
    choice = Choice(parts=parts, finish=Finish(reason=reason))
    return ChatResponse(id="resp_9", model="m", created=7, choices=(choice,))


@pytest.mark.row(80)
def test_output_in_its_order() -> None:
    got = decode([THOUGHT, SEARCH, message("Hi"), call("{}"), call("{}", 1)])
    assert got == calls(
        ReasoningPart(summary=("One", "Two"), opaque="gAAA", origin=ORIGIN, id="rs_1"),
        OpaquePart(format=NAME, value=SEARCH),
        text("Hi"),
        tool("{}"),
        tool("{}", 1),
    )
    again, losses = encode(got)
    assert losses == []
    assert again["output"] == [THOUGHT, SEARCH, message("Hi"), call("{}"), call("{}", 1)]
    assert again["usage"]["input_tokens_details"] == {"cached_tokens": 2, "cache_write_tokens": 0}


@pytest.mark.row(80)
@pytest.mark.parametrize(
    ("fields", "finish"),
    [
        ({}, Finish(reason=FinishReason.STOP, raw="completed")),
        ({"status": "complete"}, Finish(reason=FinishReason.STOP, raw="complete")),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
         Finish(reason=FinishReason.LENGTH, raw="max_output_tokens")),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
         Finish(reason=FinishReason.CONTENT_FILTER, raw="content_filter")),
        ({"status": "incomplete", "incomplete_details": {"reason": "steered"}},
         Finish(reason=FinishReason.OTHER, raw="steered")),
        ({"status": "incomplete"}, Finish(reason=FinishReason.OTHER, raw="incomplete")),
        ({"status": "queued"}, Finish(reason=FinishReason.OTHER, raw="queued")),
    ],
)  # fmt: skip
def test_why_it_ended(fields: dict[str, Any], finish: Finish) -> None:
    (choice,) = decode([message("Hi")], **fields).choices
    assert choice.finish == finish


@pytest.mark.row(80)
@pytest.mark.parametrize(
    ("reason", "status", "details"),
    [
        (FinishReason.STOP, "completed", None),
        (FinishReason.TOOL_CALLS, "completed", None),
        (FinishReason.OTHER, "completed", None),
        (FinishReason.LENGTH, "incomplete", {"reason": "max_output_tokens"}),
        (FinishReason.CONTENT_FILTER, "incomplete", {"reason": "content_filter"}),
    ],
)
def test_status(reason: FinishReason, status: str, details: Any) -> None:
    got, _ = encode(of(TextPart(text="Hi"), reason=reason))
    assert (got["status"], got["incomplete_details"]) == (status, details)
    assert got["output"][0]["status"] == status


def test_what_repeats_the_request_is_not_kept() -> None:
    got = decode([], instructions="x", tools=[{"type": "web_search"}], temperature=1, store=True, x_own=None, x_new=1)
    assert got.extensions == {NAME: {"x_new": 1}}


@pytest.mark.parametrize(
    "whole",
    [
        of(TextPart(text="Hi", citations=(Citation(url="https://x.example/"),), logprobs=())),
        of(RefusalPart(text="No")),
        of(ReasoningPart(text="Hm", summary=("a",)), ToolCallPart(id="c", name="f", arguments="{}")),
        of(ToolCallPart(id="c", name="f", arguments="x", kind="custom"), reason=FinishReason.LENGTH),
        msgspec.structs.replace(of(TextPart(text="Hi")), usage=Usage(input_tokens=1, output_tokens=2)),
        ChatResponse(),
    ],
)
def test_clients_with_types_find_what_they_require(whole: ChatResponse) -> None:
    got, losses = encode(whole)
    assert losses == []
    Response.model_validate(got)


def test_made_up_ids_are_unique_and_the_same_every_time() -> None:
    called = ToolCallPart(id="d", name="f", arguments="")
    whole = of(ReasoningPart(text="a"), TextPart(text="b"), RefusalPart(text="c"), called)
    got, _ = encode(whole)
    assert [item["id"] for item in got["output"]] == ["rs_9_0", "msg_9_1", "fc_9_2"]
    assert encode(whole)[0] == got


def test_of_several_choices_the_first_is_told() -> None:
    second = Choice(index=1, parts=(TextPart(text="b"),), extensions={NAME: {"x": 1}})
    response = ChatResponse(choices=(*of(TextPart(text="a")).choices, second))
    got, losses = encode(response)
    assert losses == ["choices[1]"]
    assert [item["content"][0]["text"] for item in got["output"]] == ["a"]


@pytest.mark.parametrize(
    ("item", "part"),
    [
        ({**call("{}"), "call_id": None}, ToolCallPart(id="fc_0", name="f", arguments="{}", item_id="fc_0")),
        ({**message("Hi"), "content": "Hi"}, text("Hi")),
        ({**message("Hi"), "content": [5, {"type": "text", "text": "Hi"}]}, text("Hi")),
    ],
)
def test_what_is_nearly_right(item: dict[str, Any], part: Any) -> None:
    assert decode([item]).choices[0].parts == (part,)


@pytest.mark.parametrize("item", [{}, {"type": 5}, call("{}", name=None), {"type": "function_call", "arguments": {}}])
def test_what_is_not_understood_is_kept(item: dict[str, Any]) -> None:
    got = decode([item])
    assert got.choices[0].parts == (OpaquePart(format=NAME, value=item),)
    assert encode(got)[0]["output"] == [item]


def test_reasoning_of_a_shape_that_nobody_knows_stays() -> None:
    item = {"id": "rs", "type": "reasoning", "summary": [], "content": [{"type": "drawing", "text": "x"}]}
    got = decode([item])
    assert got.choices[0].parts == (ReasoningPart(id="rs", extensions={NAME: {"content": item["content"]}}),)
    assert encode(got)[0]["output"] == [item]


@pytest.mark.parametrize(
    ("whole", "kind"),
    [
        (b"{", FaultKind.PROVIDER_UNAVAILABLE),
        (b"[]", FaultKind.PROVIDER_UNAVAILABLE),
        (b"{}", FaultKind.PROVIDER_UNAVAILABLE),
        (b'{"output":[5]}', FaultKind.PROVIDER_UNAVAILABLE),
        (b'{"error":{"message":"x","code":"rate_limit_exceeded"}}', FaultKind.PROVIDER_RATE_LIMIT),
        (b'{"status":"failed","output":[],"error":{"code":"server_error"}}', FaultKind.PROVIDER_UNAVAILABLE),
        (b'{"status":"failed","output":[]}', FaultKind.PROVIDER_UNAVAILABLE),
        (b'{"status":"cancelled","output":[]}', FaultKind.PROVIDER_UNAVAILABLE),
    ],
)
def test_what_is_no_answer_is_a_fault(whole: bytes, kind: FaultKind) -> None:
    with pytest.raises(FaultError) as raised:
        FORMAT.decode_response(whole)
    assert (raised.value.fault.kind, raised.value.fault.source) == (kind, "provider")


def test_usage() -> None:
    assert decode_usage(USAGE) == COUNTED
    details = {"cached_tokens": 2, "cache_write_tokens": 0}
    assert encode_usage(COUNTED) == {**USAGE, "input_tokens_details": details}
    written = Usage(input_tokens=1, cache_write_tokens=2, output_tokens=3)
    encoded = encode_usage(written, 1_500_000)
    assert msgspec.json.encode(encoded["cost"]) == b"0.0015"
    assert decode_usage({**encoded, "cost": 0}) == written


@pytest.mark.parametrize(
    "odd", [{}, {"input_tokens": -1}, {**USAGE, "total_tokens": 1}, {**USAGE, "input_tokens": "5"}]
)
def test_usage_that_makes_no_sense_is_not_trusted(odd: dict[str, Any]) -> None:
    assert decode_usage(odd) is None
    assert decode([message("Hi")], usage=odd).usage is None


def test_an_answer_without_a_word() -> None:
    assert decode([message(None)]) == answer()
    assert encode(answer())[0]["output"] == []
