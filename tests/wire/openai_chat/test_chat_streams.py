"""Streams as providers send them decode to the answers they mean, whatever the chunks and line ends."""

import tracemalloc

import pytest

from support.chat_grammar import check_chat_stream
from support.chat_streams import CALLED, CASES, DONE, HI, STOP, Case, call, frame
from support.event_grammar import check_events
from tollhouse.ir.events import StreamEvent, TextDelta
from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.ir.fold import fold
from tollhouse.wire.openai_chat.stream_decode import ChatStreamDecoder
from tollhouse.wire.openai_chat.stream_encode import ChatStreamEncoder

LINE_ENDS = {"LF": "\n", "CRLF": "\r\n", "CR": "\r"}

ANSWERED = [case for case in CASES if not isinstance(case.means, FaultKind)]


def _pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def _decode(pieces: list[bytes]) -> tuple[list[StreamEvent], FaultError | None]:
    """The events of a stream, and the fault in which it ended."""
    decoder = ChatStreamDecoder()
    events: list[StreamEvent] = []
    try:
        for piece in pieces:
            events += decoder.feed(piece)
        events += decoder.flush()
    except FaultError as error:
        return events, error
    return events, None


@pytest.mark.parametrize("line_end", LINE_ENDS.values(), ids=LINE_ENDS.keys())
@pytest.mark.parametrize("size", [2**20, 1], ids=["whole", "byte by byte"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_stream_means_its_answer(case: Case, size: int, line_end: str) -> None:
    events, fault = _decode(_pieces(case.stream.replace("\n", line_end).encode(), size))
    if isinstance(case.means, FaultKind):
        assert fault is not None
        assert fault.fault.kind is case.means
        told = "".join(event.text for event in events if isinstance(event, TextDelta))
        # Whether a lone CR ends the last frame is only known at the end, when the fault goes first.
        assert told == case.text_before_fault or (line_end == "\r" and not told)
    else:
        assert fault is None
        check_events(events)
        assert fold(events) == case.means


@pytest.mark.parametrize(
    "case", [case for case in CASES if not isinstance(case.means, FaultKind)], ids=lambda c: c.name
)
def test_a_stream_is_passed_on_well_formed(case: Case) -> None:
    events, _ = _decode([case.stream.encode()])
    encoder = ChatStreamEncoder()
    check_chat_stream(b"".join(encoder.feed(event) for event in events) + encoder.flush())


def test_every_prefix_of_a_stream_is_an_answer_or_a_fault() -> None:
    data = (HI + frame('{"content":" é"}') + STOP + DONE).encode()
    for end in range(len(data)):
        events, fault = _decode([data[:end]])
        finished = b'"stop"}]}' in data[:end]
        assert (fault is None) == finished
        if fault is None:
            check_events(events)


def test_a_fault_waits_for_the_events_before_it_and_is_told_again() -> None:
    decoder = ChatStreamDecoder()
    events = decoder.feed((HI + 'data: {"error":{"message":"x"}}\n\n').encode())
    assert any(isinstance(event, TextDelta) for event in events)
    for _ in range(2):
        with pytest.raises(FaultError):
            decoder.feed(b"")
    with pytest.raises(FaultError):
        decoder.flush()


def test_a_frame_above_the_cap_is_a_fault() -> None:
    decoder = ChatStreamDecoder(max_frame_bytes=1000)
    decoder.feed(b"data: " + b"x" * 900)
    with pytest.raises(FaultError) as raised:
        decoder.feed(b"x" * 100)
    assert raised.value.fault.kind is FaultKind.PROVIDER_UNAVAILABLE


def test_memory_does_not_grow_with_the_text() -> None:
    decoder = ChatStreamDecoder()
    chunk = frame('{"content":"' + "x" * 1000 + '"}', more=',"x_filter":{"hate":"safe"}').encode()
    decoder.feed(chunk)
    tracemalloc.start()
    for _ in range(500):
        decoder.feed(chunk)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 100_000


@pytest.mark.parametrize(
    "pieces",
    [
        [frame("{}", index=number) for number in range(200)],
        [call(f'{{"index":{number},"id":"i{number}","function":{{"name":"f"}}}}') for number in range(5000)],
        [frame('{"x":["' + "y" * 2**20 + '"]}') for _ in range(20)],
        [f'data: {{"x{number}":"{"y" * 2**20}","choices":[]}}\n\n' for number in range(20)],
        [call('{"index":0,"function":{"arguments":"' + "y" * 2**20 + '"}}') for _ in range(20)],
        [
            frame('{"reasoning_details":[{"type":"reasoning.text","index":0,"signature":"' + "y" * 2**20 + '"}]}')
            for _ in range(20)
        ],
        [frame('{"content":"a"}') + frame('{"reasoning":"b"}') for _ in range(3000)],
    ],
    ids=["choices", "calls", "unknown deltas", "unknown fields", "nameless arguments", "signatures", "parts"],
)
def test_what_has_to_be_held_has_a_bound(pieces: list[str]) -> None:
    _, fault = _decode([piece.encode() for piece in [*pieces, CALLED]])
    assert fault is not None
    assert fault.fault.kind is FaultKind.PROVIDER_UNAVAILABLE
    assert "more than" in fault.fault.message or "impossible" in fault.fault.message
