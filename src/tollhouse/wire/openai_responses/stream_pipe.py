"""StreamPipe: a Responses stream verbatim, or with another id, model and usage in its answer objects."""

import msgspec

from tollhouse.ir.fault import FaultError
from tollhouse.ir.plain import is_object
from tollhouse.ir.usage import Usage
from tollhouse.wire.format import Answered, AnswerPolicy
from tollhouse.wire.framing import Frame, SseReader, sse_frame
from tollhouse.wire.openai_responses.kept_items import KeptItems
from tollhouse.wire.openai_responses.pipe_answer import (
    Patch,
    RawObject,
    broken,
    cut_object,
    finish_word,
    plain_object,
    raw,
    text_bytes,
    tier_of,
    used_tool,
)
from tollhouse.wire.openai_responses.response import decode_answer_usage
from tollhouse.wire.openai_responses.status import raise_failure
from tollhouse.wire.openai_responses.stream_decode import BEGINNINGS, ENDINGS, raise_stream_error
from tollhouse.wire.scan import join_object

_MAX_LEAD_BYTES = 1 << 20
_QUIET = frozenset(
    {"response.output_item.added", "response.content_part.added", "response.reasoning_summary_part.added"}
)
"""Events that announce what is to come."""


class _Event(msgspec.Struct):
    """What matters of one event; the rest is not even decoded."""

    type: object = None
    sequence_number: object = None
    output_index: object = None
    delta: object = None
    item: msgspec.Raw = msgspec.Raw()
    response: msgspec.Raw = msgspec.Raw()


_event_decoder = msgspec.json.Decoder(_Event)


