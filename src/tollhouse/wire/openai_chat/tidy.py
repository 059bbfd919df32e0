"""Tidy: a stream of chunks in the contract's own frame order: a role, deltas, one finish, usage, [DONE]."""

import msgspec

from tollhouse.wire.format import Answered, AnswerPolicy, Peek
from tollhouse.wire.framing import Frame, sse_frame
from tollhouse.wire.openai_chat.chunk import Plain, calls_tools, choices_of, part_of
from tollhouse.wire.openai_chat.stream_pipe import DONE, StreamPipe
from tollhouse.wire.openai_chat.tidying import (
    RawObject,
    encoded,
    object_decoder,
    raw_object,
    raw_objects,
    tidy_delta,
    tidy_reason,
)
from tollhouse.wire.scan import join_object

_OBJECT = msgspec.Raw(b'"chat.completion.chunk"')
_NULL = msgspec.Raw(b"null")
_ZERO = msgspec.Raw(b"0")


class Tidy(StreamPipe):
    """Role frames come with a choice's first delta; finish reasons wait for the end, said once for each choice."""

    def __init__(self, policy: AnswerPolicy, peek: Peek) -> None:
        super().__init__(policy, peek)
        named = {"id": policy.answer_id, "model": policy.model}
        self._named = {name: encoded(value) for name, value in named.items() if value is not None}
        self._begun: set[int] = set()
        self._calls_tools: set[int] = set()
        self._reasons: dict[int, str] = {}
        self._tool_indexes: dict[int, list[bytes]] = {}

    def close(self) -> bytes:
        """As in general; from then on the finish reason is one of the contract's."""
        out = super().close()
        first = min(self._reasons, default=None)
        if first is not None:
            self.finish_reason = tidy_reason(self._reasons[first], calls_tools=first in self._calls_tools)
        return out

    def _render(self, frame: Frame) -> bytes:
        fields = object_decoder.decode(frame.data or b"")
        choices = [tidy for choice in raw_objects(fields.get("choices")) if (tidy := self._tidy_choice(choice))]
        return self._chunk_frame(fields, choices) if choices else b""

    def _take(self, frame: Frame, chunk: Plain) -> bytes:
        out: list[bytes] = []
        for choice in choices_of(chunk):
            index = _index(choice.get("index"))
            delta = part_of(choice, "delta")
            if calls_tools(delta):
                self._calls_tools.add(index)
            if isinstance(reason := choice.get("finish_reason"), str):
                self._reasons.setdefault(index, reason)
        rendered = self._render(frame)
        if rendered:
            out.extend(self._role_frame(index) for index in self._new_indexes(chunk))
            out.append(rendered)
        return b"".join(out)

    def _new_indexes(self, chunk: Plain) -> list[int]:
        """Choices that have not had their role frame; they have it now."""
        new = [index for choice in choices_of(chunk) if (index := _index(choice.get("index"))) not in self._begun]
        self._begun.update(new)
        return new

    def _last_frames(self, answered: Answered) -> bytes:
        del answered
        ended = self._done is not None
        self._done = DONE  # in our own framing, like every other frame
        indexes = sorted(self._begun | self._reasons.keys()) or [0]
        out = [self._role_frame(index) for index in indexes if index not in self._begun]
        for index in indexes:
            # Without a reason and without the provider's own end, the gateway has cut the stream at its limit.
            raw = self._reasons.get(index) or ("stop" if ended else "length")
            reason = tidy_reason(raw, calls_tools=index in self._calls_tools)
            choice: dict[str, object] = {"index": index, "delta": {}, "logprobs": None, "finish_reason": reason}
            out.append(self._own_frame([choice]))
            self.finish_reason = reason if index == indexes[0] else self.finish_reason
        return b"".join(out)

    def _usage_last(self, answered: Answered) -> bytes:
        return self._own_frame([], self._own_usage(answered))

    def _role_frame(self, index: int) -> bytes:
        delta = {"role": "assistant", "content": ""}
        return self._own_frame([{"index": index, "delta": delta, "logprobs": None, "finish_reason": None}])

    def _own_frame(self, choices: list[dict[str, object]], usage: msgspec.Raw | None = None) -> bytes:
        fields = dict(self._head or {})
        fields["choices"] = encoded(choices)
        if usage is not None:
            fields["usage"] = usage
        return sse_frame(join_object(self._complete(fields)))

    def _chunk_frame(self, fields: RawObject, choices: list[RawObject]) -> bytes:
        fields = {**fields, "choices": encoded(choices)}
        fields.pop("usage", None)
        return sse_frame(join_object(self._complete(fields)))

    def _complete(self, fields: RawObject) -> RawObject:
        """Every member that a chunk must have."""
        head = self._head or {}
        fields.update(self._named)
        fields["object"] = _OBJECT
        fields.setdefault("id", head.get("id", msgspec.Raw(b'""')))
        fields.setdefault("model", head.get("model", msgspec.Raw(b'""')))
        if not bytes(fields.get("created", b"")).isdigit():
            fields["created"] = head["created"] if bytes(head.get("created", b"")).isdigit() else _ZERO
        return fields

    def _tidy_choice(self, choice: RawObject) -> RawObject | None:
        """The choice with what it adds, without its finish reason; None when it adds nothing."""
        delta = tidy_delta(raw_object(choice.get("delta")))
        logprobs = choice.get("logprobs", _NULL)
        if not delta and bytes(logprobs) == b"null":
            return None
        index = _index(msgspec.json.decode(choice["index"])) if "index" in choice else 0
        if "tool_calls" in delta:
            delta["tool_calls"] = self._numbered(index, delta["tool_calls"])
        tidy = {"index": encoded(index), "delta": msgspec.Raw(join_object(delta)), "logprobs": logprobs}
        tidy |= {name: value for name, value in choice.items() if name not in tidy}
        tidy["finish_reason"] = _NULL
        return tidy

    def _numbered(self, choice: int, raw: msgspec.Raw) -> msgspec.Raw:
        """Tool calls that all have an index: Mistral sends them whole and without (recorded 2025)."""
        calls = raw_objects(raw)
        if all("index" in call for call in calls):
            return raw
        known = self._tool_indexes.setdefault(choice, [])
        for call in calls:
            if "index" not in call:
                name = bytes(call.get("id", b""))
                if not known or (name and name not in known):
                    known.append(name)
                call["index"] = encoded(known.index(name) if name else len(known) - 1)
                call.setdefault("type", msgspec.Raw(b'"function"'))
        return encoded(calls)


def _index(value: object) -> int:
    return value if type(value) is int else 0
