"""Passthrough and Patched: a stream of chunks verbatim, or with another id and model in it."""

import re
from collections.abc import Mapping

import msgspec

from tollhouse.wire.format import Answered, AnswerPolicy, Peek
from tollhouse.wire.framing import Frame, sse_frame
from tollhouse.wire.openai_chat.chunk import Plain
from tollhouse.wire.openai_chat.stream_pipe import CUT, StreamPipe
from tollhouse.wire.openai_usage import without_cost
from tollhouse.wire.scan import join_object

_fields_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Passthrough(StreamPipe):
    """Verbatim, but for usage that the caller did not ask for."""

    _changes: Mapping[str, msgspec.Raw] = {}

    def __init__(self, policy: AnswerPolicy, peek: Peek) -> None:
        super().__init__(policy, peek)
        # Where our own usage frame comes at the end, the provider's must not stand beside it.
        self._makes_usage = policy.makes_usage
        self._hides_usage = self._makes_usage or not self._wants_usage

    def _swift(self, frame: Frame) -> bytes | None:
        return None if not self._one_choice or _matters(frame.data or b"") else frame.raw

    def _render(self, frame: Frame) -> bytes:
        return frame.raw

    def _take(self, frame: Frame, chunk: Plain) -> bytes:
        if chunk.get("usage"):
            if self._hides_usage:
                return self._joined(frame, self._changes)
            self._usage_shown = True
            return self._with_usage(frame)
        return self._render(frame)

    def _with_usage(self, frame: Frame) -> bytes:
        """A frame whose usage the caller sees."""
        return self._render(frame)

    def _last_frames(self, answered: Answered) -> bytes:
        del answered
        if self._finished or self._done is not None:
            return b""
        self._cut()
        return self._changed_head_frame(CUT)

    def _usage_last(self, answered: Answered) -> bytes:
        if self._usage_shown:
            return b""
        if self._usage_frame is not None and not self._makes_usage:
            return self._with_usage(self._usage_frame)
        return self._changed_head_frame(b"[]", self._own_usage(answered))

    def _changed_head_frame(self, choices: bytes, usage: msgspec.Raw | None = None) -> bytes:
        self._head = {**(self._head or {}), **self._changes}
        return self._made_frame(choices, usage)

    def _joined(self, frame: Frame, changes: Mapping[str, msgspec.Raw]) -> bytes:
        """The chunk cut into its fields and joined again, with `changes`, without usage where it is hidden."""
        fields = {**_fields_decoder.decode(frame.data or b""), **changes}
        if self._hides_usage and fields.get("choices") is not None:
            fields.pop("usage", None)
        return sse_frame(join_object(fields), frame.event)


class Patched(Passthrough):
    """Another id or model in every chunk, and no word of what the gateway pays; all else verbatim.

    Both are the same in all chunks of a stream, so their very bytes are learned from one and replaced. Inside
    of a text those bytes cannot stand, since its quotes are escaped; where they do not stand exactly once, the chunk
    is cut and joined instead.
    """

    def __init__(self, policy: AnswerPolicy, peek: Peek) -> None:
        super().__init__(policy, peek)
        named = {"id": policy.answer_id, "model": policy.model}
        self._changes = {
            name: msgspec.Raw(msgspec.json.encode(value)) for name, value in named.items() if value is not None
        }
        self._needles: list[tuple[bytes, bytes]] = []

    def _swift(self, frame: Frame) -> bytes | None:
        if not self._one_choice or _matters(frame.data or b""):
            return None
        return self._replaced(frame.raw)

    def _render(self, frame: Frame) -> bytes:
        replaced = self._replaced(frame.raw)
        return self._joined(frame, self._changes) if replaced is None else replaced

    def _take(self, frame: Frame, chunk: Plain) -> bytes:
        if self._replaced(frame.raw) is None:
            self._needles = self._learn_needles(frame)
        return super()._take(frame, chunk)

    def _with_usage(self, frame: Frame) -> bytes:
        usage = _fields_decoder.decode(frame.data or b"").get("usage")
        bare = None if usage is None else without_cost(bytes(usage))
        if bare is None:
            return self._render(frame)
        return self._joined(frame, {**self._changes, "usage": msgspec.Raw(bare)})

    def _learn_needles(self, frame: Frame) -> list[tuple[bytes, bytes]]:
        fields = _fields_decoder.decode(frame.data or b"")
        return [
            (found, found.removesuffix(bytes(fields[name])) + bytes(value))
            for name, value in self._changes.items()
            if name in fields and (found := member_bytes(frame.raw, name, bytes(fields[name])))
        ]

    def _replaced(self, raw: bytes) -> bytes | None:
        if len(self._needles) != len(self._changes):
            return None
        for needle, value in self._needles:
            if raw.count(needle) != 1:
                return None
            raw = raw.replace(needle, value)
        return raw


def member_bytes(raw: bytes, name: str, value: bytes) -> bytes:
    """A member of the chunk with its own spacing; b'' when it is not there once."""
    found = re.findall(rb'"%s"\s*:\s*%s' % (name.encode(), re.escape(value)), raw)
    return found[0] if len(found) == 1 and value.startswith(b'"') else b""


def _matters(data: bytes) -> bool:
    """Whether a chunk may hold a finish reason, usage or an error, or is no object."""
    if not (data.startswith(b"{") and data.endswith(b"}")) or data.find(b'"error"') >= 0:
        return True
    return _set(data, b'"finish_reason"') or _set(data, b'"usage"')


def _set(data: bytes, key: bytes) -> bool:
    """Whether any member of that key holds anything but null."""
    at = data.find(key)
    while at >= 0:
        at += len(key)
        if not data.startswith((b":null", b": null"), at):
            return True
        at = data.find(key, at)
    return False
