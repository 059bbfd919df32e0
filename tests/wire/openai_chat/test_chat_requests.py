"""Requests of Chat Completions: what they mean, what they refuse, what comes back, what is lost."""

import json
from typing import Any

import pytest

from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.ir.loss import Loss
from tollhouse.ir.parts import (
    AudioPart,
    CacheControl,
    Citation,
    FilePart,
    ImagePart,
    MediaData,
    MediaId,
    MediaText,
    MediaUrl,
    OpaquePart,
    Part,
    ReasoningOrigin,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from tollhouse.ir.request import (
    ChatRequest,
    CustomTool,
    FunctionTool,
    Message,
    ProviderTool,
    ReasoningSetting,
    ResponseFormat,
    Role,
    Sampling,
    ToolChoice,
)
from tollhouse.wire.openai_chat.request import decode_request, encode_request
from tollhouse.wire.scan import scan_object

USER: dict[str, Any] = {"role": "user", "content": "Hi"}
SCHEMA = {"type": "object", "$defs": {"b": {}, "a": {}}, "properties": {"z": {"const": 1.0}}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{broken"}}


def _decode(body: dict[str, Any]) -> ChatRequest:
    return decode_request(scan_object(json.dumps(body).encode()))


def _ask(*messages: Any, **fields: Any) -> ChatRequest:
    return _decode({"model": "m", "messages": list(messages or [USER]), **fields})


def _encode(request: ChatRequest) -> tuple[dict[str, Any], list[str]]:
    losses: list[Loss] = []
    body = json.loads(encode_request(request, losses))
    return body, [loss.path for loss in losses]


def _said(role: Role, *parts: Part) -> ChatRequest:
    return ChatRequest(model="m", messages=(Message(role=role, parts=parts),))


def test_every_setting_is_understood() -> None:
    assert _ask(
        max_tokens=5, max_completion_tokens=6, stop="x", n=2, temperature=0, top_p=0.5, frequency_penalty=1,
        presence_penalty=-1, seed=7, logprobs=True, top_logprobs=3, verbosity="low", reasoning_effort="high",
        stream=True, stream_options={"include_usage": True}, user="u", metadata={"k": "v"}, service_tier="flex",
        store=False, prompt_cache_key="p", parallel_tool_calls=False, tool_choice="auto", tools=[],
        response_format={"type": "json_object"},
    ) == ChatRequest(
        model="m", messages=(Message(role="user", parts=(TextPart(text="Hi"),)),), output_limit=6,
        stop=("x",), choices=2,
        sampling=Sampling(temperature=0, top_p=0.5, frequency_penalty=1, presence_penalty=-1, seed=7, logprobs=True,
                          top_logprobs=3),
        verbosity="low", reasoning=ReasoningSetting(effort="high"), stream=True, stream_usage=True, user="u",
        metadata={"k": "v"}, service_tier="flex", store=False, prompt_cache_key="p", parallel_tool_calls=False,
        tool_choice=ToolChoice(mode="auto"), tools=(), response_format=ResponseFormat(type="json_object"),
    )  # fmt: skip


BODIES: dict[str, dict[str, Any]] = {
    "roles": {"messages": [{"role": role, "content": "x", "name": "n"} for role in ("system", "developer", "user")]},
    "unknown fields at every level": {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi", "x": [1]}], "x": {"y": None}}],
        "tools": [{"type": "function", "function": {"name": "f", "x": 1}, "x": 2}],
        "stream": True,
        "stream_options": {"include_usage": True, "x": 3},
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "x": 4}},
        "x": {"deep": [{"er": 1}]},
    },
    "other vendors' settings": {
        "top_k": 4,
        "logit_bias": {"7": -1},
        "provider": {"order": ["a"]},
        "thinking": {"type": "x"},
    },
    "every kind of part": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
                    {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low", "x": 1}},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                    {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}},
                    {"type": "file", "file": {"file_data": "AAAA"}},
                    {"type": "file", "file": {"file_id": "f"}},
                    {"type": "file", "file": {"file_url": "https://example.org/a.pdf"}},
                    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
                    {"type": "video_url", "video_url": {"url": "v"}},
                ],
            }
        ]
    },
    "tools and results": {
        "messages": [
            USER,
            {"role": "assistant", "content": None, "tool_calls": [CALL, {**CALL, "id": "d", "x": 1}]},
            {"role": "tool", "content": "[1]", "tool_call_id": "c", "name": "f"},
            {
                "role": "tool",
                "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
                "tool_call_id": "d",
            },
        ],
        "tools": [
            {"type": "function", "function": {"name": "f", "description": "", "parameters": SCHEMA, "strict": True}},
            {"type": "custom", "custom": {"name": "g", "format": {"type": "grammar"}}},
            {"type": "web_search", "max": 3},
        ],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
    },
    "allowed tools": {
        "tool_choice": {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]},
        }
    },
    "a choice nobody knows": {"tool_choice": {"type": "mcp", "server_label": "x"}},
    "a format nobody knows": {"response_format": {"type": "grammar", "value": "x"}},
    "reasoning": {
        "messages": [
            {"role": "assistant", "content": "Hi", "reasoning": "so"},
            {"role": "assistant", "content": "Hi", "reasoning_content": "so"},
            {"role": "assistant", "content": "Hi", "reasoning": "so", "reasoning_content": "so"},
            {
                "role": "assistant",
                "content": [{"type": "thinking", "thinking": [{"type": "text", "text": "so"}], "x": 1}],
            },
            {
                "role": "assistant",
                "content": None,
                "reasoning": "so on",
                "reasoning_details": [
                    {"type": "reasoning.text", "text": "so", "signature": "s==", "format": "f", "index": 0, "id": "r"},
                    {"type": "reasoning.summary", "summary": " on", "index": 1},
                    {"type": "reasoning.encrypted", "data": "gAAA", "index": 2},
                ],
                "tool_calls": [CALL],
            },
            {"role": "assistant", "content": "Hi", "reasoning_details": [{"type": "reasoning.new", "x": 1}]},
        ]
    },
    "what an assistant said": {
        "messages": [
            {"role": "assistant", "content": None, "refusal": "No", "audio": {"id": "a"}},
            {"role": "assistant", "content": "Hi", "prefix": True, "function_call": {"name": "f", "arguments": "{}"}},
        ]
    },
}


