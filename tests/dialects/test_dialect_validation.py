"""What each dialect's chat takes and refuses: the contracts' bounds, and the tolerance around them."""

import json
import time
from typing import Any

import pytest

from support.dialect_samples import DIALECTS, HPP, HYPERINFER, VOLTAGE, refusal
from tollhouse.dialects.dialect import Dialect
from tollhouse.dialects.fields import MAX_MESSAGES
from tollhouse.ir.fault import Fault, FaultKind

SECRET = "the prompt's own words"
USER = {"role": "user", "content": SECRET}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
OUTPUT = {"role": "tool", "tool_call_id": "call_1", "content": "42"}


def body(**fields: Any) -> bytes:
    request = {"model": "openai/gpt-5", "messages": [USER]} | fields
    return json.dumps({name: value for name, value in request.items() if value is not ...}).encode()


def takes(dialect: Dialect, **fields: Any) -> None:
    found = refusal(dialect, body(**fields))
    assert found is None, found


def refuses(dialect: Dialect, param: str | None, **fields: Any) -> Fault:
    found = refusal(dialect, body(**fields))
    assert found is not None, f"{dialect.name} takes {fields}"
    assert found.kind is FaultKind.INVALID_REQUEST
    assert found.param == param
    assert SECRET not in found.message
    assert found.message[-1] == "."
    return found


@pytest.mark.row(5)
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
def test_what_every_contract_requires(dialect: Dialect) -> None:
    takes(dialect)
    assert refuses(dialect, "model", model=...).message == "`model` is required, but the request does not have it."
    refuses(dialect, "model", model=7)
    refuses(dialect, "model", model=None)
    refuses(dialect, "model", model="")
    refuses(dialect, "messages", messages=...)
    refuses(dialect, "messages", messages=None)
    assert refuses(dialect, "messages", messages=[]).message == "`messages` must not be empty."
    refuses(dialect, "messages", messages={"role": "user"})
    refuses(dialect, "messages[1]", messages=[USER, "hello"])
    refuses(dialect, "messages[1].role", messages=[USER, {"content": SECRET}])
    refuses(dialect, "messages[0].role", messages=[{"role": "function", "content": SECRET}])
    refuses(dialect, "messages[0].role", messages=[{"role": SECRET, "content": "x"}])
    refuses(dialect, "messages[0].content", messages=[{"role": "user", "content": 3}])
    refuses(dialect, "stream", stream="true")
    refuses(dialect, "stop", stop={"at": 1})
    refuses(dialect, "stop[0]", stop=[1])


@pytest.mark.row(5)
@pytest.mark.fault(1, 2, 6)
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"  \n",
        b"{",
        b"null",
        b"[]",
        b"3",
        b'"text"',
        b'{"model":"a"',
        b'{"model":"a","messages":[{"role":"user","content":"x"}]} x',
        b'{"model":"a\xff","messages":[{"role":"user","content":"x"}]}',
        b'{"model":"a","messages":[{"role":"user","content":"\xed\xa0\x80"}]}',
        b'{"model":"a","messages":[{"role":"user","content":"\\ud800"}]}',
        b'{"model":"a","messages":[{"role":"user","content":"\\udc00"}]}',
        b"\xef\xbb\xbf{}",
        b"'model'",
    ],
)
def test_bodies_that_are_no_json_object(dialect: Dialect, broken: bytes) -> None:
    found = refusal(dialect, broken)
    assert found is not None
    assert found.kind is FaultKind.INVALID_REQUEST
    assert found.param is None or broken[:1] == b"{"
    assert found.message.startswith("The request body ")


@pytest.mark.fault(5)
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
def test_deep_nesting_is_a_refusal_and_no_crash(dialect: Dialect) -> None:
    deep = b"[" * 20_000 + b"]" * 20_000
    for field in (b"metadata", b"anything"):
        found = refusal(dialect, b'{"model":"a","messages":[{"role":"user","content":"x"}],"%b":%b}' % (field, deep))
        assert found is not None
        assert "nested too deeply" in found.message


