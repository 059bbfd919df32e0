"""StreamPipe: what every same-format stream of chunks has in common; subclasses say what becomes of one chunk."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import msgspec

from tollhouse.ir.fault import FaultError
from tollhouse.ir.usage import Usage
from tollhouse.wire.failed_usage import usage_object
from tollhouse.wire.format import Answered, AnswerPolicy, Peek
from tollhouse.wire.framing import Frame, SseReader, sse_frame
from tollhouse.wire.openai_chat.chunk import (
    Plain,
    broken,
    choices_of,
    find_usage,
    generated_bytes,
    is_content,
    part_of,
    read_chunk,
    tier_of,
)
from tollhouse.wire.openai_chat.finish import decode_finish
from tollhouse.wire.openai_chat.template import BACKSLASH, NO_TEMPLATE, QUOTE, learn_template
from tollhouse.wire.openai_chat.usage import decode_usage, shown_usage
from tollhouse.wire.openai_fault import decode_stream_fault
from tollhouse.wire.scan import join_object

DONE = b"data: [DONE]\n\n"
CUT = b'[{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}]'
"""The choices of the frame that ends a stream which the gateway itself has cut."""

_LESSONS = 24
_MAX_LESSON_BYTES = 16 * 1024
_MAX_LEAD_BYTES = 1 << 20
_HEAD = ("id", "object", "created", "model", "system_fingerprint", "service_tier")

_fields_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


class StreamPipe(ABC):
    """Frames that hold no generated text yet (comments, a role) are held back until the first that does: until then
    another deployment may answer, and the caller should not see two beginnings."""

    tool_uses: Mapping[str, int] | None = None
    usage: Usage | None
    service_tier: str | None
    reported_at_bytes: int
    received_bytes: int
    has_content: bool
    is_complete: bool
    finish_reason: str | None

    def __init__(self, policy: AnswerPolicy, peek: Peek) -> None:
        self.usage = None
        self.service_tier = None
        self.reported_at_bytes = 0
        self.received_bytes = 0
        self.has_content = False
        self.is_complete = False
        self.finish_reason = None
        self._policy = policy
        self._wants_usage = peek.wants_usage or policy.usage_always
        self._one_choice = peek.choices == 1
        self._reader = SseReader()
        self._template = NO_TEMPLATE
        self._lessons = _LESSONS
        self._head: dict[str, msgspec.Raw] | None = None
        self._skeleton_bytes = 0
        self._lead: list[bytes] = []
        self._lead_bytes = 0
        self._open: set[object] = set()
        self._finished: set[object] = set()
        self._told_usage: Plain | None = None
        self._usage_frame: Frame | None = None
        self._usage_shown = False
        self._done: bytes | None = None
        self._fault: FaultError | None = None

    def feed(self, data: bytes) -> bytes:
        """Bytes for the caller; never a usage-only frame or [DONE]. Raises FaultError on an error frame or garble,
        once all that came before it has been given out."""
        if self._fault is not None:
            raise self._fault
        return self._pass(self._reader.cut(data))

    def release(self) -> bytes:
        """What was held back, let go although nothing has been generated yet."""
        out = b"".join(self._lead)
        self._lead.clear()
        self.has_content = self.has_content or bool(out)
        return out

    def close(self) -> bytes:
        """The end of the provider's stream. Raises FaultError when neither [DONE] nor every finish reason came."""
        if self._fault is not None:
            raise self._fault
        out = b"".join([self._read(frame) for frame in self._reader.flush()])
        ended = self._done is not None or (bool(self._finished) and self._finished >= self._open)
        if self._head is None or not ended:
            raise broken("The provider's answer was cut short. Try again.")
        return out

    def finish(self, answered: Answered) -> bytes:
        """What was held back, then usage where it is wanted, then [DONE]."""
        frames = [*self._lead, self._last_frames(answered)]
        self._lead.clear()
        if self._wants_usage:
            frames.append(self._usage_last(answered))
        frames.append(self._done or DONE)
        return b"".join(frames)

    @abstractmethod
    def _render(self, frame: Frame) -> bytes:
        """What becomes of a frame with generated text once the stream runs; depends on the frame alone."""

    @abstractmethod
    def _take(self, frame: Frame, chunk: Plain) -> bytes:
        """What becomes of any frame with choices, or without them and without usage."""

    @abstractmethod
    def _last_frames(self, answered: Answered) -> bytes:
        """Frames that come before usage, once all is settled."""

    @abstractmethod
    def _usage_last(self, answered: Answered) -> bytes:
        """The usage-only frame, or nothing where usage has been shown already."""

    def _pass(self, raws: list[bytes]) -> bytes:
        out: list[bytes] = []
        template = self._template
        prefix, suffix = template.prefix, template.suffix
        for raw in raws:
            if raw.startswith(prefix) and raw.endswith(suffix):
                between = raw[len(prefix) : -len(suffix)]
                plain = QUOTE not in between and BACKSLASH not in between
                if text := between if plain else template.text_in(between):
                    self.received_bytes += len(text)
                    out.append(raw if template.same else template.rendered(between))
                    continue
            try:
                out.append(self._read(self._reader.parse(raw)))
            except FaultError as error:
                if not any(out):
                    raise
                self._fault = error
                self.is_complete = True
                break
            if template is not self._template:
                template = self._template
                prefix, suffix = template.prefix, template.suffix
        return out[0] if len(out) == 1 else b"".join(out)

    def _read(self, frame: Frame) -> bytes:
        """Any frame that the template does not know."""
        data = frame.data.strip() if frame.data is not None else b""
        if not data:
            return self._release(frame.raw, content=False)
        if data == b"[DONE]":
            self._done = _terminated(frame).raw
            self.is_complete = True
            self._template = NO_TEMPLATE
            self._lessons = 0
            return b""
        if self._done is not None:
            self._read_late(data)
            return b""
        swift = self.has_content and self._head is not None and frame.event != b"error"
        if swift and (patched := self._swift(frame)) is not None:
            self.received_bytes += max(0, len(frame.raw) - self._skeleton_bytes)
            return patched
        return self._decode(_terminated(frame), data)

    def _swift(self, frame: Frame) -> bytes | None:  # noqa: ARG002 - the parameter is the subclasses'
        """The frame without decoding it, where its bytes show that nothing in it matters; None where they do not."""
        return None

    def _decode(self, frame: Frame, data: bytes) -> bytes:
        try:
            chunk = read_chunk(data)
        except FaultError:
            self._note_failed(data)
            raise
        if frame.event == b"error":
            raise FaultError(decode_stream_fault(chunk))
        choices = choices_of(chunk)
        # Azure's leading chunk has no choices, and an empty id and model (recorded 2025): a better one may follow.
        if self._head is None or (choices and not self._open):
            fields = _fields_decoder.decode(data)
            self._head = {name: fields[name] for name in _HEAD if name in fields}
        if not choices and chunk.get("usage"):
            self._note_usage(chunk)
            self._usage_frame = frame
            return b""
        size, content, finished = 0, False, False
        for choice in choices:
            delta = part_of(choice, "delta")
            size += generated_bytes(delta)
            content = content or is_content(delta)
            finished = self._note_finish(choice) or finished
        self.received_bytes += size
        self._note_usage(chunk)
        out = self._release(self._take(frame, chunk), content=content or finished)
        if content and size and not chunk.get("usage"):
            self._skeleton_bytes = len(frame.raw) - size
            self._learn(frame, chunk)
        return out

    def _cut(self) -> None:
        """The gateway itself has ended the stream."""
        self.finish_reason = "length"

    def _learn(self, frame: Frame, chunk: Plain) -> None:
        if self._lessons and len(frame.raw) <= _MAX_LESSON_BYTES:
            self._lessons -= 1
            self._template = learn_template(frame, chunk, self._render) or self._template

    def _note_usage(self, chunk: Plain) -> None:
        self.service_tier = tier_of(chunk) or self.service_tier
        told, usage = find_usage(chunk)
        self._told_usage = told or self._told_usage
        # Some end a stream with noughts after they have told the usage: counters never shrink to nothing.
        if usage is not None and (usage.total_tokens or self.usage is None):
            self.usage = usage
            self.reported_at_bytes = self.received_bytes

    def _note_failed(self, data: bytes) -> None:
        """An error may say what was used all the same."""
        told = usage_object(data)
        usage = None if told is None else decode_usage(told)
        if usage is not None:
            self.usage = usage
            self.reported_at_bytes = self.received_bytes

    def _note_finish(self, choice: Plain) -> bool:
        index, reason = choice.get("index", 0), choice.get("finish_reason")
        if not isinstance(index, int):
            index = 0
        self._open.add(index)
        if not isinstance(reason, str):
            return False
        decode_finish(reason, has_tool_calls=False)
        self._finished.add(index)
        self.finish_reason = self.finish_reason or reason
        return True

    def _read_late(self, data: bytes) -> None:
        """After [DONE] only usage is of interest."""
        try:
            self._note_usage(read_chunk(data))
        except FaultError:
            return

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

    def _made_frame(self, choices: bytes, usage: msgspec.Raw | None = None) -> bytes:
        """A chunk of our own in the likeness of the provider's."""
        fields = dict(self._head or {})
        fields["choices"] = msgspec.Raw(choices)
        if usage is not None:
            fields["usage"] = usage
        return sse_frame(join_object(fields))

    def _own_usage(self, answered: Answered) -> msgspec.Raw:
        cost = answered.cost_nano_usd if self._policy.cost else None
        told = None if self._policy.settled_usage else self._told_usage
        return msgspec.Raw(msgspec.json.encode(shown_usage(told, answered.usage, cost)))


def _terminated(frame: Frame) -> Frame:
    """The frame with a blank line at its end, which the last frame of a stream may lack."""
    raw = frame.raw
    if raw.endswith((b"\n\n", b"\r\r", b"\n\r\n", b"\n\r", b"\r\n\n")):
        return frame
    return Frame(raw.rstrip(b"\r\n") + b"\n\n", frame.data, frame.event)
