"""Messages streams as providers send them, oddities included, each with the answer that it means."""

import json
from typing import Any

import msgspec

from tollhouse.ir.fault import FaultKind
from tollhouse.ir.parts import Citation, OpaquePart, Part, ReasoningOrigin, ReasoningPart, TextPart, ToolCallPart
from tollhouse.ir.response import ChatResponse, Choice, Finish, FinishReason
from tollhouse.ir.usage import Usage

NAME = "anthropic_messages"
ORIGIN = ReasoningOrigin(format=NAME)
PING = 'event: ping\ndata: {"type":"ping"}\n\n'
STOP = 'event: message_stop\ndata: {"type":"message_stop"}\n\n'
COUNTED = Usage(input_tokens=5, output_tokens=9)


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """`means` is the fold of the stream, or the kind of fault in which it ends."""

    name: str
    stream: str
    means: ChatResponse | FaultKind
    text_before_fault: str = ""


def event(kind: str, **fields: Any) -> str:
    """One event."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n"


def start(usage: dict[str, Any] | None = None, **fields: Any) -> str:
    """message_start."""
    counted = {"input_tokens": 5, "output_tokens": 1} if usage is None else usage
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []}
    return event("message_start", message={**head, "stop_reason": None, "usage": counted, **fields})


def block(index: int, content: dict[str, Any], *deltas: dict[str, Any]) -> str:
    """A whole block."""
    return (
        event("content_block_start", index=index, content_block=content)
        + "".join(event("content_block_delta", index=index, delta=delta) for delta in deltas)
        + event("content_block_stop", index=index)
    )


def words(index: int, *pieces: str, **fields: Any) -> str:
    """A block of text."""
    return block(index, {"type": "text", "text": "", **fields}, *({"type": "text_delta", "text": p} for p in pieces))


def call(index: int, *pieces: str, **fields: Any) -> str:
    """A tool_use block."""
    opened = {"type": "tool_use", "id": f"t{index}", "name": "f", "input": {}, **fields}
    return block(index, opened, *({"type": "input_json_delta", "partial_json": piece} for piece in pieces))


def end(reason: str | None = "end_turn", usage: dict[str, Any] | None = None, **fields: Any) -> str:
    """message_delta."""
    counted = {"output_tokens": 9} if usage is None else usage
    return event("message_delta", delta={"stop_reason": reason, "stop_sequence": None, **fields}, usage=counted)


def answer(
    *parts: Part,
    reason: FinishReason = FinishReason.STOP,
    raw: str | None = "end_turn",
    usage: Usage | None = COUNTED,
    left: dict[str, object] | None = None,
    stop_sequence: str | None = None,
) -> ChatResponse:
    """An answer; `left` are its leftovers."""
    choice = Choice(parts=parts, finish=Finish(reason=reason, raw=raw, stop_sequence=stop_sequence))
    extensions = {NAME: left} if left else {}
    return ChatResponse(id="msg_1", model="m", choices=(choice,), usage=usage, extensions=extensions)


def calls(*parts: Part, raw: str = "tool_use") -> ChatResponse:
    return answer(*parts, reason=FinishReason.TOOL_CALLS, raw=raw)


def text(value: str) -> TextPart:
    return TextPart(text=value)


def tool(index: int, arguments: str, **fields: Any) -> ToolCallPart:
    return ToolCallPart(id=f"t{index}", name="f", arguments=arguments, **fields)


THINKING = {"type": "thinking", "thinking": "", "signature": ""}
SEARCH = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": [{"type": "web_search_result", "url": "u"}]}
CITED = {"type": "web_search_result_location", "cited_text": "c", "url": "u", "title": "t", "encrypted_index": "e"}
AT_CHARS = {"type": "char_location", "cited_text": "c", "document_title": "d", "start_char_index": 0}

CASES = [
    Case(name="plain", stream=start() + words(0, "Hi", " there") + end() + STOP, means=answer(text("Hi there"))),
    Case(
        name="ping-anywhere",
        stream=PING + start() + PING + words(0, "Hi") + PING + end() + PING + STOP + PING,
        means=answer(text("Hi")),
    ),
    Case(name="no-message-stop", stream=start() + words(0, "Hi") + end(), means=answer(text("Hi"))),
    Case(
        name="no-message-delta",
        stream=start() + words(0, "Hi") + STOP,
        means=answer(text("Hi"), raw=None, usage=Usage(input_tokens=5)),
    ),
    Case(
        name="after-the-end",
        stream=start() + words(0, "Hi") + end() + STOP + start() + words(0, "again"),
        means=answer(text("Hi")),
    ),
    Case(
        name="done-mark", stream=start() + words(0, "Hi") + end() + STOP + "data: [DONE]\n\n", means=answer(text("Hi"))
    ),
    Case(name="no-content", stream=start() + end() + STOP, means=answer()),
    Case(
        name="refusal-without-a-block",
        stream=start() + end("refusal", stop_details={"type": "refusal", "category": "bio"}) + STOP,
        means=answer(
            reason=FinishReason.CONTENT_FILTER,
            raw="refusal",
            left={"stop_details": {"type": "refusal", "category": "bio"}},
        ),
    ),
    Case(
        name="length",
        stream=start() + words(0, "Hi") + end("max_tokens") + STOP,
        means=answer(text("Hi"), reason=FinishReason.LENGTH, raw="max_tokens"),
    ),
    Case(
        name="window",
        stream=start() + words(0, "Hi") + end("model_context_window_exceeded") + STOP,
        means=answer(text("Hi"), reason=FinishReason.LENGTH, raw="model_context_window_exceeded"),
    ),
    Case(
        name="stop-sequence",
        stream=start() + words(0, "Hi") + end("stop_sequence", stop_sequence="X") + STOP,
        means=answer(text("Hi"), reason=FinishReason.STOP_SEQUENCE, raw="stop_sequence", stop_sequence="X"),
    ),
    Case(
        name="pause",
        stream=start() + words(0, "Hi") + end("pause_turn") + STOP,
        means=answer(text("Hi"), reason=FinishReason.OTHER, raw="pause_turn"),
    ),
    Case(
        name="tool-use",
        stream=start() + words(0, "I ask.") + call(1, "", '{"a', '": 1}') + end("tool_use") + STOP,
        means=calls(text("I ask."), tool(1, '{"a": 1}')),
    ),
    Case(
        name="parallel-tools-with-a-caller",
        stream=start() + call(0, '{"a":1}', caller={"type": "direct"}) + call(1, '{"b":2}') + end("tool_use") + STOP,
        means=calls(tool(0, '{"a":1}', extensions={NAME: {"caller": {"type": "direct"}}}), tool(1, '{"b":2}')),
    ),
    Case(name="no-arguments", stream=start() + call(0, "") + end("tool_use") + STOP, means=calls(tool(0, "{}"))),
    Case(
        name="input-at-once",
        stream=start() + call(0, input={"a": 1}) + end("tool_use") + STOP,
        means=calls(tool(0, '{"a":1}')),
    ),
    Case(
        name="forced-tool-that-ends-the-turn",
        stream=start() + call(0, "{}") + end("end_turn") + STOP,
        means=calls(tool(0, "{}"), raw="end_turn"),
    ),
    Case(
        name="thinking-with-signature",
        stream=start()
        + block(
            0, THINKING, {"type": "thinking_delta", "thinking": "Hm"}, {"type": "signature_delta", "signature": "AB"}
        )
        + words(1, "Hi")
        + end()
        + STOP,
        means=answer(ReasoningPart(text="Hm", opaque="AB", origin=ORIGIN), text("Hi")),
    ),
    Case(
        name="thinking-omitted",
        stream=start()
        + block(0, THINKING, {"type": "signature_delta", "signature": "AB"})
        + words(1, "Hi")
        + end()
        + STOP,
        means=answer(ReasoningPart(opaque="AB", origin=ORIGIN), text("Hi")),
    ),
    Case(
        name="thinking-unsigned",
        stream=start()
        + block(0, THINKING, {"type": "thinking_delta", "thinking": "Hm"})
        + words(1, "Hi")
        + end()
        + STOP,
        means=answer(ReasoningPart(text="Hm"), text("Hi")),
    ),
    Case(
        name="redacted-thinking",
        stream=start() + block(0, {"type": "redacted_thinking", "data": "XYZ"}) + words(1, "Hi") + end() + STOP,
        means=answer(ReasoningPart(opaque="XYZ", origin=ORIGIN, redacted=True), text("Hi")),
    ),
    Case(
        name="server-tool",
        stream=start()
        + block(
            0,
            SEARCH,
            {"type": "input_json_delta", "partial_json": '{"query"'},
            {"type": "input_json_delta", "partial_json": ': "x"}'},
        )
        + block(1, FOUND)
        + words(2, "Hi")
        + end(usage={"output_tokens": 9, "server_tool_use": {"web_search_requests": 1}})
        + STOP,
        means=answer(
            OpaquePart(format=NAME, value={**SEARCH, "input": {"query": "x"}}),
            OpaquePart(format=NAME, value=FOUND),
            text("Hi"),
            left={"usage": {"server_tool_use": {"web_search_requests": 1}}},
        ),
    ),
    Case(
        name="compaction",
        stream=start()
        + block(0, {"type": "compaction", "content": None}, {"type": "compaction_delta", "content": "short"})
        + end()
        + STOP,
        means=answer(OpaquePart(format=NAME, value={"type": "compaction", "content": "short"})),
    ),
    Case(
        name="citations",
        stream=start()
        + block(
            0,
            {"type": "text", "text": "", "citations": []},
            {"type": "citations_delta", "citation": CITED},
            {"type": "text_delta", "text": "So."},
            {"type": "citations_delta", "citation": AT_CHARS},
        )
        + end()
        + STOP,
        means=answer(
            TextPart(
                text="So.",
                citations=(
                    Citation(
                        url="u",
                        title="t",
                        cited_text="c",
                        extensions={NAME: {"type": CITED["type"], "encrypted_index": "e"}},
                    ),
                    Citation(
                        title="d", cited_text="c", extensions={NAME: {"type": "char_location", "start_char_index": 0}}
                    ),
                ),
            )
        ),
    ),
    Case(
        name="cache-and-tier",
        stream=start(
            usage={
                "input_tokens": 5,
                "cache_creation_input_tokens": 30,
                "cache_read_input_tokens": 7,
                "output_tokens": 1,
                "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
                "service_tier": "priority",
                "inference_geo": "us",
            }
        )
        + words(0, "Hi")
        + end(
            usage={
                "input_tokens": 5,
                "cache_creation_input_tokens": 30,
                "cache_read_input_tokens": 7,
                "output_tokens": 9,
                "output_tokens_details": {"thinking_tokens": 4},
            }
        )
        + STOP,
        means=msgspec.structs.replace(
            answer(
                text("Hi"),
                left={"usage": {"inference_geo": "us"}},
                usage=Usage(
                    input_tokens=5,
                    cache_read_tokens=7,
                    cache_write_tokens=10,
                    cache_write_1h_tokens=20,
                    output_tokens=9,
                    reasoning_tokens=4,
                ),
            ),
            service_tier="priority",
        ),
    ),
    Case(
        name="usage-first-told-at-the-end",
        stream=start(usage={"input_tokens": 0, "output_tokens": 0})
        + words(0, "Hi")
        + end(usage={"input_tokens": 12, "output_tokens": 9})
        + STOP,
        means=answer(text("Hi"), usage=Usage(input_tokens=12, output_tokens=9)),
    ),
    Case(
        name="prompt-not-repeated",
        stream=start(usage={"input_tokens": 12, "cache_read_input_tokens": 3, "output_tokens": 0})
        + words(0, "Hi")
        + end(usage={"input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 9})
        + STOP,
        means=answer(text("Hi"), usage=Usage(input_tokens=12, cache_read_tokens=3, output_tokens=9)),
    ),
    Case(
        name="no-usage",
        stream=start(usage={}) + words(0, "Hi") + end(usage={}) + STOP,
        means=answer(text("Hi"), usage=None),
    ),
    Case(
        name="usage-that-nobody-can-trust",
        stream=start(usage={"input_tokens": -1, "output_tokens": 1}) + words(0, "Hi") + end() + STOP,
        means=answer(text("Hi"), usage=None),
    ),
    Case(
        name="container-and-context-management",
        stream=start(container=None)
        + words(0, "Hi")
        + event(
            "message_delta",
            delta={"stop_reason": "end_turn", "container": {"id": "c"}},
            usage={"output_tokens": 9},
            context_management={"applied_edits": []},
        )
        + STOP,
        means=answer(text("Hi"), left={"container": {"id": "c"}, "context_management": {"applied_edits": []}}),
    ),
    Case(
        name="a-kind-of-event-and-of-delta-to-come",
        stream=start()
        + event("message_hint", hint=1)
        + block(
            0, {"type": "text", "text": ""}, {"type": "glow_delta", "glow": 1}, {"type": "text_delta", "text": "Hi"}
        )
        + end()
        + STOP,
        means=answer(text("Hi")),
    ),
    Case(
        name="no-event-names-and-crlf",
        stream="\r\n".join(
            line for line in (start() + words(0, "Hi") + end() + STOP).split("\n") if not line.startswith("event: ")
        ),
        means=answer(text("Hi")),
    ),
    Case(
        name="block-that-never-stops",
        stream=start()
        + event("content_block_start", index=0, content_block={"type": "text", "text": "Hi"})
        + end()
        + STOP,
        means=answer(text("Hi")),
    ),
    Case(
        name="overloaded",
        stream=start() + words(0, "Hi") + event("error", error={"type": "overloaded_error", "message": "Overloaded"}),
        means=FaultKind.PROVIDER_OVERLOADED,
        text_before_fault="Hi",
    ),
    Case(
        name="rate-limit-at-once",
        stream=event("error", error={"type": "rate_limit_error", "message": "slow down"}),
        means=FaultKind.PROVIDER_RATE_LIMIT,
    ),
    Case(
        name="cut-in-a-block",
        stream=start() + event("content_block_start", index=0, content_block={"type": "text", "text": "Hi"}),
        means=FaultKind.PROVIDER_UNAVAILABLE,
        text_before_fault="Hi",
    ),
    *(
        Case(name=name, stream=stream, means=FaultKind.PROVIDER_UNAVAILABLE)
        for name, stream in {
            "nothing": "",
            "stop-only": STOP,
            "type-that-is-no-text": start() + 'data: {"type": []}\n\n',
            "two-starts": start() + start(),
            "delta-of-no-block": start() + event("content_block_delta", index=3, delta={"type": "text_delta"}),
            "tool-without-a-name": start() + event("content_block_start", index=0, content_block={"type": "tool_use"}),
            "no-json": start() + "data: {oops\n\n",
            "api-error": start() + event("error", error={"type": "api_error", "message": "Internal server error"}),
            "error-without-a-type": start() + 'event: error\ndata: {"message": "gone"}\n\n',
        }.items()
    ),
]
