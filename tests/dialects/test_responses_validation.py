"""What HyperInfer's Responses takes and refuses: the contract's bounds, and the tolerance around them."""

from typing import Any

import pytest

from support.hyperinfer_voices import RESPONSES, SECRET, refuses, takes

CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "42"}


@pytest.mark.row(75)
def test_input_as_text_and_as_items() -> None:
    takes(RESPONSES, input="")
    takes(RESPONSES, input=[])
    message = {"type": "message", "role": "user", "content": SECRET}
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "x"}]}
    takes(RESPONSES, input=[message, reasoning, CALL, OUTPUT, {"type": "reasoning", "summary": []}])
    takes(RESPONSES, input=[{"type": "reasoning"}, {"type": "reasoning", "summary": None, "encrypted_content": "x"}])
    for bad in (3, None, {"role": "user"}):
        refuses(RESPONSES, "input", input=bad)


@pytest.mark.row(75)
def test_items_need_no_type_and_no_id() -> None:
    for role in ("system", "developer", "user", "assistant"):
        takes(RESPONSES, input=[{"role": role, "content": "x"}, {"id": "m", "role": role, "content": []}])
        takes(RESPONSES, input=[{"type": None, "role": role, "content": "x", "status": "completed"}])
    takes(RESPONSES, input=[{"id": "msg_1"}, {"type": "item_reference", "id": "msg_1"}])
    takes(RESPONSES, input=[{**CALL, "id": "fc_1", "status": "completed", "parsed_arguments": None}])
    refuses(RESPONSES, "input[0].type", input=[{"content": SECRET}])
    refuses(RESPONSES, "input[1].role", input=[CALL, {"type": "message", "content": SECRET}])
    refuses(RESPONSES, "input[0].role", input=[{"role": SECRET, "content": "x"}])
    refuses(RESPONSES, "input[0].role", input=[{"role": 3, "content": "x"}])
    refuses(RESPONSES, "input[0].content", input=[{"role": "user"}])
    refuses(RESPONSES, "input[0].content", input=[{"role": "user", "content": None}])
    refuses(RESPONSES, "input[0].content", input=[{"role": "user", "content": {"text": SECRET}}])
    refuses(RESPONSES, "input[0].type", input=[{"type": 3, "role": "user", "content": "x"}])


@pytest.mark.row(78)
@pytest.mark.parametrize("item", [CALL, OUTPUT], ids=["call", "output"])
def test_calls_and_outputs_have_what_they_need(item: dict[str, Any]) -> None:
    for field in item:
        if field != "type":
            without = {name: value for name, value in item.items() if name != field}
            refuses(RESPONSES, f"input[0].{field}", input=[without])
            refuses(RESPONSES, f"input[0].{field}", input=[item | {field: 3}])
    told = refuses(RESPONSES, "input[0].output", input=[OUTPUT | {"output": {"a": 1}}]).message
    assert told == "`input[0].output` must be a string or a list, but it is an object."


def test_outputs_may_be_parts() -> None:
    parts = [{"type": "input_text", "text": "x"}, {"type": "input_image", "image_url": "data:,"}]
    takes(RESPONSES, input=[OUTPUT | {"output": parts}])
    refuses(RESPONSES, "input[0].output[1].text", input=[OUTPUT | {"output": [parts[0], {"type": "input_text"}]}])


@pytest.mark.row(75)
@pytest.mark.parametrize(
    ("part", "field"),
    [
        ({"type": "input_text"}, "text"),
        ({"type": "input_text", "text": None}, "text"),
        ({"type": "output_text", "text": 3}, "text"),
        ({"type": "input_image"}, "image_url"),
        ({"type": "input_image", "image_url": {"url": "data:,"}}, "image_url"),
        ({"type": "input_image", "image_url": "data:,", "detail": 3}, "detail"),
        ({"type": "input_file", "file_data": 3}, "file_data"),
        ({"type": "input_file", "file_url": ["x"]}, "file_url"),
        ({"type": "input_file", "filename": True}, "filename"),
        ({"text": SECRET}, "type"),
        ({"type": 3}, "type"),
    ],
)
def test_parts_have_what_their_type_needs(part: dict[str, Any], field: str) -> None:
    good = {"type": "input_text", "text": "x"}
    where = f"input[0].content[1].{field}"
    refuses(RESPONSES, where, input=[{"role": "user", "content": [good, part]}])


def test_long_lists_of_parts_are_refused() -> None:
    many = [{"type": "input_text", "text": "x"}] * 10_000
    refuses(RESPONSES, "input[0].content", input=[{"role": "user", "content": many}])
    refuses(RESPONSES, "input[0].output", input=[OUTPUT | {"output": many}])


