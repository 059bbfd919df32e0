"""Requests of Responses: what each field means inside, and what the format cannot say."""

import json
from typing import Any

import pytest

from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.ir.loss import Loss
from tollhouse.ir.parts import (
    AudioPart,
    CacheControl,
    FilePart,
    ImagePart,
    MediaData,
    MediaId,
    MediaUrl,
    OpaquePart,
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
    NamespaceTool,
    ProviderTool,
    ReasoningSetting,
    ResponseFormat,
    Sampling,
    ToolChoice,
)
from tollhouse.wire.openai_responses.format import OpenAIResponses
from tollhouse.wire.quirks import STANDARD

NAME = "openai_responses"
FORMAT = OpenAIResponses()
ORIGIN = ReasoningOrigin(format=NAME)


def decode(asked: Any = "Hi", **fields: Any) -> ChatRequest:
    body = {"model": "m", "input": asked, **fields}
    return FORMAT.decode_request(FORMAT.scan(json.dumps(body).encode()))


def encode(request: ChatRequest) -> tuple[dict[str, Any], list[str]]:
    losses: list[Loss] = []
    return json.loads(FORMAT.encode_request(request, losses)), [loss.path for loss in losses]


def kept(request: ChatRequest) -> dict[str, Any]:
    """The body again; it means the same and loses nothing."""
    body, losses = encode(request)
    assert losses == []
    assert FORMAT.decode_request(FORMAT.scan(json.dumps(body).encode())) == request
    return body


def refused(asked: Any = "Hi", **fields: Any) -> str | None:
    with pytest.raises(FaultError) as raised:
        decode(asked, **fields)
    fault = raised.value.fault
    assert (fault.kind, fault.source) == (FaultKind.INVALID_REQUEST, "client")
    return fault.param


@pytest.mark.row(75)
def test_input_is_a_text_or_items() -> None:
    assert decode("Hi").messages == (Message(role="user", parts=(TextPart(text="Hi"),)),)
    asked = [
        {"role": "user", "content": "Weather?"},
        {"type": "reasoning", "id": "rs_1", "encrypted_content": "g",
         "summary": [{"type": "summary_text", "text": "Hm"}]},
        {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed",
         "content": [{"type": "output_text", "text": "Let me see", "annotations": []}]},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}", "status": "completed"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "sql", "input": "SELECT 1"},
        {"type": "function_call_output", "call_id": "c1", "output": "rain"},
        {"type": "custom_tool_call_output", "id": "x", "call_id": "c2",
         "output": [{"type": "input_text", "text": "1"}]},
        {"role": "assistant", "content": "Rain."},
        {"role": "user", "content": [{"type": "input_text", "text": "Thanks"}], "id": "u_1"},
    ]  # fmt: skip
    request = decode(asked)
    assert request.messages == (
        Message(role="user", parts=(TextPart(text="Weather?"),)),
        Message(role="assistant", parts=(
            ReasoningPart(summary=("Hm",), opaque="g", origin=ORIGIN, id="rs_1"),
            TextPart(text="Let me see", item_id="msg_1"),
            ToolCallPart(id="c1", name="f", arguments="{}", item_id="fc_1"),
            ToolCallPart(id="c2", name="sql", arguments="SELECT 1", kind="custom"),
        )),
        Message(role="tool", parts=(
            ToolResultPart(call_id="c1", parts=(TextPart(text="rain"),)),
            ToolResultPart(call_id="c2", parts=(TextPart(text="1"),), kind="custom", item_id="x"),
        )),
        Message(role="assistant", parts=(TextPart(text="Rain."),)),
        Message(role="user", parts=(TextPart(text="Thanks"),), id="u_1"),
    )  # fmt: skip
    items = kept(request)["input"]
    assert [item["type"] for item in items] == [
        "message", "reasoning", "message", "function_call", "custom_tool_call", "function_call_output",
        "custom_tool_call_output", "message", "message",
    ]  # fmt: skip
    assert items[1]["encrypted_content"] == "g"


@pytest.mark.row(76)
def test_instructions_are_the_first_words_of_the_system() -> None:
    request = decode([{"role": "developer", "content": "b"}, {"role": "user", "content": "c"}], instructions="a")
    assert [(message.role, message.parts) for message in request.messages] == [
        ("system", (TextPart(text="a"),)),
        ("developer", (TextPart(text="b"),)),
        ("user", (TextPart(text="c"),)),
    ]
    body = kept(request)
    assert body["instructions"] == "a"
    assert [item["role"] for item in body["input"]] == ["developer", "user"]


