"""What HyperInfer's Messages takes and refuses: the contract's bounds, and the tolerance around them."""

import json
from typing import Any

import pytest

from support.hyperinfer_voices import COUNT, MESSAGES, SECRET, encoded, refusal_of, refuses, takes
from tollhouse.relay.call import Voice

both = pytest.mark.parametrize("voice", [MESSAGES, COUNT], ids=("messages", "count_tokens"))
TEXT = {"type": "text", "text": "x"}
BASE64 = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
URL = {"type": "url", "url": "https://example.org/a.png"}
USE = {"type": "tool_use", "id": "t", "name": "f", "input": {}}


def said(*blocks: Any, role: str = "user") -> list[dict[str, Any]]:
    return [{"role": role, "content": list(blocks)}]


@pytest.mark.row(82)
def test_bounds() -> None:
    for good in (0, 0.0, 1, 0.5, None):
        takes(MESSAGES, temperature=good)
    assert refuses(MESSAGES, "temperature", temperature=1.1).message == "`temperature` must be at most 1."
    refuses(MESSAGES, "temperature", temperature=-0.1)
    takes(MESSAGES, stop_sequences=["a", "b"])
    refuses(MESSAGES, "stop_sequences", stop_sequences="a")
    refuses(MESSAGES, "stop_sequences[0]", stop_sequences=[1])
    assert refuses(MESSAGES, "messages", messages=[]).message == "`messages` must not be empty."


def test_counting_needs_no_limit_and_looks_at_nothing_else() -> None:
    takes(COUNT, max_tokens=0, temperature=7, stream="no")
    assert refusal_of(MESSAGES, encoded(COUNT)) is not None


@both
def test_roles(voice: Voice) -> None:
    for role in ("user", "assistant", "system"):
        takes(voice, messages=[{"role": role, "content": "x"}, {"role": role, "content": [TEXT]}])
    told = refuses(voice, "messages[0].role", messages=[{"role": SECRET, "content": "x"}]).message
    assert told.endswith("Use user, assistant or system.")
    refuses(voice, "messages[0].role", messages=[{"content": "x"}])
    refuses(voice, "messages[0].content", messages=[{"role": "user"}])
    refuses(voice, "messages[0].content", messages=[{"role": "user", "content": None}])
    refuses(voice, "messages[0].content", messages=[{"role": "user", "content": 3}])


@pytest.mark.row(83)
@both
def test_system_as_text_and_as_blocks(voice: Voice) -> None:
    takes(voice, system="Be brief.")
    takes(voice, system=[])
    takes(voice, system=[TEXT, TEXT | {"cache_control": {"type": "ephemeral"}}])
    refuses(voice, "system[1].text", system=[TEXT, {"type": "text"}])
    refuses(voice, "system", system={"type": "text"})


@pytest.mark.row(83)
@both
def test_all_six_types_of_blocks(voice: Voice) -> None:
    takes(voice, messages=said(TEXT, {"type": "image", "source": BASE64}, {"type": "image", "source": URL}))
    takes(
        voice, messages=said({"type": "document", "source": BASE64, "title": "t"}, {"type": "document", "source": URL})
    )
    thinking = {"type": "thinking", "thinking": "hm", "signature": "s"}
    takes(voice, messages=said(thinking, {"type": "thinking", "thinking": ""}, USE, role="assistant"))
    takes(voice, messages=said({"type": "tool_result", "tool_use_id": "t"}))


@pytest.mark.row(83)
@both
@pytest.mark.parametrize(
    ("block", "field"),
    [
        ({"text": SECRET}, "type"),
        ({"type": "text"}, "text"),
        ({"type": "text", "text": None}, "text"),
        ({"type": "text", "text": ["x"]}, "text"),
        ({"type": "thinking"}, "thinking"),
        ({"type": "thinking", "thinking": "x", "signature": 3}, "signature"),
        ({"type": "image"}, "source"),
        ({"type": "image", "source": "https://example.org"}, "source"),
        ({"type": "image", "source": {}}, "source.type"),
        ({"type": "image", "source": {"type": "base64", "data": "AAAA"}}, "source.media_type"),
        ({"type": "image", "source": {"type": "base64", "media_type": "image/png"}}, "source.data"),
        ({"type": "document", "source": {"type": "url"}}, "source.url"),
        ({"type": "document", "source": BASE64, "title": 3}, "title"),
        ({"type": "tool_use", "name": "f", "input": {}}, "id"),
        ({"type": "tool_use", "id": "t", "input": {}}, "name"),
        ({"type": "tool_use", "id": "t", "name": "f"}, "input"),
        ({"type": "tool_use", "id": "t", "name": "f", "input": "{}"}, "input"),
        ({"type": "tool_result"}, "tool_use_id"),
        ({"type": "tool_result", "tool_use_id": "t", "content": {"type": "text"}}, "content"),
        ({"type": "tool_result", "tool_use_id": "t", "is_error": "yes"}, "is_error"),
    ],
)
def test_blocks_have_what_their_type_needs(voice: Voice, block: dict[str, Any], field: str) -> None:
    refuses(voice, f"messages[0].content[1].{field}", messages=said(TEXT, block))


