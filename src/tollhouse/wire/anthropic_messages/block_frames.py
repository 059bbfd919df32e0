"""Frames of the content blocks of a Messages stream, one block after the other."""

from collections.abc import Iterator
from typing import assert_never

from tollhouse.ir.events import (
    PartAdd,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    RefusalDelta,
    RefusalEnd,
    RefusalStart,
    TextCitation,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
)
from tollhouse.ir.fold import unfold_part
from tollhouse.ir.parts import ReasoningPart, RefusalPart, TextPart, ToolCallPart
from tollhouse.wire.anthropic_messages.blocks import encode_answered
from tollhouse.wire.anthropic_messages.citations import encode_citation
from tollhouse.wire.anthropic_messages.names import NAME
from tollhouse.wire.anthropic_messages.reasoning import own_opaque
from tollhouse.wire.anthropic_messages.tools import is_json_object
from tollhouse.wire.custom_tools import free_input
from tollhouse.wire.fields import render
from tollhouse.wire.framing import sse_frame
from tollhouse.wire.leftovers import Losses
from tollhouse.wire.tool_groups import joined_name

_THINKING = {"type": "thinking", "thinking": "", "signature": ""}

_Text = TextStart | TextDelta | TextCitation | TextEnd
_Refusal = RefusalStart | RefusalDelta | RefusalEnd
_Reasoning = ReasoningStart | ReasoningDelta | ReasoningEnd
_Call = ToolCallStart | ToolCallDelta | ToolCallEnd
PartEvent = _Text | _Refusal | _Reasoning | _Call | PartAdd
_EVENTS = (
    TextStart,
    TextDelta,
    TextCitation,
    TextEnd,
    RefusalStart,
    RefusalDelta,
    RefusalEnd,
    ReasoningStart,
    ReasoningDelta,
    ReasoningEnd,
    ToolCallStart,
    ToolCallDelta,
    ToolCallEnd,
)


def event_frame(event: dict[str, object]) -> bytes:
    """One frame, named by the event's type."""
    return sse_frame(render(event), str(event["type"]).encode())


