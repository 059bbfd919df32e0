"""Requests of other formats written as Messages: turns, tools, limits and thinking that the provider accepts."""

import base64
import json
from typing import Any

import pytest

from support.strategies import loss_paths
from tollhouse.ir.loss import Loss
from tollhouse.ir.parts import (
    AudioPart,
    FilePart,
    ImagePart,
    MediaData,
    MediaText,
    MediaUrl,
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
    ReasoningSetting,
    ResponseFormat,
    Role,
    Sampling,
    ToolChoice,
)
from tollhouse.wire.anthropic_messages.request import DEFAULT_MAX_TOKENS, encode_request
from tollhouse.wire.quirks import STANDARD, Quirks

TOOL = FunctionTool(name="f", parameters={"properties": {}})


def encode(*messages: Message, quirks: Quirks = STANDARD, **fields: Any) -> tuple[dict[str, Any], list[str]]:
    losses: list[Loss] = []
    request = ChatRequest(model="m", messages=messages or (said("user", "Hi"),), **fields)
    return json.loads(encode_request(request, losses, quirks)), loss_paths(losses)


def said(role: Role, *parts: Part | str) -> Message:
    return Message(role=role, parts=tuple(TextPart(text=part) if isinstance(part, str) else part for part in parts))


def call(call_id: str, arguments: str = "{}", **fields: Any) -> ToolCallPart:
    return ToolCallPart(id=call_id, name="f", arguments=arguments, **fields)


def result(call_id: str, *texts: str) -> ToolResultPart:
    return ToolResultPart(call_id=call_id, parts=tuple(TextPart(text=text) for text in texts))


