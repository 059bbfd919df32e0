"""Chat Completions streams as providers send them, oddities included, each with the answer that it means."""

import json

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

HEAD = '"id":"c1","object":"chat.completion.chunk","created":7,"model":"m"'
ROLE = '{"role":"assistant","content":""}'
DONE = "data: [DONE]\n\n"
ORIGIN = ReasoningOrigin(format="openai_chat")


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """`means` is the fold of the stream, or the kind of fault in which it ends."""

    name: str
    stream: str
    means: ChatResponse | FaultKind
    text_before_fault: str = ""


def frame(delta: str, finish: str | None = None, index: int = 0, more: str = "") -> str:
    """One chunk with one choice; `more` is JSON inside the choice, after the finish reason."""
    reason = "null" if finish is None else json.dumps(finish)
    return f'data: {{{HEAD},"choices":[{{"index":{index},"delta":{delta},"finish_reason":{reason}{more}}}]}}\n\n'


def chunk(rest: str) -> str:
    """One chunk with `rest` as JSON after the head."""
    return f"data: {{{HEAD},{rest}}}\n\n"


def call(fragment: str) -> str:
    """One chunk with one fragment of `tool_calls`."""
    return frame(f'{{"tool_calls":[{fragment}]}}')


def answer(
    *parts: Part,
    reason: FinishReason = FinishReason.STOP,
    raw: str | None = "stop",
    usage: Usage | None = None,
    left: dict[str, object] | None = None,
    top: dict[str, object] | None = None,
) -> ChatResponse:
    """An answer with one choice; `left` and `top` are the leftovers of the choice and of the whole."""
    choice = Choice(
        parts=parts,
        finish=Finish(reason=reason, raw=raw),
        extensions={"openai_chat": left} if left else {},
    )
    extensions = {"openai_chat": top} if top else {}
    return ChatResponse(id="c1", model="m", created=7, choices=(choice,), usage=usage, extensions=extensions)


def calls(*parts: Part, raw: str | None = "tool_calls", usage: Usage | None = None) -> ChatResponse:
    return answer(*parts, reason=FinishReason.TOOL_CALLS, raw=raw, usage=usage)


def text(value: str) -> TextPart:
    return TextPart(text=value)


def tool(call_id: str, name: str, arguments: str) -> ToolCallPart:
    return ToolCallPart(id=call_id, name=name, arguments=arguments)


HI = frame(ROLE) + frame('{"content":"Hi"}')
STOP = frame("{}", "stop")
USAGE = '"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}'
COUNTED = Usage(input_tokens=3, output_tokens=2)
BEGIN_A = '{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}'
BEGIN_B = '{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":""}}'
CALLED = frame("{}", "tool_calls") + DONE
LOGPROB = '{"token":"Hi","logprob":-0.5,"bytes":null,"top_logprobs":[]}'

