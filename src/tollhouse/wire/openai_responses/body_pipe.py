"""BodyPipe: an answer in one piece, collected, checked, and given out verbatim or with what its policy names."""

from collections import Counter

from tollhouse.ir.plain import is_array, is_object
from tollhouse.ir.usage import Usage
from tollhouse.wire.collecting import MAX_BODY_BYTES, Collector
from tollhouse.wire.format import Answered, AnswerPolicy
from tollhouse.wire.openai_responses.pipe_answer import (
    Patch,
    broken,
    cut_object,
    finish_word,
    plain_object,
    text_bytes,
    tier_of,
    used_tool,
)
from tollhouse.wire.openai_responses.response import decode_answer_usage
from tollhouse.wire.openai_responses.status import raise_failure
from tollhouse.wire.scan import join_object


class BodyPipe:
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
        self._collector = Collector(max_body_bytes)
        self._body = b""

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
        """Nothing yet. Raises FaultError when the body is no answer of this format, or one that failed."""
        self._body = self._collector.take()
        answer = plain_object(self._body)
        if answer.get("error") or answer.get("status") in ("failed", "cancelled"):
            raise_failure(answer)
        output = answer.get("output")
        if not is_array(output):
            raise broken("The provider sent an answer that has no output.")
        self.usage = decode_answer_usage(answer)
        self.service_tier = tier_of(answer)
        self.received_bytes = sum(text_bytes(item) for item in output if is_object(item))
        self.finish_reason = finish_word(answer)
        self.tool_uses = Counter(used for item in output if is_object(item) and (used := used_tool(item)))
        return b""

    def finish(self, answered: Answered) -> bytes:
        """The whole body."""
        if self._policy == AnswerPolicy():
            return self._body
        answer = cut_object(self._body)
        own_usage = not bytes(answer.get("usage", b"null")).startswith(b"{")
        return join_object(Patch(self._policy).settled(answer, answered, own_usage=own_usage))
