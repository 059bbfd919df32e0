"""Folding events and unfolding answers."""

import msgspec
import pytest
from hypothesis import given, settings

from support.event_grammar import check_events
from support.strategies import responses
from tollhouse.ir.events import (
    AnswerExtend,
    AnswerStart,
    ChoiceExtend,
    ChoiceFinish,
    PartAdd,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    StreamEvent,
    TextCitation,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    UsageReport,
)
from tollhouse.ir.fold import Fold, fold, unfold
from tollhouse.ir.parts import Citation, ImagePart, MediaUrl, ReasoningOrigin, ReasoningPart, TextPart, ToolCallPart
from tollhouse.ir.response import ChatResponse, Choice, Finish, FinishReason, settled_reason
from tollhouse.ir.usage import Usage

STOP = Finish(reason=FinishReason.STOP, raw="stop")
ORIGIN = ReasoningOrigin(format="openai_responses", creator="acme")


def _without_breakpoints(response: ChatResponse) -> ChatResponse:
    return msgspec.structs.replace(
        response,
        choices=tuple(
            msgspec.structs.replace(
                choice,
                parts=tuple(
                    part
                    if not isinstance(part, TextPart | ToolCallPart)
                    else msgspec.structs.replace(part, cache_control=None)
                    for part in choice.parts
                ),
            )
            for choice in response.choices
        ),
    )


@given(response=responses())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_unfolding_and_folding_gives_the_answer_back(response: ChatResponse) -> None:
    events = list(unfold(response))
    check_events(events)
    assert fold(events) == _without_breakpoints(response)


def test_mixed_parts_and_late_facts_find_their_places() -> None:
    image = ImagePart(source=MediaUrl(url="https://example.org/a.png"))
    events: list[StreamEvent] = [
        AnswerStart(id="a", model="m", created=1, service_tier="auto", extensions={"f": {"k": 1, "l": 1}}),
        ReasoningStart(index=0, id="r", form="x"),
        ReasoningDelta(index=0, text="one", segment=0),
        ReasoningDelta(index=0, text="two", segment=1),
        ReasoningDelta(index=0, text="!", segment=0),
        ReasoningEnd(index=0, opaque="secret", origin=ORIGIN),
        ToolCallStart(index=1, id="c1", name="f"),
        ToolCallStart(index=2, id="c2", name="g", kind="custom", item_id="i"),
        ToolCallDelta(index=2, arguments="x"),
        UsageReport(usage=Usage(output_tokens=1)),
        ToolCallDelta(index=1, arguments="{}"),
        ToolCallDelta(index=2, arguments="y"),
        ToolCallEnd(index=2),
        ToolCallEnd(index=1),
        PartAdd(index=3, part=image),
        TextStart(index=4),
        TextDelta(index=4, text="Hi"),
        TextCitation(index=4, citation=Citation(url="u")),
        TextEnd(index=4),
        ChoiceExtend(extensions={"f": {"c": 1}}),
        ChoiceExtend(extensions={"f": {"c": 2}, "g": {"d": 1}}),
        ChoiceFinish(finish=STOP),
        AnswerExtend(service_tier="flex", extensions={"f": {"k": 2}}),
        UsageReport(usage=Usage(output_tokens=9)),
    ]
    check_events(events)
    parts = (
        ReasoningPart(summary=("one!", "two"), opaque="secret", origin=ORIGIN, id="r", form="x"),
        ToolCallPart(id="c1", name="f", arguments="{}"),
        ToolCallPart(id="c2", name="g", arguments="xy", kind="custom", item_id="i"),
        image,
        TextPart(text="Hi", citations=(Citation(url="u"),)),
    )
    assert fold(events) == ChatResponse(
        id="a",
        model="m",
        created=1,
        choices=(Choice(parts=parts, finish=STOP, extensions={"f": {"c": 2}, "g": {"d": 1}}),),
        usage=Usage(output_tokens=9),
        service_tier="flex",
        extensions={"f": {"k": 2, "l": 1}},
    )


def test_an_answer_may_be_asked_for_while_it_comes() -> None:
    folding = Fold()
    for event in (AnswerStart(id="a"), TextStart(index=0), TextDelta(index=0, text="He")):
        folding.feed(event)
    assert folding.response() == ChatResponse(id="a", choices=(Choice(parts=(TextPart(text="He"),)),))


BROKEN: dict[str, list[StreamEvent]] = {
    "no start": [TextStart(index=0)],
    "two starts": [AnswerStart(), AnswerStart()],
    "a gap in the parts": [AnswerStart(), TextStart(index=1)],
    "a part twice": [AnswerStart(), TextStart(index=0), TextStart(index=0)],
    "a delta before its part": [AnswerStart(), TextDelta(index=0, text="x")],
    "a delta after the end": [AnswerStart(), TextStart(index=0), TextEnd(index=0), TextDelta(index=0, text="x")],
    "an end twice": [AnswerStart(), TextStart(index=0), TextEnd(index=0), TextEnd(index=0)],
    "a delta of another kind": [AnswerStart(), TextStart(index=0), ReasoningDelta(index=0, text="x")],
    "an end of another kind": [AnswerStart(), TextStart(index=0), ReasoningEnd(index=0)],
    "a delta to a whole part": [
        AnswerStart(),
        PartAdd(index=0, part=TextPart(text="x")),
        TextDelta(index=0, text="x"),
    ],
    "a part after the finish": [AnswerStart(), ChoiceFinish(finish=STOP), TextStart(index=0)],
    "a finish twice": [AnswerStart(), ChoiceFinish(finish=STOP), ChoiceFinish(finish=STOP)],
}


@pytest.mark.parametrize("events", BROKEN.values(), ids=BROKEN.keys())
def test_events_that_break_the_grammar_are_refused(events: list[StreamEvent]) -> None:
    with pytest.raises(ValueError, match=r"."):
        fold(events)


@pytest.mark.parametrize(
    ("reason", "called", "settled"),
    [
        (FinishReason.STOP, True, FinishReason.TOOL_CALLS),
        (FinishReason.STOP_SEQUENCE, True, FinishReason.TOOL_CALLS),
        (FinishReason.OTHER, True, FinishReason.TOOL_CALLS),
        (FinishReason.TOOL_CALLS, False, FinishReason.STOP),
        (FinishReason.LENGTH, True, FinishReason.LENGTH),
        (FinishReason.CONTENT_FILTER, True, FinishReason.CONTENT_FILTER),
        (FinishReason.STOP, False, FinishReason.STOP),
    ],
)
def test_the_reason_follows_what_was_emitted(reason: FinishReason, called: bool, settled: FinishReason) -> None:
    assert settled_reason(reason, has_tool_calls=called) is settled