def test_the_words_of_the_system_in_the_middle_stay_there() -> None:
    body = kept(decode([{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]))
    assert "instructions" not in body
    assert [item["role"] for item in body["input"]] == ["user", "system"]


@pytest.mark.row(76)
def test_explicit_nulls_and_empty_tools() -> None:
    names = ("include", "instructions", "max_output_tokens", "metadata", "previous_response_id", "user", "reasoning",
             "temperature", "text", "tool_choice", "top_p", "truncation", "x_other")  # fmt: skip
    request = decode(tools=[], **dict.fromkeys(names))
    assert request == ChatRequest(model="m", messages=request.messages, tools=())
    assert kept(request)["tools"] == []


@pytest.mark.row(77)
def test_a_previous_response_is_refused() -> None:
    assert refused(previous_response_id="resp_1") == "previous_response_id"
    assert refused(conversation={"id": "conv_1"}) == "conversation"


def test_a_provider_of_the_format_follows_its_conversation_and_answers_while_the_caller_waits() -> None:
    body = {"model": "m", "input": "Hi", "conversation": "conv_1", "prompt": {"id": "p"}, "store": True}
    scanned = FORMAT.scan(json.dumps(body | {"background": True}).encode())
    assert json.loads(FORMAT.rewrite(scanned, {}, STANDARD)) == body


@pytest.mark.row(78)
def test_tools() -> None:
    schema = {"type": "object", "properties": {}, "$schema": "x"}
    namespace = {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "g"}]}
    tools = [
        {"type": "function", "name": "f", "description": "d", "parameters": schema, "strict": True},
        {"type": "function", "name": "g", "parameters": None, "strict": False, "defer_loading": True},
        {"type": "custom", "name": "sql", "description": "d", "format": {"type": "text"}},
        namespace,
        {"type": "web_search", "external_web_access": True},
    ]
    request = decode(tools=tools)
    assert request.tools == (
        FunctionTool(name="f", description="d", parameters=schema, strict=True),
        FunctionTool(name="g", extensions={NAME: {"defer_loading": True}}),
        CustomTool(name="sql", description="d", grammar={"type": "text"}),
        NamespaceTool(name="n", tools=(FunctionTool(name="g"),)),
        ProviderTool(format=NAME, value={"type": "web_search", "external_web_access": True}),
    )
    assert [tool.get("strict") for tool in kept(request)["tools"]] == [True, False, None, None, None]


def test_strictness_is_said_of_functions_of_other_formats() -> None:
    body, _ = encode(ChatRequest(model="m", tools=(FunctionTool(name="f"),)))
    assert body["tools"] == [{"type": "function", "name": "f", "strict": False}]


@pytest.mark.row(78)
@pytest.mark.parametrize(
    ("value", "choice"),
    [
        ("auto", ToolChoice(mode="auto")),
        ("none", ToolChoice(mode="none")),
        ("required", ToolChoice(mode="required")),
        ({"type": "function", "name": "f"}, ToolChoice(mode="tool", name="f")),
        ({"type": "custom", "name": "f"}, ToolChoice(mode="tool", name="f", kind="custom")),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
            ToolChoice(mode="required", allowed=("f",)),
        ),
        ({"type": "web_search"}, None),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp", "server_label": "s"}]}, None),
        ("sometimes", None),
    ],
)
def test_tool_choice(value: Any, choice: ToolChoice | None) -> None:
    request = decode(tool_choice=value)
    assert request.tool_choice == choice
    assert kept(request)["tool_choice"] == value