@pytest.mark.parametrize("fields", BODIES.values(), ids=BODIES.keys())
def test_a_request_comes_back_as_it_was(fields: dict[str, Any]) -> None:
    body = {"model": "m", "messages": [USER], **fields}
    assert _encode(_decode(body)) == (body, [])


def test_the_schema_keeps_the_order_of_its_keys() -> None:
    request = _ask(tools=[{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}])
    assert json.dumps(SCHEMA, separators=(",", ":")).encode() in encode_request(request, [])


def test_lenient_forms_are_understood() -> None:
    image = "https://example.org/a.png"
    request = _ask(
        {"role": "user", "content": [{"type": "image_url", "image_url": image}], "name": None, "tool_calls": None},
        tools=[{"function": {"name": "f"}}],
        tool_choice="any",
        stop=None,
        stream=None,
        max_tokens=5.0,
    )
    assert request.messages == (Message(role="user", parts=(ImagePart(source=MediaUrl(url=image)),)),)
    assert request.tools == (FunctionTool(name="f"),)
    assert request.tool_choice == ToolChoice(mode="required")
    assert request.output_limit == 5


REFUSED: dict[str, dict[str, Any]] = {
    "model": {"model": None},
    "messages": {"messages": "Hi"},
    "messages[0]": {"messages": ["Hi"]},
    "messages[0].role": {"messages": [{"content": "Hi"}]},
    "messages[1].role": {"messages": [USER, {"role": "narrator", "content": "Hi"}]},
    "messages[0].content": {"messages": [{"role": "user", "content": 7}]},
    "messages[0].content[0]": {"messages": [{"role": "user", "content": ["Hi"]}]},
    "messages[0].content[0].type": {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]},
    "messages[0].content[0].text": {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
    "messages[0].content[0].image_url": {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
    "messages[0].content[0].image_url.url": {
        "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": 1}}]}]
    },
    "messages[0].content[0].file.file_data": {
        "messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]
    },
    "messages[0].content[0].input_audio": {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
    "messages[0].tool_call_id": {"messages": [{"role": "tool", "content": "Hi"}]},
    "messages[0].tool_calls[0].function.name": {"messages": [{"role": "assistant", "tool_calls": [{"id": "c"}]}]},
    "messages[0].tool_calls[0].function.arguments": {
        "messages": [{"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {}}}]}]
    },
    "tools[0]": {"tools": ["f"]},
    "tools[0].function": {"tools": [{"type": "function"}]},
    "tools[0].function.name": {"tools": [{"type": "function", "function": {}}]},
    "temperature": {"temperature": "hot"},
    "max_tokens": {"max_tokens": 1.5},
    "stop": {"stop": [1]},
    "stream": {"stream": "yes"},
    "response_format.type": {"response_format": {}},
    "response_format.json_schema": {"response_format": {"type": "json_schema"}},
}


@pytest.mark.parametrize(("param", "fields"), REFUSED.items(), ids=REFUSED.keys())
def test_what_does_not_fit_is_refused_by_name(param: str, fields: dict[str, Any]) -> None:
    with pytest.raises(FaultError) as raised:
        _decode({"model": "m", "messages": [USER], **fields})
    fault = raised.value.fault
    assert (fault.kind, fault.source, fault.param) == (FaultKind.INVALID_REQUEST, "client", param)
    assert param in fault.message


FOREIGN = ReasoningOrigin(format="anthropic_messages", creator="acme")
HOUR = CacheControl(ttl="1h", said_in="anthropic_messages")
LOST: dict[str, tuple[ChatRequest, list[str]]] = {
    "another format's payload": (
        _said("assistant", ReasoningPart(text="so", opaque="sig", origin=FOREIGN)),
        ["messages[0].parts[0].opaque"],
    ),
    "another format's part": (
        _said("user", OpaquePart(format="anthropic_messages", value={"type": "search_result"})),
        ["messages[0].parts[0]"],
    ),
    "another format's fields": (
        ChatRequest(model="m", extensions={"anthropic_messages": {"context_management": {}}}),
        ["context_management"],
    ),
    "another format's tool": (
        ChatRequest(model="m", tools=(ProviderTool(format="openai_responses", value={"type": "web_search"}),)),
        ["tools[0]"],
    ),
    "a failed tool": (
        _said("tool", ToolResultPart(call_id="c", parts=(TextPart(text="x"),), is_error=True)),
        ["messages[0].parts[0].is_error"],
    ),
    "a cited text": (
        _said("user", TextPart(text="x", citations=(Citation(url="u"),))),
        ["messages[0].parts[0].citations[0]"],
    ),
    "an uploaded image": (_said("user", ImagePart(source=MediaId(id="f"))), ["messages[0].parts[0]"]),
    "sound at an address": (_said("user", AudioPart(source=MediaUrl(url="u"))), ["messages[0].parts[0]"]),
    "top_k": (ChatRequest(model="m", sampling=Sampling(top_k=5)), ["sampling.top_k"]),
    "thinking switched off": (ChatRequest(model="m", reasoning=ReasoningSetting(mode="disabled")), ["reasoning.mode"]),
    "a budget": (ChatRequest(model="m", reasoning=ReasoningSetting(budget_tokens=9000)), ["reasoning.budget_tokens"]),
    "a summary": (ChatRequest(model="m", reasoning=ReasoningSetting(summary="auto")), ["reasoning.summary"]),
    "another format's breakpoints": (
        ChatRequest(
            model="m",
            messages=(Message(role="user", id="i", parts=(TextPart(text="x", item_id="j", cache_control=HOUR),)),),
            tools=(FunctionTool(name="f", cache_control=HOUR),),
        ),
        ["messages[0].parts[0].cache_control", "tools[0].cache_control"],
    ),
}


@pytest.mark.parametrize(("request_value", "paths"), LOST.values(), ids=LOST.keys())
def test_what_cannot_be_said_is_named(request_value: ChatRequest, paths: list[str]) -> None:
    body, lost = _encode(request_value)
    assert lost == paths
    assert "sig" not in json.dumps(body)


@pytest.mark.parametrize(("budget", "effort"), [(1024, "low"), (2048, "low"), (8192, "medium"), (8193, "high")])
def test_a_budget_becomes_the_nearest_effort(budget: int, effort: str) -> None:
    body, _ = _encode(ChatRequest(model="m", reasoning=ReasoningSetting(mode="enabled", budget_tokens=budget)))
    assert body["reasoning_effort"] == effort


def test_several_results_become_several_messages() -> None:
    results = tuple(ToolResultPart(call_id=name, parts=(TextPart(text=name),)) for name in ("a", "b"))
    body, lost = _encode(_said("tool", *results))
    assert body["messages"] == [{"role": "tool", "tool_call_id": name, "content": name} for name in ("a", "b")]
    assert lost == []


def test_values_of_other_formats_are_spelt_in_this_one() -> None:
    document = FilePart(
        source=MediaText(text="Hé"), filename="a.txt", cache_control=CacheControl(said_in="openai_chat")
    )
    body, lost = _encode(
        ChatRequest(
            model="m",
            messages=(
                Message(role="user", parts=(document, ImagePart(source=MediaData(data="AAAA")))),
                Message(
                    role="assistant",
                    parts=(RefusalPart(text="No"), ToolCallPart(id="c", name="f", arguments="x", kind="custom")),
                ),
                Message(role="assistant", parts=(ReasoningPart(summary=("one", "two")),)),
            ),
            tools=(CustomTool(name="f", description="d"),),
            tool_choice=ToolChoice(mode="tool", name="f", kind="custom"),
            response_format=ResponseFormat(type="json_schema", schema=SCHEMA),
        )
    )
    assert lost == []
    user, refused, reasoned = body["messages"]
    file, image = user["content"]
    assert file["file"] == {"filename": "a.txt", "file_data": "data:text/plain;base64,SMOp"}
    assert file["cache_control"] == {"type": "ephemeral"}
    assert image["image_url"]["url"] == "data:;base64,AAAA"
    assert refused["refusal"] == "No"
    assert refused["tool_calls"] == [{"id": "c", "type": "custom", "custom": {"name": "f", "input": "x"}}]
    assert reasoned["reasoning"] == "onetwo"
    assert body["tools"] == [{"type": "custom", "custom": {"name": "f", "description": "d"}}]
    assert body["tool_choice"] == {"type": "custom", "custom": {"name": "f"}}
    assert body["response_format"]["json_schema"] == {"name": "response", "schema": SCHEMA}
