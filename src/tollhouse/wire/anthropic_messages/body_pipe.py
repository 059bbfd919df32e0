"""MessagesBodyPipe: an answer in one piece, collected, checked, given out verbatim or with what its policy names."""

from collections import Counter

from tollhouse.ir.fault import Fault, FaultError, FaultKind
from tollhouse.ir.plain import is_array, is_object
from tollhouse.ir.usage import Usage
from tollhouse.wire.anthropic_messages.finish import tidy_reason
from tollhouse.wire.anthropic_messages.patching import (
    changed_usage,
    encoded,
    generated_bytes,
    object_decoder,
    used_tool,
)
from tollhouse.wire.anthropic_messages.response import plain_usage, raise_error_in
from tollhouse.wire.anthropic_messages.usage import decode_usage, priced_tier, told_uses
from tollhouse.wire.fields import parse_answer
from tollhouse.wire.format import Answered, AnswerPolicy
from tollhouse.wire.scan import join_object

MAX_BODY_BYTES = 64 * 1024 * 1024


class MessagesBodyPipe:
    """`feed` collects, `close` checks, `finish` gives the body."""

    def __init__(self, policy: AnswerPolicy, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self.usage: Usage | None = None
        self.service_tier: str | None = None
        self.tool_uses: dict[str, int] = {}
        self.received_bytes = 0
        self.has_content = False
        self.finish_reason: str | None = None
        self.is_complete = False
        self._policy = policy
        self._max_body_bytes = max_body_bytes
        self._pieces: list[bytes] = []
        self._size = 0
        self._body = b""

    @property
    def reported_at_bytes(self) -> int:
        """All of it: the report comes with the answer."""
        return self.received_bytes

    def feed(self, data: bytes) -> bytes:
        """Nothing yet. Raises FaultError (provider_unavailable) above the cap."""
        self._size += len(data)
        if self._size > self._max_body_bytes:
            raise _broken(f"The provider's answer is larger than {self._max_body_bytes} bytes.")
        self._pieces.append(data)
        return b""

    def release(self) -> bytes:
        """Nothing: a body is sent as a whole."""
        return b""

    def close(self) -> bytes:
        """Nothing yet. Raises FaultError when the body is no message, or an error in disguise."""
        self._body = b"".join(self._pieces)
        self._pieces.clear()
        try:
            answer = parse_answer(self._body)
        except ValueError:
            raise _broken("The provider sent an answer that is no JSON object.") from None
        if not is_object(answer):
            raise _broken("The provider sent an answer that is no JSON object.")
        content = answer.get("content")
        if not is_array(content):
            raise_error_in(answer)
            raise _broken("The provider sent an answer that is no message: it has no content.")
        counters = plain_usage(answer)
        self.usage = decode_usage(counters)
        self.service_tier = priced_tier(counters)
        self.received_bytes = sum(generated_bytes(block) for block in content if is_object(block))
        called = Counter(used for block in content if is_object(block) and (used := used_tool(block)))
        self.tool_uses = told_uses(called, counters)
        reason = answer.get("stop_reason")
        if isinstance(reason, str):
            self.finish_reason = tidy_reason(reason) if self._policy.tidy else reason
        return b""

    def finish(self, answered: Answered) -> bytes:
        """The whole body."""
        policy = self._policy
        if policy == AnswerPolicy():
            return self._body
        fields = object_decoder.decode(self._body)
        named = {"id": policy.answer_id, "model": policy.model}
        fields.update({name: encoded(value) for name, value in named.items() if value is not None})
        if policy.tidy and self.finish_reason is not None:
            fields["stop_reason"] = encoded(self.finish_reason)
        usage = changed_usage(fields.get("usage"), self.usage, policy, answered)
        if usage is not None:
            fields["usage"] = usage
        return join_object(fields)


def _broken(message: str) -> FaultError:
    return FaultError(Fault(kind=FaultKind.PROVIDER_UNAVAILABLE, source="provider", message=message))
