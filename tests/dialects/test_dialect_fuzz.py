"""Whatever a body holds, validation takes it or refuses it with a fault, and never repeats what the caller wrote."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.dialect_samples import DIALECTS, refusal
from tollhouse.dialects.dialect import Dialect
from tollhouse.ir.fault import FaultKind

CANARY = "canary"
FIELDS = (
    "model", "messages", "role", "content", "type", "text", "image_url", "url", "detail", "file", "file_data", "name",
    "tool_calls", "id", "function", "arguments", "tool_call_id", "tools", "parameters", "tool_choice", "max_tokens",
    "temperature", "top_p", "n", "stop", "response_format", "json_schema", "schema", "stream", "stream_options",
    "include_usage", "plugins", "user", "metadata", "reasoning", "presence_penalty",
)  # fmt: skip

texts = st.sampled_from([CANARY, f"user {CANARY}", f"`{CANARY}` - at `$.{CANARY}`", f"\r\n{CANARY}\x00", ""])
known = st.sampled_from(["user", "assistant", "tool", "system", "text", "image_url", "file", "function", "json_schema"])
keys = st.sampled_from(FIELDS) | texts
leaves = st.none() | st.booleans() | st.integers(-3, 2**70) | st.floats(allow_nan=False) | texts | known
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5))
messages = st.lists(st.dictionaries(keys, values, max_size=4) | values, max_size=3)


@pytest.mark.row(140)
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
@settings(max_examples=300, deadline=None)
@given(fields=st.dictionaries(keys, values, max_size=6), said=messages, model=texts | known)
def test_any_json_is_taken_or_refused_without_repeating_it(
    dialect: Dialect, fields: dict[str, Any], said: list[Any], model: str
) -> None:
    body = msgspec.json.encode({"model": model, "messages": said} | fields)
    found = refusal(dialect, body)
    if found is not None:
        assert found.kind is FaultKind.INVALID_REQUEST
        assert CANARY not in found.message
        assert CANARY not in (found.param or "")


@pytest.mark.fault(1, 6)
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
@settings(max_examples=300, deadline=None)
@given(cut=st.integers(0, 200), junk=st.binary(max_size=6), position=st.integers(0, 200))
def test_damaged_bodies_are_faults_and_nothing_else(dialect: Dialect, cut: int, junk: bytes, position: int) -> None:
    whole = (
        b'{"model":"a/b","messages":[{"role":"user","content":[{"type":"text","text":"x"}]}],"stop":["a"],'
        b'"temperature":0.5,"max_tokens":5,"stream":true,"user":"u","metadata":{"k":"v"}}'
    )
    damaged = whole[:position] + junk + whole[position : max(position, len(whole) - cut)]
    found = refusal(dialect, damaged)
    assert found is None or found.kind is FaultKind.INVALID_REQUEST
