"""Events to streams of Responses: an answer that is created, items that open, grow and close, the whole answer."""

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
from tollhouse.ir.fold import unfold_part
from tollhouse.ir.loss import Loss
from tollhouse.ir.parts import OpaquePart, ReasoningPart, RefusalPart, TextPart, ToolCallPart
from tollhouse.ir.response import ChatResponse, Finish
from tollhouse.wire.leftovers import Losses
from tollhouse.wire.openai_responses.calls import encode_call, input_key
from tollhouse.wire.openai_responses.output import MadeUpId, call_prefix
from tollhouse.wire.openai_responses.parts import NAME
from tollhouse.wire.openai_responses.response import answer_body, answer_head
from tollhouse.wire.openai_responses.status import encode_finish
from tollhouse.wire.openai_responses.stream_frames import Frames, OpenItem
from tollhouse.wire.openai_responses.stream_reasoning import ReasoningWriter
from tollhouse.wire.openai_responses.stream_texts import TextWriter

_SaidEvent = TextStart | TextDelta | TextCitation | TextEnd | RefusalStart | RefusalDelta | RefusalEnd
_ChoiceEvent = (
    _SaidEvent
    | ReasoningStart
    | ReasoningDelta
    | ReasoningEnd
    | ToolCallStart
    | ToolCallDelta
    | ToolCallEnd
    | PartAdd
    | ChoiceExtend
    | ChoiceFinish
)


class _Call:
    """A tool call that is being written."""

    __slots__ = ("arguments", "item", "start")

    def __init__(self, start: ToolCallStart, item: OpenItem) -> None:
        self.start = start
        self.item = item
        self.arguments: list[str] = []


class ResponsesStreamEncoder:
    """Encodes one stream; `losses` collects what this format cannot say.

    The whole answer goes out with `flush`, as `response.completed` even when it is incomplete: its status says so, and
    the official SDK waits for that event. Of several choices only the first has a place.
    """

    def __init__(self, losses: list[Loss] | None = None) -> None:
        self._losses = Losses(NAME, [] if losses is None else losses)
        self._frames = Frames()
        self._texts = TextWriter(self._frames, self._losses)
        self._reasoning = ReasoningWriter(self._frames, self._losses)
        self._calls: dict[int, _Call] = {}
        self._answer = ChatResponse()
        self._finish: Finish | None = None
        self._others: set[int] = set()

    def feed(self, event: StreamEvent) -> bytes:
        """Frames that `event` makes; b'' when it makes none."""
        match event:
            case AnswerStart():
                return self._start(event)
            case AnswerExtend():
                extensions = {
                    name: {**self._answer.extensions.get(name, {}), **new} for name, new in event.extensions.items()
                }
                self._answer = msgspec.structs.replace(
                    self._answer,
                    extensions={**self._answer.extensions, **extensions},
                    service_tier=event.service_tier or self._answer.service_tier,
                )
                return b""
            case UsageReport():
                self._answer = msgspec.structs.replace(self._answer, usage=event.usage)
                return b""
            case _ if event.choice:
                if event.choice not in self._others:
                    self._others.add(event.choice)
                    self._losses.note(f"choices[{event.choice}]", f"{NAME} gives one answer")
                return b""
            case _:
                return self._choice_event(event)

    def flush(self) -> bytes:
        """The whole answer."""
        frames = self._frames.leave()
        output = [item.value for item in self._frames.items]
        body = answer_body(self._answer, output, self._finish, self._losses)
        return frames + self._frames.frame("response.completed", response=body)

    def _start(self, event: AnswerStart) -> bytes:
        self._answer = ChatResponse(
            id=event.id,
            model=event.model,
            created=event.created,
            service_tier=event.service_tier,
            extensions=event.extensions,
        )
        begun = answer_head(self._answer, "in_progress", Losses(NAME, []))
        return b"".join(self._frames.frame(f"response.{name}", response=begun) for name in ("created", "in_progress"))

    def _made_up_id(self) -> MadeUpId:
        return MadeUpId(self._answer.id, len(self._frames.items))

    def _choice_event(self, event: _ChoiceEvent) -> bytes:
        match event:
            case (
                TextStart() | TextDelta() | TextCitation() | TextEnd() | RefusalStart() | RefusalDelta() | RefusalEnd()
            ):
                return self._said(event)
            case ReasoningStart() | ReasoningDelta() | ReasoningEnd():
                return self._reasoned(event)
            case ToolCallStart() | ToolCallDelta() | ToolCallEnd():
                return self._called(event)
            case PartAdd():
                return self._part(event)
            case ChoiceExtend():
                for fields in event.extensions.values():
                    for key in fields:
                        self._losses.note(f"choices[0].{key}", f"{NAME} has no such field")
                return b""
            case ChoiceFinish():
                self._finish = event.finish
                status, _ = encode_finish(event.finish)
                return self._frames.leave(status)
        assert_never(event)

    def _said(self, event: _SaidEvent) -> bytes:
        match event:
            case TextStart() | RefusalStart():
                return self._texts.start(event, self._made_up_id())
            case TextDelta() | RefusalDelta():
                return self._texts.delta(event)
            case TextCitation():
                return self._texts.citation(event)
            case TextEnd() | RefusalEnd():
                return self._texts.end(event.index)
        assert_never(event)

    def _reasoned(self, event: ReasoningStart | ReasoningDelta | ReasoningEnd) -> bytes:
        match event:
            case ReasoningStart():
                return self._reasoning.start(event, self._made_up_id())
            case ReasoningDelta():
                return self._reasoning.delta(event)
            case ReasoningEnd():
                return self._reasoning.end(event)
        assert_never(event)

    def _called(self, event: ToolCallStart | ToolCallDelta | ToolCallEnd) -> bytes:
        if isinstance(event, ToolCallStart):
            return self._start_call(event)
        call = self._calls[event.index]
        key = input_key(call.start.kind)
        name = "response.function_call_arguments" if key == "arguments" else "response.custom_tool_call_input"
        if isinstance(event, ToolCallDelta):
            call.arguments.append(event.arguments)
            return self._frames.frame(f"{name}.delta", **call.item.where, delta=event.arguments)
        whole = "".join(call.arguments)
        call.item.value[key] = whole
        done = self._frames.frame(f"{name}.done", **call.item.where, **{key: whole})
        return done + self._frames.end_part(call.item)

    def _start_call(self, event: ToolCallStart) -> bytes:
        part = ToolCallPart(
            id=event.id,
            name=event.name,
            namespace=event.namespace,
            arguments="",
            kind=event.kind,
            item_id=event.item_id or self._made_up_id()(call_prefix(event.kind)),
            extensions=event.extensions,
        )
        value = encode_call(part, f"choices[0].parts[{event.index}]", self._losses)
        item, frames = self._frames.open({"status": "completed", **value}, {"status": "in_progress", **value})
        item.open_parts = 1
        self._calls[event.index] = _Call(event, item)
        return frames

    def _part(self, event: PartAdd) -> bytes:
        part = event.part
        match part:
            case TextPart() | RefusalPart() | ReasoningPart() | ToolCallPart():
                return b"".join(self.feed(each) for each in unfold_part(event.choice, event.index, part))
            case OpaquePart() if part.format == NAME:
                begun: dict[str, object] = dict(part.value)
                if begun.get("type") == "message":
                    begun["content"] = []
                item, frames = self._frames.open(dict(part.value), begun)
                item.closed = True
                frames += self._frames.frame("response.output_item.done", output_index=item.place, item=item.value)
                return frames
            case _:
                self._losses.note(f"choices[0].parts[{event.index}]", f"an answer of {NAME} has no such part")
                return b""