def test_unknown_members_of_unions_pass() -> None:
    takes(
        RESPONSES,
        input=[
            {"type": "tool_search_call", "arguments": {"query": "x"}, "call_id": None},
            {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot"}},
            {"type": "additional_tools", "role": "developer", "tools": []},
            {"type": "custom_tool_call", "name": {"deep": 1}, "summary": 3},
            {
                "role": "assistant",
                "content": [
                    {"type": "refusal", "refusal": "no"},
                    {"type": "input_audio", "text": {"not": "text"}},
                    {"type": "input_image", "file_id": "file_1"},
                    {"type": "input_image", "image_url": "data:,", "detail": "ultra"},
                    {"type": "output_text", "text": "x", "annotations": [], "logprobs": None},
                ],
            },
        ],
    )
    namespace = {"type": "namespace", "name": "multi_agent", "tools": [{"type": "function", "name": "f"}]}
    takes(RESPONSES, tools=[namespace, {"type": "custom", "name": "x", "format": {}}, {"type": "mcp", "name": 3}])
    takes(RESPONSES, tool_choice={"type": "allowed_tools", "mode": "auto", "tools": []})
    takes(RESPONSES, tool_choice="any")
    takes(RESPONSES, reasoning={"effort": "xhigh", "summary": "auto", "context": "all_turns"})


@pytest.mark.row(76)
def test_nullable_fields() -> None:
    takes(RESPONSES, instructions="Be brief.")
    for field in ("instructions", "max_output_tokens", "temperature", "top_p", "reasoning", "previous_response_id"):
        takes(RESPONSES, **{field: None})
    takes(RESPONSES, reasoning={"effort": None})
    refuses(RESPONSES, "instructions", instructions=["x"])
    refuses(RESPONSES, "store", store="no")
    for good in (0, 2, 1.5):
        takes(RESPONSES, temperature=good)
    for bad in (-0.1, 2.1, "1"):
        refuses(RESPONSES, "temperature", temperature=bad)


@pytest.mark.row(77)
def test_earlier_responses_are_refused_explicitly() -> None:
    takes(RESPONSES, previous_response_id=None)
    for value in ("resp_1", ""):
        told = refuses(RESPONSES, "previous_response_id", previous_response_id=value).message
        assert told.startswith("`previous_response_id` is not supported")
        assert "`input`" in told
    refuses(RESPONSES, "previous_response_id", previous_response_id=3)


@pytest.mark.row(77)
def test_what_else_a_provider_keeps_is_no_business_of_the_contract() -> None:
    for value in (None, "conv_1", {"id": "conv_1"}):
        takes(RESPONSES, conversation=value)
    takes(RESPONSES, prompt={"id": "pmpt_1", "version": "2", "variables": {"city": "Riga"}})
    for value in (None, True, False):
        takes(RESPONSES, background=value, store=value)
    refuses(RESPONSES, "background", background="yes")


@pytest.mark.row(78)
def test_tools_are_flat() -> None:
    full = {"type": "function", "name": "f", "description": None, "parameters": None, "strict": None}
    takes(RESPONSES, tools=[full, {"type": "function", "name": "f", "parameters": {"$schema": "x"}, "strict": True}])
    refuses(RESPONSES, "tools[0].name", tools=[{"type": "function", "function": {"name": "f"}}])
    refuses(RESPONSES, "tools[0].type", tools=[{"name": "f"}])
    for field, bad in (("name", 3), ("description", []), ("parameters", "{}"), ("strict", "yes")):
        refuses(RESPONSES, f"tools[1].{field}", tools=[full, full | {field: bad}])
    for name in ("web_search", "web_fetch", "pdf", "datetime", "image"):
        takes(RESPONSES, tools=[{"type": name, "events": True, "depth": 3}])
        refuses(RESPONSES, "tools[0].events", tools=[{"type": name, "events": "yes"}])
    for choice in ("auto", "none", "required", {"type": "function", "name": "f"}):
        takes(RESPONSES, tool_choice=choice)
    refuses(RESPONSES, "tool_choice", tool_choice=3)
    refuses(RESPONSES, "tool_choice.name", tool_choice={"type": "function"})


@pytest.mark.row(79)
def test_text_formats_and_reasoning() -> None:
    takes(RESPONSES, text={})
    takes(RESPONSES, text={"verbosity": "low", "format": None})
    for name in ("text", "json_object"):
        takes(RESPONSES, text={"format": {"type": name}})
    takes(RESPONSES, text={"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}})
    refuses(RESPONSES, "text.format.type", text={"format": {}})
    assert refuses(RESPONSES, "text.format.type", text={"format": {"type": "yaml"}}).message.endswith(
        "Use text, json_object or json_schema."
    )
    refuses(RESPONSES, "text.format.schema", text={"format": {"type": "json_schema", "schema": "{}"}})
    for effort in ("low", "medium", "high"):
        takes(RESPONSES, reasoning={"effort": effort})
    refuses(RESPONSES, "reasoning.effort", reasoning={"effort": 3})
    refuses(RESPONSES, "reasoning", reasoning="high")
