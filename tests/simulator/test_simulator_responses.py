"""The simulator as a provider of Responses: its answers are sound, streamed or not, and mean what the script says."""

import json
from typing import Any

import pytest

from tollhouse.ir.fault import FaultError
from tollhouse.ir.fold import fold
from tollhouse.ir.parts import ReasoningPart, RefusalPart, TextPart, ToolCallPart
from tollhouse.ir.response import FinishReason
from tollhouse.simulator.answer import compose
from tollhouse.simulator.delivery import frames
from tollhouse.simulator.format import RequestError
from tollhouse.simulator.openai_responses import OpenAIResponses
from tollhouse.simulator.script import Script, plan_from_model
from tollhouse.wire.openai_responses import format as wire

SPOKEN = OpenAIResponses()
TOOLS = [{"type": "function", "name": "f", "parameters": {"type": "object", "required": ["a"]}}, {"type": "web_search"}]


def ask(script: str = "", **fields: Any) -> tuple[dict[str, Any], bytes]:
    """The whole answer, and the stream."""
    words: Script = plan_from_model(f"script/{script}").attempts[0]
    question = SPOKEN.read({"model": "m", "input": "Hello, world!", **fields}, "digest")
    answer = compose(question, words, created=7)
    stream = frames(SPOKEN.events(answer, question, words), words, SPOKEN.error(500, "It broke."))
    return json.loads(SPOKEN.whole(answer, words)), b"".join(stream)


def decoded(stream: bytes) -> Any:
    decoder = wire.OpenAIResponses().stream_decoder()
    return fold(decoder.feed(stream) + decoder.flush())


@pytest.mark.parametrize(
    "script",
    ["", "text=5", "reasoning=3/text=5", "tools=2", "refusal=No", "text=9/finish=length", "finish=content_filter",
     "say=a b/crlf/comments", "usage=5:4:2:1", "call=g/args=broken", "text=5/chunk_tokens=2/multiline"],
)  # fmt: skip
def test_streamed_and_whole_mean_the_same(script: str) -> None:
    whole, stream = ask(script, tools=TOOLS)
    assert decoded(stream) == wire.OpenAIResponses().decode_response(json.dumps(whole).encode())


def test_the_script_is_kept() -> None:
    whole, _ = ask("reasoning=2/text=3/tools=1/usage=5:4:2:1", tools=TOOLS)
    answer = wire.OpenAIResponses().decode_response(json.dumps(whole).encode())
    (choice,) = answer.choices
    assert [type(part) for part in choice.parts] == [ReasoningPart, TextPart, ToolCallPart]
    assert choice.finish is not None
    assert choice.finish.reason is FinishReason.TOOL_CALLS
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.cache_read_tokens, answer.usage.reasoning_tokens) == (5, 2, 1)
    refused = decoded(ask("refusal=No")[1]).choices[0].parts
    assert refused == (RefusalPart(text="No", item_id=refused[0].item_id),)


def test_the_limit_makes_an_answer_incomplete() -> None:
    whole, stream = ask("text=9", max_output_tokens=4)
    assert (whole["status"], whole["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert whole["usage"]["output_tokens"] == 4
    assert b"event: response.incomplete" in stream


def test_questions() -> None:
    asked = [
        {"role": "developer", "content": "d"},
        {"role": "user", "content": [{"type": "input_text", "text": "Look"}, {"type": "input_image"},
                                     {"type": "input_file"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "22 degrees"},
    ]  # fmt: skip
    schema = {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]}
    question = SPOKEN.read(
        {"model": "m", "input": asked, "instructions": "i", "tools": TOOLS,
         "tool_choice": {"type": "function", "name": "f"},
         "text": {"format": {"type": "json_schema", "schema": schema}}, "stream": True, "parallel_tool_calls": False},
        "d",
    )  # fmt: skip
    assert question.roles == ("system", "developer", "user", "tool")
    assert (question.last_user_text, question.last_tool_result) == ("Look", "22 degrees")
    assert (question.images, question.files, question.tool_choice, question.parallel) == (1, 1, "f", False)
    assert [tool.name for tool in question.tools] == ["f"]
    assert (question.json_mode, question.schema, question.stream) == (True, schema, True)


@pytest.mark.parametrize(
    "fields",
    [{"model": None}, {"input": None}, {"input": []}, {"previous_response_id": "r"}, {"max_output_tokens": 0}],
)
def test_what_a_provider_would_refuse(fields: dict[str, Any]) -> None:
    with pytest.raises(RequestError):
        ask(**fields)


@pytest.mark.parametrize("script", ["text=3/error_at=4", "text=3/bad_json=4"])
def test_streams_that_break(script: str) -> None:
    with pytest.raises(FaultError):
        decoded(ask(script)[1])


def test_ends_that_are_left_out_or_doubled() -> None:
    for script in ("text=3/no_done", "text=3/no_finish"):
        assert b"response.completed" not in ask(script)[1]
    assert ask("text=3/finish_twice")[1].count(b"event: response.completed") == 2


@pytest.mark.parametrize(
    ("usage", "prompt"),
    [("negative", -1), ("string", "0"), ("zero", 0), ("partial", 1), ("none", None), ("null", None)],
)
def test_odd_usage(usage: str, prompt: Any) -> None:
    whole, _ = ask(f"usage={usage}")
    report = whole.get("usage")
    assert (report is None) == (prompt is None)
    assert report is None or type(report["input_tokens"]) is type(prompt)


def test_errors_are_worded_as_the_vendor_does() -> None:
    error = json.loads(SPOKEN.error(429, "Slow down."))["error"]
    assert error == {"message": "Slow down.", "type": "rate_limit_error", "param": None, "code": "rate_limit_exceeded"}
