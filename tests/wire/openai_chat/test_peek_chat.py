"""Peek and rewrite: the value that is priced is the value that is forwarded, and nothing else changes."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.wire.format import Peek, Scan
from tollhouse.wire.openai_chat.format import OpenAIChat
from tollhouse.wire.openai_chat.peek import PEEKED, peek_fields
from tollhouse.wire.quirks import Quirks

MESSAGES = [{"role": "user", "content": "hi"}]


def scan(**fields: Any) -> Scan:
    return OpenAIChat().scan(json.dumps({"model": "m", "messages": MESSAGES, **fields}).encode())


def peek(**fields: Any) -> Peek:
    return scan(**fields).peek


def rewritten(quirks: Quirks | None = None, changes: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    raw = {name: msgspec.Raw(json.dumps(value).encode()) for name, value in (changes or {}).items()}
    return json.loads(OpenAIChat().rewrite(scan(**fields), raw, quirks or Quirks()))


def test_a_minimal_request() -> None:
    assert peek() == Peek(model="m")
    assert scan().size_bytes == len(json.dumps({"model": "m", "messages": MESSAGES}))


def test_the_common_request_lacks_every_field_that_is_looked_at() -> None:
    looked_at: set[str] = set()

    class Fields(dict[str, msgspec.Raw]):
        def get(self, name: str, default: Any = None) -> Any:
            looked_at.add(name)
            return super().get(name, default)

    peek_fields(Fields(scan(stream=True).fields))
    assert looked_at == PEEKED | {"model", "messages"}


def test_all_that_is_peeked() -> None:
    got = peek(
        stream=True, max_tokens=5, n=3, stream_options={"include_usage": True, "x": 1}, tools=[{"type": "function"}]
    )
    assert got == Peek(model="m", stream=True, output_limit=5, choices=3, wants_usage=True, has_tools=True)


def test_null_is_absent() -> None:
    names = ("stream", "max_tokens", "max_completion_tokens", "n", "stream_options", "tools", "service_tier")
    assert peek(**dict.fromkeys((*names, "web_search_options", "modalities"))) == Peek(model="m")
    assert peek(tools=[], stream_options={"include_usage": None}) == Peek(model="m")


def test_the_newer_limit_wins() -> None:
    assert peek(max_tokens=5, max_completion_tokens=9).output_limit == 9
    assert peek(max_tokens=5, max_completion_tokens=None).output_limit == 5


@pytest.mark.fault(7, 9)
@pytest.mark.row(6)
@pytest.mark.parametrize(
    ("field", "raw"),
    [
        *((name, raw) for name in ("max_tokens", "max_completion_tokens", "n") for raw in (
            "0", "-1", "1.0", "1e3", "1e999", '"5"', "true", "[]", "2147483648", "9" * 400
        )),
        ("n", "129"),
        ("n", "1000000000"),
        ("model", "null"),
        ("model", '""'),
        ("model", "7"),
        ("model", '["m"]'),
        ("stream", '"true"'),
        ("stream", "1"),
        ("stream_options", "[]"),
        ("stream_options", '{"include_usage":1}'),
        ("tools", "{}"),
        ("tools", '["x"]'),
        ("tools", '[{"type":1}]'),
        ("service_tier", "1"),
        ("modalities", '"audio"'),
        ("web_search_options", "true"),
    ],
)  # fmt: skip
def test_wrong_types_and_sizes_are_refused_by_name(field: str, raw: str) -> None:
    body = '{"model":"m","messages":[],"%s":%s}' % (field, raw)  # noqa: UP031
    with pytest.raises(FaultError) as raised:
        OpenAIChat().scan(body.encode())
    assert (raised.value.fault.kind, raised.value.fault.param) == (FaultKind.INVALID_REQUEST, field)


@pytest.mark.row(5)
def test_a_model_is_required() -> None:
    with pytest.raises(FaultError, match="model"):
        OpenAIChat().scan(b'{"messages":[]}')


@pytest.mark.parametrize(
    ("fields", "paid"),
    [
        ({"service_tier": "auto"}, ()),
        ({"service_tier": "default"}, ()),
        ({"service_tier": "priority"}, (("service_tier", "service_tier:priority"),)),
        ({"web_search_options": {}}, (("web_search_options", "tool:web_search"),)),
        ({"modalities": ["text"]}, ()),
        ({"modalities": ["text", "audio"]}, (("modalities", "audio_output"),)),
        ({"tools": [{"type": "function"}, {"type": "custom"}, {}]}, ()),
        ({"tools": [{"type": "web_search"}, {"type": "web_search"}]}, (("tools", "tool:web_search"),)),
        ({"messages": [{"role": "user", "content": "input_audio"}]}, ()),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": '"input_audio"'}]}]}, ()),
        (
            {"messages": [{"content": [{"type": "input_audio", "input_audio": {}}]}]},
            (("messages", "audio_input"),),
        ),
        ({"messages": [7, {"content": 7}, {"content": ["input_audio"]}]}, ()),
        ({"messages": "input_audio"}, ()),
    ],
)
def test_paid_features(fields: dict[str, Any], paid: tuple[tuple[str, str], ...]) -> None:
    assert peek(**fields).paid == paid


def test_escaped_letters_do_not_hide_a_paid_part() -> None:
    body = b'{"model":"m","messages":[{"content":[{"typ\\u0065":"input\\u005faudio"}]}]}'
    assert OpenAIChat().scan(body).peek.paid == (("messages", "audio_input"),)


@pytest.mark.row(7)
@given(st.dictionaries(st.text(min_size=1), st.integers() | st.text() | st.lists(st.text())))
def test_unknown_fields_arrive_unchanged(extra: dict[str, Any]) -> None:
    names = {"model", "messages", "stream", "stream_options", "n", "tools", "max_tokens", "max_completion_tokens"}
    names |= {"service_tier", "modalities", "web_search_options"}
    extra = {name: value for name, value in extra.items() if name not in names}
    sent = {"model": "m", "messages": [{"role": "user", "content": "hi", "x": {"y": 1.50}}], **extra}
    body = json.dumps(sent).encode()
    format_ = OpenAIChat()
    got = json.loads(format_.rewrite(format_.scan(body), {"model": msgspec.Raw(b'"up"')}, Quirks()))
    assert got == {**sent, "model": "up"}
    assert list(got) == list(sent)


@pytest.mark.fault(8)
def test_what_is_priced_is_what_is_forwarded() -> None:
    body = b'{"model":"a","max_tokens":1,"stream":false,"messages":[],"model":"b","max_tokens":7,"stream":true}'
    scanned = OpenAIChat().scan(body)
    assert (scanned.peek.model, scanned.peek.output_limit, scanned.peek.stream) == ("b", 7, True)
    forwarded = OpenAIChat().rewrite(scanned, {}, Quirks())
    assert forwarded.count(b'"model"') == forwarded.count(b'"max_tokens"') == forwarded.count(b'"stream"') == 1
    assert json.loads(forwarded)["max_tokens"] == 7


def test_changes_replace_in_place_and_additions_come_last() -> None:
    got = rewritten(changes={"z": 1, "model": "up", "a": [2]}, temperature=0.5)
    assert list(got.items()) == [("model", "up"), ("messages", MESSAGES), ("temperature", 0.5), ("z", 1), ("a", [2])]


def test_one_output_limit_goes_out() -> None:
    assert rewritten(max_tokens=5, max_completion_tokens=9) == {
        "model": "m",
        "messages": MESSAGES,
        "max_completion_tokens": 9,
    }
    assert "max_tokens" in rewritten(max_tokens=5, max_completion_tokens=None)
    old, new = Quirks(output_limit_field="max_tokens"), Quirks(output_limit_field="max_completion_tokens")
    assert rewritten(old, max_completion_tokens=9, x=1) == {"model": "m", "messages": MESSAGES, "max_tokens": 9, "x": 1}
    assert rewritten(old, max_tokens=5, max_completion_tokens=9)["max_tokens"] == 9
    assert rewritten(new, max_tokens=5, max_completion_tokens=None)["max_completion_tokens"] == 5
    assert rewritten(new, changes={"max_tokens": 4})["max_completion_tokens"] == 4


@pytest.mark.row(16)
def test_streams_ask_for_usage() -> None:
    assert rewritten(stream=True)["stream_options"] == {"include_usage": True}
    assert rewritten(stream=True, stream_options=None)["stream_options"] == {"include_usage": True}
    options = {"include_usage": False, "include_obfuscation": False}
    assert rewritten(stream=True, stream_options=options)["stream_options"] == {**options, "include_usage": True}
    assert "stream_options" not in rewritten(stream=False)


def test_deployments_that_do_not_know_stream_usage_are_not_asked() -> None:
    quirks = Quirks(stream_usage=False)
    assert "stream_options" not in rewritten(quirks, stream=True)
    assert "stream_options" not in rewritten(quirks, stream=True, stream_options={"include_usage": True})
    kept = rewritten(quirks, stream=True, stream_options={"include_usage": True, "x": 1})
    assert kept["stream_options"] == {"x": 1}
