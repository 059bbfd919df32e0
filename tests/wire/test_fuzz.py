"""Law 5 for whatever comes: hostile bytes are a fault or a value, in bounded time and memory."""

import json
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.fuzzing import WAYS, consume, read
from support.hostile import damaged, hostile_objects, hostile_streams
from support.strategies import requests, responses
from tollhouse.ir.fault import FaultError
from tollhouse.ir.fold import unfold
from tollhouse.wire.registry import FORMATS

NAMES = [fmt.name for fmt in FORMATS]
heads = st.binary(min_size=3, max_size=3)
thorough = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@given(head=heads, body=st.binary(max_size=300))
@thorough
def test_any_bytes_are_a_fault_or_a_value(head: bytes, body: bytes) -> None:
    read(head + body)


@given(head=heads, data=st.data(), name=st.sampled_from(NAMES))
@thorough
def test_a_formats_own_words_in_the_wrong_places(head: bytes, data: st.DataObject, name: str) -> None:
    number = NAMES.index(name)
    head = bytes([head[0], head[1] // 3 * 3 % 256 // 3 * 3 + number if head[1] < 250 else number, head[2]])
    read(head + data.draw(hostile_objects(name) | hostile_streams(name)))


@given(head=heads, data=st.data(), asked=requests, answered=responses(), fmt=st.sampled_from(FORMATS))
@thorough
def test_damaged_requests_answers_and_streams(head: bytes, data: st.DataObject, asked, answered, fmt) -> None:
    encoder = fmt.stream_encoder()
    stream = b"".join(encoder.feed(event) for event in unfold(answered)) + encoder.flush()
    for kind, whole in ((0, fmt.encode_request(asked, [])), (1, fmt.encode_response(answered, [])), (2, stream)):
        body = data.draw(damaged(whole))
        formats = head[1] // 3 * 3 + FORMATS.index(fmt)
        read(bytes([kind, formats % 9, head[2]]) + body)
        read(bytes([3, formats % 9, head[2] | (kind == 2)]) + body)


def _frames(*events: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


DELTA = {"index": 0, "delta": {"content": "x"}}
CHUNK = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [DELTA]}
# Each grows with `n`; the numbers of the formats are those of the registry.
GROWING: dict[str, tuple[int, Any]] = {
    "one line without an end": (0, lambda n: b"data: " + b"x" * n * 100),
    "empty lines": (0, lambda n: b"\n" * n * 20),
    "carriage returns": (0, lambda n: b"\r" * n * 20),
    "comments": (0, lambda n: b": x\n\n" * n * 5),
    "data on many lines": (0, lambda n: b"data: {\n" * n * 5 + b"\n"),
    "many choices": (0, lambda n: _frames(*({**CHUNK, "choices": [{**DELTA, "index": i}]} for i in range(n)))),
    "many calls at once": (
        0,
        lambda n: _frames(
            {**CHUNK, "choices": [{"index": 0, "delta": {"tool_calls": [{"index": i, "id": "a"} for i in range(n)]}}]}
        ),
    ),
    "deltas of one letter": (0, lambda n: _frames(*[CHUNK] * n)),
    "items that never end": (
        1,
        lambda n: _frames(
            *(
                {"type": "response.output_item.added", "output_index": i, "item": {"type": "message", "id": str(i)}}
                for i in range(n)
            )
        ),
    ),
    "blocks that never end": (
        2,
        lambda n: _frames(
            {"type": "message_start", "message": {"usage": {}}},
            *(
                {"type": "content_block_start", "index": i, "content_block": {"type": "text", "text": ""}}
                for i in range(n)
            ),
        ),
    ),
    "open brackets": (0, lambda n: b"data: " + b"[" * n * 10 + b"\n\n"),
    "digits": (0, lambda n: b'data: {"created":' + b"9" * n * 10 + b"}\n\n"),
    "escapes": (0, lambda n: b'data: {"id":"' + b"\\u0041" * n * 5 + b'"}\n\n'),
}


@pytest.mark.fault(39, 40)
@pytest.mark.parametrize("what", GROWING)
@pytest.mark.parametrize(("way", "target"), [(2, 1), (3, 0), (3, 2)])
def test_time_and_memory_grow_with_the_bytes_and_no_faster(what: str, target: int, way: int) -> None:
    source, grow = GROWING[what]
    head = bytes([way, target * 3 + source, 1 | 1 << 2])

    def cost_s(n: int) -> float:
        body = grow(n)
        begun_s = time.process_time()
        read(head + body)
        return time.process_time() - begun_s

    cost_s(10)
    small, large = min(cost_s(500) for _ in range(2)), cost_s(4000)
    # Eight times the bytes cost about eight times the time; the square would be sixty-four.
    assert large < 0.3 or large < 30 * small, (small, large)
    body = grow(4000)
    tracemalloc.start()
    try:
        read(head + body)
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most_bytes < 4_000_000 + 60 * len(body)


BREAKING = (
    b"[" * 20_000,
    b'{"a":' * 20_000,
    b"9" * 5000,
    b"1e999",
    b"-1e-999",
    b"NaN",
    b'"\\ud800"',
    b'"\\u0000"',
    b'"\xed\xa0\x80"',
    b'"' + b"\\" * 9999 + b'"',
    b'"\xff"',
    b"{" * 9 + b"}" * 9,
    b"\xef\xbb\xbf{}",
    b'{"a":1}' * 9,
)


@pytest.mark.fault(5, 6, 7)
@pytest.mark.parametrize("way", range(len(WAYS)))
@pytest.mark.parametrize("formats", [0, 1, 2, 4, 8])
def test_single_values_that_break_parsers(way: int, formats: int) -> None:
    for value in BREAKING:
        inside = b'{"model":"m","messages":%b,"input":%b,"choices":[{"delta":%b}],"output":[%b],"usage":%b}'
        inside %= (value,) * 5
        event = b"event: error\ndata: " + value
        for body in (value, inside, b"data: " + value + b"\n\n", b"data: " + inside + b"\n\n", event):
            read(bytes([way, formats, 5]) + body)


def test_the_way_in_lets_other_exceptions_through() -> None:
    with pytest.raises(FaultError):
        consume(bytes([1, 0, 0]) + b"no json")
    assert read(b"") is None
