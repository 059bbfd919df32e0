"""Whatever a body holds, Responses, Messages and counting take or refuse it, and never repeat what a caller wrote."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.hyperinfer_voices import COUNT, MESSAGES, RESPONSES, refusal_of
from tollhouse.ir.fault import FaultKind
from tollhouse.relay.call import Voice

CANARY = "canary"
FIELDS = (
    "model", "messages", "input", "role", "content", "type", "text", "image_url", "file_data", "name", "call_id", "id",
    "arguments", "output", "summary", "tools", "parameters", "input_schema", "tool_choice", "max_tokens", "thinking",
    "max_output_tokens", "temperature", "top_p", "stop_sequences", "format", "schema", "stream", "plugins", "metadata",
    "reasoning", "effort", "system", "source", "media_type", "data", "url", "title", "tool_use_id", "is_error",
    "budget_tokens", "previous_response_id", "response_format", "instructions",
)  # fmt: skip
KINDS = (
    "message", "user", "assistant", "system", "text", "input_text", "output_text", "input_image", "input_file", "image",
    "document", "function", "function_call", "function_call_output", "reasoning", "tool_use", "tool_result", "thinking",
    "base64", "tool", "custom", "json_schema",
)  # fmt: skip

texts = st.sampled_from([CANARY, f"user {CANARY}", f"`{CANARY}` - at `$.{CANARY}`", f"\r\n{CANARY}\x00", ""])
known = st.sampled_from(KINDS)
keys = st.sampled_from(FIELDS) | texts
leaves = st.none() | st.booleans() | st.integers(-3, 2**70) | st.floats(allow_nan=False) | texts | known
typed = st.fixed_dictionaries({"type": known})
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(keys, inner, max_size=5)
        | st.tuples(typed, st.dictionaries(keys, inner, max_size=4)).map(lambda both: both[0] | both[1])
    ),
)
turns = st.lists(
    st.tuples(st.sampled_from(["user", "assistant"]), st.lists(values, max_size=3) | texts).map(
        lambda turn: {"role": turn[0], "content": turn[1]}
    )
    | values,
    max_size=3,
)
voices = pytest.mark.parametrize("voice", [RESPONSES, MESSAGES, COUNT], ids=["responses", "messages", "count_tokens"])


@pytest.mark.row(140)
@voices
@settings(max_examples=300, deadline=None)
@given(fields=st.dictionaries(keys, values, max_size=6), said=turns, model=texts | known)
def test_any_json_is_taken_or_refused_without_repeating_it(
    voice: Voice, fields: dict[str, Any], said: list[Any], model: str
) -> None:
    least = {"model": model, "messages": said, "input": said, "max_tokens": 5}
    found = refusal_of(voice, msgspec.json.encode(least | fields))
    if found is not None:
        assert found.kind is FaultKind.INVALID_REQUEST
        assert CANARY not in found.message
        assert CANARY not in (found.param or "")


@pytest.mark.fault(1, 6)
@voices
@settings(max_examples=300, deadline=None)
@given(cut=st.integers(0, 300), junk=st.binary(max_size=6), position=st.integers(0, 300))
def test_damaged_bodies_are_faults_and_nothing_else(voice: Voice, cut: int, junk: bytes, position: int) -> None:
    whole = (
        b'{"model":"a/b","max_tokens":5,"input":[{"role":"user","content":[{"type":"input_text","text":"x"}]},'
        b'{"type":"function_call_output","call_id":"a","output":[]}],"messages":[{"role":"user","content":['
        b'{"type":"image","source":{"type":"url","url":"x"}},{"type":"tool_result","tool_use_id":"a","content":[]}]}],'
        b'"tools":[{"type":"custom","name":"a","input_schema":{}}],"metadata":{"k":"v"}}'
    )
    damaged = whole[:position] + junk + whole[position : max(position, len(whole) - cut)]
    found = refusal_of(voice, damaged)
    assert found is None or found.kind is FaultKind.INVALID_REQUEST