@pytest.mark.row(6, 62, 122)
@pytest.mark.fault(9)
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_output_limits(dialect: Dialect, field: str) -> None:
    for good in (1, 2**31 - 1, None):
        takes(dialect, **{field: good})
    for bad in (0, -1, -(10**30), 2**31, 2**63, 2**64, 10**30, 1.0, 1.5, 1e3, True, "5", [5], {}):
        refuses(dialect, field, **{field: bad})
    huge = b'{"model":"a","messages":[{"role":"user","content":"x"}],"%b":1%b}' % (field.encode(), b"0" * 5000)
    found = refusal(dialect, huge)
    assert found is not None
    assert found.param == field


@pytest.mark.fault(7)
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
@pytest.mark.parametrize("field", ["temperature", "max_tokens"])
@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" + "0" * 400, "0x10", "01"])
def test_numbers_that_are_none(dialect: Dialect, field: str, value: str) -> None:
    found = refusal(dialect, f'{{"model":"a","messages":[{{"role":"user","content":"x"}}],"{field}":{value}}}'.encode())
    assert found is not None
    assert found.kind is FaultKind.INVALID_REQUEST


@pytest.mark.fault(9)
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
def test_choices_are_bounded(dialect: Dialect) -> None:
    takes(dialect, n=1)
    takes(dialect, n=None)
    takes(dialect, n=10)
    for bad in (0, -1, 10**9, 10**30, 1.0, "3", True):
        refuses(dialect, "n", n=bad)


@pytest.mark.row(62, 122)
@pytest.mark.parametrize("dialect", [HYPERINFER, VOLTAGE], ids=lambda d: d.name)
def test_temperature_and_top_p(dialect: Dialect) -> None:
    for good in (0, 0.0, 1, 2, 2.0, None):
        takes(dialect, temperature=good)
    for bad in (-0.1, 2.1, "1", True):
        refuses(dialect, "temperature", temperature=bad)
    for good in (0, 1, 0.5, None):
        takes(dialect, top_p=good)
    for bad in (-0.1, 1.1, "1"):
        refuses(dialect, "top_p", top_p=bad)
    assert refuses(dialect, "temperature", temperature=2.1).message == "`temperature` must be at most 2."


def test_hpp_leaves_temperature_to_the_provider() -> None:
    for good in (-1, 0, 99.5, None):
        takes(HPP, temperature=good)
    refuses(HPP, "temperature", temperature="1")


@pytest.mark.row(7)
def test_hpp_is_open_at_every_level() -> None:
    part = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
    image = {"type": "image_url", "image_url": {"url": "data:,", "detail": "odd", "extra": 1}, "extra": [1]}
    message = {"role": "user", "content": [part, image, {"type": "input_audio", "input_audio": {}}], "extra": None}
    takes(HPP, messages=[message], extra={"deep": [1, {"er": None}]}, tools=[{"anything": 1}], tool_choice=7)
    takes(HPP, stream_options={"include_usage": True, "extra": 1}, user="u" * 1024, metadata={"k": "v"})


@pytest.mark.row(8)
def test_hpp_content_parts() -> None:
    text = {"type": "text", "text": "what is this?"}
    data = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    http = {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "high"}}
    takes(HPP, messages=[{"role": "user", "content": [text, data, http]}])
    where = "messages[0].content[1]"
    refuses(HPP, f"{where}.type", messages=[{"role": "user", "content": [text, {"text": "x"}]}])
    refuses(HPP, f"{where}.type", messages=[{"role": "user", "content": [text, {"type": 1}]}])
    bad = {"type": "image_url", "image_url": {"url": 1}}
    refuses(HPP, f"{where}.image_url.url", messages=[{"role": "user", "content": [text, bad]}])
    refuses(HPP, f"{where}.image_url", messages=[{"role": "user", "content": [text, {"type": "x", "image_url": "u"}]}])
    refuses(HPP, f"{where}.text", messages=[{"role": "user", "content": [text, {"type": "text", "text": 1}]}])


