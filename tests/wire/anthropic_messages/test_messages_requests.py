"""Requests of Messages: what is read, what is refused, what is written again as it was."""

import json
from typing import Any

import pytest

from support.strategies import loss_paths
from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.ir.loss import Loss
from tollhouse.ir.parts import (
    CacheControl,
    FilePart,
    ImagePart,
    MediaData,
    MediaId,
    MediaText,
    MediaUrl,
    OpaquePart,
    ReasoningOrigin,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from tollhouse.ir.request import (
    ChatRequest,
    FunctionTool,
    Message,
    ProviderTool,
    ReasoningSetting,
    ResponseFormat,
    ToolChoice,
)
from tollhouse.wire.anthropic_messages.format import AnthropicMessages
from tollhouse.wire.openai_chat.format import OpenAIChat

FORMAT = AnthropicMessages()
NAME = FORMAT.name
EPHEMERAL = {"type": "ephemeral", "ttl": "1h"}
CACHED = CacheControl(ttl="1h", said_in=NAME)


def decode(messages: list[Any] | None = None, **fields: Any) -> ChatRequest:
    body = {"model": "m", "max_tokens": 10, "messages": messages or [{"role": "user", "content": "Hi"}], **fields}
    return FORMAT.decode_request(FORMAT.scan(json.dumps(body).encode()))


def again(request: ChatRequest) -> dict[str, Any]:
    """The request written again, without a loss."""
    losses: list[Loss] = []
    encoded = json.loads(FORMAT.encode_request(request, losses))
    assert losses == []
    return encoded


def asked(*blocks: dict[str, Any], role: str = "user") -> tuple[Message, ...]:
    return decode([{"role": role, "content": list(blocks)}]).messages


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ({"type": "text", "text": "a", "cache_control": EPHEMERAL}, TextPart(text="a", cache_control=CACHED)),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}},
            ImagePart(source=MediaData(data="AA", media_type="image/png")),
        ),
        ({"type": "image", "source": {"type": "url", "url": "u"}}, ImagePart(source=MediaUrl(url="u"))),
        ({"type": "image", "source": {"type": "file", "file_id": "f"}}, ImagePart(source=MediaId(id="f"))),
        (
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "AA"},
                "title": "t",
                "citations": {"enabled": True},
                "context": "c",
            },
            FilePart(
                source=MediaData(data="AA", media_type="application/pdf"),
                filename="t",
                extensions={NAME: {"citations": {"enabled": True}, "context": "c"}},
            ),
        ),
        (
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
            FilePart(source=MediaText(text="words")),
        ),
        ({"type": "document", "source": {"type": "url", "url": "u"}}, FilePart(source=MediaUrl(url="u"))),
        ({"type": "document", "source": {"type": "file", "file_id": "f"}}, FilePart(source=MediaId(id="f"))),
        (
            {"type": "document", "source": {"type": "content", "content": "x"}, "title": "t"},
            OpaquePart(
                format=NAME,
                value={"type": "document", "source": {"type": "content", "content": "x"}, "title": "t"},
            ),
        ),
        (
            {"type": "container_upload", "file_id": "f"},
            OpaquePart(format=NAME, value={"type": "container_upload", "file_id": "f"}),
        ),
        (
            {"type": "text", "text": "a", "x_new": [1]},
            TextPart(text="a", extensions={NAME: {"x_new": [1]}}),
        ),
    ],
)
def test_a_block_of_the_user(block: dict[str, Any], part: Any) -> None:
    (message,) = asked(block)
    assert message == Message(role="user", parts=(part,))
    assert again(ChatRequest(model="m", messages=(message,)))["messages"] == [{"role": "user", "content": [block]}]


