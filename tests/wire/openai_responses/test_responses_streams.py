"""Streams as providers send them decode to the answers they mean, and are passed on well formed."""

import json
import tracemalloc

import pytest

from support.event_grammar import check_events
from support.responses_grammar import check_responses_stream
from support.responses_streams import BEGIN, CASES, HI, Case, added, body, call, completed, event, grown, message
from tollhouse.ir.events import (
    ChoiceFinish,
    PartAdd,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    StreamEvent,
    TextDelta,
    TextStart,
)
from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.ir.fold import fold, unfold
from tollhouse.ir.loss import Loss
from tollhouse.ir.parts import ImagePart, MediaUrl, ReasoningOrigin, ReasoningPart, TextPart, ToolCallPart
from tollhouse.ir.response import ChatResponse, Choice, Finish, FinishReason
from tollhouse.wire.openai_responses.stream_decode import ResponsesStreamDecoder
from tollhouse.wire.openai_responses.stream_encode import ResponsesStreamEncoder

ANSWERED = [case for case in CASES if not isinstance(case.means, FaultKind)]


def _decode(pieces: list[bytes]) -> tuple[list[StreamEvent], FaultError | None]:
    """The events of a stream, and the fault in which it ended."""
    decoder = ResponsesStreamDecoder()
    events: list[StreamEvent] = []
    try:
        for piece in pieces:
            events += decoder.feed(piece)
        events += decoder.flush()
    except FaultError as error:
        return events, error
    return events, None


def _encode(response: ChatResponse, losses: list[Loss] | None = None) -> list[dict]:
    encoder = ResponsesStreamEncoder(losses)
    return check_responses_stream(b"".join(encoder.feed(each) for each in unfold(response)) + encoder.flush())


