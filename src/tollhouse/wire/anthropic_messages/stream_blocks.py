"""One content block of a Messages stream: its deltas become events of one part."""

from collections.abc import Iterator
from typing import Literal

from tollhouse.ir.events import (
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
)
from tollhouse.ir.plain import is_object
from tollhouse.wire.anthropic_messages.citations import decode_citation, decode_citations
from tollhouse.wire.anthropic_messages.names import NAME, ORIGIN
from tollhouse.wire.anthropic_messages.response import decode_answer_block
from tollhouse.wire.fields import Fields, parse_answer, render, unreadable_answer
from tollhouse.wire.leftovers import joined, kept

_Kind = Literal["text", "thinking", "redacted", "tool_use", "opaque"]

_KINDS: dict[str, _Kind] = {
    "text": "text",
    "thinking": "thinking",
    "redacted_thinking": "redacted",
    "tool_use": "tool_use",
}


class BlockDecoder:
    """Decodes one block; `index` is the part's own, None until its first event. `start`, `grow`, `end` in that order.

    A block of a kind that is not known is collected and comes whole at its end.
    """

    def __init__(self, block: dict[str, object]) -> None:
        self.kind: _Kind = _KINDS.get(_text(block, "type"), "opaque")
        self.index: int | None = None
        self.held_bytes = 0
        self._block = block
        self._opaque: list[str] = []
        self._input: list[str] = []
        self._grown = False
        self.added = 0
        """How many parts `end` has added that `start` had not."""

    def start(self, index: int) -> Iterator[StreamEvent]:
        """The events of content_block_start; `index` is the next free one. Raises FaultError."""
        if self.kind == "opaque":
            return
        self.index = index
        fields = Fields(self._block)
        fields.drop("type", "cache_control")
        match self.kind:
            case "text":
                yield from self._start_text(fields, index)
            case "thinking":
                text, signature = fields.text("thinking"), fields.text("signature")
                yield ReasoningStart(index=index, extensions=kept(NAME, fields.rest()))
                if text:
                    yield ReasoningDelta(index=index, text=text)
                if signature:
                    self._hold(signature, self._opaque)
            case "redacted":
                self._hold(fields.text("data") or "", self._opaque)
                yield ReasoningStart(index=index, redacted=True, extensions=kept(NAME, fields.rest()))
            case "tool_use":
                yield self._start_call(fields, index)

    def grow(self, delta: dict[str, object]) -> Iterator[StreamEvent]:
        """The events of content_block_delta. A delta of a kind to come passes: so readers are told (docs "Streaming",
        2026-11)."""
        index = self.index or 0
        match self.kind, delta.get("type"):
            case "text", "text_delta" | "citations_delta":
                yield from _text_events(delta, index)
            case "thinking", "thinking_delta":
                if text := _text(delta, "thinking"):
                    yield ReasoningDelta(index=index, text=text)
            case "thinking", "signature_delta":
                self._hold(_text(delta, "signature"), self._opaque)
            case "tool_use", "input_json_delta":
                if text := _text(delta, "partial_json"):
                    self._grown = True
                    yield ToolCallDelta(index=index, arguments=text)
            case "opaque", "input_json_delta":
                self._hold(_text(delta, "partial_json"), self._input)
            case "opaque", _:
                self._collect(delta)
            case _:
                pass

    def end(self, next_index: int) -> Iterator[StreamEvent]:
        """The events of content_block_stop."""
        index = self.index or 0
        match self.kind:
            case "text":
                yield TextEnd(index=index)
            case "thinking" | "redacted":
                opaque = "".join(self._opaque)
                told = opaque if opaque or self.kind == "redacted" else None
                yield ReasoningEnd(index=index, opaque=told, origin=None if told is None else ORIGIN)
            case "tool_use":
                if not self._grown:
                    # Without arguments the provider sends one empty fragment, or none.
                    value = self._block.get("input")
                    arguments = "{}" if value is None else render(value).decode()
                    yield ToolCallDelta(index=index, arguments=arguments)
                yield ToolCallEnd(index=index)
            case "opaque":
                part = decode_answer_block(self._whole())
                if part is not None:
                    self.added = 1
                    yield PartAdd(index=next_index, part=part)

    def _start_text(self, fields: Fields, index: int) -> Iterator[StreamEvent]:
        text = fields.text("text")
        citations = decode_citations(fields.array("citations") or ())
        yield TextStart(index=index, extensions=kept(NAME, fields.rest()))
        if text:
            yield TextDelta(index=index, text=text)
        for citation in citations:
            yield TextCitation(index=index, citation=citation)

    def _start_call(self, fields: Fields, index: int) -> ToolCallStart:
        name = fields.text("name")
        if name is None:
            unreadable_answer("A tool call in the provider's answer names no tool.")
        call_id = fields.text("id")
        fields.drop("input")
        extensions = kept(NAME, fields.rest())
        return ToolCallStart(
            index=index, id=f"toolu_{index}" if call_id is None else call_id, name=name, extensions=extensions
        )

    def _hold(self, text: str, pieces: list[str]) -> None:
        self.held_bytes += len(text)
        pieces.append(text)

    def _collect(self, delta: dict[str, object]) -> None:
        """A delta of a block that is not understood: its fields grow those of the block."""
        fields = {key: value for key, value in delta.items() if key != "type"}
        citation = fields.pop("citation", None)
        if citation is not None:
            fields["citations"] = [citation]
        self.held_bytes += len(render(fields))
        self._block = joined(self._block, fields)

    def _whole(self) -> dict[str, object]:
        """The block with its input, which comes in fragments of JSON."""
        text = "".join(self._input)
        if not text.strip():
            return self._block
        try:
            value = parse_answer(text.encode())
        except ValueError:
            value = text
        return {**self._block, "input": value}


def _text_events(delta: dict[str, object], index: int) -> Iterator[StreamEvent]:
    if text := _text(delta, "text"):
        yield TextDelta(index=index, text=text)
    citation = delta.get("citation")
    if is_object(citation):
        yield TextCitation(index=index, citation=decode_citation(citation))


def _text(delta: dict[str, object], key: str) -> str:
    value = delta.get(key)
    return value if isinstance(value, str) else ""


def as_block(value: object) -> dict[str, object]:
    """The block of a content_block_start. Raises FaultError when it is none."""
    if not is_object(value):
        unreadable_answer("A content block in the provider's stream is not a JSON object.")
    return value