@pytest.mark.parametrize(
    ("block", "part"),
    [
        (
            {"type": "thinking", "thinking": "Hm", "signature": "S"},
            ReasoningPart(text="Hm", opaque="S", origin=ReasoningOrigin(format=NAME)),
        ),
        (
            {"type": "redacted_thinking", "data": "D"},
            ReasoningPart(opaque="D", origin=ReasoningOrigin(format=NAME), redacted=True),
        ),
        (
            {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1.50, "b": [10**30]}, "caller": {"type": "x"}},
            ToolCallPart(
                id="t1",
                name="f",
                arguments='{"a":1.5,"b":[1000000000000000000000000000000]}',
                extensions={NAME: {"caller": {"type": "x"}}},
            ),
        ),
        (
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}},
            OpaquePart(
                format=NAME, value={"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}}
            ),
        ),
    ],
)
def test_a_block_of_the_assistant(block: dict[str, Any], part: Any) -> None:
    (message,) = asked(block, role="assistant")
    assert message == Message(role="assistant", parts=(part,))
    assert again(ChatRequest(model="m", messages=(message,)))["messages"] == [{"role": "assistant", "content": [block]}]


def test_results_become_messages_of_their_own_and_one_turn_again() -> None:
    calls = {"role": "assistant", "content": [{"type": "tool_use", "id": n, "name": "f", "input": {}} for n in "ab"]}
    image = {"type": "image", "source": {"type": "url", "url": "u"}}
    turn = {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "1"}, image]},
            {"type": "tool_result", "tool_use_id": "b", "is_error": True, "cache_control": EPHEMERAL},
            {"type": "text", "text": "Go on."},
        ],
        "x_mark": 1,
    }
    request = decode([calls, turn])
    assert request.messages[1:] == (
        Message(
            role="tool",
            parts=(
                ToolResultPart(call_id="a", parts=(TextPart(text="1"), ImagePart(source=MediaUrl(url="u")))),
                ToolResultPart(call_id="b", is_error=True, cache_control=CACHED),
            ),
            extensions={NAME: {"x_mark": 1}},
        ),
        Message(role="user", parts=(TextPart(text="Go on."),)),
    )
    assert again(request)["messages"] == [calls, turn]


def test_system_text_and_turns() -> None:
    plain = decode(system="Be brief.")
    assert plain.messages[0] == Message(role="system", parts=(TextPart(text="Be brief."),))
    assert again(plain)["system"] == [{"type": "text", "text": "Be brief."}]
    blocks = [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": EPHEMERAL}]
    assert again(decode(system=blocks))["system"] == blocks
    turns = decode([{"role": "user", "content": "Hi"}, {"role": "system", "content": "Now in verse."}])
    assert [message.role for message in turns.messages] == ["user", "system"]


def test_tools_and_the_choice_among_them() -> None:
    schema = {"type": "object", "properties": {"z": {"const": 1.0}, "a": {"anyOf": []}}, "$schema": "s"}
    own = {"name": "f", "description": "d", "input_schema": schema, "strict": True, "cache_control": EPHEMERAL}
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    request = decode(tools=[{**own, "defer_loading": True}, search, {"type": "custom", "name": "g"}])
    assert request.tools == (
        FunctionTool(
            name="f",
            description="d",
            parameters=schema,
            strict=True,
            cache_control=CACHED,
            extensions={NAME: {"defer_loading": True}},
        ),
        ProviderTool(format=NAME, value=search),
        FunctionTool(name="g"),
    )
    empty = {"name": "g", "input_schema": {"type": "object", "properties": {}}}
    assert again(request)["tools"] == [{**own, "defer_loading": True}, search, empty]
    for value, choice, parallel in (
        ({"type": "auto"}, ToolChoice(mode="auto"), None),
        ({"type": "any", "disable_parallel_tool_use": True}, ToolChoice(mode="required"), False),
        ({"type": "none"}, ToolChoice(mode="none"), None),
        ({"type": "tool", "name": "f"}, ToolChoice(mode="tool", name="f"), None),
    ):
        request = decode(tools=[own], tool_choice=value)
        assert (request.tool_choice, request.parallel_tool_calls) == (choice, parallel)
        assert again(request)["tool_choice"] == value
    assert again(decode(tools=[own], tool_choice={"type": "x_new"}))["tool_choice"] == {"type": "x_new"}


@pytest.mark.parametrize(
    ("fields", "setting"),
    [
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2000}},
            ReasoningSetting(mode="enabled", budget_tokens=2000),
        ),
        ({"thinking": {"type": "disabled"}}, ReasoningSetting(mode="disabled")),
        (
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
            ReasoningSetting(mode="adaptive", effort="high"),
        ),
        (
            {"thinking": {"type": "adaptive", "display": "summarized"}},
            ReasoningSetting(mode="adaptive", summary="auto"),
        ),
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, ReasoningSetting(mode="adaptive")),
        ({"thinking": {"type": "between_tools"}}, None),
    ],
)
def test_thinking(fields: dict[str, Any], setting: ReasoningSetting | None) -> None:
    request = decode(**fields, max_tokens=4000)
    assert request.reasoning == setting
    assert {key: again(request)[key] for key in fields} == fields


