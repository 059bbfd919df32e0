"""Streams of Messages: hand-written ones mean what they should, and are written again by the grammar."""

import json
from typing import Any

import pytest

from support.event_grammar import check_events
from support.messages_grammar import check_messages_stream
from support.messages_streams import CASES, PING, STOP, Case, block, call, end, event, start, words
from tollhouse.ir.events import (
    AnswerStart,
    ChoiceFinish,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    StreamEvent,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    UsageReport,
)
from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.ir.fold import Fold, fold
from tollhouse.ir.loss import Loss
from tollhouse.ir.parts import ReasoningOrigin, ReasoningPart, TextPart
from tollhouse.ir.response import ChatResponse, Choice, Finish, FinishReason
from tollhouse.ir.usage import Usage
from tollhouse.wire.anthropic_messages.block_frames import event_frame
from tollhouse.wire.anthropic_messages.names import NAME
from tollhouse.wire.anthropic_messages.response import decode_response, encode_response
from tollhouse.wire.anthropic_messages.stream_decode import MessagesStreamDecoder
from tollhouse.wire.anthropic_messages.stream_encode import MessagesStreamEncoder

FINISHED = ChoiceFinish(finish=Finish(reason=FinishReason.STOP))


def decode(stream: str, step: int = 1 << 20) -> tuple[Fold, list[StreamEvent], FaultError | None]:
    """The fold and the events so far, and the fault that ended them."""
    data, folding, events = stream.encode(), Fold(), []
    decoder = MessagesStreamDecoder()
    try:
        for at in range(0, len(data), step):
            events += decoder.feed(data[at : at + step])
        events += decoder.flush()
    except FaultError as error:
        for each in events:
            folding.feed(each)
        return folding, events, error
    for each in events:
        folding.feed(each)
    return folding, events, None


def encode(*events: StreamEvent, input_tokens: int = 0) -> tuple[list[dict[str, Any]], list[Loss]]:
    """The frames of a stream that keeps the grammar, and what was lost."""
    losses: list[Loss] = []
    encoder = MessagesStreamEncoder(losses, input_tokens)
    data = b"".join(encoder.feed(each) for each in (AnswerStart(id="a", model="m"), *events)) + encoder.flush()
    return check_messages_stream(data), losses


@pytest.mark.parametrize("step", [1, 13, 1 << 20])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_stream_means(case: Case, step: int) -> None:
    folding, events, fault = decode(case.stream, step)
    if isinstance(case.means, FaultKind):
        assert fault is not None
        assert (fault.fault.kind, fault.fault.source) == (case.means, "provider")
        said = "".join(each.text for each in events if isinstance(each, TextDelta))
        assert said == case.text_before_fault
    else:
        assert fault is None
        check_events(events)
        assert folding.response() == case.means


@pytest.mark.parametrize("case", [case for case in CASES if isinstance(case.means, ChatResponse)], ids=lambda c: c.name)
def test_a_stream_written_again_means_the_same(case: Case) -> None:
    _, events, _ = decode(case.stream)
    encoder = MessagesStreamEncoder()
    data = b"".join(encoder.feed(each) for each in events) + encoder.flush()
    check_messages_stream(data)
    again, _, fault = decode(data.decode())
    assert fault is None
    assert isinstance(case.means, ChatResponse)
    assert again.response().choices[0].parts == case.means.choices[0].parts
    assert again.response().usage == (case.means.usage or Usage())
    assert again.response().extensions == case.means.extensions


def test_the_grammar_refuses_what_is_wrong() -> None:
    last = end(usage={"input_tokens": 5, "output_tokens": 9})
    sound = start(stop_sequence=None) + words(0, "Hi") + last + STOP
    check_messages_stream(sound.encode())
    for wrong in (
        sound.replace(STOP, ""),
        sound.replace('"index": 0', '"index": 1'),
        sound.replace("event: message_stop", "event: stop"),
        sound.replace("end_turn", "tool_use"),
        sound.replace(last, ""),
        sound + PING + words(1, "more"),
    ):
        with pytest.raises((AssertionError, KeyError, IndexError)):
            check_messages_stream(wrong.encode())


def test_parts_that_grow_side_by_side_come_one_after_the_other() -> None:
    events, losses = encode(
        ToolCallStart(index=0, id="a", name="f"),
        ToolCallDelta(index=0, arguments='{"x": '),
        ToolCallStart(index=1, id="b", name="g"),
        ToolCallDelta(index=1, arguments='{"y": '),
        ToolCallDelta(index=0, arguments="1}"),
        ToolCallDelta(index=1, arguments="2}"),
        ToolCallEnd(index=0),
        ToolCallEnd(index=1),
        FINISHED,
    )
    pieces = [(e["index"], e["delta"]["partial_json"]) for e in events if e["type"] == "content_block_delta"]
    assert pieces == [(0, '{"x": '), (0, "1}"), (1, '{"y": '), (1, "2}")]
    assert losses == []


def test_a_call_whose_arguments_are_whole_makes_room_for_the_next_part() -> None:
    encoder = MessagesStreamEncoder()
    for each in (
        AnswerStart(id="a"),
        ToolCallStart(index=0, id="a", name="f"),
        ToolCallDelta(index=0, arguments='{"x": 1}'),
        ToolCallStart(index=1, id="b", name="g"),
    ):
        encoder.feed(each)
    assert b'"partial_json":"{}"' in encoder.feed(ToolCallDelta(index=1, arguments="{}"))
    rest = b"".join(encoder.feed(each) for each in (ToolCallEnd(index=0), ToolCallEnd(index=1), FINISHED))
    assert b"content_block_stop" in rest + encoder.flush()


