"""Answers: what the simulator says to a question, its tokens and its smallest JSON."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.simulator import tokens
from tollhouse.simulator.answer import Question, Tool, compose
from tollhouse.simulator.schema import minimal
from tollhouse.simulator.script import Script

WEATHER = Tool(
    name="weather", schema={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
)
CLOCK = Tool(name="clock", schema={"type": "object"})


def answer(script: Script | None = None, **fields):
    question = Question(model="m", digest="d", roles=("user",), last_user_text="Hello", **fields)
    return compose(question, script or Script(), created=1)


@given(st.text())
def test_tokens_join_to_the_text(text):
    assert "".join(tokens.pieces(text)) == text
    assert tokens.count(text) == len(tokens.pieces(text))


@given(st.integers(0, 300))
def test_n_words_are_n_tokens(number):
    assert tokens.count("".join(tokens.words(number))) == number


def test_the_default_answer_sums_up_the_question():
    said = "".join(answer(images=2, tools=(WEATHER,), last_tool_result="22 degrees").text)
    assert said == (
        'Simulator: I got 1 message (1 user), 2 images, 1 tool. The tool answered: "22 degrees". You said: "Hello".'
    )


def test_the_same_question_gives_the_same_answer():
    assert answer() == answer()
    assert answer().usage.completion == len(answer().text)


@pytest.mark.parametrize("limit", range(1, 12))
def test_the_limit_is_kept(limit):
    cut = answer(Script(reasoning=3, text=5, tools=1), max_tokens=limit, tools=(WEATHER,))
    assert cut.usage.completion <= limit
    assert cut.finish == "length"
    assert cut.usage.reasoning == min(3, limit)


def test_a_limit_that_is_not_reached_changes_nothing():
    assert answer(Script(text=5), max_tokens=5).finish == "stop"
    assert answer(Script(text=5, ignore_limit=True), max_tokens=2).usage.completion == 5


def test_text_ends_before_the_first_stop_sequence():
    cut = answer(Script(say="one two three four"), stop=("four", "three"))
    assert ("".join(cut.text), cut.finish) == ("one two ", "stop")


def test_tools_are_called_when_they_must_be():
    offered = (WEATHER, CLOCK)
    assert answer(tools=offered).calls == ()
    assert [c.name for c in answer(tools=offered, tool_choice="required").calls] == ["weather"]
    named = answer(tools=offered, tool_choice="clock")
    assert [c.name for c in named.calls] == ["clock"]
    assert named.finish == "tool_calls"
    three = answer(Script(tools=3), tools=offered).calls
    assert [(c.name, c.arguments) for c in three] == [
        ("weather", '{"city": "text"}'),
        ("clock", "{}"),
        ("weather", '{"city": "text"}'),
    ]
    assert len({c.id for c in three}) == 3
    assert len(answer(Script(tools=3), tools=offered, parallel=False).calls) == 1
    assert answer(Script(call="odd", args="{")).calls[0].arguments == "{"


@pytest.mark.parametrize(
    ("script", "fields", "called"),
    [
        (Script(once=True, say="Done.", tools=1), {"tools": (CLOCK, WEATHER)}, ["clock"]),
        (Script(once=True, say="Done.", call="weather"), {"tools": (CLOCK, WEATHER)}, ["weather"]),
        (Script(once=True, say="Done.", call="weather"), {"tools": (CLOCK,)}, []),
        (Script(once=True, say="Done.", tools=1), {}, []),
        (Script(once=True, say="Done.", call="weather"), {"tools": (WEATHER,), "has_tool_results": True}, []),
    ],
)
def test_once_calls_while_the_tool_is_offered_and_has_not_answered(script, fields, called):
    said = answer(script, **fields)
    assert [call.name for call in said.calls] == called
    assert "".join(said.text) == ("" if called else "Done.")


def test_choices_multiply_the_usage():
    assert answer(Script(text=5, reasoning=2), choices=3).usage.completion == 21


def test_usage_can_be_dictated():
    usage = answer(Script(text=5, usage="100:50:20")).usage
    assert (usage.prompt, usage.completion, usage.cached, usage.reasoning) == (100, 50, 20, 0)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (None, {}),
        (
            {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "null"}}, "required": ["a"]},
            {"a": 1},
        ),
        ({"enum": ["x", "y"]}, "x"),
        ({"const": 3}, 3),
        ({"type": ["string", "null"], "minLength": 6}, "xxxxxx"),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [True, True]),
        ({"type": "integer", "minimum": 7}, 7),
        ({"type": "number", "exclusiveMinimum": 2}, 3),
        ({"type": "number", "maximum": -4}, -4),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, None),
        (
            {
                "$ref": "#/$defs/p",
                "$defs": {"p": {"type": "object", "properties": {"n": {"type": "string"}}, "required": ["n"]}},
            },
            {"n": "text"},
        ),
        (
            {
                "allOf": [
                    {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
                    {"properties": {"b": {"type": "string"}}, "required": ["b"]},
                ]
            },
            {"a": 1, "b": "text"},
        ),
    ],
)
def test_the_smallest_instance_of_a_schema(schema, value):
    assert minimal(schema) == value


def test_a_schema_without_end_is_cut_off():
    schema = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}
    assert isinstance(minimal(schema), dict)
