"""Responses streams as providers send them, oddities included, each with the answer that it means."""

import json
from typing import Any

import msgspec

from tollhouse.ir.fault import FaultKind
from tollhouse.ir.parts import (
    Citation,
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

NAME = "openai_responses"
ORIGIN = ReasoningOrigin(format=NAME)
USAGE = {
    "input_tokens": 5,
    "input_tokens_details": {"cached_tokens": 2},
    "output_tokens": 4,
    "output_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 9,
}
COUNTED = Usage(input_tokens=3, cache_read_tokens=2, output_tokens=4, reasoning_tokens=1)


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """`means` is the fold of the stream, or the kind of fault in which it ends."""

    name: str
    stream: str
    means: ChatResponse | FaultKind
    text_before_fault: str = ""


def event(kind: str, **fields: Any) -> str:
    """One event, named as the format's vendor does."""
    name = kind if kind == "error" else f"response.{kind}"
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields}, ensure_ascii=False)}\n\n"


def body(status: str = "in_progress", output: list[Any] | None = None, **more: Any) -> dict[str, Any]:
    """An answer object."""
    head = {"id": "resp_1", "object": "response", "created_at": 7, "model": "m", "status": status, "tools": []}
    return {**head, "error": None, "incomplete_details": None, "usage": None, "output": output or [], **more}


def completed(output: list[Any] | None = None, **more: Any) -> str:
    """The event with the whole answer."""
    return event("completed", response=body(more.pop("status", "completed"), output, **{"usage": USAGE, **more}))


def message(text: str | None, item_id: str = "msg_1", **more: Any) -> dict[str, Any]:
    """A message item; None gives one without content."""
    content = [] if text is None else [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
    item = {"id": item_id, "type": "message", "status": "completed", "role": "assistant", "content": content}
    return {**item, **more}


def call(arguments: str, place: int = 0, **more: Any) -> dict[str, Any]:
    """A function call item."""
    item = {"id": f"fc_{place}", "type": "function_call", "status": "completed", "call_id": f"call_{place}"}
    return {**item, "name": "f", "arguments": arguments, **more}


def added(item: dict[str, Any], place: int = 0) -> str:
    return event("output_item.added", output_index=place, item={**item, "status": "in_progress"})


def done(item: dict[str, Any], place: int = 0) -> str:
    return event("output_item.done", output_index=place, item=item)


def grown(kind: str, place: int = 0, **fields: Any) -> str:
    """An event of the item at `place`, in its first part."""
    where = {"item_id": "x", "output_index": place, "content_index": 0}
    return event(kind, **{**where, **fields})


def said(*deltas: str, item: dict[str, Any] | None = None, place: int = 0) -> str:
    """A message, streamed as OpenAI does."""
    text = "".join(deltas)
    item = message(text) if item is None else item
    part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    return (
        added({**item, "content": []}, place)
        + grown("content_part.added", place, part=part)
        + "".join(grown("output_text.delta", place, delta=delta, logprobs=[]) for delta in deltas)
        + grown("output_text.done", place, text=text, logprobs=[])
        + grown("content_part.done", place, part={**part, "text": text})
        + done(item, place)
    )


def called(*deltas: str, place: int = 0) -> str:
    """A function call, streamed as OpenAI does."""
    whole = "".join(deltas)
    return (
        added(call("", place), place)
        + "".join(grown("function_call_arguments.delta", place, delta=delta) for delta in deltas)
        + grown("function_call_arguments.done", place, arguments=whole)
        + done(call(whole, place), place)
    )


def answer(
    *parts: Part,
    reason: FinishReason = FinishReason.STOP,
    raw: str | None = "completed",
    usage: Usage | None = COUNTED,
    left: dict[str, object] | None = None,
) -> ChatResponse:
    choice = Choice(parts=parts, finish=Finish(reason=reason, raw=raw))
    extensions = {NAME: left} if left else {}
    return ChatResponse(id="resp_1", model="m", created=7, choices=(choice,), usage=usage, extensions=extensions)


def calls(*parts: Part) -> ChatResponse:
    return answer(*parts, reason=FinishReason.TOOL_CALLS)


def text(value: str, item_id: str | None = "msg_1", **more: Any) -> TextPart:
    return TextPart(text=value, item_id=item_id, **more)


def tool(arguments: str, place: int = 0) -> ToolCallPart:
    return ToolCallPart(id=f"call_{place}", name="f", arguments=arguments, item_id=f"fc_{place}")


BEGIN = event("created", response=body()) + event("in_progress", response=body())
HI = said("Hi", " é")
SEARCH = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}}
SQL = {"id": "ctc_1", "type": "custom_tool_call", "call_id": "c", "name": "sql", "input": "SELECT 1"}
THOUGHT = {
    "id": "rs_1",
    "type": "reasoning",
    "summary": [{"type": "summary_text", "text": "One"}, {"type": "summary_text", "text": "Two"}],
    "encrypted_content": "gAAA",
}
CITED = {"type": "url_citation", "url": "https://x.example/", "title": "X", "start_index": 0, "end_index": 2}
TOKEN = {"token": "Hi", "logprob": -0.5, "bytes": [72], "top_logprobs": []}

