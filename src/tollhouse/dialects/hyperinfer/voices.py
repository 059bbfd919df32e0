"""HyperInfer's voices: how it speaks in each of its three formats."""

from collections.abc import Mapping

import msgspec

from tollhouse.dialects.embeddings import check_texts_or_tokens
from tollhouse.dialects.hyperinfer.errors import HyperInferWording
from tollhouse.dialects.hyperinfer.errors_messages import MessagesWording
from tollhouse.dialects.hyperinfer.schema_chat import check_chat
from tollhouse.dialects.hyperinfer.schema_messages import check_count, check_messages
from tollhouse.dialects.hyperinfer.schema_responses import check_responses
from tollhouse.relay.call import Headers
from tollhouse.routing.auto import Decision
from tollhouse.wire.format import AnswerPolicy, Peek


class _HyperInferVoice:
    """What the voices share: no defaults and no headers of their own."""

    dialect = "hyperinfer"
    auto_model: str | None = None
    splits_choices = False

    def defaults(self) -> Mapping[str, msgspec.Raw]:
        """None: the provider's own defaults hold."""
        return {}

    def headers(self, slug: str, decision: Decision | None = None) -> Headers:
        """None of its own."""
        del slug, decision
        return ()


class HyperInferChat(_HyperInferVoice, HyperInferWording):
    """The voice of a chat call: the contract's own ids, frames, usage and cost, whatever the provider sends."""

    format_name = "openai_chat"

    def validate(self, body: bytes) -> None:
        """Check a request body against the contract. Raises FaultError (invalid_request)."""
        check_chat(body)

    def policy(self, request_id: str, slug: str, asked: Peek) -> AnswerPolicy:
        """The `gen-` id, the resolved model, and usage with its cost, asked for or not."""
        del asked
        return AnswerPolicy(answer_id=f"gen-{request_id}", model=slug, usage_always=True, cost=True, tidy=True)


class HyperInferResponses(_HyperInferVoice, HyperInferWording):
    """The voice of a Responses call; the contract's usage has no cost there."""

    format_name = "openai_responses"

    def validate(self, body: bytes) -> None:
        """Check a request body against the contract. Raises FaultError (invalid_request)."""
        check_responses(body)

    def policy(self, request_id: str, slug: str, asked: Peek) -> AnswerPolicy:
        """The `resp_` id, the resolved model, and usage."""
        del asked
        return AnswerPolicy(answer_id=f"resp_{request_id}", model=slug, usage_always=True, tidy=True)


class HyperInferMessages(_HyperInferVoice, MessagesWording):
    """The voice of a Messages call; the contract's usage has no cost there."""

    format_name = "anthropic_messages"

    def validate(self, body: bytes) -> None:
        """Check a request body against the contract. Raises FaultError (invalid_request)."""
        check_messages(body)

    def policy(self, request_id: str, slug: str, asked: Peek) -> AnswerPolicy:
        """The `msg_` id, the resolved model, and usage."""
        del asked
        return AnswerPolicy(answer_id=f"msg_{request_id}", model=slug, usage_always=True, tidy=True)


class HyperInferCount(HyperInferMessages):
    """The voice of a request to count the tokens of a Messages call."""

    def validate(self, body: bytes) -> None:
        """Check a request body against Anthropic's rules for it. Raises FaultError (invalid_request)."""
        check_count(body)


class HyperInferEmbeddings(_HyperInferVoice, HyperInferWording):
    """The voice of a call for embeddings, which its published document does not have (behaviour.md D13): as OpenAI's,
    with the cost in its usage."""

    format_name = "openai_embeddings"

    def validate(self, body: bytes) -> None:
        """Check a request body against OpenAI's rules for it. Raises FaultError (invalid_request)."""
        check_texts_or_tokens(body)

    def policy(self, request_id: str, slug: str, asked: Peek) -> AnswerPolicy:
        """The resolved model, and usage with its cost."""
        del request_id, asked
        return AnswerPolicy(model=slug, cost=True)
