"""Events to streams of Chat Completions: a role frame, deltas, one finish frame, usage alone, `[DONE]`."""

from typing import assert_never

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
from tollhouse.ir.usage import Usage
from tollhouse.wire.fields import render
from tollhouse.wire.framing import sse_frame
from tollhouse.wire.leftovers import Losses
from tollhouse.wire.openai_chat.citations import encode_annotations, encode_logprobs
from tollhouse.wire.openai_chat.finish import encode_finish
from tollhouse.wire.openai_chat.parts import NAME, encode_content_part
from tollhouse.wire.openai_chat.reasoning import ENCRYPTED_FORM, TEXT_FORM, finish_detail, plain_keys, readable_opaque
from tollhouse.wire.openai_chat.tools import encode_tool_call
from tollhouse.wire.openai_chat.usage import encode_usage

DONE = sse_frame(b"[DONE]")

_PartEvent = TextStart | TextCitation | ReasoningStart | ReasoningEnd | ToolCallStart | PartAdd
_ChoiceEvent = (
    TextStart
    | TextDelta
    | TextCitation
    | TextEnd
    | RefusalStart
    | RefusalDelta
    | RefusalEnd
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


class _Choice:
    """What has been emitted of one choice."""

    __slots__ = ("annotations", "around", "calls", "chars", "details", "left", "reasoning", "text_at")

    def __init__(self) -> None:
        self.calls: dict[int, tuple[int, str]] = {}
        """Part index of a tool call to its place in `tool_calls`, and its kind."""
        self.reasoning: dict[int, ReasoningStart] = {}
        self.details: dict[int, int] = {}
        """Part index of reasoning to its place in `reasoning_details`."""
        self.text_at: dict[int, int] = {}
        """Part index to where the part begins in the choice's text, in characters."""
        self.chars = 0
        self.annotations = 0
        self.left: dict[str, object] = {}
        self.around: tuple[bytes, bytes] | None = None
        """What stands before and after the text in a frame of text alone."""


class ChatStreamEncoder:
    """Encodes one stream; `losses` collects what this format cannot say.

    A finish frame goes out with its event; usage, what was learned late, and `[DONE]` with `flush`.
    """

    def __init__(self, losses: list[Loss] | None = None) -> None:
        self._losses = Losses(NAME, [] if losses is None else losses)
        self._head: dict[str, object] = {}
        self._late: dict[str, object] = {}
        self._choices: dict[int, _Choice] = {}
        self._usage: Usage | None = None

    def feed(self, event: StreamEvent) -> bytes:
        """Frames that `event` makes; b'' when it makes none."""
        if type(event) is TextDelta and not event.logprobs and (choice := self._choices.get(event.choice)) is not None:
            return self._text_alone(event, choice)
        match event:
            case AnswerStart():
                return self._start(event)
            case AnswerExtend():
                late: dict[str, object] = {}
                if event.service_tier is not None:
                    late["service_tier"] = event.service_tier
                self._losses.restore(late, event.extensions, "")
                self._late |= late
                return b""
            case UsageReport():
                self._usage = event.usage
                return b""
            case _:
                return self._role_frame(event.choice) + self._choice_event(event, self._choices[event.choice])

    def flush(self) -> bytes:
        """The terminal frames: usage alone when it is known, then `[DONE]`."""
        if self._usage is None and not self._late:
            return DONE
        chunk: dict[str, object] = {**self._head, "choices": []}
        if self._usage is not None:
            chunk["usage"] = encode_usage(self._usage)
        return sse_frame(render({**self._late, **chunk})) + DONE

    def _start(self, event: AnswerStart) -> bytes:
        self._head = {
            "id": event.id or "",
            "object": "chat.completion.chunk",
            "created": event.created or 0,
            "model": event.model or "",
        }
        extra: dict[str, object] = {} if event.service_tier is None else {"service_tier": event.service_tier}
        self._losses.restore(extra, event.extensions, "")
        return self._role_frame(0, extra)

    def _role_frame(self, number: int, extra: dict[str, object] | None = None) -> bytes:
        """The frame that opens a choice; b'' when it is open."""
        if number in self._choices:
            return b""
        self._choices[number] = _Choice()
        choice = {"index": number, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
        return sse_frame(render({**(extra or {}), **self._head, "choices": [choice]}))

    def _frame(self, number: int, delta: dict[str, object], logprobs: dict[str, object] | None = None) -> bytes:
        choice: dict[str, object] = {"index": number, "delta": delta, "finish_reason": None}
        if logprobs is not None:
            choice["logprobs"] = logprobs
        return sse_frame(render({**self._head, "choices": [choice]}))

    def _text_alone(self, event: TextDelta, choice: _Choice) -> bytes:
        """The common frame; of two of them only the text differs."""
        around = choice.around
        if around is None:
            before, _, after = self._frame(event.choice, {"content": ""}).rpartition(b'""')
            around = choice.around = (before, after)
        choice.chars += len(event.text)
        return around[0] + render(event.text) + around[1]

    def _choice_event(self, event: _ChoiceEvent, choice: _Choice) -> bytes:
        match event:
            case TextStart() | TextDelta() | TextCitation() | TextEnd():
                return self._text(event, choice)
            case RefusalStart() | RefusalDelta() | RefusalEnd():
                return self._refusal(event)
            case ReasoningStart() | ReasoningDelta() | ReasoningEnd():
                return self._reasoning(event, choice)
            case ToolCallStart() | ToolCallDelta() | ToolCallEnd():
                return self._tool_call(event, choice)
            case PartAdd():
                return self._part(event)
            case ChoiceExtend():
                left: dict[str, object] = {}
                self._losses.restore(left, event.extensions, f"choices[{event.choice}]")
                choice.left |= left
                return b""
            case ChoiceFinish():
                return self._finish(event, choice)
        assert_never(event)

    def _text(self, event: TextStart | TextDelta | TextCitation | TextEnd, choice: _Choice) -> bytes:
        match event:
            case TextStart():
                choice.text_at[event.index] = choice.chars
                for name, fields in event.extensions.items():
                    for key in fields:
                        self._losses.note(f"{_path(event)}.{key}", f"a stream of {NAME} has no place for {name} fields")
                return b""
            case TextDelta():
                choice.chars += len(event.text)
                return self._frame(event.choice, {"content": event.text}, encode_logprobs(list(event.logprobs), []))
            case TextCitation():
                shift = choice.text_at[event.index]
                annotations = encode_annotations([event.citation], shift, _path(event), self._losses)
                if not annotations:
                    return b""
                # The official SDK joins lists of a delta by the `index` of their members, and fails without one.
                numbered = {"index": choice.annotations, **annotations[0]}
                choice.annotations += 1
                return self._frame(event.choice, {"annotations": [numbered]})
            case TextEnd():
                return b""
        assert_never(event)

    def _refusal(self, event: RefusalStart | RefusalDelta | RefusalEnd) -> bytes:
        if not isinstance(event, RefusalDelta):
            return b""
        return self._frame(event.choice, {"refusal": event.text}, encode_logprobs([], list(event.logprobs)))

    def _reasoning(self, event: ReasoningStart | ReasoningDelta | ReasoningEnd, choice: _Choice) -> bytes:
        match event:
            case ReasoningStart():
                choice.reasoning[event.index] = event
                return b""
            case ReasoningDelta():
                return self._frame(
                    event.choice, self._reasoning_delta(choice.reasoning[event.index], event.text, choice)
                )
            case ReasoningEnd():
                start = choice.reasoning[event.index]
                opaque = readable_opaque(event.opaque, event.origin, _path(event), self._losses)
                if opaque is None:
                    return b""
                encrypted = start.redacted or start.form == ENCRYPTED_FORM
                detail: dict[str, object] = {"type": ENCRYPTED_FORM if encrypted else TEXT_FORM}
                detail["data" if encrypted else "signature"] = opaque
                return self._frame(event.choice, {"reasoning_details": [self._detail(detail, start, choice)]})
        assert_never(event)

    def _detail(self, detail: dict[str, object], start: ReasoningStart, choice: _Choice) -> dict[str, object]:
        finish_detail(detail, start, _path(start), self._losses)
        detail.setdefault("index", choice.details.setdefault(start.index, len(choice.details)))
        return detail

    def _reasoning_delta(self, start: ReasoningStart, text: str, choice: _Choice) -> dict[str, object]:
        match start.form:
            case "reasoning.text" | "reasoning.summary":
                key = start.form.removeprefix("reasoning.")
                detail = self._detail({"type": start.form, key: text}, start, choice)
                return {"reasoning": text, "reasoning_details": [detail]}
            case _:
                return dict.fromkeys(plain_keys(start.form), text)

    def _tool_call(self, event: ToolCallStart | ToolCallDelta | ToolCallEnd, choice: _Choice) -> bytes:
        match event:
            case ToolCallStart():
                place = len(choice.calls)
                choice.calls[event.index] = (place, event.kind)
                begun = ToolCallPart(
                    id=event.id,
                    name=event.name,
                    namespace=event.namespace,
                    arguments="",
                    kind=event.kind,
                    extensions=event.extensions,
                )
                call = {"index": place, **encode_tool_call(begun, _path(event), self._losses)}
            case ToolCallDelta():
                place, kind = choice.calls[event.index]
                call = {"index": place, kind: {"input" if kind == "custom" else "arguments": event.arguments}}
            case ToolCallEnd():
                return b""
            case _:
                assert_never(event)
        return self._frame(event.choice, {"tool_calls": [call]})

    def _part(self, event: PartAdd) -> bytes:
        match event.part:
            case RefusalPart() | ReasoningPart() | ToolCallPart():
                return b"".join(self.feed(each) for each in unfold_part(event.choice, event.index, event.part))
            case TextPart() | OpaquePart():
                member = encode_content_part(event.part, _path(event), self._losses)
                return b"" if member is None else self._frame(event.choice, {"content": [member]})
            case _:
                self._losses.note(_path(event), f"an answer of {NAME} has no such part")
                return b""

    def _finish(self, event: ChoiceFinish, choice: _Choice) -> bytes:
        left = dict(choice.left)
        delta = left.pop("message", {})
        reason = encode_finish(event.finish, has_tool_calls=bool(choice.calls))
        finished = {"index": event.choice, "delta": delta, "finish_reason": reason}
        return sse_frame(render({**self._head, "choices": [{**left, **finished}]}))


def _path(event: _PartEvent) -> str:
    return f"choices[{event.choice}].parts[{event.index}]"