class StreamPipe:
    """Only events that hold an answer object are changed, `response.created` and its like; with `tidy` also those that
    have no name or number. Events before the first generated text are held back: until then another deployment may
    answer, and the caller should not see two beginnings."""

    def __init__(self, policy: AnswerPolicy) -> None:
        self.usage: Usage | None = None
        self.service_tier: str | None = None
        self.tool_uses: dict[str, int] = {}
        self.received_bytes = 0
        self.has_content = False
        self.is_complete = False
        self.finish_reason: str | None = None
        self._policy = policy
        self._patch = Patch(policy)
        self._reader = SseReader()
        self._lead: list[bytes] = []
        self._lead_bytes = 0
        self._items = KeptItems()
        self._head: RawObject | None = None
        self._number = -1
        self._end: Frame | None = None
        self._end_reports_usage = False
        self._tail: list[bytes] = []
        self._closed = False
        self._fault: FaultError | None = None

    @property
    def reported_at_bytes(self) -> int:
        """All of it: the report comes with the end of the answer."""
        return self.received_bytes

    def feed(self, data: bytes) -> bytes:
        """Bytes for the caller; never the last answer object. Raises FaultError on an error event or garble, once all
        that came before it has been given out."""
        if self._fault is not None:
            raise self._fault
        out: list[bytes] = []
        try:
            out.extend(self._read(self._reader.parse(frame)) for frame in self._reader.cut(data))
        except FaultError as error:
            if not any(out):
                raise
            self._fault = error
            self.is_complete = True
        return b"".join(out)

    def release(self) -> bytes:
        """What was held back, let go although nothing has been generated yet."""
        out = b"".join(self._lead)
        self._lead.clear()
        self.has_content = self.has_content or bool(out)
        return out

    def close(self) -> bytes:
        """The end of the provider's stream. Raises FaultError when the answer was cut short."""
        if self._fault is not None:
            raise self._fault
        out = b"".join([self._read(frame) for frame in self._reader.flush()])
        if self._end is None and not self._items.is_whole():
            raise broken("The provider's answer was cut short. Try again.")
        self._closed = True
        return out

    def finish(self, answered: Answered) -> bytes:
        """What was held back, and the event with the whole answer."""
        lead, self._lead = self._lead, []
        end = self._told_end(answered, self._end) if self._end is not None else self._made_end(answered)
        return b"".join((*lead, end, *self._tail))

    def _read(self, frame: Frame) -> bytes:
        data = frame.data.strip() if frame.data is not None else b""
        if not data:
            return self._release(frame.raw, content=False)
        if data == b"[DONE]" or self._end is not None:
            if not self._policy.tidy:
                self._tail.append(frame.raw)
            return b""
        try:
            event = _event_decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise broken("The provider sent an event that is no JSON object.") from None
        name = event.type if isinstance(event.type, str) else (frame.event or b"").decode(errors="replace")
        if name == "error" or (event.type is None and plain_object(data).get("error")):
            raise_stream_error(plain_object(data))
        self._number = event.sequence_number if isinstance(event.sequence_number, int) else self._number + 1
        if name in ENDINGS:
            return self._note_end(_terminated(frame), name, event)
        if name in BEGINNINGS:
            return self._release(self._beginning(frame, name, event), content=False)
        self._note_item(name, event)
        quiet = name in _QUIET or event.delta == ""
        return self._release(self._numbered(frame, name, event), content=not quiet)

    def _beginning(self, frame: Frame, name: str, event: _Event) -> bytes:
        if not bytes(event.response).startswith(b"{"):
            return self._numbered(frame, name, event)
        answer = cut_object(event.response)
        self._head = {key: msgspec.Raw(bytes(value)) for key, value in answer.items()}
        patched = self._patch.named(answer)
        if patched == answer:
            return self._numbered(frame, name, event)
        return self._joined(frame, name, patched)

    def _joined(self, frame: Frame, name: str, answer: RawObject) -> bytes:
        """The event with another answer object."""
        fields = {**cut_object(frame.data or b""), "response": msgspec.Raw(join_object(answer))}
        if self._policy.tidy:
            fields |= {"type": raw(name), "sequence_number": raw(self._number)}
        return sse_frame(join_object(fields), name.encode() if self._policy.tidy else frame.event)

    def _numbered(self, frame: Frame, name: str, event: _Event) -> bytes:
        """The event as it came; with `tidy`, with the name and number that it should have."""
        whole = frame.event is not None and isinstance(event.sequence_number, int)
        if whole or not self._policy.tidy or not name:
            return frame.raw
        fields = {**cut_object(frame.data or b""), "type": raw(name), "sequence_number": raw(self._number)}
        return sse_frame(join_object(fields), name.encode())

    def _note_item(self, name: str, event: _Event) -> None:
        """Keep count of what was generated."""
        place = event.output_index if type(event.output_index) is int else -1
        if isinstance(event.delta, str):
            self.received_bytes += len(event.delta.encode())
            self._items.grow(place, event.delta)
            return
        item = plain_object(bytes(event.item)) if bytes(event.item).startswith(b"{") else None
        if item is None:
            return
        if name == "response.output_item.added":
            self._items.add(place, item)
        elif name == "response.output_item.done":
            if not self._items.has_grown(place):
                self.received_bytes += text_bytes(item)
            self._items.add(place, item)
            self._items.settle(place, event.item)
            if used := used_tool(item):
                self.tool_uses[used] = self.tool_uses.get(used, 0) + 1

    def _note_end(self, frame: Frame, name: str, event: _Event) -> bytes:
        told = bytes(event.response)
        answer = plain_object(told) if told.startswith(b"{") else {}
        # A failed answer may have used something all the same.
        self.usage = decode_answer_usage(answer)
        self.service_tier = tier_of(answer)
        if name in ("response.failed", "response.cancelled") or answer.get("error"):
            raise_failure(answer)
        self._end = frame
        self.is_complete = True
        self._end_reports_usage = is_object(answer.get("usage"))
        self.finish_reason = finish_word(answer) or name.removeprefix("response.")
        return b""

    def _told_end(self, answered: Answered, frame: Frame) -> bytes:
        if self._policy == AnswerPolicy():
            return frame.raw
        event = _event_decoder.decode(frame.data or b"")
        answer = cut_object(event.response) if bytes(event.response).startswith(b"{") else dict(self._head or {})
        patched = self._patch.settled(answer, answered, own_usage=not self._end_reports_usage)
        # The contract knows one event for the end; the status in it says whether the answer is complete.
        name = event.type if isinstance(event.type, str) else (frame.event or b"").decode(errors="replace")
        return self._joined(frame, "response.completed" if self._policy.tidy else name, patched)

    def _made_end(self, answered: Answered) -> bytes:
        """The end of a stream whose provider told none, or which the gateway itself has cut."""
        frames: list[bytes] = []
        for place, item in self._items.close():
            name = "response.output_item.done"
            frames.append(self._own(name, {"output_index": raw(place), "item": item}))
        details = None if self._closed else {"reason": "max_output_tokens"}
        self.finish_reason = "completed" if details is None else "max_output_tokens"
        answer = {
            **(self._head or {}),
            "status": raw("completed" if details is None else "incomplete"),
            "incomplete_details": raw(details),
            "output": raw(self._items.output()),
        }
        settled = self._patch.settled(answer, answered, own_usage=True)
        frames.append(self._own("response.completed", {"response": msgspec.Raw(join_object(settled))}))
        return b"".join(frames)

    def _own(self, name: str, fields: RawObject) -> bytes:
        self._number += 1
        event = {"type": raw(name), "sequence_number": raw(self._number), **fields}
        return sse_frame(join_object(event), name.encode())

    def _release(self, frame: bytes, *, content: bool) -> bytes:
        """Hold `frame` back while nothing was generated, else let it go with all that was held."""
        if self.has_content or not frame:
            return frame
        if not content and self._lead_bytes + len(frame) <= _MAX_LEAD_BYTES:
            self._lead.append(frame)
            self._lead_bytes += len(frame)
            return b""
        self.has_content = True
        out = b"".join((*self._lead, frame))
        self._lead.clear()
        return out


def _terminated(frame: Frame) -> Frame:
    """The frame with a blank line at its end, which the last frame of a stream may lack."""
    if frame.raw.endswith((b"\n\n", b"\r\r", b"\n\r\n", b"\n\r", b"\r\n\n")):
        return frame
    return Frame(frame.raw.rstrip(b"\r\n") + b"\n\n", frame.data, frame.event)
