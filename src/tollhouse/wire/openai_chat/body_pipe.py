"""BodyPipe: an answer in one piece, collected, checked, and given out verbatim or with what its policy names."""

from typing import cast

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
    encoded,
    object_decoder,
    raw_object,
    raw_objects,
    tidy_message,
    tidy_reason,
)
from tollhouse.wire.openai_chat.usage import shown_usage
from tollhouse.wire.scan import join_object

_NULL = msgspec.Raw(b"null")


class BodyPipe:
    """`feed` collects, `close` checks, `finish` gives the body."""

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
            if isinstance(reason, str):
                tidy = tidy_reason(reason, calls_tools=calls_tools(message))
                if number == 0:
                    self.finish_reason = tidy if self._policy.tidy else reason
        return b""

    def finish(self, answered: Answered) -> bytes:
        """The whole body."""
        policy = self._policy
        if policy == AnswerPolicy():
            return self._body
        named = {"id": policy.answer_id, "model": policy.model}
        changes = {name: encoded(value) for name, value in named.items() if value is not None}
        own_usage = policy.makes_usage or not self._answer.get("usage")
        if not own_usage and (replaced := self._replaced(changes)) is not None:
            return replaced
        fields = object_decoder.decode(self._body)
        if policy.tidy:
            fields = _tidy_answer(fields)
        fields.update(changes)
        if own_usage:
            cost = answered.cost_nano_usd if policy.cost else None
            told = None if policy.settled_usage else self._told_usage
            fields["usage"] = encoded(shown_usage(told, answered.usage, cost))
        return join_object(fields)

    def _replaced(self, changes: RawObject) -> bytes | None:
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
            body = body.replace(found, found.removesuffix(encoded_current) + bytes(value))
        return body


def _tidy_answer(fields: RawObject) -> RawObject:
    """Every member that the contract requires, in its order, and then the provider's others."""
    created = fields.get("created")
    tidy = {
        "id": fields.get("id", msgspec.Raw(b'""')),
        "object": msgspec.Raw(b'"chat.completion"'),
        "created": created if created is not None and bytes(created).isdigit() else msgspec.Raw(b"0"),
        "model": fields.get("model", msgspec.Raw(b'""')),
        "choices": encoded([_tidy_choice(at, choice) for at, choice in enumerate(raw_objects(fields.get("choices")))]),
    }
    return tidy | {name: value for name, value in fields.items() if name not in tidy}


def _tidy_choice(at: int, choice: RawObject) -> RawObject:
    message = tidy_message(raw_object(choice.get("message")))
    plain = cast("Plain", msgspec.json.decode(join_object(message)))
    raw = choice.get("finish_reason")
    reason: object = None if raw is None else msgspec.json.decode(raw)
    tidy = {
        "index": choice["index"] if bytes(choice.get("index", b"")).isdigit() else encoded(at),
        "message": encoded(message),
        "logprobs": choice.get("logprobs", _NULL),
        "finish_reason": encoded(
            tidy_reason(reason if isinstance(reason, str) else None, calls_tools=calls_tools(plain))
        ),
    }
    return tidy | {name: value for name, value in choice.items() if name not in tidy}
