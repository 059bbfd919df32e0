"""Texts and refusals of a Responses stream: parts of messages, several of which may share one item."""

from tollhouse.ir.events import RefusalDelta, RefusalStart, TextCitation, TextDelta, TextStart
from tollhouse.ir.parts import RefusalPart, TextPart
from tollhouse.wire.leftovers import Losses
from tollhouse.wire.openai_responses.citations import encode_annotation
from tollhouse.wire.openai_responses.output import MadeUpId, item_left, joins, message_item
from tollhouse.wire.openai_responses.parts import encode_answered
from tollhouse.wire.openai_responses.stream_frames import Frames, OpenItem


class _Message:
    """A message that is being written; `content` is the list in its item, `part_item_id` what its parts call it."""

    __slots__ = ("content", "item", "part_item_id")

    def __init__(self, item: OpenItem, content: list[dict[str, object]], part_item_id: str | None) -> None:
        self.item = item
        self.content = content
        self.part_item_id = part_item_id


class _Said:
    """A text or refusal that is being written."""

    __slots__ = ("annotations", "logprobs", "member", "message", "pieces", "place")

    def __init__(self, message: _Message, member: dict[str, object]) -> None:
        self.message = message
        self.member = member
        self.place = len(message.content)
        self.pieces: list[str] = []
        self.logprobs: list[dict[str, object]] = []
        self.annotations: list[dict[str, object]] = []

    @property
    def where(self) -> dict[str, object]:
        """How an event names the part that it is about."""
        return {**self.message.item.where, "content_index": self.place}


class TextWriter:
    """Writes the texts and refusals of one stream."""

    def __init__(self, frames: Frames, losses: Losses) -> None:
        self._frames = frames
        self._losses = losses
        self._message: _Message | None = None
        self._said: dict[int, _Said] = {}

    def start(self, event: TextStart | RefusalStart, made_up: MadeUpId) -> bytes:
        """A part opens, in the message before it or in one of its own."""
        frames = b""
        message = self._message
        if (
            message is None
            or not self._frames.is_last(message.item)
            or not joins(event.item_id, event.extensions, message.part_item_id)
        ):
            message, frames = self._open_message(event, made_up)
        kind = TextPart if isinstance(event, TextStart) else RefusalPart
        begun = kind(text="", extensions=event.extensions)
        member = encode_answered(begun, f"choices[0].parts[{event.index}]", self._losses)
        said = self._said[event.index] = _Said(message, member)
        message.content.append(member)
        message.item.open_parts += 1
        return frames + self._frames.frame("response.content_part.added", **said.where, part=member)

    def _open_message(self, event: TextStart | RefusalStart, made_up: MadeUpId) -> tuple[_Message, bytes]:
        item_id = event.item_id or made_up("msg")
        left = item_left(event.extensions)
        content: list[dict[str, object]] = []
        value = message_item(item_id, content, "completed", left)
        item, frames = self._frames.open(value, message_item(item_id, [], "in_progress", left))
        self._message = _Message(item, content, event.item_id)
        return self._message, frames

    def delta(self, event: TextDelta | RefusalDelta) -> bytes:
        """More text."""
        said = self._said[event.index]
        said.pieces.append(event.text)
        if isinstance(event, RefusalDelta):
            self._losses.drop(f"choices[0].parts[{event.index}].logprobs", event.logprobs)
            return self._frames.frame("response.refusal.delta", **said.where, delta=event.text)
        said.logprobs += event.logprobs
        logprobs = list(event.logprobs)
        return self._frames.frame("response.output_text.delta", **said.where, delta=event.text, logprobs=logprobs)

    def citation(self, event: TextCitation) -> bytes:
        """A citation of an open text; b'' when this format cannot say it."""
        said = self._said[event.index]
        path = f"choices[0].parts[{event.index}].citations[{len(said.annotations)}]"
        annotation = encode_annotation(event.citation, path, self._losses)
        if annotation is None:
            return b""
        said.annotations.append(annotation)
        place = {"annotation_index": len(said.annotations) - 1, "annotation": annotation}
        return self._frames.frame("response.output_text.annotation.added", **said.where, **place)

    def end(self, index: int) -> bytes:
        """A part closes."""
        said = self._said[index]
        text = "".join(said.pieces)
        if said.member["type"] == "refusal":
            said.member["refusal"] = text
            done = self._frames.frame("response.refusal.done", **said.where, refusal=text)
        else:
            said.member |= {"text": text, "annotations": said.annotations, "logprobs": said.logprobs}
            done = self._frames.frame("response.output_text.done", **said.where, text=text, logprobs=said.logprobs)
        done += self._frames.frame("response.content_part.done", **said.where, part=said.member)
        return done + self._frames.end_part(said.message.item)