def test_a_custom_tool_becomes_one_that_takes_a_text() -> None:
    events, _ = encode(
        ToolCallStart(index=0, id="a", name="f", kind="custom"),
        ToolCallDelta(index=0, arguments="*** Begin"),
        ToolCallDelta(index=0, arguments=" Patch"),
        ToolCallEnd(index=0),
        FINISHED,
    )
    (delta,) = [e["delta"] for e in events if e["type"] == "content_block_delta"]
    assert json.loads(delta["partial_json"]) == {"input": "*** Begin Patch"}


def test_reasoning_of_another_format_loses_its_payload_only() -> None:
    events, losses = encode(
        ReasoningStart(index=0),
        ReasoningDelta(index=0, text="one", segment=0),
        ReasoningDelta(index=0, text="two", segment=1),
        ReasoningEnd(index=0, opaque="secret", origin=ReasoningOrigin(format="openai_responses")),
        ReasoningStart(index=1, redacted=True),
        ReasoningEnd(index=1, opaque="hidden", origin=ReasoningOrigin(format="openai_responses")),
        FINISHED,
    )
    assert [e["delta"] for e in events if e["type"] == "content_block_delta"] == [
        {"type": "thinking_delta", "thinking": "one"},
        {"type": "thinking_delta", "thinking": "two"},
    ]
    assert [e["index"] for e in events if e["type"] == "content_block_stop"] == [0, 1]
    assert "secret" not in str(events) + str(losses)
    assert [loss.path for loss in losses] == ["choices[0].parts[0].opaque", "choices[0].parts[1].opaque"]


def test_each_paragraph_of_a_summary_is_a_block_and_the_last_is_signed() -> None:
    own = ReasoningOrigin(format=NAME)
    events, losses = encode(
        ReasoningStart(index=0),
        ReasoningDelta(index=0, text="", segment=0),
        ReasoningDelta(index=0, text="one", segment=0),
        ReasoningDelta(index=0, text="!", segment=0),
        ReasoningDelta(index=0, text="two", segment=1),
        ReasoningEnd(index=0, opaque="sealed", origin=own),
        FINISHED,
    )
    assert losses == []
    whole = ReasoningPart(summary=("one!", "", "two"), opaque="sealed", origin=own)
    body = json.loads(encode_response(ChatResponse(choices=(Choice(parts=(whole,)),)), []))
    assert body["content"] == [
        {"type": "thinking", "thinking": "one!", "signature": ""},
        {"type": "thinking", "thinking": "two", "signature": "sealed"},
    ]
    frames = b"".join(event_frame(event) for event in events)
    decoder = MessagesStreamDecoder()
    streamed = fold(decoder.feed(frames) + decoder.flush())
    assert streamed.choices[0].parts == decode_response(json.dumps(body).encode()).choices[0].parts


def test_the_first_frame_says_what_is_known_of_the_prompt() -> None:
    estimated, _ = encode(FINISHED, UsageReport(usage=Usage(input_tokens=50, output_tokens=2)), input_tokens=40)
    assert estimated[0]["message"]["usage"] == {"input_tokens": 40, "output_tokens": 0}
    assert estimated[-2]["usage"]["input_tokens"] == 50
    reported, _ = encode(UsageReport(usage=Usage(input_tokens=50, output_tokens=1)), FINISHED)
    assert reported[0]["message"]["usage"]["input_tokens"] == 50


def test_a_second_choice_is_lost_once() -> None:
    events, losses = encode(
        TextStart(index=0),
        TextStart(choice=1, index=0),
        TextDelta(choice=1, index=0, text="other"),
        TextDelta(index=0, text="Hi"),
        TextEnd(index=0),
        TextEnd(choice=1, index=0),
        FINISHED,
    )
    assert [loss.path for loss in losses] == ["choices[1]"]
    assert "other" not in str(events)


def test_what_waits_is_told_even_when_nothing_ends() -> None:
    events, _ = encode(
        TextStart(index=0), TextDelta(index=0, text="a"), TextStart(index=1), TextDelta(index=1, text="b")
    )
    assert [e["delta"]["text"] for e in events if e["type"] == "content_block_delta"] == ["a", "b"]


def test_what_cannot_be_held_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tollhouse.wire.anthropic_messages.stream_decode._MAX_HELD_BYTES", 100)
    _, _, fault = decode(
        start() + block(0, {"type": "x"}, *({"type": "y", f"k{n}": "z" * 20} for n in range(9))) + end() + STOP
    )
    assert fault is not None
    monkeypatch.setattr("tollhouse.wire.anthropic_messages.stream_decode._MAX_BLOCKS", 2)
    _, _, fault = decode(start() + call(0, "{}") + call(1, "{}") + call(2, "{}") + end() + STOP)
    assert fault is not None


def test_a_fault_comes_after_the_events_of_the_same_bytes() -> None:
    decoder = MessagesStreamDecoder()
    stream = start() + words(0, "Hi") + event("error", error={"type": "overloaded_error", "message": "x"})
    assert fold(decoder.feed(stream.encode())).choices[0].parts == (TextPart(text="Hi"),)
    with pytest.raises(FaultError):
        decoder.flush()
