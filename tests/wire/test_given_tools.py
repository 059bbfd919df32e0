"""Given tools: joined names, and answers whose calls name the tools as the caller does."""

import json
import re

import pytest

from tollhouse.ir.events import ToolCallDelta, ToolCallEnd, ToolCallStart
from tollhouse.ir.parts import TextPart, ToolCallPart
from tollhouse.ir.request import CustomTool, FunctionTool, NamespaceTool, ProviderTool
from tollhouse.ir.response import ChatResponse, Choice
from tollhouse.wire.given_tools import CallsGivenBack, GivenTool, answer_given_back, given_tools, joined_name, ungrouped

GROUP = NamespaceTool(
    name="agents", tools=(FunctionTool(name="wait"), CustomTool(name="run"), ProviderTool(format="f", value={}))
)
SQL = CustomTool(name="sql")
GIVEN = given_tools((GROUP, SQL, FunctionTool(name="plain")))


def test_the_tools_that_an_answer_names_otherwise() -> None:
    assert {
        "agents__wait": GivenTool("agents", "wait", "function"),
        "agents__run": GivenTool("agents", "run", "custom"),
        "sql": GivenTool(None, "sql", "custom"),
    } == GIVEN
    assert [tool.name for tool in ungrouped(GROUP) if not isinstance(tool, ProviderTool)] == [
        "agents__wait",
        "agents__run",
    ]


def test_a_tool_that_stands_alone_keeps_its_name() -> None:
    assert given_tools((FunctionTool(name="agents__wait"), NamespaceTool(name="agents", tools=GROUP.tools[:1]))) == {}


@pytest.mark.parametrize(
    ("namespace", "name"),
    [("mcp__files__", "read"), ("n" * 60, "read"), ("n" * 60, "write"), ("a.b", "c"), ("a b", "c")],
)
def test_a_joined_name_is_one_that_every_provider_takes(namespace: str, name: str) -> None:
    assert re.fullmatch("[a-zA-Z0-9_-]{1,64}", joined_name(namespace, name))


def test_joined_names_stay_apart() -> None:
    named = [("n" * 60, "read"), ("n" * 60, "write"), ("a.b", "c"), ("a b", "c"), ("a_b", "c"), (None, "a_b__c_")]
    assert len({joined_name(namespace, name) for namespace, name in named}) == len(named)
    assert joined_name("mcp__files__", "read") == "mcp__files__read"
    assert joined_name(None, "a.b") == "a.b"


@pytest.mark.parametrize(
    ("called", "arguments", "given"),
    [
        ("agents__wait", '{"a":1}', ("agents", "wait", "function", '{"a":1}')),
        ("sql", '{"input":"select 1"}', (None, "sql", "custom", "select 1")),
        ("sql", '{"query":"select 1"}', (None, "sql", "custom", '{"query":"select 1"}')),
        ("sql", "select 1", (None, "sql", "custom", "select 1")),
        ("agents__run", '{"input":""}', ("agents", "run", "custom", "")),
        ("plain", '{"input":"x"}', (None, "plain", "function", '{"input":"x"}')),
    ],
)
def test_a_call_is_given_back_whole_and_streamed(
    called: str, arguments: str, given: tuple[str | None, str, str, str]
) -> None:
    call = ToolCallPart(id="c", name=called, arguments=arguments)
    answer = ChatResponse(choices=(Choice(parts=(TextPart(text="t"), call)),))
    text, part = answer_given_back(answer, GIVEN).choices[0].parts
    assert text == TextPart(text="t")
    assert isinstance(part, ToolCallPart)
    assert (part.namespace, part.name, part.kind, part.arguments) == given

    stream = CallsGivenBack(GIVEN)
    events = [
        event
        for said in (
            ToolCallStart(index=1, id="c", name=called),
            *(ToolCallDelta(index=1, arguments=letter) for letter in arguments),
            ToolCallEnd(index=1),
        )
        for event in stream.feed(said)
    ]
    first = events[0]
    assert isinstance(first, ToolCallStart)
    assert (first.namespace, first.name, first.kind) == given[:3]
    assert "".join(event.arguments for event in events if isinstance(event, ToolCallDelta)) == given[3]
    assert events[-1] == ToolCallEnd(index=1)


def test_free_text_that_came_as_such_is_left_alone() -> None:
    call = ToolCallPart(id="c", name="sql", kind="custom", arguments=json.dumps({"input": "x"}))
    answer = ChatResponse(choices=(Choice(parts=(call,)),))
    assert answer_given_back(answer, GIVEN) == answer
    event = ToolCallStart(index=0, id="c", name="sql", kind="custom")
    assert list(CallsGivenBack(GIVEN).feed(event)) == [event]
