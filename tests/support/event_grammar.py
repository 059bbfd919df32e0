"""The grammar of stream events, which every decoder keeps and every encoder may rely on."""

from collections.abc import Iterable

from tollhouse.ir.events import (
    AnswerExtend,
    AnswerStart,
    ChoiceExtend,
    ChoiceFinish,
    PartAdd,
    ReasoningEnd,
    ReasoningStart,
    RefusalEnd,
    RefusalStart,
    StreamEvent,
    TextEnd,
    TextStart,
    ToolCallEnd,
    ToolCallStart,
    UsageReport,
)


def check_events(events: Iterable[StreamEvent]) -> None:
    """A complete answer: one start; parts that open in order, grow while open and end once; one finish per choice."""
    listed = list(events)
    assert isinstance(listed[0], AnswerStart)
    open_parts: dict[int, set[int]] = {}
    parts: dict[int, int] = {}
    finished: set[int] = set()
    for event in listed[1:]:
        if isinstance(event, AnswerExtend | UsageReport):
            continue
        assert not isinstance(event, AnswerStart)
        choice = event.choice
        assert choice not in finished, f"{event} after the finish of its choice"
        opened = open_parts.setdefault(choice, set())
        match event:
            case ChoiceExtend():
                pass
            case ChoiceFinish():
                assert not opened, f"choice {choice} finished with parts {opened} open"
                finished.add(choice)
            case TextStart() | RefusalStart() | ReasoningStart() | ToolCallStart() | PartAdd():
                assert event.index == parts.get(choice, 0), f"{event} is not the next part"
                parts[choice] = event.index + 1
                if not isinstance(event, PartAdd):
                    opened.add(event.index)
            case TextEnd() | RefusalEnd() | ReasoningEnd() | ToolCallEnd():
                opened.remove(event.index)
            case _:
                assert event.index in opened, f"{event} outside its part"
    assert finished, "no choice has finished"
    assert finished == set(open_parts), "a choice has not finished"
