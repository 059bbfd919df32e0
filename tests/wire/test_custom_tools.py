"""Custom tools as functions of one text, and calls of them back, whole and streamed."""

import pytest

from tollhouse.ir.events import StreamEvent, ToolCallDelta, ToolCallEnd, ToolCallStart
from tollhouse.ir.loss import Loss
from tollhouse.ir.parts import ToolCallPart, ToolResultPart
from tollhouse.ir.request import ChatRequest, CustomTool, FunctionTool, Message, ToolChoice
from tollhouse.ir.response import ChatResponse, Choice
from tollhouse.wire.custom_tools import (
    CustomCalls,
    answered_as_custom,
    as_function,
    asked_as_functions,
    free_text,
    names_of,
)

NAMES = frozenset({"sql"})
FUNCTION = FunctionTool(name="f", parameters={"type": "object"})


def test_a_request_without_custom_tools_stays_as_it_is() -> None:
    call = ToolCallPart(id="a", name="f", arguments="{}")
    asked = ChatRequest(model="m", messages=(Message(role="assistant", parts=(call,)),), tools=(FUNCTION,))
    losses: list[Loss] = []
    assert asked_as_functions(asked, losses) == asked
    assert losses == []
    assert names_of(asked) == frozenset()


def test_tools_choice_calls_and_results_become_those_of_a_function() -> None:
    called = Message(role="assistant", parts=(ToolCallPart(id="a", name="sql", arguments='SELECT "x"', kind="custom"),))
    answered = Message(role="tool", parts=(ToolResultPart(call_id="a", kind="custom"),))
    tool = CustomTool(name="sql", description="Runs SQL.", extensions={"openai_responses": {"x": 1}})
    asked = ChatRequest(
        model="m",
        messages=(called, answered),
        tools=(FUNCTION, tool),
        tool_choice=ToolChoice(mode="tool", name="sql", kind="custom"),
    )
    losses: list[Loss] = []
    sent = asked_as_functions(asked, losses)
    assert names_of(asked) == NAMES
    assert sent.tools == (FUNCTION, as_function(tool))
    assert sent.tool_choice == ToolChoice(mode="tool", name="sql")
    assert sent.messages[0].parts == (ToolCallPart(id="a", name="sql", arguments='{"input":"SELECT \\"x\\""}'),)
    assert sent.messages[1].parts == (ToolResultPart(call_id="a"),)
    assert [loss.path for loss in losses] == ["tools[1]"]


@pytest.mark.parametrize(
    "grammar",
    [
        {"type": "grammar", "syntax": "lark", "definition": "start: X"},
        {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: X"}},
    ],
)
def test_the_model_is_told_the_grammar_in_either_formats_spelling(grammar: dict[str, object]) -> None:
    schema = as_function(CustomTool(name="sql", grammar=grammar)).parameters
    assert schema is not None
    assert schema["properties"] == {"input": {"type": "string", "description": "Text of this grammar:\nstart: X"}}
    plain = as_function(CustomTool(name="sql", grammar={"type": "text"})).parameters
    assert plain is not None
    assert plain["properties"] == {"input": {"type": "string"}}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"input": "SELECT 1"}', "SELECT 1"),
        ('{"input": ""}', ""),
        ('{"input": "a", "note": 1}', "a"),
        ('{"query": "a"}', '{"query": "a"}'),
        ('{"input": 1}', '{"input": 1}'),
        ("SELECT 1", "SELECT 1"),
        ('"a"', '"a"'),
        ("", ""),
    ],
)
def test_a_call_gives_its_text_or_all_that_came(arguments: str, text: str) -> None:
    assert free_text(arguments) == text
    call = ToolCallPart(id="a", name="sql", arguments=arguments)
    other = ToolCallPart(id="b", name="f", arguments=arguments)
    answer = answered_as_custom(ChatResponse(choices=(Choice(parts=(call, other)),)), NAMES)
    assert answer.choices[0].parts == (ToolCallPart(id="a", name="sql", arguments=text, kind="custom"), other)


def test_a_stream_tells_the_text_once_it_is_whole_and_lets_other_calls_pass() -> None:
    start, other = ToolCallStart(index=0, id="a", name="sql"), ToolCallStart(index=1, id="b", name="f")
    events: list[StreamEvent] = [
        start,
        other,
        ToolCallDelta(index=0, arguments='{"input": "SEL'),
        ToolCallDelta(index=1, arguments="{"),
        ToolCallDelta(index=0, arguments='ECT 1"}'),
        ToolCallDelta(index=1, arguments="}"),
        ToolCallEnd(index=0),
        ToolCallEnd(index=1),
    ]
    assert CustomCalls(NAMES).adapted(events) == [
        ToolCallStart(index=0, id="a", name="sql", kind="custom"),
        other,
        ToolCallDelta(index=1, arguments="{"),
        ToolCallDelta(index=1, arguments="}"),
        ToolCallDelta(index=0, arguments="SELECT 1"),
        ToolCallEnd(index=0),
        ToolCallEnd(index=1),
    ]
    assert CustomCalls(frozenset()).adapted(events) == events
