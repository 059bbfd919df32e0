"""Scanning: sound objects are cut verbatim, everything else is refused in words, in linear time."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.wire.scan import deeper_than, join_object, scan_object


def refusal(body: bytes) -> str:
    with pytest.raises(FaultError) as raised:
        scan_object(body)
    assert raised.value.fault.kind is FaultKind.INVALID_REQUEST
    return raised.value.fault.message


def test_fields_are_verbatim() -> None:
    fields = scan_object(b'{"model" : "m",\n "messages":[ {"a" :1} ], "x": 1.50e3 }')
    assert {name: bytes(raw) for name, raw in fields.items()} == {
        "model": b'"m"',
        "messages": b'[ {"a" :1} ]',
        "x": b"1.50e3",
    }
    assert join_object(fields) == b'{"model":"m","messages":[ {"a" :1} ],"x":1.50e3}'


@pytest.mark.fault(8)
def test_of_a_repeated_key_only_the_last_value_remains() -> None:
    fields = scan_object(b'{"model":"cheap","max_tokens":1,"model":"dear","max_tokens":9}')
    assert json.loads(join_object(fields)) == {"model": "dear", "max_tokens": 9}
    assert join_object(fields).count(b"model") == 1


@pytest.mark.fault(1, 2, 6, 7)
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b" \r\n", "empty"),
        (b"null", "JSON object"),
        (b"[1]", "JSON object"),
        (b'"x"', "JSON object"),
        (b"12", "JSON object"),
        (b'{"a":1', "not valid JSON"),
        (b'{"a":1}}', "not valid JSON"),
        (b'{"a":NaN}', "not valid JSON"),
        (b'{"a":-Infinity}', "not valid JSON"),
        (b"{'a':1}", "not valid JSON"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        ('{"a":"x"}'.encode("utf-16"), "UTF-8"),
        (b'{"a":"\xff"}', "UTF-8 (byte 6)"),
        (b'{"a":["\xed\xa0\x80"]}', "UTF-8"),
        (b'{"a":["x\\ud800y"]}', "not valid JSON"),
        (b'{"a":["\\uDC00\\uD800"]}', "not valid JSON"),
        (b'{"\\ud800":1}', "not valid JSON"),
    ],
)
def test_refused_in_words(body: bytes, words: str) -> None:
    assert words in refusal(body)


def test_paired_and_escaped_surrogates_are_fine() -> None:
    assert bytes(scan_object(b'{"a":"\\ud83d\\ude00 \\\\ud800"}')["a"]) == b'"\\ud83d\\ude00 \\\\ud800"'


@pytest.mark.fault(5)
@pytest.mark.parametrize("opener", [b"[", b'{"a":'])
@pytest.mark.parametrize("depth", [512, 600, *range(800, 1001, 5), 10_000, 1_000_000])
def test_deep_nesting_is_refused(opener: bytes, depth: int) -> None:
    closer = b"]" if opener == b"[" else b"}"
    assert "512 levels" in refusal(b'{"x":' + opener * depth + b"1" + closer * depth + b"}")


def test_nesting_up_to_the_cap_passes_however_many_brackets_there_are() -> None:
    scan_object(b'{"x":' + b"[" * 511 + b"]" * 511 + b"}")
    scan_object(b'{"x":[' + b",".join([b"[{}]"] * 2000) + b"]}")
    scan_object(b'{"x":[' + b",".join([b'["[","]"]'] * 500) + b"]}")
    scan_object(json.dumps({"x": '[{"\\' * 5000, "y": "\\\\"}).encode())


def test_a_value_of_a_repeated_key_cannot_hide_depth() -> None:
    deep = b"[" * 600 + b"]" * 600
    assert "512 levels" in refusal(b'{"messages":[{"content":' + deep + b',"content":"x"}]}')


def depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max((depth(item) for item in value.values()), default=0)
    if isinstance(value, list):
        return 1 + max((depth(item) for item in value), default=0)
    return 0


@given(
    st.recursive(
        st.text(alphabet='[]{}"\\x', max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='[{"\\', max_size=3), inner, max_size=3)
        ),
    ),
    st.integers(0, 6),
)
def test_the_depth_is_counted_exactly(value: object, cap: int) -> None:
    assert deeper_than(json.dumps(value).encode(), cap) == (depth(value) > cap)


@pytest.mark.fault(12)
@pytest.mark.parametrize("item", [b"1", b'"s"', b'{"role":"user","content":"x"}'])
def test_a_flood_of_entries_scans_in_linear_time(item: bytes) -> None:
    body = b'{"model":"m","messages":[' + b",".join([item] * 100_000) + b"]}"
    spent: list[float] = []
    for _ in range(7):
        started = time.process_time()
        scan_object(body)
        spent.append(time.process_time() - started)
    assert min(spent) < 0.05
