"""MessagesStreamPipe: a stream of events verbatim, or with another id, model, usage and stop reason in it."""

from collections.abc import Mapping

import msgspec

from tollhouse.ir.fault import Fault, FaultError, FaultKind
from tollhouse.ir.plain import is_object
from tollhouse.ir.usage import Usage
from tollhouse.wire.anthropic_messages.block_frames import event_frame
from tollhouse.wire.anthropic_messages.fault import decode_stream_fault
from tollhouse.wire.anthropic_messages.finish import tidy_reason
from tollhouse.wire.anthropic_messages.patching import (
    changed_usage,
    encoded,
    generated_bytes,
    object_decoder,
    used_tool,
)
from tollhouse.wire.anthropic_messages.response import plain_usage
from tollhouse.wire.anthropic_messages.usage import (
    begun_usage,
    decode_usage,
    encode_usage,
    grown_usage,
    priced_tier,
    told_uses,
)
from tollhouse.wire.fields import parse_answer
from tollhouse.wire.format import Answered, AnswerPolicy
from tollhouse.wire.framing import Frame, SseReader, sse_frame
from tollhouse.wire.scan import join_object

_MAX_LEAD_BYTES = 1 << 20
_NOTHING = AnswerPolicy()
_DELTA_HEAD = b"event: content_block_delta\ndata: "
# Asking bytes for a number is faster than asking for bytes.
_LF, _CR = 0x0A, 0x0D


class _Delta(msgspec.Struct):
    text: str = ""
    thinking: str = ""
    partial_json: str = ""


class _DeltaEvent(msgspec.Struct, tag_field="type", tag="content_block_delta"):
    delta: _Delta


_delta_decoder = msgspec.json.Decoder(_DeltaEvent)