CASES = [
    Case(name="plain", stream=BEGIN + HI + completed([message("Hi é")]), means=answer(text("Hi é"))),
    Case(name="[DONE] after the end", stream=BEGIN + HI + completed([message("Hi é")]) + "data: [DONE]\n\n",
         means=answer(text("Hi é"))),
    Case(name="no blank line at the end", stream=(BEGIN + HI + completed()).rstrip("\n"), means=answer(text("Hi é"))),
    Case(name="no event names", stream="".join(line + "\n" for line in (BEGIN + HI + completed()).split("\n")
                                               if not line.startswith("event:")), means=answer(text("Hi é"))),
    Case(name="comments and pings", stream=BEGIN + ": keep-alive\n\n" + HI + event("ping", x=1) + completed(),
         means=answer(text("Hi é"))),
    Case(name="nothing after the end counts", stream=BEGIN + HI + completed() + BEGIN + said("No") + completed(),
         means=answer(text("Hi é"))),
    Case(name="no terminal event, but whole items", stream=BEGIN + HI,
         means=answer(text("Hi é"), raw=None, usage=None)),
    Case(name="text that only the whole item has",
         stream=BEGIN + added(message(None)) + done(message("Hi")) + completed(),
         means=answer(text("Hi"))),
    Case(name="an item that was never announced", stream=BEGIN + done(message("Hi")) + completed(),
         means=answer(text("Hi"))),
    Case(name="deltas that nothing announced", means=answer(text("Hi", None)),
         stream=BEGIN + event("output_text.delta", output_index=0, content_index=0, delta="Hi") + completed()),
    Case(name="items that only the whole answer has", stream=BEGIN + completed([message("Hi"), call("{}")]),
         means=calls(text("Hi"), tool("{}"))),
    Case(name="the rest of a text comes with its item", means=answer(text("Hi there")),
         stream=BEGIN + added(message(None)) + grown("output_text.delta", delta="Hi") + done(message("Hi there"))
                + completed()),
    Case(name="an item whose text does not fit what was streamed", means=answer(text("Hi")),
         stream=BEGIN + added(message(None)) + grown("output_text.delta", delta="Hi") + done(message("Ho ho"))
                + completed()),
    Case(name="ids that change on the way", stream=BEGIN + HI + completed([message("Hi é", "msg_other")]),
         means=answer(text("Hi é"))),
    Case(name="places that begin at 1", means=answer(text("Hi")),
         stream=BEGIN + added(message(None)) + grown("output_text.delta", delta="Hi", content_index=1)
                + done(message("Hi")) + completed()),
    Case(name="call", stream=BEGIN + called('{"a"', ":1}") + completed(), means=calls(tool('{"a":1}'))),
    Case(name="parallel calls, mixed", means=calls(tool("{1}"), tool("{2}", 1)),
         stream=BEGIN + added(call("")) + added(call("", 1), 1)
                + grown("function_call_arguments.delta", 1, delta="{2")
                + grown("function_call_arguments.delta", delta="{1")
                + grown("function_call_arguments.delta", 1, delta="}")
                + grown("function_call_arguments.delta", delta="}")
                + done(call("{2}", 1), 1) + done(call("{1}")) + completed()),
    Case(name="a call whose arguments come whole", stream=BEGIN + added(call("")) + done(call("{}")) + completed(),
         means=calls(tool("{}"))),
    Case(name="a call that is named at its end", means=calls(tool("{}")),
         stream=BEGIN + added({**call(""), "name": None}) + grown("function_call_arguments.delta", delta="{}")
                + done(call("{}")) + completed()),
    Case(name="custom call",
         stream=BEGIN + added({**SQL, "input": ""}) + grown("custom_tool_call_input.delta", delta="SELECT")
                + grown("custom_tool_call_input.delta", delta=" 1") + completed([SQL]),
         means=calls(ToolCallPart(id="c", name="sql", arguments="SELECT 1", kind="custom", item_id="ctc_1"))),
    Case(name="summary and what is encrypted",
         stream=BEGIN + added({**THOUGHT, "summary": [], "encrypted_content": "early"})
                + event("reasoning_summary_part.added", output_index=0, summary_index=0, part={})
                + grown("reasoning_summary_text.delta", summary_index=0, delta="One")
                + grown("reasoning_summary_text.delta", summary_index=1, delta="T") + done(THOUGHT)
                + said("Hi", place=1) + completed(),
         means=answer(ReasoningPart(summary=("One", "Two"), opaque="gAAA", origin=ORIGIN, id="rs_1"), text("Hi"))),
    Case(name="the reasoning itself",
         stream=BEGIN + added({"id": "rs_1", "type": "reasoning", "summary": []})
                + grown("reasoning_part.added", part={"type": "reasoning_text", "text": ""})
                + grown("reasoning_text.delta", delta="Hm") + grown("reasoning_text.done", text="Hm")
                + done({"id": "rs_1", "type": "reasoning", "summary": [],
                        "content": [{"type": "reasoning_text", "text": "Hm"}]}) + said("Hi", place=1) + completed(),
         means=answer(ReasoningPart(text="Hm", id="rs_1"), text("Hi"))),
    Case(name="refusal",
         stream=BEGIN + added(message(None)) + grown("content_part.added", part={"type": "refusal", "refusal": ""})
                + grown("refusal.delta", delta="No") + grown("refusal.done", refusal="No, sir")
                + done({**message(None), "content": [{"type": "refusal", "refusal": "No, sir"}]}) + completed(),
         means=answer(RefusalPart(text="No, sir", item_id="msg_1"))),
    Case(name="citations and probabilities",
         stream=BEGIN + added(message(None)) + grown("output_text.delta", delta="Hi", logprobs=[TOKEN])
                + grown("output_text.annotation.added", annotation_index=0, annotation=CITED)
                + done({**message(None), "content": [{"type": "output_text", "text": "Hi", "logprobs": [TOKEN],
                                                      "annotations": [CITED, {"type": "file_path", "file_id": "f"}]}]})
                + completed(),
         means=answer(text("Hi", logprobs=(TOKEN,), citations=(
             Citation(url="https://x.example/", title="X", start=0, end=2),
             Citation(extensions={NAME: {"type": "file_path", "file_id": "f"}}))))),
    Case(name="a tool of the provider's",
         stream=BEGIN + added(SEARCH) + event("web_search_call.searching", output_index=0, item_id="ws_1")
                + done(SEARCH) + said("Hi", place=1) + completed(),
         means=answer(OpaquePart(format=NAME, value=SEARCH), text("Hi"))),
    Case(name="a kind of content that nobody knows",
         stream=BEGIN + added(message(None)) + grown("content_part.added", part={"type": "song"})
                + done({**message(None), "content": [{"type": "song", "n": 1}]}) + completed(),
         means=answer(OpaquePart(format=NAME, value={
             "type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "song", "n": 1}]}))),
    Case(name="what an item says besides",
         stream=BEGIN + said("Hi", item=message("Hi", phase="commentary")) + completed(),
         means=answer(text("Hi", extensions={NAME: {"item": {"phase": "commentary"}}}))),
    Case(name="two messages in a row without ids", means=answer(
             text("a", None), text("b", None, extensions={NAME: {"item": {"type": "message"}}})),
         stream=BEGIN + done({**message("a"), "id": None}) + done({**message("b"), "id": None}, 1) + completed()),
    Case(name="incomplete", means=answer(text("Hi"), reason=FinishReason.LENGTH, raw="max_output_tokens"),
         stream=BEGIN + said("Hi") + event("incomplete", response=body(
             "incomplete", incomplete_details={"reason": "max_output_tokens"}, usage=USAGE))),
    Case(name="filtered, as completed",
         means=answer(text("Hi"), reason=FinishReason.CONTENT_FILTER, raw="content_filter"),
         stream=BEGIN + said("Hi") + completed(status="incomplete", incomplete_details={"reason": "content_filter"})),
    Case(name="fields that nobody knows", means=answer(text("Hi"), left={"x_a": 1, "x_b": 2}),
         stream=event("created", response=body(x_a=1)) + said("Hi") + completed(x_a=1, x_b=2)),
    Case(name="error event", stream=BEGIN + added(message(None)) + grown("output_text.delta", delta="Hi")
                + event("error", error={"type": "server_error", "code": "server_error", "message": "boom"}),
         means=FaultKind.PROVIDER_UNAVAILABLE, text_before_fault="Hi"),
    Case(name="flat error event", stream=BEGIN + event("error", code="rate_limit_exceeded", message="slow down"),
         means=FaultKind.PROVIDER_RATE_LIMIT),
    Case(name="failed", means=FaultKind.PROVIDER_RATE_LIMIT, stream=BEGIN + event(
        "failed", response=body("failed", error={"code": "rate_limit_exceeded", "message": "slow down"}))),
    Case(name="failed without a word", stream=BEGIN + event("failed", response=body("failed")),
         means=FaultKind.PROVIDER_UNAVAILABLE),
    Case(name="cancelled", stream=BEGIN + event("cancelled", response=body("cancelled")),
         means=FaultKind.PROVIDER_UNAVAILABLE),
    Case(name="an error without a type", stream='data: {"error":{"message":"boom"}}\n\n',
         means=FaultKind.PROVIDER_UNAVAILABLE),
    Case(name="cut in an item", stream=BEGIN + added(message(None)) + grown("output_text.delta", delta="Hi"),
         means=FaultKind.PROVIDER_UNAVAILABLE, text_before_fault="Hi"),
    Case(name="cut after reasoning", stream=BEGIN + done(THOUGHT), means=FaultKind.PROVIDER_UNAVAILABLE),
    Case(name="nothing at all", stream="", means=FaultKind.PROVIDER_UNAVAILABLE),
    Case(name="an impossible place", stream=BEGIN + added(message(None), -1), means=FaultKind.PROVIDER_UNAVAILABLE),
    Case(name="no JSON", stream=BEGIN + "data: {\n\n", means=FaultKind.PROVIDER_UNAVAILABLE),
]  # fmt: skip