@pytest.mark.row(5)
def test_hpp_content_is_only_missing_beside_tool_calls() -> None:
    takes(HPP, messages=[USER, CALLING, OUTPUT])
    takes(HPP, messages=[USER, {"role": "assistant", "tool_calls": [CALL]}, OUTPUT])
    param = "messages[1].content"
    refuses(HPP, param, messages=[USER, {"role": "assistant", "content": None}])
    refuses(HPP, param, messages=[USER, {"role": "assistant", "content": None, "tool_calls": []}])
    refuses(HPP, param, messages=[USER, {"role": "assistant", "content": None, "tool_calls": None}])
    refuses(HPP, param, messages=[USER, {"role": "user"}])
    refuses(HPP, param, messages=[USER, {"role": "user", "content": None, "tool_calls": [CALL]}])


@pytest.mark.row(63)
def test_hyperinfer_roles_and_null_content() -> None:
    for role in ("system", "developer", "user", "assistant", "tool"):
        takes(HYPERINFER, messages=[{"role": role, "content": None}])
        takes(HYPERINFER, messages=[{"role": role}])
        takes(HYPERINFER, messages=[{"role": role, "content": [{"type": "text", "text": "x"}]}])
    refuses(HPP, "messages[0].role", messages=[{"role": "developer", "content": "x"}])


@pytest.mark.row(62)
def test_hyperinfer_messages() -> None:
    takes(HYPERINFER, messages=[USER, CALLING, OUTPUT])
    takes(HYPERINFER, messages=[{"role": "assistant", "content": "x", "reasoning": None, "tool_calls": None}])
    where = "messages[0].tool_calls[0]"
    for field in ("id", "type", "function"):
        call = {name: value for name, value in CALL.items() if name != field}
        refuses(HYPERINFER, f"{where}.{field}", messages=[{"role": "assistant", "tool_calls": [call]}])
    for field in ("name", "arguments"):
        call = CALL | {"function": {name: "x" for name in ("name", "arguments") if name != field}}
        refuses(HYPERINFER, f"{where}.function.{field}", messages=[{"role": "assistant", "tool_calls": [call]}])
    takes(HYPERINFER, messages=[{"role": "assistant", "tool_calls": [{"id": "1", "type": "custom", "custom": {}}]}])
    for field in ("name", "reasoning", "tool_call_id"):
        refuses(HYPERINFER, f"messages[0].{field}", messages=[{"role": "user", field: 3}])


@pytest.mark.row(62)
@pytest.mark.parametrize(
    ("part", "missing"),
    [
        ({"type": "text"}, "text"),
        ({"type": "text", "text": None}, "text"),
        ({"type": "image_url"}, "image_url"),
        ({"type": "image_url", "image_url": {}}, "image_url.url"),
        ({"type": "file"}, "file"),
        ({"text": "x"}, "type"),
    ],
)
def test_hyperinfer_parts_have_what_their_type_needs(part: dict[str, Any], missing: str) -> None:
    good = {"type": "text", "text": "x"}
    refuses(HYPERINFER, f"messages[0].content[1].{missing}", messages=[{"role": "user", "content": [good, part]}])