CASES = [
    Case(name="plain", stream=HI + frame('{"content":" there"}') + STOP + DONE, means=answer(text("Hi there"))),
    Case(name="usage-only chunk", stream=HI + STOP + chunk('"choices":[],' + USAGE) + DONE,
         means=answer(text("Hi"), usage=COUNTED)),
    Case(name="usage on every chunk",
         stream="".join(chunk(f'"choices":[{{"index":0,"delta":{{"content":"{c}"}}}}],"usage":{{"prompt_tokens":3,'
                f'"completion_tokens":{n},"total_tokens":{3 + n}}}') for n, c in ((1, "a"), (2, "b"))) + STOP + DONE,
         means=answer(text("ab"), usage=COUNTED)),
    Case(name="usage on the finish chunk",
         stream=HI + chunk('"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],' + USAGE) + DONE,
         means=answer(text("Hi"), usage=COUNTED)),
    Case(name="usage under x_groq", stream=HI + STOP + chunk('"choices":[],"x_groq":{"id":"q",' + USAGE + "}") + DONE,
         means=answer(text("Hi"), usage=COUNTED, top={"x_groq": {"id": "q", "usage": {
             "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}})),
    Case(name="usage before the first choice", stream=chunk('"choices":[],' + USAGE) + HI + STOP + DONE,
         means=answer(text("Hi"), usage=COUNTED)),
    Case(name="null usage", stream=HI + chunk('"choices":[],"usage":null') + STOP + DONE, means=answer(text("Hi"))),
    Case(name="no [DONE], but a finish reason", stream=HI + STOP, means=answer(text("Hi"))),
    Case(name="no blank line at the end", stream=(HI + STOP + DONE).rstrip("\n"), means=answer(text("Hi"))),
    Case(name="[DONE] without a finish reason", stream=HI + DONE, means=answer(text("Hi"), raw=None)),
    Case(name="finish reason twice", stream=HI + STOP + STOP + DONE, means=answer(text("Hi"))),
    Case(name="finish reason, then another", stream=HI + frame("{}", "length") + STOP + DONE,
         means=answer(text("Hi"), reason=FinishReason.LENGTH, raw="length")),
    Case(name="empty finish reasons", stream=frame('{"content":"Hi"}', "") + STOP + DONE, means=answer(text("Hi"))),
    Case(name="finish reason beside content", stream=frame('{"role":"assistant","content":"Hi"}', "stop") + DONE,
         means=answer(text("Hi"))),
    Case(name="capitals in the reason", stream=HI + frame("{}", "MAX_TOKENS") + DONE,
         means=answer(text("Hi"), reason=FinishReason.LENGTH, raw="MAX_TOKENS")),
    Case(name="content filter", stream=HI + frame("{}", "content_filter") + DONE,
         means=answer(text("Hi"), reason=FinishReason.CONTENT_FILTER, raw="content_filter")),
    Case(name="a reason nobody knows", stream=HI + frame("{}", "tired") + DONE,
         means=answer(text("Hi"), reason=FinishReason.OTHER, raw="tired")),
    Case(name="Azure's leading chunk",
         stream='data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[1]}\n\n'
                + HI + STOP + DONE,
         means=answer(text("Hi"), top={"prompt_filter_results": [1]})),
    Case(name="comments and unknown fields", stream=": OPENROUTER PROCESSING\n\n" + "retry: 10\nid: 4\n" + HI
         + ":\n\n" + STOP + DONE, means=answer(text("Hi"))),
    Case(name="no space after the colon", stream=(HI + STOP + DONE).replace("data: ", "data:"),
         means=answer(text("Hi"))),
    Case(name="one chunk over two data lines", stream=HI.replace(',"choices"', '\ndata: ,"choices"') + STOP + DONE,
         means=answer(text("Hi"))),
    Case(name="a byte order mark first", stream="\ufeff" + HI + STOP + DONE, means=answer(text("Hi"))),
    Case(name="frames after [DONE]", stream=HI + STOP + DONE + frame('{"content":"late"}') + DONE,
         means=answer(text("Hi"))),
    Case(name="letters of several bytes", stream=frame('{"content":"Rīga 🦊\u2028"}') + STOP + DONE,
         means=answer(text("Rīga 🦊\u2028"))),
    Case(name="padding", stream=chunk('"choices":[{"index":0,"delta":{"content":"Hi"}}],"obfuscation":"aK1","p":"ab"')
         + STOP + DONE, means=answer(text("Hi"))),
    Case(name="one tool call", stream=frame(ROLE) + call(BEGIN_A)
         + call('{"index":0,"function":{"arguments":"{\\"x\\""}}')
         + call('{"index":0,"function":{"arguments":":1}"}}') + CALLED, means=calls(tool("a", "f", '{"x":1}'))),
    Case(name="parallel tool calls, mixed", stream=call(BEGIN_A) + call(BEGIN_B)
         + call('{"index":1,"function":{"arguments":"[2"}}') + call('{"index":0,"function":{"arguments":"[1]"}}')
         + call('{"index":1,"function":{"arguments":"]"}}') + CALLED,
         means=calls(tool("a", "f", "[1]"), tool("b", "g", "[2]"))),
    Case(name="two calls in one chunk", stream=call(BEGIN_A + "," + BEGIN_B) + CALLED,
         means=calls(tool("a", "f", ""), tool("b", "g", ""))),
    Case(name="tool calls without index (Mistral)",
         stream=call('{"id":"a","function":{"name":"f","arguments":"{}"}},{"id":"b","function":{"name":"g","arguments":"[]"}}')
         + CALLED, means=calls(tool("a", "f", "{}"), tool("b", "g", "[]"))),
    Case(name="every parallel call has index 0",
         stream=call('{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}')
         + call('{"index":0,"id":"b","function":{"name":"f","arguments":"[]"}}') + CALLED,
         means=calls(tool("a", "f", "{}"), tool("b", "f", "[]"))),
    Case(name="id and name repeated in every fragment",
         stream=call('{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}')
         + call('{"index":0,"id":"a","function":{"name":"f","arguments":"}"}}') + CALLED,
         means=calls(tool("a", "f", "{}"))),
    Case(name="arguments as an object", stream=call('{"index":0,"id":"a","function":{"name":"f","arguments":{"x":1}}}')
         + CALLED, means=calls(tool("a", "f", '{"x":1}'))),
    Case(name="the name comes late", stream=call('{"index":0,"id":"a","function":{"arguments":"{"}}')
         + call('{"index":0,"function":{"name":"f","arguments":"}"}}') + CALLED, means=calls(tool("a", "f", "{}"))),
    Case(name="a tool call without id", stream=call('{"index":0,"function":{"name":"f","arguments":"{}"}}') + CALLED,
         means=calls(tool("call_c1_0", "f", "{}"))),
    Case(name="a forced call that ends with stop", stream=call(BEGIN_A) + STOP + DONE,
         means=calls(tool("a", "f", ""), raw="stop")),
    Case(name="tool_calls without any call", stream=HI + frame("{}", "tool_calls") + DONE,
         means=answer(text("Hi"), raw="tool_calls")),
    Case(name="a custom tool", stream=call('{"index":0,"id":"a","type":"custom","custom":{"name":"f","input":"gr"}}')
         + call('{"index":0,"custom":{"input":"ep"}}') + CALLED,
         means=calls(ToolCallPart(id="a", name="f", arguments="grep", kind="custom"))),
    Case(name="text before tool calls", stream=HI + call(BEGIN_A) + CALLED,
         means=calls(text("Hi"), tool("a", "f", ""))),
    Case(name="reasoning", stream=frame('{"reasoning":"so"}') + frame('{"reasoning":" on"}') + HI + STOP + DONE,
         means=answer(ReasoningPart(text="so on"), text("Hi"))),
    Case(name="reasoning_content", stream=frame('{"content":null,"reasoning_content":"so"}') + HI + STOP + DONE,
         means=answer(ReasoningPart(text="so", form="reasoning_content"), text("Hi"))),
    Case(name="reasoning under both names", stream=frame('{"reasoning":"so","reasoning_content":"so"}') + HI
         + STOP + DONE,
         means=answer(ReasoningPart(text="so", form="reasoning+reasoning_content"), text("Hi"))),
    Case(name="reasoning details with a signature",
         stream=frame('{"reasoning":"so","reasoning_details":[{"type":"reasoning.text","text":"so","index":0}]}')
         + frame('{"reasoning_details":[{"type":"reasoning.text","signature":"sig==","index":0}]}') + HI + STOP + DONE,
         means=answer(ReasoningPart(text="so", opaque="sig==", origin=ORIGIN, form="reasoning.text",
                                    extensions={"openai_chat": {"index": 0}}), text("Hi"))),
    Case(name="encrypted reasoning",
         stream=frame('{"reasoning_details":[{"type":"reasoning.encrypted","data":"gAA","id":"r1"}]}') + HI
         + STOP + DONE,
         means=answer(ReasoningPart(opaque="gAA", origin=ORIGIN, redacted=True, id="r1", form="reasoning.encrypted"),
                      text("Hi"))),
    Case(name="two encrypted details in a row",
         stream="".join(frame(f'{{"reasoning_details":[{{"type":"reasoning.encrypted","data":"{d}"}}]}}') for d in "gh")
                + HI + STOP + DONE,
         means=answer(*(ReasoningPart(opaque=d, origin=ORIGIN, redacted=True, form="reasoning.encrypted")
                        for d in "gh"),
                      text("Hi"))),
    Case(name="a fact that is null later", stream=chunk('"choices":[{"index":0,"delta":{"content":"Hi"},"x":1}],"y":2')
         + chunk('"choices":[{"index":0,"delta":{},"finish_reason":"stop","x":null}],"y":null') + DONE,
         means=answer(text("Hi"), left={"x": 1}, top={"y": 2})),
    Case(name="content as a list of parts (Mistral)",
         stream=frame('{"content":[{"type":"thinking","thinking":[{"type":"text","text":"so"}]}]}')
         + frame('{"content":[{"type":"text","text":"Hi"}]}') + STOP + DONE,
         means=answer(ReasoningPart(text="so", form="thinking"), text("Hi"))),
    Case(name="a part nobody knows", stream=frame('{"content":[{"type":"reference","reference_ids":[1]}]}')
         + STOP + DONE,
         means=answer(OpaquePart(format="openai_chat", value={"type": "reference", "reference_ids": [1]}))),
    Case(name="a refusal", stream=frame('{"refusal":"No"}') + frame('{"refusal":"."}') + STOP + DONE,
         means=answer(RefusalPart(text="No."))),
    Case(name="log probabilities", stream=frame('{"content":"Hi"}', more=f',"logprobs":{{"content":[{LOGPROB}]}}')
         + STOP + DONE, means=answer(TextPart(text="Hi", logprobs=(json.loads(LOGPROB),)))),
    Case(name="citations", stream=HI + frame('{"annotations":[{"type":"url_citation","url_citation":'
         '{"url":"u","title":"t",'
         '"start_index":0,"end_index":2}}]}') + STOP + DONE,
         means=answer(TextPart(text="Hi", citations=(Citation(url="u", title="t", start=0, end=2),)))),
    Case(name="fields that nobody knows", stream=frame('{"content":"Hi","x_delta":"a"}', more=',"x_choice":1')
         + frame('{"x_delta":"b"}', "stop", more=',"x_choice":2') + chunk('"choices":[],"x_top":{"k":1}') + DONE,
         means=answer(text("Hi"), left={"x_choice": 2, "message": {"x_delta": "ab"}}, top={"x_top": {"k": 1}})),
    Case(name="a message beside each delta (Perplexity)",
         stream=frame('{"content":"Hi"}', more=',"message":{"role":"assistant","content":"Hi"}') + STOP + DONE,
         means=answer(text("Hi"))),
    Case(name="a message in place of the delta",
         stream=chunk('"choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]')
         + DONE,
         means=answer(text("Hi"))),
    Case(name="an answer of nothing", stream=frame(ROLE) + STOP + DONE, means=answer()),
    Case(name="cut short", stream=HI, means=FaultKind.PROVIDER_UNAVAILABLE, text_before_fault="Hi"),
    Case(name="nothing at all", stream="", means=FaultKind.PROVIDER_UNAVAILABLE),
    Case(name="[DONE] alone", stream=DONE, means=FaultKind.PROVIDER_UNAVAILABLE),
    Case(name="an error object in the middle", stream=HI + 'data: {"error":{"message":"Overloaded","code":503}}\n\n',
         means=FaultKind.PROVIDER_OVERLOADED, text_before_fault="Hi"),
    Case(name="an error event", stream=HI + 'event: error\ndata: {"message":"slow down","code":429}\n\n',
         means=FaultKind.PROVIDER_RATE_LIMIT, text_before_fault="Hi"),
    Case(name="finish reason error", stream=HI + frame("{}", "error") + DONE, means=FaultKind.PROVIDER_UNAVAILABLE,
         text_before_fault="Hi"),
    Case(name="a frame that is no JSON", stream=HI + "data: {\n\n", means=FaultKind.PROVIDER_UNAVAILABLE,
         text_before_fault="Hi"),
    Case(name="a JSON body in place of a stream", stream='{"choices":[]}\n', means=FaultKind.PROVIDER_UNAVAILABLE),
    Case(name="a call that is never named", stream=call('{"index":0,"id":"a","function":{"arguments":"{}"}}') + CALLED,
         means=FaultKind.PROVIDER_UNAVAILABLE),
]  # fmt: skip