@pytest.mark.parametrize("line_end", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("size", [2**20, 1], ids=["whole", "byte by byte"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_stream_means_its_answer(case: Case, size: int, line_end: str) -> None:
    data = case.stream.replace("\n", line_end).encode()
    events, fault = _decode([data[start : start + size] for start in range(0, len(data), size)])
    if isinstance(case.means, FaultKind):
        assert fault is not None
        assert (fault.fault.kind, fault.fault.source) == (case.means, "provider")
        assert "".join(event.text for event in events if isinstance(event, TextDelta)) == case.text_before_fault
    else:
        assert fault is None
        check_events(events)
        assert fold(events) == case.means


@pytest.mark.row(81)
@pytest.mark.parametrize("case", ANSWERED, ids=lambda case: case.name)
def test_a_stream_is_passed_on_well_formed(case: Case) -> None:
    events, _ = _decode([case.stream.encode()])
    encoder = ResponsesStreamEncoder()
    data = b"".join(encoder.feed(each) for each in events) + encoder.flush()
    check_responses_stream(data)
    again, fault = _decode([data])
    assert fault is None
    texts = [
        [part.text for part in fold(each).choices[0].parts if isinstance(part, TextPart)] for each in (events, again)
    ]
    assert texts[0] == texts[1]


def test_a_fault_waits_for_the_events_before_it_and_is_told_again() -> None:
    decoder = ResponsesStreamDecoder()
    events = decoder.feed((BEGIN + HI + event("error", code="x", message="y")).encode())
    assert any(isinstance(each, TextDelta) for each in events)
    for _ in range(2):
        with pytest.raises(FaultError):
            decoder.feed(b"")
    with pytest.raises(FaultError):
        decoder.flush()


def test_every_prefix_of_a_stream_is_a_fault_or_holds_whole_items() -> None:
    data = (BEGIN + HI + completed([message("Hi é")])).encode()
    whole = data.index(b"event: response.completed")
    for end in range(len(data)):
        events, fault = _decode([data[:end]])
        if fault is None:
            check_events(events)
            assert end >= whole - 2


def test_memory_does_not_grow_with_the_text() -> None:
    decoder = ResponsesStreamDecoder()
    decoder.feed((BEGIN + added(message(None))).encode())
    delta = grown("output_text.delta", delta="x" * 1000).encode()
    decoder.feed(delta)
    tracemalloc.start()
    for _ in range(500):
        decoder.feed(delta)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 100_000


@pytest.mark.parametrize(
    "pieces",
    [
        [added(call("", place), place) for place in range(5000)],
        [grown("output_text.delta", delta="x", content_index=place) for place in range(5000)],
        [grown("reasoning_summary_text.delta", delta="x", summary_index=2**70)],
        [grown("output_text.delta", delta="x", content_index=-1)],
    ],
    ids=["items", "parts", "paragraphs", "places"],
)
def test_what_has_to_be_held_has_a_bound(pieces: list[str]) -> None:
    _, fault = _decode([piece.encode() for piece in [BEGIN, *pieces]])
    assert fault is not None
    assert "more than" in fault.fault.message or "impossible" in fault.fault.message


def test_order_of_events() -> None:
    response = ChatResponse(
        id="resp_9",
        choices=(
            Choice(
                parts=(
                    ReasoningPart(summary=("Hm",)),
                    TextPart(text="Hi"),
                    ToolCallPart(id="call_1", name="f", arguments="{}"),
                ),
                finish=Finish(reason=FinishReason.TOOL_CALLS),
            ),
        ),
    )
    events = _encode(response)
    assert [each["type"].removeprefix("response.") for each in events] == [
        "created", "in_progress",
        "output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta",
        "reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done",
        "output_item.added", "content_part.added", "output_text.delta", "output_text.done", "content_part.done",
        "output_item.done",
        "output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done",
        "completed",
    ]  # fmt: skip
    assert [item["id"] for item in events[-1]["response"]["output"]] == ["rs_9_0", "msg_9_1", "fc_9_2"]


@pytest.mark.parametrize("part", [TextPart(text="Hi"), ToolCallPart(id="c", name="f", arguments='{"a')])
def test_an_answer_that_was_cut_short_is_completed_as_incomplete(part: TextPart | ToolCallPart) -> None:
    choice = Choice(parts=(TextPart(text="First", item_id="a"), part), finish=Finish(reason=FinishReason.LENGTH))
    end = _encode(ChatResponse(id="r", choices=(choice,)))[-1]
    assert (end["type"], end["response"]["status"]) == ("response.completed", "incomplete")
    assert end["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert end["response"]["output"][-1]["status"] == "incomplete"


def test_parts_that_are_open_at_the_same_time() -> None:
    encoder = ResponsesStreamEncoder()
    response = ChatResponse(
        id="r", choices=(Choice(parts=(TextPart(text="a"), ToolCallPart(id="c", name="f", arguments="{}"))),)
    )
    start, *rest = unfold(response)
    text_end = next(each for each in rest if type(each).__name__ == "TextEnd")
    rest.remove(text_end)
    data = b"".join(encoder.feed(each) for each in (start, *rest, text_end)) + encoder.flush()
    events = check_responses_stream(data)
    dones = [each["item"]["type"] for each in events if each["type"] == "response.output_item.done"]
    assert sorted(dones) == ["function_call", "message"]


def test_what_a_stream_cannot_say_is_a_loss() -> None:
    losses: list[Loss] = []
    foreign = ReasoningOrigin(format="anthropic_messages")
    parts = (
        ReasoningPart(text="Hm", opaque="sig", origin=foreign, extensions={"anthropic_messages": {"x": 1}}),
        ImagePart(source=MediaUrl(url="https://x.example/a.png")),
    )
    first = Choice(parts=parts, finish=Finish(reason=FinishReason.STOP), extensions={"openai_chat": {"y": 1}})
    second = Choice(index=1, parts=(TextPart(text="b"),), finish=Finish(reason=FinishReason.STOP))
    events = _encode(ChatResponse(choices=(first, second), extensions={"openai_chat": {"z": 1}}), losses)
    assert sorted(loss.path for loss in losses) == [
        "choices[0].parts[0].opaque", "choices[0].parts[0].x", "choices[0].parts[1]", "choices[0].y", "choices[1]", "z",
    ]  # fmt: skip
    (item,) = events[-1]["response"]["output"]
    assert item["content"] == [{"type": "reasoning_text", "text": "Hm"}]
    assert "sig" not in json.dumps(events)


def test_parts_that_come_whole() -> None:
    parts = (
        TextPart(text="a", item_id="m"),
        ReasoningPart(summary=("b",)),
        ToolCallPart(id="c", name="f", arguments="{}"),
    )
    encoder = ResponsesStreamEncoder()
    start = next(iter(unfold(ChatResponse(id="r"))))
    data = encoder.feed(start) + b"".join(encoder.feed(PartAdd(index=n, part=part)) for n, part in enumerate(parts))
    data += encoder.feed(ChoiceFinish(finish=Finish(reason=FinishReason.TOOL_CALLS))) + encoder.flush()
    events, fault = _decode([data])
    assert fault is None
    check_responses_stream(data)
    assert [type(part) for part in fold(events).choices[0].parts] == [type(part) for part in parts]


def test_empty_paragraphs_survive() -> None:
    events: list[StreamEvent] = [
        next(iter(unfold(ChatResponse(id="r")))),
        ReasoningStart(index=0, id="rs"),
        ReasoningDelta(index=0, text="", segment=0),
        ReasoningDelta(index=0, text="b", segment=1),
        ReasoningEnd(index=0),
        ChoiceFinish(finish=Finish(reason=FinishReason.STOP)),
    ]
    encoder = ResponsesStreamEncoder()
    again, _ = _decode([b"".join(encoder.feed(each) for each in events) + encoder.flush()])
    assert fold(again).choices[0].parts == (ReasoningPart(summary=("", "b"), id="rs"),)


def test_usage_and_tier_that_come_late() -> None:
    late = event("completed", response=body("completed", service_tier="flex", x_late=1))
    events, _ = _decode([(BEGIN + HI + late).encode()])
    answer = fold(events)
    assert (answer.service_tier, answer.extensions) == ("flex", {"openai_responses": {"x_late": 1}})
    assert any(isinstance(each, TextStart) for each in events)