def test_hyperinfer_takes_unknown_members_of_unions() -> None:
    parts = [
        {"type": "file", "file": {"file_data": "data:,", "filename": "a.pdf"}},
        {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
        {"type": "image_url", "image_url": {"url": "data:,", "detail": "ultra"}},
    ]
    takes(HYPERINFER, messages=[{"role": "user", "content": parts}])
    takes(HYPERINFER, tools=[{"type": "web_search", "depth": 3}, {"type": "custom", "custom": {"name": "x"}}])
    takes(HYPERINFER, tool_choice="any")
    takes(HYPERINFER, tool_choice={"type": "allowed_tools", "allowed_tools": {}})
    takes(HYPERINFER, reasoning_effort="xhigh")


def test_hyperinfer_takes_unknown_nested_keys_and_nulls() -> None:
    function = {"name": "f", "description": None, "parameters": None, "strict": True}
    takes(HYPERINFER, tools=[{"type": "function", "function": function, "cache_control": {"type": "ephemeral"}}])
    optional = (
        "tools", "tool_choice", "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop",
        "response_format", "reasoning_effort", "stream", "stream_options", "plugins", "hi_tool_events", "user",
        "n", "metadata", "seed",
    )  # fmt: skip
    takes(HYPERINFER, **dict.fromkeys(optional))


@pytest.mark.row(62)
def test_hyperinfer_tools() -> None:
    schema = {"type": "object", "properties": {}, "$schema": "x", "anyOf": []}
    takes(HYPERINFER, tools=[{"type": "function", "function": {"name": "f", "parameters": schema}}])
    takes(HYPERINFER, tools=[])
    takes(HYPERINFER, tools=[{"function": {"name": "f"}}])
    refuses(HYPERINFER, "tools[0].function", tools=[{"type": "function"}])
    refuses(HYPERINFER, "tools[0].function.name", tools=[{"type": "function", "function": {}}])
    bad = {"type": "function", "function": {"name": "f", "parameters": "{}"}}
    refuses(HYPERINFER, "tools[0].function.parameters", tools=[bad])
    for choice in ("auto", "none", "required", {"type": "function", "function": {"name": "f"}}):
        takes(HYPERINFER, tool_choice=choice)
    refuses(HYPERINFER, "tool_choice", tool_choice=3)
    refuses(HYPERINFER, "tool_choice.function", tool_choice={"type": "function"})
    refuses(HYPERINFER, "tool_choice.function.name", tool_choice={"type": "function", "function": {}})


@pytest.mark.row(62)
def test_hyperinfer_response_format_and_the_rest() -> None:
    takes(HYPERINFER, response_format={"type": "text"})
    takes(HYPERINFER, response_format={"type": "json_object"})
    takes(HYPERINFER, response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {}}})
    refuses(HYPERINFER, "response_format.type", response_format={})
    refuses(HYPERINFER, "response_format.type", response_format={"type": "yaml"})
    where = "response_format.json_schema"
    for field, schema in (("schema", {"name": "n"}), ("name", {"schema": {}})):
        refuses(HYPERINFER, f"{where}.{field}", response_format={"type": "json_schema", "json_schema": schema})
    refuses(HYPERINFER, "stream_options.include_usage", stream_options={"include_usage": "yes"})
    refuses(HYPERINFER, "reasoning_effort", reasoning_effort=3)
    refuses(HYPERINFER, "hi_tool_events", hi_tool_events="yes")
    refuses(HYPERINFER, "plugins[0].id", plugins=[{"id": "web"}])
    takes(HYPERINFER, plugins=[{"id": name} for name in ("web_search", "web_fetch", "pdf", "datetime", "image")])


@pytest.mark.row(122)
def test_voltage_bounds() -> None:
    for field in ("presence_penalty", "frequency_penalty"):
        for good in (-2, 0, 2, 1.5, None):
            takes(VOLTAGE, **{field: good})
        for bad in (-2.1, 2.1, "0"):
            refuses(VOLTAGE, field, **{field: bad})
    for bad in (0, 11):
        refuses(VOLTAGE, "n", n=bad)
    takes(VOLTAGE, stop="x")
    takes(VOLTAGE, stop=["x", "y"])


