"""What holds for the requests of Responses, of Messages and of counting tokens alike."""

import json
import time
from typing import Any

import pytest

from support.hyperinfer_voices import COUNT, LEAST, MESSAGES, RESPONSES, encoded, refusal_of, refuses, takes
from tollhouse.dialects.fields import MAX_MESSAGES
from tollhouse.ir.fault import FaultKind
from tollhouse.relay.call import Voice

VOICES = (RESPONSES, MESSAGES, COUNT)
NAMES = ("responses", "messages", "count_tokens")
all_voices = pytest.mark.parametrize("voice", VOICES, ids=NAMES)
calls = pytest.mark.parametrize("voice", [RESPONSES, MESSAGES], ids=NAMES[:2])
PROMPT = {RESPONSES: "input", MESSAGES: "messages", COUNT: "messages"}
LIMIT = {RESPONSES: "max_output_tokens", MESSAGES: "max_tokens"}


@pytest.mark.row(75, 82)
@all_voices
def test_what_every_format_requires(voice: Voice) -> None:
    takes(voice)
    for field in LEAST[voice]:
        told = f"`{field}` is required, but the request does not have it."
        assert refuses(voice, field, **{field: ...}).message == told
        refuses(voice, field, **{field: None})
    refuses(voice, "model", model=7)
    refuses(voice, "model", model="")
    refuses(voice, PROMPT[voice], **{PROMPT[voice]: {"role": "user"}})
    refuses(voice, f"{PROMPT[voice]}[0]", **{PROMPT[voice]: ["hello"]})


@pytest.mark.row(59)
@pytest.mark.fault(1, 2, 6)
@all_voices
@pytest.mark.parametrize(
    "broken",
    [b"", b"  \n", b"{", b"null", b"[]", b'"text"', b'{"model":"a"', b'{"model":"a\xff"}', b"\xef\xbb\xbf{}", b"'m'"],
)
def test_bodies_that_are_no_json_object(voice: Voice, broken: bytes) -> None:
    found = refusal_of(voice, broken)
    assert found is not None
    assert found.kind is FaultKind.INVALID_REQUEST
    assert found.message.startswith("The request body ")


@pytest.mark.row(59)
@pytest.mark.fault(5)
@all_voices
@pytest.mark.parametrize("field", ["metadata", "anything", "tools", "plugins"])
def test_deep_nesting_is_a_refusal_and_no_crash(voice: Voice, field: str) -> None:
    deep = b"[" * 20_000 + b"]" * 20_000
    assert refusal_of(voice, encoded(voice)[:-1] + b',"%b":%b}' % (field.encode(), deep)) is not None


@pytest.mark.row(59)
@pytest.mark.fault(5)
def test_deep_nesting_inside_of_parts_is_a_refusal_and_no_crash() -> None:
    deep = b"[" * 20_000 + b"]" * 20_000
    inside = b'[{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":%b}]}]' % deep
    for voice in VOICES:
        body = encoded(voice, **{PROMPT[voice]: "PROMPT"}).replace(b'"PROMPT"', inside)
        found = refusal_of(voice, body)
        assert found is not None
        assert "nested too deeply" in found.message


@pytest.mark.fault(9)
@calls
def test_output_limits(voice: Voice) -> None:
    field = LIMIT[voice]
    for good in (1, 2**31 - 1):
        takes(voice, **{field: good})
    for bad in (0, -1, 2**31, 2**63, 10**30, 1.0, 1.5, True, "5", [5], {}):
        refuses(voice, field, **{field: bad})


@calls
def test_top_p_and_switches(voice: Voice) -> None:
    for good in (0, 1, 0.5, None):
        takes(voice, top_p=good)
    for bad in (-0.1, 1.1, "1"):
        refuses(voice, "top_p", top_p=bad)
    for field in ("stream", "hi_tool_events"):
        takes(voice, **{field: True})
        takes(voice, **{field: None})
        refuses(voice, field, **{field: "true"})


@all_voices
def test_plugins_are_those_of_chat(voice: Voice) -> None:
    five = ("web_search", "web_fetch", "pdf", "datetime", "image")
    takes(voice, plugins=[{"id": name, "events": True, "extra": 1} for name in five])
    found = refuses(voice, "plugins[0].id", plugins=[{"id": "web"}])
    assert found.message.endswith("Use web_search, web_fetch, pdf, datetime or image.")


@all_voices
def test_unknown_fields_and_nulls_pass(voice: Voice) -> None:
    takes(voice, extra={"deep": [1, {"er": None}]}, cache_control={"type": "ephemeral"}, service_tier="auto")
    optional = (
        "tools", "tool_choice", "temperature", "top_p", "stream", "plugins", "hi_tool_events", "metadata", "system",
        "stop_sequences", "thinking", "response_format", "instructions", "max_output_tokens", "store", "text",
        "reasoning", "previous_response_id", "user", "include", "truncation",
    )  # fmt: skip
    takes(voice, **dict.fromkeys(optional))
    takes(voice, tools=[])


@pytest.mark.fault(11)
@calls
def test_metadata_and_names_are_bounded(voice: Voice) -> None:
    takes(voice, metadata={"user_id": json.dumps({"device": "a", "path": "c:\\new\\r"})})
    bad: list[Any] = [{"k": "a\u0000"}, {"k": "a\nb"}, {"k": "m" * 1_000_000}]
    for value in bad:
        refuses(voice, "metadata", metadata=value)
    for name in ("a\u0000", "a\r\nX-Evil: 1", "m" * 257):
        refuses(voice, "model", model=name)


@pytest.mark.fault(12)
@all_voices
def test_a_hundred_thousand_entries_are_refused_cheaply(voice: Voice) -> None:
    turn = {"role": "user", "content": "x"}
    takes(voice, **{PROMPT[voice]: [turn] * MAX_MESSAGES})
    tool = {"type": "custom", "name": "f", "input_schema": {}}
    for field, entry in ((PROMPT[voice], turn), ("tools", tool)):
        flood = encoded(voice, **{field: [entry] * 100_000})
        found, spent_s = None, list[float]()
        for _ in range(3):
            started = time.process_time()
            found = refusal_of(voice, flood)
            spent_s.append(time.process_time() - started)
        assert found is not None
        assert found.param == field
        assert "entries" in found.message
        assert min(spent_s) < 0.1


@pytest.mark.fault(8)
@calls
def test_every_value_of_a_repeated_key_is_checked(voice: Voice) -> None:
    field = LIMIT[voice].encode()
    for values in ((b"0", b"5"), (b"5", b"0")):
        found = refusal_of(voice, encoded(voice)[:-1] + b',"%b":%b,"%b":%b}' % (field, values[0], field, values[1]))
        assert found is not None
        assert found.param == field.decode()
