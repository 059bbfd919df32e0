"""Events to streams of Messages: message_start, blocks one after the other, message_delta, message_stop."""

from tollhouse.ir.events import (
    AnswerExtend,
    AnswerStart,
    ChoiceExtend,
    ChoiceFinish,
    PartAdd,
    ReasoningEnd,
    RefusalEnd,
    StreamEvent,
    TextEnd,
    ToolCallEnd,
    UsageReport,
)
from tollhouse.ir.loss import Loss
from tollhouse.ir.response import ChatResponse, Finish
from tollhouse.ir.usage import Usage
from tollhouse.wire.anthropic_messages.block_frames import BlockFrames, PartEvent, event_frame
from tollhouse.wire.anthropic_messages.finish import encode_finish
from tollhouse.wire.anthropic_messages.names import NAME
from tollhouse.wire.anthropic_messages.response import usage_object
from tollhouse.wire.leftovers import Losses

_ENDS = (TextEnd, RefusalEnd, ReasoningEnd, ToolCallEnd, PartAdd)

# A leftover of the event itself; all others belong to its `delta` (docs "Context editing", 2026-11).
_OF_EVENT = frozenset({"context_management"})


class MessagesStreamEncoder:
    """Encodes one stream; `losses` collects what this format cannot say, such as a second choice.

    Blocks of this format come one after the other, parts may grow side by side: what belongs to a later part waits
    until the earlier one has ended, or is a tool call with arguments that are whole. message_start waits for the first
    event that is no usage; `input_tokens` is what it says of the prompt when nothing has been reported by then.
    """

    def __init__(self, losses: list[Loss] | None = None, input_tokens: int = 0) -> None:
        self._losses = Losses(NAME, [] if losses is None else losses)
        self._input_tokens = input_tokens
        self._head: AnswerStart | None = None
        self._blocks = BlockFrames(self._losses)
        self._current: int | None = None
        self._waiting: dict[int, list[PartEvent]] = {}
        self._closed_early: set[int] = set()
        self._lost_choices: set[int] = set()
        self._finish: Finish | None = None
        self._usage: Usage | None = None
        self._late: dict[str, object] = {}
        self._late_tier: str | None = None

    def feed(self, event: StreamEvent) -> bytes:
        """Frames that `event` makes; b'' when it makes none yet."""
        match event:
            case AnswerStart():
                self._head = event
                return b""
            case UsageReport():
                self._usage = event.usage
                return b""
            case AnswerExtend():
                self._late_tier = event.service_tier or self._late_tier
                self._keep_late(event.extensions, "")
                return b""
            case _ if event.choice != 0:
                if event.choice not in self._lost_choices:
                    self._lost_choices.add(event.choice)
                    self._losses.note(f"choices[{event.choice}]", f"an answer of {NAME} is one")
                return b""
            case ChoiceExtend():
                self._keep_late(event.extensions, "choices[0]")
                return b""
            case ChoiceFinish():
                self._finish = event.finish
                return self._message_start()
            case _:
                return self._message_start() + self._part_event(event)

    def flush(self) -> bytes:
        """What is left of the blocks, then message_delta and message_stop."""
        out = [self._message_start(), self._advance()]
        while self._current is not None:
            self._current = None
            out.append(self._blocks.stop())
            out.append(self._advance())
        finish = encode_finish(self._finish, has_tool_calls=self._blocks.has_tool_calls)
        answer = ChatResponse(usage=self._usage, service_tier=self._late_tier)
        event: dict[str, object] = {"type": "message_delta", "delta": finish, "usage": usage_object(answer)}
        late = {key: value for key, value in self._late.items() if key == "usage" or key in _OF_EVENT}
        late["delta"] = {key: value for key, value in self._late.items() if key not in late}
        self._losses.restore(event, {NAME: late}, "")
        out.append(event_frame(event) + event_frame({"type": "message_stop"}))
        return b"".join(out)

    def _keep_late(self, extensions: dict[str, dict[str, object]], path: str) -> None:
        late: dict[str, object] = {}
        self._losses.restore(late, extensions, path)
        self._late |= late

    def _message_start(self) -> bytes:
        """The first frame; b'' when it has been sent."""
        head, self._head = self._head, None
        if head is None:
            return b""
        answer = ChatResponse(usage=self._usage, service_tier=head.service_tier)
        usage = usage_object(answer)
        if self._usage is None:
            usage["input_tokens"] = self._input_tokens
        message: dict[str, object] = {
            "id": head.id or "",
            "type": "message",
            "role": "assistant",
            "model": head.model or "",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }
        left: dict[str, object] = {}
        self._losses.restore(left, head.extensions, "")
        # Nothing may take the place of the nulls above: they say that the answer has just begun.
        named = {key: value for key, value in left.items() if key not in ("stop_reason", "stop_sequence")}
        self._losses.restore(message, {NAME: named}, "")
        return event_frame({"type": "message_start", "message": message})

    def _part_event(self, event: PartEvent) -> bytes:
        index = event.index
        if index in self._closed_early:
            return b""
        if index == self._current:
            return self._emit(event) + self._advance()
        self._waiting.setdefault(index, []).append(event)
        if self._current is not None and self._blocks.is_whole_call():
            self._closed_early.add(self._current)
            self._current = None
            return self._blocks.stop() + self._advance()
        return self._advance()

    def _advance(self) -> bytes:
        """Frames of the parts that have waited, as far as they can be told now."""
        out: list[bytes] = []
        while self._current is None and self._waiting:
            index = min(self._waiting)
            events = self._waiting.pop(index)
            ended = isinstance(events[-1], _ENDS)
            out.extend(self._blocks.frames(event) for event in events)
            if ended:
                continue
            if self._waiting and self._blocks.is_whole_call():
                self._closed_early.add(index)
                out.append(self._blocks.stop())
            else:
                self._current = index
        return b"".join(out)

    def _emit(self, event: PartEvent) -> bytes:
        if isinstance(event, _ENDS):
            self._current = None
        return self._blocks.frames(event)
