"""Tool groups: joined names, and answers whose calls name the tools as the caller does."""

import re

import pytest

from tollhouse.ir.events import TextEnd, ToolCallStart
from tollhouse.ir.loss import Loss
from tollhouse.ir.parts import TextPart, ToolCallPart
from tollhouse.ir.request import ChatRequest, CustomTool, FunctionTool, NamespaceTool, ProviderTool
from tollhouse.ir.response import ChatResponse, Choice
from tollhouse.wire.custom_tools import as_function, asked_as_functions, names_of
from tollhouse.wire.tool_groups import answer_grouped, event_grouped, grouped_names, joined_name, ungrouped

RUN = CustomTool(name="run")
GROUP = NamespaceTool(name="agents", tools=(FunctionTool(name="wait"), RUN, ProviderTool(format="f", value={})))
GROUPED = grouped_names((GROUP, FunctionTool(name="plain")))


def test_the_tools_of_a_group_under_their_joined_names() -> None:
    assert GROUPED == {"agents__wait": ("agents", "wait"), "agents__run": ("agents", "run")}
    names = [tool.name for tool in ungrouped(GROUP) if not isinstance(tool, ProviderTool)]
    assert names == list(GROUPED)


def test_a_tool_that_stands_alone_keeps_its_name() -> None:
    assert list(grouped_names((FunctionTool(name="agents__wait"), GROUP))) == ["agents__run"]


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


def test_a_call_comes_back_into_its_group_whole_and_streamed() -> None:
    call = ToolCallPart(id="c", name="agents__wait", arguments="{}")
    other = ToolCallPart(id="d", name="plain", arguments="{}")
    answer = ChatResponse(choices=(Choice(parts=(TextPart(text="t"), call, other)),))
    text, grouped, alone = answer_grouped(answer, GROUPED).choices[0].parts
    assert text == TextPart(text="t")
    assert grouped == ToolCallPart(id="c", namespace="agents", name="wait", arguments="{}")
    assert alone == other
    event = event_grouped(ToolCallStart(index=1, id="c", name="agents__wait"), GROUPED)
    assert event == ToolCallStart(index=1, id="c", namespace="agents", name="wait")
    for untouched in (ToolCallStart(index=1, id="c", name="plain"), TextEnd(index=0)):
        assert event_grouped(untouched, GROUPED) == untouched


def test_custom_tools_in_a_group_become_functions_too() -> None:
    asked, losses = ChatRequest(model="m", tools=(GROUP,)), list[Loss]()
    assert names_of(asked) == {"agents__run"}
    (group,) = asked_as_functions(asked, losses).tools or ()
    assert isinstance(group, NamespaceTool)
    assert group.tools == (GROUP.tools[0], as_function(RUN), GROUP.tools[2])
    assert [loss.path for loss in losses] == ["tools[0].tools[1]"]
