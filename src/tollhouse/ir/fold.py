"""Folding: a stream of events to a whole answer, and a whole answer to the shortest stream that says the same."""

from collections.abc import Iterable, Iterator
from typing import assert_never

import msgspec

from tollhouse.ir.events import (
    AnswerExtend,
    AnswerStart,
    ChoiceExtend,
    ChoiceFinish,
    PartAdd,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    RefusalDelta,
    RefusalEnd,
    RefusalStart,
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
from tollhouse.ir.parts import (
    AudioPart,
    Citation,
    Extensions,
    FilePart,
    ImagePart,
    OpaquePart,
    Part,
    ReasoningOrigin,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from tollhouse.ir.response import ChatResponse, Choice, Finish
from tollhouse.ir.usage import Usage

_PartStart = TextStart | RefusalStart | ReasoningStart | ToolCallStart
_PartGrowth = TextDelta | RefusalDelta | ReasoningDelta | ToolCallDelta | TextCitation
_PartEnd = TextEnd | RefusalEnd | ReasoningEnd | ToolCallEnd
_PartEvent = _PartStart | _PartGrowth | _PartEnd | PartAdd


class _Growing:
    """A part that is still open."""

    def __init__(self, start: _PartStart) -> None:
        self.start = start
        self.pieces: list[str] = []
        self.segments: dict[int, list[str]] = {}
        self.logprobs: list[dict[str, object]] = []
        self.citations: list[Citation] = []
        self.opaque: str | None = None
        self.origin: ReasoningOrigin | None = None

    def grow(self, event: _PartGrowth) -> None:
        match self.start, event:
            case (TextStart(), TextDelta()) | (RefusalStart(), RefusalDelta()):
                self.pieces.append(event.text)
                self.logprobs.extend(event.logprobs)
            case TextStart(), TextCitation():
                self.citations.append(event.citation)
            case ReasoningStart(), ReasoningDelta():
                target = self.pieces if event.segment is None else self.segments.setdefault(event.segment, [])
                target.append(event.text)
            case ToolCallStart(), ToolCallDelta():
                self.pieces.append(event.arguments)
            case _:
                raise ValueError(f"{type(event).__name__} does not fit {type(self.start).__name__}")

    def end(self, event: _PartEnd) -> None:
        match self.start, event:
            case (TextStart(), TextEnd()) | (RefusalStart(), RefusalEnd()) | (ToolCallStart(), ToolCallEnd()):
                pass
            case ReasoningStart(), ReasoningEnd():
                self.opaque = event.opaque
                self.origin = event.origin
            case _:
                raise ValueError(f"{type(event).__name__} does not fit {type(self.start).__name__}")

    def part(self) -> Part:
        start = self.start
        text = "".join(self.pieces)
        match start:
            case TextStart():
                return TextPart(
                    text=text,
                    citations=tuple(self.citations),
                    logprobs=tuple(self.logprobs),
                    item_id=start.item_id,
                    extensions=start.extensions,
                )
            case RefusalStart():
                return RefusalPart(
                    text=text, logprobs=tuple(self.logprobs), item_id=start.item_id, extensions=start.extensions
                )
            case ReasoningStart():
                return ReasoningPart(
                    text=text,
                    summary=tuple("".join(self.segments[number]) for number in sorted(self.segments)),
                    opaque=self.opaque,
                    origin=self.origin,
                    redacted=start.redacted,
                    id=start.id,
                    form=start.form,
                    extensions=start.extensions,
                )
            case ToolCallStart():
                return ToolCallPart(
                    id=start.id,
                    name=start.name,
                    namespace=start.namespace,
                    arguments=text,
                    kind=start.kind,
                    item_id=start.item_id,
                    extensions=start.extensions,
                )
        assert_never(start)


class _GrowingChoice:
    """One choice of an answer that is still coming."""

    def __init__(self) -> None:
        self.parts: list[_Growing | Part] = []
        self.ended: set[int] = set()
        self.finish: Finish | None = None
        self.extensions: Extensions = {}

    def take(self, event: _PartEvent) -> None:
        if self.finish is not None:
            raise ValueError("a part event came after the choice had finished")
        match event:
            case TextStart() | RefusalStart() | ReasoningStart() | ToolCallStart() | PartAdd():
                if event.index != len(self.parts):
                    raise ValueError(f"part {event.index} started where {len(self.parts)} was next")
                self.parts.append(event.part if isinstance(event, PartAdd) else _Growing(event))
            case TextDelta() | RefusalDelta() | ReasoningDelta() | ToolCallDelta() | TextCitation():
                self._open(event.index).grow(event)
            case TextEnd() | RefusalEnd() | ReasoningEnd() | ToolCallEnd():
                self._open(event.index).end(event)
                self.ended.add(event.index)
            case _:
                assert_never(event)

    def _open(self, index: int) -> _Growing:
        growing = self.parts[index] if index < len(self.parts) else None
        if not isinstance(growing, _Growing) or index in self.ended:
            raise ValueError(f"part {index} is not open")
        return growing

    def choice(self, index: int) -> Choice:
        parts = tuple(part.part() if isinstance(part, _Growing) else part for part in self.parts)
        return Choice(index=index, parts=parts, finish=self.finish, extensions=self.extensions)


class Fold:
    """Collects the events of one answer; `response` may be asked for at any time, an open part counts as it is.

    Raises ValueError when the events break their grammar, which is a fault of the decoder that made them.
    """

    def __init__(self) -> None:
        self._response = ChatResponse()
        self._choices: dict[int, _GrowingChoice] = {}
        self._usage: Usage | None = None
        self._started = False

    def feed(self, event: StreamEvent) -> None:
        """Take one more event."""
        if self._started == isinstance(event, AnswerStart):
            raise ValueError("an answer starts once, before all else")
        match event:
            case AnswerStart():
                self._started = True
                self._response = ChatResponse(
                    id=event.id,
                    model=event.model,
                    created=event.created,
                    service_tier=event.service_tier,
                    extensions=event.extensions,
                )
            case AnswerExtend():
                self._response = msgspec.structs.replace(
                    self._response,
                    extensions=_extended(self._response.extensions, event.extensions),
                    service_tier=event.service_tier or self._response.service_tier,
                )
            case UsageReport():
                self._usage = event.usage
            case ChoiceExtend():
                choice = self._choice(event.choice)
                choice.extensions = _extended(choice.extensions, event.extensions)
            case ChoiceFinish():
                choice = self._choice(event.choice)
                if choice.finish is not None:
                    raise ValueError("a choice finishes once")
                choice.finish = event.finish
            case _:
                self._choice(event.choice).take(event)

    def response(self) -> ChatResponse:
        """The answer so far."""
        choices = tuple(self._choices[index].choice(index) for index in sorted(self._choices))
        return msgspec.structs.replace(self._response, choices=choices, usage=self._usage)

    def _choice(self, index: int) -> _GrowingChoice:
        return self._choices.setdefault(index, _GrowingChoice())


def fold(events: Iterable[StreamEvent]) -> ChatResponse:
    """The whole answer that `events` tell. Raises ValueError when they break their grammar."""
    folding = Fold()
    for event in events:
        folding.feed(event)
    return folding.response()


def unfold(response: ChatResponse) -> Iterator[StreamEvent]:
    """Events that fold to `response`, with one delta for each text."""
    yield AnswerStart(
        id=response.id,
        model=response.model,
        created=response.created,
        service_tier=response.service_tier,
        extensions=response.extensions,
    )
    for choice in response.choices:
        for index, part in enumerate(choice.parts):
            yield from unfold_part(choice.index, index, part)
        if choice.extensions or not (choice.parts or choice.finish):
            yield ChoiceExtend(choice=choice.index, extensions=choice.extensions)
        if choice.finish is not None:
            yield ChoiceFinish(choice=choice.index, finish=choice.finish)
    if response.usage is not None:
        yield UsageReport(usage=response.usage)


def unfold_part(choice: int, index: int, part: Part) -> Iterator[StreamEvent]:
    """The events of one part, which fold to it; cache breakpoints belong to requests and are left out."""
    match part:
        case TextPart():
            yield TextStart(choice=choice, index=index, item_id=part.item_id, extensions=part.extensions)
            if part.text or part.logprobs:
                yield TextDelta(choice=choice, index=index, text=part.text, logprobs=part.logprobs)
            for citation in part.citations:
                yield TextCitation(choice=choice, index=index, citation=citation)
            yield TextEnd(choice=choice, index=index)
        case RefusalPart():
            yield RefusalStart(choice=choice, index=index, item_id=part.item_id, extensions=part.extensions)
            if part.text or part.logprobs:
                yield RefusalDelta(choice=choice, index=index, text=part.text, logprobs=part.logprobs)
            yield RefusalEnd(choice=choice, index=index)
        case ReasoningPart():
            yield from _unfold_reasoning(choice, index, part)
        case ToolCallPart():
            yield ToolCallStart(
                choice=choice,
                index=index,
                id=part.id,
                name=part.name,
                namespace=part.namespace,
                kind=part.kind,
                item_id=part.item_id,
                extensions=part.extensions,
            )
            if part.arguments:
                yield ToolCallDelta(choice=choice, index=index, arguments=part.arguments)
            yield ToolCallEnd(choice=choice, index=index)
        case ImagePart() | FilePart() | AudioPart() | ToolResultPart() | OpaquePart():
            yield PartAdd(choice=choice, index=index, part=part)
        case _:
            assert_never(part)


def _unfold_reasoning(choice: int, index: int, part: ReasoningPart) -> Iterator[StreamEvent]:
    yield ReasoningStart(
        choice=choice, index=index, id=part.id, redacted=part.redacted, form=part.form, extensions=part.extensions
    )
    if part.text:
        yield ReasoningDelta(choice=choice, index=index, text=part.text)
    for segment, text in enumerate(part.summary):
        yield ReasoningDelta(choice=choice, index=index, text=text, segment=segment)
    yield ReasoningEnd(choice=choice, index=index, opaque=part.opaque, origin=part.origin)


def _extended(old: Extensions, new: Extensions) -> Extensions:
    return {name: {**old.get(name, {}), **new.get(name, {})} for name in {**old, **new}}