def test_all_other_fields() -> None:
    schema = {"type": "object", "properties": {}}
    fields: dict[str, Any] = {
        "stop_sequences": ["X"],
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "stream": True,
        "metadata": {"user_id": "u", "x_more": 1},
        "service_tier": "standard_only",
        "output_config": {"format": {"type": "json_schema", "schema": schema}, "task_budget": {"total": 1}},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "container": "c",
        "mcp_servers": [{"type": "url", "name": "n"}],
        "cache_control": {"type": "ephemeral"},
        "x_new": {"deep": [None, 1]},
    }
    request = decode(**fields)
    assert (request.output_limit, request.stop, request.user, request.service_tier) == (10, ("X",), "u", "default")
    assert request.response_format == ResponseFormat(type="json_schema", schema=schema)
    assert (request.stream, request.stream_usage) == (True, True)
    encoded = again(request)
    assert {key: encoded[key] for key in fields} == fields
    assert encoded["max_tokens"] == 10


def test_an_explicit_null_counts_as_absent() -> None:
    names = ("system", "tools", "tool_choice", "thinking", "metadata", "output_config", "stop_sequences", "top_k")
    request = decode(**dict.fromkeys(names))
    assert request == decode()
    assert decode(service_tier=None, stream=None, temperature=None) == decode()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": "Hi"}, "messages"),
        ({"messages": ["Hi"]}, "messages[0]"),
        ({"messages": [{"role": "robot", "content": "Hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["Hi"]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages[0].content[0].source"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url"}}]}]},
            "messages[0].content[0].source.url",
        ),
        ({"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "a"}]}]},
         "messages[0].content[0].name"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "messages[0].content[0].tool_use_id"),
        ({"messages": [{"role": "assistant", "content": [{"type": "tool_result", "tool_use_id": "a"}]}]},
         "messages[0].content"),
        ({"system": 7}, "system"),
        ({"tools": [7]}, "tools"),
        ({"tools": [{"description": "d"}]}, "tools[0].name"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"thinking": {"budget_tokens": 5}}, "thinking.type"),
        ({"thinking": {"type": "enabled", "budget_tokens": "x"}}, "thinking.budget_tokens"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"stop_sequences": [1]}, "stop_sequences"),
        ({"metadata": []}, "metadata"),
        ({"temperature": "hot"}, "temperature"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(FaultError) as raised:
        decode(fields.pop("messages", None), **fields)
    fault = raised.value.fault
    assert (fault.kind, fault.source, fault.param) == (FaultKind.INVALID_REQUEST, "client", param)


def test_what_only_another_format_can_say_is_a_loss() -> None:
    request = decode(system="a", thinking={"type": "adaptive", "display": "omitted"}, x_new=1)
    losses: list[Loss] = []
    body = json.loads(OpenAIChat().encode_request(request, losses))
    assert body["messages"][0] == {"role": "system", "content": "a"}
    assert {"x_new", "thinking"} <= set(loss_paths(losses))
