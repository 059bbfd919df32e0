"""Reasoning of a Responses stream: an item with paragraphs of a summary, and with the reasoning itself."""

from tollhouse.ir.events import ReasoningDelta, ReasoningEnd, ReasoningStart
from tollhouse.ir.parts import ReasoningPart
from tollhouse.wire.leftovers import Losses
from tollhouse.wire.openai_responses.output import MadeUpId
from tollhouse.wire.openai_responses.parts import NAME
from tollhouse.wire.openai_responses.reasoning import encode_reasoning, encode_reasoning_text
from tollhouse.wire.openai_responses.stream_frames import Frames, OpenItem


class _Reasoning:
    """Reasoning that is being written; `segment` is the paragraph of the summary that is open."""

    __slots__ = ("item", "segment", "start", "summary", "text")

    def __init__(self, start: ReasoningStart, item: OpenItem) -> None:
        self.start = start
        self.item = item
        self.text: list[str] = []
        self.summary: list[list[str]] = []
        self.segment: int | None = None


class ReasoningWriter:
    """Writes the reasoning of one stream."""

    def __init__(self, frames: Frames, losses: Losses) -> None:
        self._frames = frames
        self._losses = losses
        self._open: dict[int, _Reasoning] = {}

    def start(self, event: ReasoningStart, made_up: MadeUpId) -> bytes:
        """An item opens."""
        part = ReasoningPart(id=event.id or made_up("rs"), extensions=event.extensions)
        value = encode_reasoning(part, f"choices[0].parts[{event.index}]", self._losses)
        item, frames = self._frames.open(value, dict(value))
        item.open_parts = 1
        self._open[event.index] = _Reasoning(event, item)
        return frames

    def delta(self, event: ReasoningDelta) -> bytes:
        """More of the reasoning, or of its summary."""
        reasoning = self._open[event.index]
        if event.segment is None:
            return self._text(reasoning, event.text)
        frames = b""
        if event.segment != reasoning.segment or not reasoning.summary:
            frames = self._end_paragraph(reasoning)
            reasoning.segment = event.segment
            reasoning.summary.append([])
            frames += self._paragraph(reasoning, "part.added", part={"type": "summary_text", "text": ""})
        if event.text:
            reasoning.summary[-1].append(event.text)
            frames += self._paragraph(reasoning, "text.delta", delta=event.text)
        return frames

    def _text(self, reasoning: _Reasoning, text: str) -> bytes:
        where = {**reasoning.item.where, "content_index": 0}
        frames = b""
        if not reasoning.text:
            frames = self._frames.frame("response.content_part.added", **where, part=encode_reasoning_text(""))
        reasoning.text.append(text)
        return frames + self._frames.frame("response.reasoning_text.delta", **where, delta=text)

    def _paragraph(self, reasoning: _Reasoning, name: str, **fields: object) -> bytes:
        where = {**reasoning.item.where, "summary_index": len(reasoning.summary) - 1}
        return self._frames.frame(f"response.reasoning_summary_{name}", **where, **fields)

    def _end_paragraph(self, reasoning: _Reasoning) -> bytes:
        if reasoning.segment is None:
            return b""
        reasoning.segment = None
        text = "".join(reasoning.summary[-1])
        done = self._paragraph(reasoning, "text.done", text=text)
        return done + self._paragraph(reasoning, "part.done", part={"type": "summary_text", "text": text})

    def end(self, event: ReasoningEnd) -> bytes:
        """The item has all its parts."""
        reasoning = self._open[event.index]
        frames = self._end_paragraph(reasoning)
        text = "".join(reasoning.text)
        if reasoning.text:
            where = {**reasoning.item.where, "content_index": 0}
            frames += self._frames.frame("response.reasoning_text.done", **where, text=text)
            frames += self._frames.frame("response.content_part.done", **where, part=encode_reasoning_text(text))
        item_id = reasoning.item.value.get("id")
        # What other formats have left was noted when the item opened.
        own = {name: left for name, left in reasoning.start.extensions.items() if name == NAME}
        whole = ReasoningPart(
            text=text,
            summary=tuple("".join(paragraph) for paragraph in reasoning.summary),
            opaque=event.opaque,
            origin=event.origin,
            id=item_id if isinstance(item_id, str) else None,
            extensions=own,
        )
        reasoning.item.value |= encode_reasoning(whole, f"choices[0].parts[{event.index}]", self._losses)
        return frames + self._frames.end_part(reasoning.item)