def block(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def answered(call_id: str, text: str) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": [block(text)]}


def test_neighbours_of_one_role_are_one_turn_and_results_stand_first() -> None:
    body, lost = encode(
        said("user", "a"),
        said("user", "b"),
        said("assistant", "c", call("x")),
        said("assistant", call("y")),
        said("tool", result("x", "1")),
        said("user", "d"),
        said("tool", result("y", "2")),
        said("assistant", "e"),
    )
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user", "assistant"]
    assert body["messages"][0]["content"] == [block("a"), block("b")]
    assert body["messages"][2]["content"] == [answered("x", "1"), answered("y", "2"), block("d")]
    assert lost == []


def test_system_and_developer_text_goes_to_the_front() -> None:
    body, lost = encode(said("system", "a"), said("developer", "b"), said("user", "c"), said("system", "d"))
    assert body["system"] == [block("a"), block("b"), block("d")]
    assert body["messages"] == [{"role": "user", "content": [block("c")]}]
    assert lost == ["messages[3].role"]
    body, lost = encode(said("user", "c"), said("system", "d"), quirks=Quirks(system_turns=True))
    assert body["messages"][1] == {"role": "system", "content": [block("d")]}
    assert lost == []


def test_system_text_in_the_middle_stays_only_where_it_may() -> None:
    quirks = Quirks(system_turns=True)
    kept = [said("user", "a"), said("system", "b"), said("assistant", "c"), said("user", "d")]
    body, lost = encode(*kept, quirks=quirks)
    assert ([turn["role"] for turn in body["messages"]], lost) == (["user", "system", "assistant", "user"], [])
    moved = [said("user", "a"), said("assistant", "b"), said("system", "c"), said("user", "d")]
    body, lost = encode(*moved, quirks=quirks)
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    assert (body["system"], lost) == ([block("c")], ["messages[2].role"])
    body, lost = encode(said("user", "a"), said("system", "b"), said("user", "c"), quirks=quirks)
    assert body["messages"] == [{"role": "user", "content": [block("a"), block("c")]}]
    assert (body["system"], lost) == ([block("b")], ["messages[1].role"])


def test_system_text_alone_is_a_turn_of_the_user() -> None:
    body, lost = encode(said("system", "a"))
    assert body["messages"] == [{"role": "user", "content": [block("a")]}]
    assert ("system" in body, lost) == (False, ["messages[0].role"])


def test_a_result_without_its_call_is_plain_content() -> None:
    body, lost = encode(said("user", "a"), said("tool", result("gone", "22 degrees")), said("assistant", "b"))
    assert body["messages"][0]["content"] == [block("a"), block("22 degrees")]
    assert lost == ["messages[1].parts[0].call_id"]


def test_a_second_result_of_one_call_is_plain_content() -> None:
    body, lost = encode(said("assistant", call("x")), said("tool", result("x", "1"), result("x", "2")))
    assert body["messages"][1]["content"] == [answered("x", "1"), block("2")]
    assert lost == ["messages[1].parts[1].call_id"]


def test_a_call_without_a_result_gets_one_that_says_so() -> None:
    body, lost = encode(said("assistant", call("x"), call("y")), said("tool", result("y", "2")), said("user", "b"))
    made_up = {**answered("x", "The tool gave no result."), "is_error": True}
    assert body["messages"][1]["content"] == [answered("y", "2"), made_up, block("b")]
    assert lost == ["messages"]
    body, lost = encode(said("user", "a"), said("assistant", call("x")))
    assert lost == []


def test_ids_that_the_provider_would_refuse_are_rewritten_alike() -> None:
    body, lost = encode(
        said("assistant", call("functions.f:0"), call("")), said("tool", result("functions.f:0", "1"), result("", "2"))
    )
    assert [part["id"] for part in body["messages"][0]["content"]] == ["functions_f_0", "call"]
    assert [part["tool_use_id"] for part in body["messages"][1]["content"]] == ["functions_f_0", "call"]
    assert lost == []


@pytest.mark.parametrize(
    ("part", "value", "lost"),
    [
        (call("x", '{"b": 1e2, "a": "é"}'), {"b": 100.0, "a": "é"}, []),
        (call("x", ""), {}, []),
        (call("x", " "), {}, []),
        (call("x", '{"broken'), {"input": '{"broken'}, ["messages[0].parts[0].arguments"]),
        (call("x", "[1]"), {"input": "[1]"}, ["messages[0].parts[0].arguments"]),
        (call("x", "*** Patch", kind="custom"), {"input": "*** Patch"}, []),
    ],
)
def test_arguments(part: ToolCallPart, value: Any, lost: list[str]) -> None:
    body, paths = encode(said("assistant", part))
    assert (body["messages"][0]["content"][0]["input"], paths) == (value, lost)


def test_empty_text_is_left_out() -> None:
    body, lost = encode(said("user", "", " \n", "a"), said("assistant", "", "b"), said("user", ""))
    assert body["messages"][0]["content"] == [block("a")]
    assert body["messages"][1:] == [{"role": "assistant", "content": [block("b")]}]
    assert lost == ["messages[0].parts[1]"]


def test_what_a_turn_cannot_hold() -> None:
    foreign = ReasoningPart(text="Hm", opaque="S", origin=ReasoningOrigin(format="openai_responses"))
    body, lost = encode(
        said("user", "a", AudioPart(source=MediaData(data="AA", media_type="audio/wav"))),
        said(
            "assistant",
            foreign,
            ReasoningPart(text="plain"),
            RefusalPart(text="No."),
            ImagePart(source=MediaUrl(url="u")),
        ),
    )
    assert body["messages"][1]["content"] == [block("No.")]
    assert lost == ["messages[0].parts[1]", *(f"messages[1].parts[{n}]" for n in range(4))]
    assert "Hm" not in str(body) + str(lost)


@pytest.mark.parametrize(
    ("part", "source", "kind"),
    [
        (
            ImagePart(source=MediaData(data="/9j/4AAQ")),
            {"type": "base64", "media_type": "image/jpeg", "data": "/9j/4AAQ"},
            "image",
        ),
        (
            ImagePart(source=MediaData(data="iVBORw0K")),
            {"type": "base64", "media_type": "image/png", "data": "iVBORw0K"},
            "image",
        ),
        (
            FilePart(source=MediaData(data="JVBERi0x")),
            {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0x"},
            "document",
        ),
        (
            FilePart(source=MediaData(data=base64.b64encode("ā,b".encode()).decode(), media_type="text/csv")),
            {"type": "text", "media_type": "text/plain", "data": "ā,b"},
            "document",
        ),
        (
            FilePart(source=MediaText(text="x", media_type="text/html")),
            {"type": "text", "media_type": "text/plain", "data": "x"},
            "document",
        ),
        (
            FilePart(source=MediaData(data="AA", media_type="image/png")),
            {"type": "base64", "media_type": "image/png", "data": "AA"},
            "image",
        ),
    ],
)
def test_media(part: Part, source: dict[str, str], kind: str) -> None:
    body, lost = encode(said("user", part))
    assert (body["messages"][0]["content"], lost) == ([{"type": kind, "source": source}], [])


@pytest.mark.parametrize(
    "part",
    [
        FilePart(source=MediaData(data="AA", media_type="application/msword")),
        FilePart(source=MediaData(data="_w", media_type="text/plain")),
        ImagePart(source=MediaText(text="x")),
    ],
)
def test_media_that_no_block_can_hold(part: Part) -> None:
    body, lost = encode(said("user", "a", part))
    assert (body["messages"][0]["content"], lost) == ([block("a")], ["messages[0].parts[1]"])


def test_the_output_limit_is_always_there() -> None:
    assert encode()[0]["max_tokens"] == DEFAULT_MAX_TOKENS
    assert encode(output_limit=7)[0]["max_tokens"] == 7
    budget = ReasoningSetting(mode="enabled", budget_tokens=5000)
    assert encode(reasoning=budget)[0]["max_tokens"] == DEFAULT_MAX_TOKENS + 5000


def test_sampling_is_bent_to_what_the_provider_takes() -> None:
    body, lost = encode(sampling=Sampling(temperature=1.7, top_p=0.5, seed=1, logprobs=False, presence_penalty=0.0))
    assert (body["temperature"], body["top_p"]) == (1, 0.5)
    names = ("temperature", "presence_penalty", "seed", "logprobs")
    assert lost == [f"sampling.{name}" for name in names]
    body, lost = encode(
        sampling=Sampling(temperature=0.2, top_p=0.5, top_k=3), reasoning=ReasoningSetting(effort="high")
    )
    assert not {"temperature", "top_p", "top_k"} & body.keys()
    assert lost == ["sampling.temperature", "sampling.top_k", "sampling.top_p"]


@pytest.mark.parametrize(
    ("setting", "thinking", "effort", "lost"),
    [
        (ReasoningSetting(effort="high"), {"type": "adaptive"}, "high", []),
        (ReasoningSetting(effort="minimal"), {"type": "adaptive"}, "low", ["reasoning.effort"]),
        (ReasoningSetting(effort="none"), {"type": "disabled"}, None, []),
        (ReasoningSetting(effort="odd"), None, None, ["reasoning.effort"]),
        (ReasoningSetting(mode="disabled", effort="high"), {"type": "disabled"}, "high", []),
        (ReasoningSetting(mode="enabled"), {"type": "adaptive"}, None, []),
        (
            ReasoningSetting(budget_tokens=100),
            {"type": "enabled", "budget_tokens": 1024},
            None,
            ["reasoning.budget_tokens"],
        ),
        (
            ReasoningSetting(budget_tokens=9000),
            {"type": "enabled", "budget_tokens": 7999},
            None,
            ["reasoning.budget_tokens"],
        ),
        (ReasoningSetting(effort="low", summary="auto"), {"type": "adaptive", "display": "summarized"}, "low", []),
        (ReasoningSetting(summary="auto"), None, None, ["reasoning.summary"]),
        (ReasoningSetting(mode="adaptive", budget_tokens=5), {"type": "adaptive"}, None, ["reasoning.budget_tokens"]),
    ],
)
def test_reasoning(setting: ReasoningSetting, thinking: Any, effort: str | None, lost: list[str]) -> None:
    body, paths = encode(reasoning=setting, output_limit=8000)
    assert (body.get("thinking"), body.get("output_config")) == (thinking, effort and {"effort": effort})
    assert paths == lost


def test_reasoning_of_models_that_know_budgets_only() -> None:
    quirks = Quirks(thinking="budget")
    body, _ = encode(reasoning=ReasoningSetting(effort="medium"), quirks=quirks)
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 8192}
    assert "output_config" not in body
    body, lost = encode(reasoning=ReasoningSetting(effort="medium"), quirks=quirks, output_limit=500)
    assert ("thinking" in body, lost) == (False, ["reasoning.budget_tokens"])
    forced = ToolChoice(mode="required")
    body, lost = encode(reasoning=ReasoningSetting(effort="low"), quirks=quirks, tools=(TOOL,), tool_choice=forced)
    assert ("thinking" in body, lost) == (False, ["reasoning"])


def test_reasoning_of_models_that_know_efforts_only() -> None:
    quirks = Quirks(thinking="adaptive")
    for budget, effort in ((1024, "low"), (8000, "medium"), (30_000, "high")):
        setting = ReasoningSetting(mode="enabled", budget_tokens=budget)
        body, lost = encode(reasoning=setting, quirks=quirks)
        assert (body["thinking"], body["output_config"]) == ({"type": "adaptive"}, {"effort": effort})
        assert lost == ["reasoning.budget_tokens"]
    both = ReasoningSetting(effort="xhigh", budget_tokens=1024)
    assert encode(reasoning=both, quirks=quirks)[0]["output_config"] == {"effort": "xhigh"}
    assert encode(reasoning=ReasoningSetting(effort="low"), quirks=quirks)[1] == []


def test_models_that_take_no_sampling_settings() -> None:
    quirks = Quirks(sampling=False)
    body, lost = encode(sampling=Sampling(temperature=0.2, top_p=0.5, top_k=3), quirks=quirks)
    assert not {"temperature", "top_p", "top_k"} & set(body)
    assert lost == ["sampling.temperature", "sampling.top_p", "sampling.top_k"]
    # The provider's own defaults are no loss.
    assert encode(sampling=Sampling(temperature=1, top_p=1), quirks=quirks)[1] == []


def test_tools_of_other_formats() -> None:
    body, lost = encode(tools=(TOOL, CustomTool(name="g", description="d")), parallel_tool_calls=False)
    assert body["tools"][0]["input_schema"] == {"type": "object", "properties": {}}
    assert body["tools"][1]["input_schema"]["required"] == ["input"]
    assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert lost == ["tools[1]"]
    body, lost = encode(tool_choice=ToolChoice(mode="required"), parallel_tool_calls=False)
    assert ("tool_choice" in body, lost) == (False, ["tool_choice"])
    body, lost = encode(tools=(TOOL,), tool_choice=ToolChoice(mode="auto", allowed=("f",)), parallel_tool_calls=True)
    assert (body["tool_choice"], lost) == ({"type": "auto"}, ["tool_choice.allowed"])
    body, _ = encode(tools=(TOOL,), tool_choice=ToolChoice(mode="none"), parallel_tool_calls=False)
    assert body["tool_choice"] == {"type": "none"}


def test_what_has_no_place() -> None:
    body, lost = encode(
        choices=2,
        verbosity="low",
        metadata={"a": "b"},
        store=True,
        prompt_cache_key="k",
        service_tier="flex",
        stop=("X", " "),
        response_format=ResponseFormat(type="json_object"),
    )
    assert body["stop_sequences"] == ["X"]
    paths = {
        "choices",
        "verbosity",
        "metadata",
        "store",
        "prompt_cache_key",
        "service_tier",
        "stop[1]",
        "response_format",
    }
    assert set(lost) == paths
    body, lost = encode(user="u", service_tier="default", choices=1, store=False)
    assert (body["metadata"], body["service_tier"], lost) == ({"user_id": "u"}, "standard_only", [])


def test_structured_output() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    body, lost = encode(response_format=ResponseFormat(type="json_schema", name="n", schema=schema, strict=True))
    assert (body["output_config"], lost) == ({"format": {"type": "json_schema", "schema": schema}}, [])
    assert encode(response_format=ResponseFormat(type="text"))[0].get("output_config") is None