class BlockFrames:
    """Writes the events of one part at a time; `has_tool_calls` says what has been emitted so far."""

    def __init__(self, losses: Losses) -> None:
        self.has_tool_calls = False
        self._losses = losses
        self._index = 0
        self._is_open = False
        self._reasoning: ReasoningStart | None = None
        self._segment: int | None = None
        self._has_thought = False
        self._citations = 0
        self._call: ToolCallStart | None = None
        self._arguments: list[str] = []

    def frames(self, event: PartEvent) -> bytes:
        """Frames that `event` makes; b'' when it makes none."""
        match event:
            case TextStart() | TextDelta() | TextCitation() | TextEnd():
                return self._text(event)
            case RefusalStart() | RefusalDelta() | RefusalEnd():
                return self._refusal(event)
            case ReasoningStart() | ReasoningDelta() | ReasoningEnd():
                return self._think(event)
            case ToolCallStart() | ToolCallDelta() | ToolCallEnd():
                return self._call_tool(event)
            case PartAdd():
                return self._part(event)
        assert_never(event)

    def stop(self) -> bytes:
        """The frame that closes the open block, with what was held back of it."""
        held = b""
        if self._call is not None and self._call.kind == "custom":
            held = self._delta("input_json_delta", partial_json=render(free_input("".join(self._arguments))).decode())
        self._call = None
        self._arguments.clear()
        if not self._is_open:
            return b""
        self._is_open = False
        self._index += 1
        return held + event_frame({"type": "content_block_stop", "index": self._index - 1})

    def is_whole_call(self) -> bool:
        """Whether the open block is a tool call whose arguments cannot grow any more."""
        call = self._call
        return call is not None and call.kind == "function" and is_json_object("".join(self._arguments))

    def _start(self, block: dict[str, object]) -> bytes:
        self._is_open = True
        return event_frame({"type": "content_block_start", "index": self._index, "content_block": block})

    def _delta(self, kind: str, **fields: object) -> bytes:
        delta = {"type": kind, **fields}
        return event_frame({"type": "content_block_delta", "index": self._index, "delta": delta})

    def _text(self, event: _Text) -> bytes:
        path = f"choices[0].parts[{event.index}]"
        match event:
            case TextStart():
                self._citations = 0
                block: dict[str, object] = {"type": "text", "text": ""}
                self._losses.restore(block, event.extensions, path)
                return self._start(block)
            case TextDelta():
                self._losses.drop(f"{path}.logprobs", event.logprobs)
                return self._delta("text_delta", text=event.text) if event.text else b""
            case TextCitation():
                place = f"{path}.citations[{self._citations}]"
                self._citations += 1
                citation = encode_citation(event.citation, place, self._losses, asked=False)
                return b"" if citation is None else self._delta("citations_delta", citation=citation)
            case TextEnd():
                return self.stop()
        assert_never(event)

    def _refusal(self, event: _Refusal) -> bytes:
        path = f"choices[0].parts[{event.index}]"
        match event:
            case RefusalStart():
                self._losses.note(path, f"{NAME} has no refusals; sent as text")
                block: dict[str, object] = {"type": "text", "text": ""}
                self._losses.restore(block, event.extensions, path)
                return self._start(block)
            case RefusalDelta():
                self._losses.drop(f"{path}.logprobs", event.logprobs)
                return self._delta("text_delta", text=event.text) if event.text else b""
            case RefusalEnd():
                return self.stop()
        assert_never(event)

    def _think(self, event: _Reasoning) -> bytes:
        path = f"choices[0].parts[{event.index}]"
        match event:
            case ReasoningStart():
                self._reasoning, self._segment, self._has_thought = event, None, False
                if event.redacted:
                    return b""  # comes whole, with its data, at the end
                block: dict[str, object] = dict(_THINKING)
                self._losses.restore(block, event.extensions, path)
                return self._start(block)
            case ReasoningDelta():
                if not self._is_open or not event.text:
                    return b""
                # Readers put thinking blocks together as they like: each paragraph is one.
                apart = self._has_thought and event.segment != self._segment
                self._segment, self._has_thought = event.segment, True
                between = self.stop() + self._start(dict(_THINKING)) if apart else b""
                return between + self._delta("thinking_delta", thinking=event.text)
            case ReasoningEnd():
                opaque = own_opaque(event.opaque, event.origin, path, self._losses)
                begun, self._reasoning = self._reasoning, None
                if begun is not None and begun.redacted:
                    if opaque is None:
                        return b""
                    redacted: dict[str, object] = {"type": "redacted_thinking", "data": opaque}
                    self._losses.restore(redacted, begun.extensions, path)
                    return self._start(redacted) + self.stop()
                return (self._delta("signature_delta", signature=opaque) if opaque else b"") + self.stop()
        assert_never(event)

    def _call_tool(self, event: _Call) -> bytes:
        path = f"choices[0].parts[{event.index}]"
        match event:
            case ToolCallStart():
                self.has_tool_calls = True
                self._call = event
                self._arguments.clear()
                name = joined_name(event.namespace, event.name)
                block: dict[str, object] = {"type": "tool_use", "id": event.id, "name": name, "input": {}}
                self._losses.restore(block, event.extensions, path)
                return self._start(block)
            case ToolCallDelta():
                self._arguments.append(event.arguments)
                held = self._call is not None and self._call.kind == "custom"
                return b"" if held else self._delta("input_json_delta", partial_json=event.arguments)
            case ToolCallEnd():
                return self.stop()
        assert_never(event)

    def _part(self, event: PartAdd) -> bytes:
        match event.part:
            case TextPart() | RefusalPart() | ReasoningPart() | ToolCallPart():
                return b"".join(self.frames(each) for each in _events_of(event))
            case _:
                block = encode_answered(event.part, f"choices[0].parts[{event.index}]", self._losses)
                return b"" if block is None else self._start(block) + self.stop()


def _events_of(event: PartAdd) -> Iterator[PartEvent]:
    """The events that tell of a part that came whole."""
    for each in unfold_part(0, event.index, event.part):
        if isinstance(each, _EVENTS):
            yield each
