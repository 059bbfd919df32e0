"""BodyPipe: an answer in one piece, collected, checked, and given out verbatim or with what its policy names."""

from collections.abc import Mapping

import msgspec

from tollhouse.ir.usage import Usage
from tollhouse.wire.collecting import MAX_BODY_BYTES, Collector
from tollhouse.wire.format import Answered, AnswerPolicy
from tollhouse.wire.openai_chat.chunk import (
    Plain,
    calls_tools,
    choices_of,
    find_usage,
    generated_bytes,
    part_of,
    read_answer,
    tier_of,
)
from tollhouse.wire.openai_chat.passthrough import member_bytes
from tollhouse.wire.openai_chat.tidying import (
    RawObject,
    object_decoder,
    raw_object,
    raw_objects,
    tidy_message,
    tidy_reason,
)
from tollhouse.wire.openai_chat.usage import shown_usage
from tollhouse.wire.openai_usage import without_cost

_VERBATIM = AnswerPolicy()
_NULL = msgspec.Raw(b"null")
_NOUGHT = msgspec.Raw(b"0")
_NO_TEXT = msgspec.Raw(b'""')
_OBJECT = msgspec.Raw(b'"chat.completion"')


class BodyPipe:
    """`feed` collects, `close` checks, `finish` gives the body."""

    tool_uses: Mapping[str, int] | None = None

    def __init__(self, policy: AnswerPolicy, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self.usage: Usage | None = None
        self.service_tier: str | None = None
        self.received_bytes = 0
        self.has_content = False
        self.finish_reason: str | None = None
        self.is_complete = False
        self._policy = policy
        self._collector = Collector(max_body_bytes)
        self._body = b""
        self._answer: Plain = {}
        self._told_usage: Plain | None = None
        self._reasons: list[str] = []

    @property
    def reported_at_bytes(self) -> int:
        """All of it: the report comes with the answer."""
        return self.received_bytes

    def feed(self, data: bytes) -> bytes:
        """Nothing yet. Raises FaultError (provider_unavailable) above the cap."""
        self._collector.add(data)
        return b""

    def release(self) -> bytes:
        """Nothing: a body is sent as a whole."""
        return b""

    def close(self) -> bytes:
        """Nothing yet. Raises FaultError when the body is no chat completion, or an error in disguise."""
        self._body = self._collector.take()
        self._answer = read_answer(self._body)
        self._told_usage, self.usage = find_usage(self._answer)
        self.service_tier = tier_of(self._answer)
        for number, choice in enumerate(choices_of(self._answer)):
            message = part_of(choice, "message")
            self.received_bytes += generated_bytes(message)
            reason = choice.get("finish_reason")
            told = reason if isinstance(reason, str) else None
            tidy = tidy_reason(told, calls_tools=calls_tools(message))
            self._reasons.append(tidy)
            if number == 0 and told is not None:
                self.finish_reason = tidy if self._policy.tidy else told
        return b""

    def finish(self, answered: Answered) -> bytes:
        """The whole body."""
        policy = self._policy
        if policy == _VERBATIM:
            return self._body
        named = (("id", policy.answer_id), ("model", policy.model))
        changes = {name: value for name, value in named if value is not None}
        own_usage = policy.makes_usage or not self._answer.get("usage")
        if not own_usage and not self._tells_cost() and (replaced := self._replaced(changes)) is not None:
            return replaced
        raw = object_decoder.decode(self._body)
        fields: Plain = _tidy_answer(raw, self._reasons) if policy.tidy else {**raw}
        fields.update(changes)
        if own_usage:
            cost = answered.cost_nano_usd if policy.cost else None
            told = None if policy.settled_usage else self._told_usage
            fields["usage"] = shown_usage(told, answered.usage, cost)
        elif (bare := without_cost(bytes(raw["usage"]))) is not None:
            fields["usage"] = msgspec.Raw(bare)
        return msgspec.json.encode(fields)

    def _tells_cost(self) -> bool:
        return self._told_usage is not None and any("cost" in name for name in self._told_usage)

    def _replaced(self, changes: dict[str, str]) -> bytes | None:
        """The body with members replaced where they stand; None when one is not there exactly once."""
        body = self._body
        for name, value in changes.items():
            current = self._answer.get(name)
            if not isinstance(current, str):
                return None
            encoded_current = msgspec.json.encode(current)
            found = member_bytes(body, name, encoded_current)
            if not found:
                return None
            body = body.replace(found, found.removesuffix(encoded_current) + msgspec.json.encode(value))
        return body


def _tidy_answer(fields: RawObject, reasons: list[str]) -> Plain:
    """Every member that the contract requires, in its order, and then the provider's others. `reasons` are the tidy
    finish reasons of the choices."""
    created = fields.get("created")
    choices = zip(raw_objects(fields.get("choices")), reasons, strict=False)
    tidy: Plain = {
        "id": fields.get("id", _NO_TEXT),
        "object": _OBJECT,
        "created": created if created is not None and bytes(created).isdigit() else _NOUGHT,
        "model": fields.get("model", _NO_TEXT),
        "choices": [_tidy_choice(at, choice, reason) for at, (choice, reason) in enumerate(choices)],
    }
    return {**tidy, **fields, **tidy}


def _tidy_choice(at: int, choice: RawObject, reason: str) -> Plain:
    tidy: Plain = {
        "index": choice["index"] if bytes(choice.get("index", b"")).isdigit() else at,
        "message": tidy_message(raw_object(choice.get("message"))),
        "logprobs": choice.get("logprobs", _NULL),
        "finish_reason": reason,
    }
    return {**tidy, **choice, **tidy}