@pytest.mark.row(84)
@both
def test_tool_results(voice: Voice) -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "is_error": False, "cache_control": {"type": "ephemeral"}}
    for content in ("42", None, [], [TEXT, {"type": "image", "source": BASE64}], [{"type": "tool_reference"}]):
        takes(voice, messages=said(result | {"content": content}))
    takes(voice, messages=said(result | {"content": "x", "is_error": True}))
    where = "messages[0].content[0].content[1]"
    refuses(voice, f"{where}.text", messages=said(result | {"content": [TEXT, {"type": "text"}]}))
    refuses(
        voice,
        f"{where}.source.url",
        messages=said(result | {"content": [TEXT, {"type": "image", "source": {"type": "url"}}]}),
    )
    refuses(voice, f"{where}.type", messages=said(result | {"content": [TEXT, {}]}))
    refuses(voice, where, messages=said(result | {"content": [TEXT, "x"]}))
    refuses(voice, where.removesuffix("[1]"), messages=said(result | {"content": [TEXT] * 10_000}))


@both
def test_long_lists_of_blocks_are_refused(voice: Voice) -> None:
    refuses(voice, "messages[0].content", messages=said(*[TEXT] * 10_000))
    refuses(voice, "system", system=[TEXT] * 10_000)


@both
def test_unknown_members_of_unions_pass(voice: Voice) -> None:
    takes(
        voice,
        messages=said(
            {"type": "search_result", "source": "https://example.org", "title": "t", "content": [TEXT]},
            {"type": "web_search_tool_result", "tool_use_id": "t", "content": {"type": "error"}},
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": "odd"},
            {"type": "redacted_thinking", "data": "x"},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": 3}},
            {"type": "document", "source": {"type": "content", "content": []}, "citations": {"enabled": True}},
            {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
        ),
    )
    takes(voice, tools=[{"type": "bash_20250124", "name": "bash"}, {"type": "mcp_toolset", "mcp_server_name": "x"}])
    takes(voice, tool_choice={"type": "sometimes"}, thinking={"type": "adaptive"})
    takes(voice, context_management={"edits": []}, output_config={"effort": "high"}, mcp_servers=[], container="c")


@pytest.mark.row(85)
@both
def test_tools(voice: Voice) -> None:
    tool = {"name": "f", "description": "d", "input_schema": {"type": "object", "$schema": "x"}}
    takes(voice, tools=[tool, tool | {"type": "custom", "cache_control": None, "strict": True}, tool | {"type": None}])
    for field in ("name", "input_schema"):
        refuses(voice, f"tools[0].{field}", tools=[{name: value for name, value in tool.items() if name != field}])
    for field, bad in (("name", 3), ("description", []), ("input_schema", "{}"), ("type", 3)):
        refuses(voice, f"tools[0].{field}", tools=[tool | {field: bad}])
    for choice in ("auto", "any", "none"):
        takes(voice, tool_choice={"type": choice, "disable_parallel_tool_use": True})
    takes(voice, tool_choice={"type": "tool", "name": "f"})
    refuses(voice, "tool_choice.name", tool_choice={"type": "tool"})
    refuses(voice, "tool_choice.type", tool_choice={})
    refuses(voice, "tool_choice", tool_choice="auto")


@pytest.mark.row(86)
@both
def test_thinking(voice: Voice) -> None:
    takes(voice, thinking={"type": "enabled", "budget_tokens": 1024})
    takes(voice, thinking={"type": "disabled"})
    refuses(voice, "thinking.type", thinking={"budget_tokens": 5})
    refuses(voice, "thinking.budget_tokens", thinking={"type": "enabled", "budget_tokens": "many"})


@pytest.mark.row(87)
@both
def test_a_response_format_is_refused_explicitly(voice: Voice) -> None:
    for value in ({"type": "json_object"}, {}, "json", False):
        told = refuses(voice, "response_format", response_format=value).message
        assert told.startswith("`response_format` does not exist in this format.")
        assert "`input_schema`" in told


def test_metadata_is_an_object() -> None:
    takes(MESSAGES, metadata={"user_id": "u"})
    refuses(MESSAGES, "metadata", metadata="u")


def test_a_conversation_that_the_server_would_keep_is_refused_as_the_libraries_expect() -> None:
    takes(MESSAGES, thread=None)
    for value in ({"type": "create"}, {"type": "continue", "previous_message_id": "msg_1"}):
        fault = refuses(MESSAGES, "thread", thread=value)
        body = json.loads(MESSAGES.word(fault, "r1", "/api/v1/messages").body)
        assert body["error"]["details"] == {"error_code": "thread_unsupported_request"}