@pytest.mark.row(123)
def test_voltage_messages_are_text_of_three_roles() -> None:
    for role in ("system", "user", "assistant"):
        takes(VOLTAGE, messages=[{"role": role, "content": "x", "name": "n"}])
    refuses(VOLTAGE, "messages[0].role", messages=[OUTPUT])
    refuses(VOLTAGE, "messages[0].role", messages=[{"role": "developer", "content": "x"}])
    parts = [{"type": "text", "text": SECRET}]
    refuses(VOLTAGE, "messages[0].content", messages=[{"role": "user", "content": parts}])
    refuses(VOLTAGE, "messages[0].content", messages=[CALLING])
    refuses(VOLTAGE, "messages[0].content", messages=[{"role": "user"}])
    takes(VOLTAGE, model="gpt-4", messages=[{"role": "user", "content": "x", "extra": {"a": 1}}], extra=[1])


@pytest.mark.fault(11)
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
def test_names_without_control_characters_and_of_sane_length(dialect: Dialect) -> None:
    takes(dialect, model="m" * 256)
    takes(dialect, user="u" * 1024)
    for bad in ("a\u0000", "a\r\nX-Evil: 1", "a\n", "\x1b[31m", "a\x7f", "m" * 257, "m" * 1_000_000):
        found = refuses(dialect, "model", model=bad)
        assert "Evil" not in found.message
    for bad in ("a\u0000", "a\r\nb", "u" * 1025, "u" * 1_000_000):
        refuses(dialect, "user", user=bad)


@pytest.mark.fault(11)
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
def test_metadata_is_bounded(dialect: Dialect) -> None:
    takes(dialect, metadata={"user_id": json.dumps({"device": "a", "path": "c:\\new\\r"})})
    takes(dialect, metadata=None)
    for bad in ({"k": "a\u0000"}, {"k": "a\nb"}, {"k": "a\rb"}, {"a\n": "b"}, {"k": "\\\n"}, {"k": "m" * 1_000_000}):
        refuses(dialect, "metadata", metadata=bad)


@pytest.mark.fault(12)
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
@pytest.mark.parametrize(
    ("field", "entry"),
    [
        ("messages", USER),
        ("tools", {"type": "function", "function": {"name": "f"}}),
        ("stop", "x"),
    ],
)
def test_a_hundred_thousand_entries_are_refused_cheaply(dialect: Dialect, field: str, entry: object) -> None:
    flood = body(**{field: [entry] * 100_000})
    found, spent_s = None, list[float]()
    for _ in range(3):
        started = time.process_time()
        found = refusal(dialect, flood)
        spent_s.append(time.process_time() - started)
    assert found is not None
    assert found.param == field
    assert "entries" in found.message
    assert min(spent_s) < 0.05


@pytest.mark.fault(12)
def test_long_lists_inside_of_messages_are_refused() -> None:
    part = {"type": "text", "text": "x"}
    for dialect in (HPP, HYPERINFER):
        many = [{"role": "user", "content": [part] * 10_000}]
        refuses(dialect, "messages[0].content", messages=many)
        calls = [{"role": "assistant", "content": "x", "tool_calls": [CALL] * 10_000}]
        refuses(dialect, "messages[0].tool_calls", messages=calls)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
def test_long_conversations_pass(dialect: Dialect) -> None:
    takes(dialect, messages=[USER] * MAX_MESSAGES)
    refuses(dialect, "messages", messages=[USER] * (MAX_MESSAGES + 1))


@pytest.mark.fault(8)
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
def test_every_value_of_a_repeated_key_is_checked(dialect: Dialect) -> None:
    for first, second in ((b"0", b"5"), (b"5", b"0")):
        found = refusal(
            dialect,
            b'{"model":"a","messages":[{"role":"user","content":"x"}],"max_tokens":%b,"max_tokens":%b}'
            % (first, second),
        )
        assert found is not None
        assert found.param == "max_tokens"


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
def test_escaped_keys_are_the_same_keys(dialect: Dialect) -> None:
    found = refusal(dialect, b'{"model":"a","mod\\u0065l":7,"messages":[{"role":"user","content":"x"}]}')
    assert found is not None
    assert found.param == "model"