@pytest.mark.row(79)
def test_settings() -> None:
    schema = {"type": "object"}
    fields = {
        "text": {"format": {"type": "json_schema", "name": "n", "schema": schema, "strict": True}, "verbosity": "low"},
        "reasoning": {"effort": "high", "summary": "auto", "context": "all_turns"},
        "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
        "max_output_tokens": 9, "temperature": 0.5, "top_p": 1, "top_logprobs": 3, "parallel_tool_calls": False,
        "store": False, "metadata": {"a": "b"}, "user": "u", "prompt_cache_key": "k", "service_tier": "flex",
        "truncation": "auto", "stream": True, "client_metadata": {"x": "y"},
    }  # fmt: skip
    request = decode(**fields)
    assert request.response_format == ResponseFormat(type="json_schema", name="n", schema=schema, strict=True)
    assert request.reasoning == ReasoningSetting(effort="high", summary="auto")
    assert request.sampling == Sampling(temperature=0.5, top_p=1, logprobs=True, top_logprobs=3)
    assert (request.output_limit, request.parallel_tool_calls, request.store) == (9, False, False)
    assert (request.verbosity, request.user, request.prompt_cache_key) == ("low", "u", "k")
    assert (request.service_tier, request.metadata, request.stream) == ("flex", {"a": "b"}, True)
    assert request.extensions == {
        NAME: {
            "include": ["reasoning.encrypted_content"],
            "reasoning": {"context": "all_turns"},
            "truncation": "auto",
            "client_metadata": {"x": "y"},
        }
    }
    body = kept(request)
    assert set(body.pop("include")) == set(fields.pop("include"))
    assert body.pop("input") == [{"type": "message", "role": "user", "content": "Hi"}]
    assert body == {"model": "m", **fields}


@pytest.mark.parametrize("kind", ["text", "json_object"])
def test_plain_formats(kind: Any) -> None:
    request = decode(text={"format": {"type": kind}})
    assert request.response_format == ResponseFormat(type=kind)
    assert kept(request)["text"] == {"format": {"type": kind}}


def test_a_format_that_nobody_knows_stays() -> None:
    request = decode(text={"format": {"type": "grammar", "x": 1}, "verbosity": "low"})
    assert (request.response_format, request.verbosity) == (None, "low")
    assert kept(request)["text"] == {"format": {"type": "grammar", "x": 1}, "verbosity": "low"}


@pytest.mark.parametrize(
    ("part", "means"),
    [
        ({"type": "input_image", "image_url": "https://x.example/a.png", "detail": "low"},
         ImagePart(source=MediaUrl(url="https://x.example/a.png"), detail="low")),
        ({"type": "input_image", "image_url": "data:image/png;base64,AAAA"},
         ImagePart(source=MediaData(data="AAAA", media_type="image/png"))),
        ({"type": "input_image", "file_id": "file_1"}, ImagePart(source=MediaId(id="file_1"))),
        ({"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"},
         FilePart(source=MediaData(data="AAAA", media_type="application/pdf"), filename="a.pdf")),
        ({"type": "input_file", "file_data": "AAAA"}, FilePart(source=MediaData(data="AAAA"))),
        ({"type": "input_file", "file_url": "https://x.example/a.pdf"},
         FilePart(source=MediaUrl(url="https://x.example/a.pdf"))),
        ({"type": "input_file", "file_id": "file_1"}, FilePart(source=MediaId(id="file_1"))),
        ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
         AudioPart(source=MediaData(data="AAAA", media_type="audio/mp3"))),
        ({"type": "input_video", "x": 1}, OpaquePart(format=NAME, value={"type": "input_video", "x": 1})),
        ({"type": "input_text", "text": "a", "x": 1}, TextPart(text="a", extensions={NAME: {"x": 1}})),
        ({"type": "input_text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
         TextPart(text="a", cache_control=CacheControl(ttl="1h", said_in=NAME))),
    ],
)  # fmt: skip
def test_parts(part: dict[str, Any], means: Any) -> None:
    message = decode([{"role": "user", "content": [part]}])
    assert message.messages[0].parts == (means,)
    assert kept(message)["input"][0]["content"] == [part]
    result = decode([{"type": "function_call_output", "call_id": "c", "output": [part]}])
    assert result.messages[0].parts == (ToolResultPart(call_id="c", parts=(means,)),)
    assert kept(result)["input"][0]["output"] == [part]


@pytest.mark.parametrize(
    "item",
    [
        {"type": "item_reference", "id": "rs_1"},
        {"type": "compaction", "id": "c", "encrypted_content": "g"},
        {"type": "additional_tools", "role": "developer", "tools": []},
        {"type": "web_search_call", "id": "ws", "status": "completed", "action": {}},
    ],
)
def test_items_that_nobody_knows_go_back_as_they_came(item: dict[str, Any]) -> None:
    request = decode([{"role": "user", "content": "a"}, item, {"role": "user", "content": "b"}])
    assert request.messages[1] == Message(role="assistant", parts=(OpaquePart(format=NAME, value=item),))
    assert kept(request)["input"][1] == item


