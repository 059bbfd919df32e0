"""Whole answers of Messages, in both directions."""

from collections.abc import Mapping, Sequence

from tollhouse.ir.fault import FaultError
from tollhouse.ir.loss import Loss
from tollhouse.ir.parts import OpaquePart, Part, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from tollhouse.ir.plain import is_object
from tollhouse.ir.response import ChatResponse, Choice, has_tool_calls
from tollhouse.wire.anthropic_messages.blocks import decode_block, encode_answered
from tollhouse.wire.anthropic_messages.fault import decode_stream_fault
from tollhouse.wire.anthropic_messages.finish import decode_finish, encode_finish
from tollhouse.wire.anthropic_messages.names import NAME
from tollhouse.wire.anthropic_messages.reasoning import paragraphs
from tollhouse.wire.anthropic_messages.usage import decode_usage, encode_usage, left_usage
from tollhouse.wire.fields import Fields, parse_answer, render, unreadable_answer
from tollhouse.wire.leftovers import Losses, kept

NO_USAGE: dict[str, object] = {"input_tokens": 0, "output_tokens": 0}
"""What the required field says where nothing is known."""

_OFTEN_NULL = ("stop_details", "container", "context_management")


def decode_response(body: bytes) -> ChatResponse:
    """The answer that `body` says. Raises FaultError (provider_unavailable, or what an error object in it means) when
    it is no answer of this format."""
    try:
        value = parse_answer(body)
    except ValueError as error:
        unreadable_answer("The provider's answer is not valid JSON.", str(error))
    if not is_object(value):
        unreadable_answer("The provider's answer is not a JSON object.")
    fields = Fields(value)
    content = fields.array("content")
    if content is None:
        raise_error_in(value)
        unreadable_answer("The provider's answer holds no content.")
    parts = [part for block in content if (part := decode_answer_block(block)) is not None]
    usage = plain_usage(value)
    finish = decode_finish(
        fields.text("stop_reason"), fields.text("stop_sequence"), has_tool_calls=has_tool_calls(parts)
    )
    head = decode_head(fields, usage)
    return ChatResponse(
        id=head.id,
        model=head.model,
        choices=(Choice(parts=tuple(parts), finish=finish),),
        usage=decode_usage(usage),
        service_tier=head.service_tier,
        extensions=head.extensions,
    )


def decode_head(fields: Fields, usage: Mapping[str, object]) -> ChatResponse:
    """Id, model, service tier and leftovers of a message, its known fields taken already."""
    fields.drop("type", "role", "content", "usage", "stop_reason", "stop_sequence")
    answer_id, model = fields.text("id") or None, fields.text("model") or None
    extensions = kept(NAME, left_fields(fields, usage))
    return ChatResponse(id=answer_id, model=model, service_tier=tier_of(usage), extensions=extensions)


def left_fields(fields: Fields, usage: Mapping[str, object]) -> dict[str, object]:
    """What nobody has taken, with what usage says besides its counters."""
    for key in _OFTEN_NULL:
        if fields.get(key) is None:
            fields.drop(key)
    left = fields.rest()
    if more := left_usage(usage):
        left["usage"] = more
    return left


def tier_of(usage: Mapping[str, object]) -> str | None:
    """The service tier, which this format tells among the usage."""
    tier = usage.get("service_tier")
    return tier if isinstance(tier, str) and tier else None


def plain_usage(value: Mapping[str, object]) -> dict[str, object]:
    """The `usage` of a message or event; empty when there is none. A null in it counts as absent."""
    usage = value.get("usage")
    return {key: count for key, count in usage.items() if count is not None} if is_object(usage) else {}


def raise_error_in(value: Mapping[str, object]) -> None:
    """Raise the FaultError that an `error` in `value`, a body or an event, means; return when there is none."""
    if error := value.get("error"):
        raise FaultError(decode_stream_fault(error))


def decode_answer_block(value: object) -> Part | None:
    """The part that a block of an answer says; whatever is not understood is kept verbatim."""
    if not is_object(value):
        return TextPart(text=value) if isinstance(value, str) and value else None
    try:
        part = decode_block(Fields(value))
    except FaultError:
        return OpaquePart(format=NAME, value=value)
    return OpaquePart(format=NAME, value=value) if isinstance(part, ToolResultPart) else part


def encode_response(response: ChatResponse, losses: list[Loss]) -> bytes:
    """The body of an answer; appends to `losses` what this format cannot say, such as a second choice."""
    noted = Losses(NAME, losses)
    for choice in response.choices[1:]:
        noted.note(f"choices[{choice.index}]", f"an answer of {NAME} is one")
    choice = response.choices[0] if response.choices else Choice()
    blocks = _encode_blocks(choice.parts, noted)
    called = any(isinstance(part, ToolCallPart) for part in choice.parts)
    body: dict[str, object] = {
        "id": response.id or "",
        "type": "message",
        "role": "assistant",
        "model": response.model or "",
        "content": blocks,
        **encode_finish(choice.finish, has_tool_calls=called),
        "usage": usage_object(response),
    }
    noted.restore(body, response.extensions, "")
    noted.restore(body, choice.extensions, "choices[0]")
    return render(body)


def usage_object(response: ChatResponse) -> dict[str, object]:
    """The `usage` of an answer, with its service tier."""
    usage = dict(NO_USAGE) if response.usage is None else encode_usage(response.usage)
    if response.service_tier is not None:
        usage["service_tier"] = response.service_tier
    return usage


def _encode_blocks(parts: Sequence[Part], losses: Losses) -> list[object]:
    blocks = [
        encode_answered(each, f"choices[0].parts[{number}]", losses)
        for number, part in enumerate(parts)
        for each in (paragraphs(part) if isinstance(part, ReasoningPart) else (part,))
    ]
    return [block for block in blocks if block is not None]
