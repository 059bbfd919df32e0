"""Framing: any split of the bytes gives the same frames, whatever the line ends, and memory stays bounded."""

import itertools
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.wire.framing import Frame, SseReader, sse_frame

MIXED = (
    '\ufeffdata: {"a":"ünï"}\n\n'
    ": comment\n\n"
    "event: message\r\nid: 7\r\nretry: 10\r\ndata: one\r\ndata:two\r\ndata\r\n\r\n"
    "\n\n\n"
    "data:  spaced\r\r"
    "data: 日本\n\r\n"
    "data: x\r\n\n"
    "data: [DONE]"
).encode()


def feed_all(reader: SseReader, chunks: Sequence[bytes]) -> list[Frame]:
    return [frame for chunk in chunks for frame in reader.feed(chunk)]


def read(*chunks: bytes) -> list[Frame]:
    reader = SseReader()
    return feed_all(reader, chunks) + reader.flush()


def test_plain_frames() -> None:
    reader = SseReader()
    assert reader.feed(b"data: 1\n\ndata: 2\n\ndata: 3") == [
        Frame(b"data: 1\n\n", b"1"),
        Frame(b"data: 2\n\n", b"2"),
    ]
    assert reader.feed(b"\n") == []
    assert reader.feed(b"\n") == [Frame(b"data: 3\n\n", b"3")]
    assert reader.flush() == []


@pytest.mark.fault(39)
def test_the_standard_to_the_letter() -> None:
    frames = read(MIXED)
    assert [frame.data for frame in frames if frame.data is not None] == [
        '{"a":"ünï"}'.encode(),
        b"one\ntwo\n",
        b" spaced",
        "日本".encode(),
        b"x",
        b"[DONE]",
    ]
    assert [frame.event for frame in frames if frame.event] == [b"message"]
    assert b"".join(frame.raw for frame in frames) == MIXED


@pytest.mark.fault(39)
def test_every_single_split_gives_the_same_frames() -> None:
    whole = read(MIXED)
    for at in range(len(MIXED) + 1):
        assert read(MIXED[:at], MIXED[at:]) == whole
    assert read(*(MIXED[at : at + 1] for at in range(len(MIXED)))) == whole


@pytest.mark.fault(39)
@given(
    st.lists(st.sampled_from([b"\r", b"\n", b"data: ", b"data:", b"x", b":", b"event: e", b"\xef\xbb\xbf"])), st.data()
)
def test_random_streams_split_anywhere(pieces: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    edges = [0, *cuts, len(stream)]
    assert read(*(stream[a:b] for a, b in itertools.pairwise(edges))) == read(stream)


def test_a_byte_order_mark_counts_only_at_the_start() -> None:
    assert [frame.data for frame in read(b"\xef\xbb\xbfdata: 1\n\n\xef\xbb\xbfdata: 2\n\n")] == [b"1", None]


def test_the_last_frame_may_lack_its_blank_line_but_an_idle_rest_is_dropped() -> None:
    assert read(b"data: 1\n") == [Frame(b"data: 1\n", b"1")]
    assert read(b"data: 1\r\n\r") == [Frame(b"data: 1\r\n\r", b"1")]
    assert read(b": bye\n") == []


@pytest.mark.fault(40)
@pytest.mark.parametrize("step", [1 << 20, 1000, 7])
def test_frames_above_the_cap_end_the_stream(step: int) -> None:
    stream = b"data: " + b"x" * 20_000
    for tail in (b"", b"\n\n"):
        whole = stream + tail
        with pytest.raises(FaultError) as raised:
            feed_all(SseReader(max_frame_bytes=10_000), [whole[at : at + step] for at in range(0, len(whole), step)])
        assert raised.value.fault.kind is FaultKind.PROVIDER_UNAVAILABLE


@pytest.mark.fault(40)
def test_a_long_frame_in_small_pieces_costs_linear_time() -> None:
    def cost(size: int) -> float:
        reader = SseReader()
        started = time.process_time()
        for _ in range(size // 64):
            reader.feed(b"x" * 64)
        return time.process_time() - started

    cost(1 << 16)
    small = min(cost(1 << 18) for _ in range(3))
    assert cost(1 << 22) < 16 * small * 4  # quadratic would be 256 times


def test_sse_frame() -> None:
    assert sse_frame(b"{}") == b"data: {}\n\n"
    assert sse_frame(b"{}", b"error") == b"event: error\ndata: {}\n\n"
    assert read(sse_frame(b"a\nb\r\nc"))[0].data == b"a\nb\nc"