def test_messages_of_the_assistant_keep_their_borders() -> None:
    said = [
        {"type": "message", "role": "assistant", "id": "m1", "phase": "commentary",
         "content": [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "b"}]},
        {"type": "message", "role": "assistant", "content": "c"},
        {"type": "message", "role": "assistant", "content": "d"},
        {"type": "message", "role": "assistant", "id": "m2", "status": "incomplete",
         "content": [{"type": "song"}, {"type": "output_text", "text": "e"}]},
    ]  # fmt: skip
    request = decode(said)
    (message,) = request.messages
    assert [part.text for part in message.parts if isinstance(part, TextPart | RefusalPart)] == [
        "a",
        "b",
        "c",
        "d",
        "e",
    ]
    items = kept(request)["input"]
    assert [item.get("id") for item in items] == ["m1", None, None, "m2", "m2"]
    assert (items[0]["phase"], items[4]["status"]) == ("commentary", "incomplete")
    assert items[:3] == said[:3]


def test_what_clients_repeat_of_an_answer_is_no_matter() -> None:
    item = {
        "type": "function_call",
        "call_id": "c",
        "name": "f",
        "arguments": "{}",
        "parsed_arguments": {},
        "status": None,
    }
    (message,) = decode([item]).messages
    assert message.parts[0] == ToolCallPart(
        id="c", name="f", arguments="{}", extensions={NAME: {"parsed_arguments": {}}}
    )


@pytest.mark.parametrize(
    ("asked", "fields", "param"),
    [
        (None, {}, "input"),
        (5, {}, "input"),
        ([5], {}, "input[0]"),
        ([{"type": 5}], {}, "input[0].type"),
        ([{"role": "king", "content": "a"}], {}, "input[0].role"),
        ([{"content": "a"}], {}, "input[0].role"),
        ([{"role": "user"}], {}, "input[0].content"),
        ([{"role": "assistant", "content": 5}], {}, "input[0].content"),
        ([{"role": "assistant", "content": [5]}], {}, "input[0].content[0]"),
        ([{"role": "user", "content": [5]}], {}, "input[0].content[0]"),
        ([{"role": "user", "content": [{}]}], {}, "input[0].content[0].type"),
        ([{"role": "user", "content": [{"type": "input_text"}]}], {}, "input[0].content[0].text"),
        ([{"role": "assistant", "content": [{"type": "output_text"}]}], {}, "input[0].content[0].text"),
        ([{"role": "user", "content": [{"type": "input_image"}]}], {}, "input[0].content[0].image_url"),
        ([{"role": "user", "content": [{"type": "input_file"}]}], {}, "input[0].content[0].file_data"),
        ([{"role": "user", "content": [{"type": "input_audio"}]}], {}, "input[0].content[0].input_audio"),
        ([{"type": "function_call", "name": "f", "arguments": ""}], {}, "input[0].call_id"),
        ([{"type": "function_call", "call_id": "c", "arguments": ""}], {}, "input[0].name"),
        ([{"type": "function_call", "call_id": "c", "name": "f"}], {}, "input[0].arguments"),
        ([{"type": "custom_tool_call", "call_id": "c", "name": "f"}], {}, "input[0].input"),
        ([{"type": "function_call_output", "output": ""}], {}, "input[0].call_id"),
        ([{"type": "function_call_output", "call_id": "c"}], {}, "input[0].output"),
        ([{"type": "function_call_output", "call_id": "c", "output": [{"type": "refusal", "refusal": "n"}]}], {},
         "input[0].output[0]"),
        ("Hi", {"tools": [5]}, "tools"),
        ("Hi", {"tools": [{"name": "f"}]}, "tools[0].type"),
        ("Hi", {"tools": [{"type": "function"}]}, "tools[0].name"),
        ("Hi", {"instructions": 5}, "instructions"),
        ("Hi", {"text": {"format": {"name": "n"}}}, "text.format.type"),
        ("Hi", {"temperature": "hot"}, "temperature"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(asked: Any, fields: dict[str, Any], param: str) -> None:
    assert refused(asked, **fields) == param


def test_many_items_take_linear_time() -> None:
    items = [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}] * 20_000
    (message,) = decode(items).messages
    assert len(message.parts) == 20_000