class MessagesStreamPipe:
    """Frames that hold nothing generated (message_start, ping, the start of a text) are held back until the first that
    does: until then another deployment may answer, and the caller should not see two beginnings.

    message_delta and message_stop are held back until `finish`; what comes after them is dropped.
    """

    def __init__(self, policy: AnswerPolicy) -> None:
        self.usage: Usage | None = None
        self.service_tier: str | None = None
        self.reported_at_bytes = 0
        self.received_bytes = 0
        self.has_content = False
        self.is_complete = False
        self.finish_reason: str | None = None
        self._policy = policy
        self._reader = SseReader()
        self._counters: dict[str, object] = {}
        self._lead: list[bytes] = []
        self._lead_bytes = 0
        self._started = False
        self._open: dict[int, None] = {}
        self._calls_tools = False
        self._called: dict[str, int] = {}
        self._last: list[Frame] = []
        """message_delta, as often as it came."""
        self._stop: Frame | None = None
        self._fault: FaultError | None = None

    @property
    def tool_uses(self) -> Mapping[str, int]:
        """How often the provider has used each of its own tools."""
        return told_uses(self._called, self._counters)

    def feed(self, data: bytes) -> bytes:
        """Bytes for the caller; never a terminal frame. Raises FaultError on an error event or garble, once all that
        came before it has been given out."""
        if self._fault is not None:
            raise self._fault
        out: list[bytes] = []
        try:
            self._pass(data, out)
        except FaultError as error:
            if not any(out):
                raise
            self._fault = error
            self.is_complete = True
        return out[0] if len(out) == 1 else b"".join(out)

    def _pass(self, data: bytes, out: list[bytes]) -> None:
        for raw in self._reader.cut(data):
            # The common frame needs no parsing by the letter: two lines, LF only, named as the vendor names it.
            swift = self._started and self._stop is None and raw.startswith(_DELTA_HEAD) and raw.endswith(b"\n\n")
            text = raw[len(_DELTA_HEAD) : -2] if swift else b""
            if text and _LF not in text and _CR not in text and (size := _generated(text)) is not None:
                self.received_bytes += size
                out.append(raw if self.has_content else self._release(raw, content=size > 0))
            else:
                out.append(self._read(self._reader.parse(raw)))

    def release(self) -> bytes:
        """What was held back, let go although nothing has been generated yet."""
        out = b"".join(self._lead)
        self._lead.clear()
        self.has_content = self.has_content or bool(out)
        return out

    def close(self) -> bytes:
        """The end of the provider's stream. Raises FaultError when neither message_stop nor a stop reason came."""
        if self._fault is not None:
            raise self._fault
        out = b"".join([self._read(_terminated(frame)) for frame in self._reader.flush()])
        if not self._started or (self._stop is None and self.finish_reason is None):
            raise _broken("The provider's answer was cut short. Try again.")
        return out

    def finish(self, answered: Answered) -> bytes:
        """What was held back, then message_delta with the usage, then message_stop."""
        frames = [*self._lead]
        self._lead.clear()
        if self._stop is None and self.finish_reason is None:
            frames.append(self._cut())
        frames.append(self._last_frames(answered))
        plain = self._policy == _NOTHING
        stop = event_frame({"type": "message_stop"})
        frames.append(self._stop.raw if plain and self._stop is not None else stop)
        return b"".join(frames)

    def _read(self, frame: Frame) -> bytes:
        data = frame.data.strip() if frame.data is not None else b""
        if not data or data == b"[DONE]":
            return self._release(frame.raw, content=False) if not self._last and not data else b""
        if self._stop is not None:
            return b""
        size = None if frame.event == b"error" else _generated(data)
        if size is None:
            return self._decode(frame, data)
        self._check_started()
        self.received_bytes += size
        return self._release(frame.raw, content=size > 0)

    def _decode(self, frame: Frame, data: bytes) -> bytes:
        """Any event but a common delta."""
        try:
            event = parse_answer(data)
        except ValueError:
            raise _broken("The provider sent an event that is no JSON object.") from None
        if not is_object(event):
            raise _broken("The provider sent an event that is no JSON object.")
        kind = event.get("type")
        if kind == "error" or frame.event == b"error" or (not isinstance(kind, str) and event.get("error")):
            raise FaultError(decode_stream_fault(event.get("error") or event))
        if not isinstance(kind, str):
            kind = (frame.event or b"").decode(errors="replace")
        match kind:
            case "message_start":
                return self._release(self._message_start(frame, event), content=False)
            case "content_block_start" | "content_block_delta" | "content_block_stop" as name:
                self._check_started()
                return self._release(frame.raw, content=self._note_block(name, event))
            case "message_delta":
                self._check_started()
                self._message_delta(frame, event)
                return b""
            case "message_stop":
                self._check_started()
                self._stop = frame
                self.is_complete = True
                return b""
            case _:
                return b"" if self._last else self._release(frame.raw, content=False)

    def _check_started(self) -> None:
        if not self._started:
            raise _broken("The provider's stream did not begin with message_start.")

    def _message_start(self, frame: Frame, event: dict[str, object]) -> bytes:
        message = event.get("message")
        if self._started or not is_object(message):
            raise _broken("The provider's stream has a message_start that makes no sense.")
        self._started = True
        self._count(begun_usage(plain_usage(message)))
        named = {"id": self._policy.answer_id, "model": self._policy.model}
        changes = {name: encoded(value) for name, value in named.items() if value is not None}
        if self._policy.tidy and not is_object(message.get("usage")):
            # The contract has it there; what was used is told at the end.
            changes["usage"] = encoded({"input_tokens": 0, "output_tokens": 0})
        if not changes:
            return frame.raw
        fields = object_decoder.decode(frame.data or b"")
        fields["message"] = msgspec.Raw(join_object({**object_decoder.decode(fields["message"]), **changes}))
        return sse_frame(join_object(fields), frame.event)

    def _note_block(self, kind: str, event: dict[str, object]) -> bool:
        """Whether the event holds something that was generated."""
        index = event.get("index")
        if type(index) is not int:
            raise _broken("A content block in the provider's stream has no index.")
        if kind == "content_block_stop":
            self._open.pop(index, None)
            return False
        if kind == "content_block_delta":
            delta = event.get("delta")
            self.received_bytes += generated_bytes(delta) if is_object(delta) else 0
            return True
        self._open[index] = None
        block = event.get("content_block")
        if not is_object(block):
            raise _broken("A content block in the provider's stream is not a JSON object.")
        self._calls_tools = self._calls_tools or block.get("type") == "tool_use"
        if used := used_tool(block):
            self._called[used] = self._called.get(used, 0) + 1
        size = generated_bytes(block)
        self.received_bytes += size
        return size > 0 or block.get("type") not in ("text", "thinking")

    def _message_delta(self, frame: Frame, event: dict[str, object]) -> None:
        self._last.append(frame)
        self._count(plain_usage(event))
        delta = event.get("delta")
        reason = delta.get("stop_reason") if is_object(delta) else None
        if isinstance(reason, str):
            self.finish_reason = tidy_reason(reason) if self._policy.tidy else reason

    def _count(self, usage: dict[str, object]) -> None:
        self._counters = grown_usage(self._counters, usage)
        self.usage = decode_usage(self._counters)
        self.service_tier = priced_tier(self._counters)
        if "output_tokens" in usage:
            self.reported_at_bytes = self.received_bytes

    def _cut(self) -> bytes:
        """The gateway itself has ended the stream: what is open closes."""
        self.finish_reason = "max_tokens"
        return b"".join(event_frame({"type": "content_block_stop", "index": index}) for index in self._open)

    def _last_frames(self, answered: Answered) -> bytes:
        policy = self._policy
        if not self._last:
            if self.finish_reason is None:
                self.finish_reason = "tool_use" if self._calls_tools else "end_turn"
            cost = answered.cost_nano_usd if policy.cost else None
            delta = {"stop_reason": self.finish_reason, "stop_sequence": None}
            usage = encode_usage(answered.usage, cost)
            return event_frame({"type": "message_delta", "delta": delta, "usage": usage})
        if policy == _NOTHING:
            return b"".join(frame.raw for frame in self._last)
        # The contract knows one message_delta, and the last one holds what counts.
        frame = self._last[-1] if policy.tidy else None
        frames = self._last if frame is None else [frame]
        return b"".join(self._patched(each, answered) for each in frames)

    def _patched(self, frame: Frame, answered: Answered) -> bytes:
        fields = object_decoder.decode(frame.data or b"")
        usage = changed_usage(fields.get("usage"), self.usage, self._policy, answered)
        if usage is not None:
            fields["usage"] = usage
        raw = fields.get("delta")
        if self._policy.tidy and raw is not None and bytes(raw).startswith(b"{"):
            delta = object_decoder.decode(raw)
            if self.finish_reason is not None:
                delta["stop_reason"] = encoded(self.finish_reason)
            fields["delta"] = msgspec.Raw(join_object(delta))
        return sse_frame(join_object(fields), frame.event)

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


def _generated(data: bytes) -> int | None:
    """How many bytes a common delta has generated; None for other events, and deltas of other kinds. Raises
    FaultError when it is no JSON."""
    try:
        delta = _delta_decoder.decode(data).delta
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _broken("The provider sent an event that is no JSON object.") from None
    text = delta.text or delta.thinking or delta.partial_json
    return len(text) if text.isascii() else len(text.encode())


def _terminated(frame: Frame) -> Frame:
    """The frame with a blank line at its end, which the last frame of a stream may lack."""
    raw = frame.raw
    if raw.endswith((b"\n\n", b"\r\r", b"\n\r\n", b"\n\r", b"\r\n\n")):
        return frame
    return Frame(raw.rstrip(b"\r\n") + b"\n\n", frame.data, frame.event)


def _broken(message: str) -> FaultError:
    return FaultError(Fault(kind=FaultKind.PROVIDER_UNAVAILABLE, source="provider", message=message))
