"""Items of a Responses stream: each grows by its own events and is settled by its whole when that has come."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from tollhouse.ir.events import (
    PartAdd,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    StreamEvent,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
)
from tollhouse.ir.fold import unfold_part
from tollhouse.ir.parts import OpaquePart, ReasoningPart, ToolCallPart
from tollhouse.wire.fields import unreadable_answer
from tollhouse.wire.openai_responses.calls import CALLS
from tollhouse.wire.openai_responses.output import decode_output_item
from tollhouse.wire.openai_responses.parts import NAME
from tollhouse.wire.openai_responses.reasoning import ORIGIN
from tollhouse.wire.openai_responses.stream_growth import MAX_PARTS, Grown, Parts
from tollhouse.wire.openai_responses.stream_message import Message


class Item(Protocol):
    """One item that is being written. Events that do not concern it make none."""

    done: bool
    """Whether its whole has come."""

    def event(self, name: str, event: Mapping[str, object]) -> Iterator[StreamEvent]:
        """What an event of the item adds."""
        ...

    def settle(self, item: dict[str, object]) -> Iterator[StreamEvent]:
        """What the whole item has that was not streamed; then it closes."""
        ...

    def close(self) -> Iterator[StreamEvent]:
        """It will never be whole: what has begun ends."""
        ...


def open_item(item: dict[str, object], parts: Parts) -> tuple[Item, Iterator[StreamEvent]]:
    """The item that has been added, and the events that this makes."""
    kind = item.get("type")
    if kind == "message":
        return Message(item, parts), iter(())
    if kind == "reasoning":
        reasoning = _Reasoning(item, parts)
        return reasoning, reasoning.start()
    if isinstance(kind, str) and kind in CALLS:
        call = _Call(item, parts)
        return call, call.start()
    return _Opaque(parts), iter(())


class _Reasoning:
    """Reasoning: paragraphs of a summary, and the reasoning itself."""

    def __init__(self, item: dict[str, object], parts: Parts) -> None:
        self.done = False
        (begun,) = decode_output_item(item)
        self._begun = begun if isinstance(begun, ReasoningPart) else ReasoningPart()
        self._index = parts.begin(self._begun)
        self._text = Grown()
        self._summary: dict[int, Grown] = {}

    def start(self) -> Iterator[StreamEvent]:
        yield ReasoningStart(index=self._index, id=self._begun.id, extensions=self._begun.extensions)

    def event(self, name: str, event: Mapping[str, object]) -> Iterator[StreamEvent]:
        match name:
            case "response.reasoning_text.delta":
                if isinstance(text := event.get("delta"), str) and text:
                    yield ReasoningDelta(index=self._index, text=self._text.add(text))
            case "response.reasoning_summary_text.delta":
                if isinstance(text := event.get("delta"), str):
                    number = event.get("summary_index", 0)
                    if type(number) is not int or not 0 <= number < MAX_PARTS:
                        unreadable_answer("A summary in the provider's stream has an impossible place.")
                    grown = self._summary.setdefault(number, Grown())
                    yield ReasoningDelta(index=self._index, text=grown.add(text), segment=number)
            case _:
                return

    def settle(self, item: dict[str, object]) -> Iterator[StreamEvent]:
        self.done = True
        whole = next(iter(decode_output_item(item)), None)
        if isinstance(whole, ReasoningPart):
            if rest := self._text.rest(whole.text):
                yield ReasoningDelta(index=self._index, text=rest)
            for number, paragraph in enumerate(whole.summary):
                known = self._summary.get(number)
                rest = (known or Grown()).rest(paragraph)
                if rest or known is None:
                    yield ReasoningDelta(index=self._index, text=rest, segment=number)
            self._begun = whole
        yield self._end()

    def close(self) -> Iterator[StreamEvent]:
        self.done = True
        yield self._end()

    def _end(self) -> StreamEvent:
        opaque = self._begun.opaque
        return ReasoningEnd(index=self._index, opaque=opaque, origin=None if opaque is None else ORIGIN)


class _Call:
    """A tool call; it opens when its id and name are known."""

    def __init__(self, item: dict[str, object], parts: Parts) -> None:
        self.done = False
        self._parts = parts
        self._item = item
        self._index: int | None = None
        self._grown = Grown()

    def start(self) -> Iterator[StreamEvent]:
        kind = self._item.get("type")
        whole = {"arguments": "", "input": "", **self._item}
        whole.pop("arguments" if kind == "custom_tool_call" else "input", None)
        (call,) = decode_output_item(whole)
        if isinstance(call, ToolCallPart):
            yield self._begin(call)

    def _begin(self, call: ToolCallPart) -> StreamEvent:
        self._index = self._parts.begin(call)
        return ToolCallStart(
            index=self._index,
            id=call.id,
            name=call.name,
            namespace=call.namespace,
            kind=call.kind,
            item_id=call.item_id,
            extensions=call.extensions,
        )

    def event(self, name: str, event: Mapping[str, object]) -> Iterator[StreamEvent]:
        text: object = None
        match name:
            case "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta":
                text = event.get("delta")
                text = self._grown.add(text) if isinstance(text, str) and self._index is not None else None
            case "response.function_call_arguments.done" | "response.custom_tool_call_input.done":
                whole = event.get("arguments" if "arguments" in name else "input")
                text = None if self._index is None else self._grown.rest(whole)
            case _:
                return
        if isinstance(text, str) and text and self._index is not None:
            yield ToolCallDelta(index=self._index, arguments=text)

    def settle(self, item: dict[str, object]) -> Iterator[StreamEvent]:
        self.done = True
        (whole,) = decode_output_item(item) if item.get("type") == self._item.get("type") else (None,)
        if self._index is None:
            if isinstance(whole, ToolCallPart):
                yield self._begin(whole)
            else:
                part = OpaquePart(format=NAME, value=item)
                yield PartAdd(index=self._parts.begin(part), part=part)
                return
        if isinstance(whole, ToolCallPart) and (rest := self._grown.rest(whole.arguments)):
            yield ToolCallDelta(index=self._index or 0, arguments=rest)
        yield from self._ends()

    def close(self) -> Iterator[StreamEvent]:
        self.done = True
        yield from self._ends()

    def _ends(self) -> Iterator[StreamEvent]:
        if self._index is not None:
            yield ToolCallEnd(index=self._index)


class _Opaque:
    """An item of a kind that only this format knows: it comes as a whole."""

    def __init__(self, parts: Parts) -> None:
        self.done = False
        self._parts = parts

    def event(self, name: str, event: Mapping[str, object]) -> Iterator[StreamEvent]:
        del name, event
        return iter(())

    def settle(self, item: dict[str, object]) -> Iterator[StreamEvent]:
        self.done = True
        for part in decode_output_item(item):
            yield from unfold_part(0, self._parts.begin(part), part)

    def close(self) -> Iterator[StreamEvent]:
        self.done = True
        return iter(())
