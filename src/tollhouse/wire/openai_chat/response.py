"""Whole answers of Chat Completions, in both directions."""

from collections.abc import Mapping, Sequence

import msgspec

from tollhouse.ir.fault import FaultError
from tollhouse.ir.loss import Loss
from tollhouse.ir.parts import OpaquePart, Part, ReasoningPart, RefusalPart, TextPart, ToolCallPart
from tollhouse.ir.plain import is_array, is_object
from tollhouse.ir.response import ChatResponse, Choice, has_tool_calls
from tollhouse.wire.fields import Fields, parse_answer, render, unreadable_answer
from tollhouse.wire.leftovers import Losses, kept
from tollhouse.wire.openai_chat.chunk import find_usage
from tollhouse.wire.openai_chat.citations import (
    decode_annotations,
    decode_logprobs,
    encode_annotations,
    encode_logprobs,
    is_blank,
)
from tollhouse.wire.openai_chat.finish import decode_finish, encode_finish
from tollhouse.wire.openai_chat.messages import encode_answer_parts
from tollhouse.wire.openai_chat.parts import NAME, THINKING_FORM, decode_content_part, encode_content_part, plain_text
from tollhouse.wire.openai_chat.reasoning import decode_reasoning, is_empty
from tollhouse.wire.openai_chat.tools import decode_tool_call
from tollhouse.wire.openai_chat.usage import encode_usage
from tollhouse.wire.openai_fault import decode_stream_fault


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
    choices = fields.array("choices")
    if not choices:
        raise_error_in(value)
        unreadable_answer("The provider's answer holds no choices.")
    _, usage = find_usage(value)
    fields.drop("object", "usage")
    answer_id = fields.text("id") or None
    return ChatResponse(
        id=answer_id,
        model=fields.text("model") or None,
        created=fields.integer("created") or None,
        choices=tuple(_decode_choice(choice, number, answer_id) for number, choice in enumerate(choices)),
        usage=usage,
        service_tier=fields.text("service_tier") or None,
        extensions=kept(NAME, fields.rest()),
    )


def raise_error_in(value: Mapping[str, object]) -> None:
    """Raise the FaultError that an `error` in `value`, a body or a frame, means; return when there is none."""
    if error := value.get("error"):
        raise FaultError(decode_stream_fault(error))


def _decode_choice(value: object, number: int, answer_id: str | None) -> Choice:
    if not is_object(value):
        unreadable_answer("A choice of the provider's answer is not a JSON object.")
    fields = Fields(value)
    index = fields.integer("index")
    message = fields.child("message")
    # Perplexity repeats the message as a delta, also outside streams (recorded 2025).
    fields.drop("delta")
    parts: list[Part] = [] if message is None else _decode_message(message, fields, answer_id)
    finish = decode_finish(fields.text("finish_reason"), has_tool_calls=has_tool_calls(parts))
    if is_blank(fields.get("logprobs")):
        fields.drop("logprobs")
    return Choice(
        index=number if index is None else index,
        parts=tuple(parts),
        finish=finish,
        extensions=kept(NAME, fields.rest()),
    )


def _decode_message(message: Fields, choice: Fields, answer_id: str | None) -> list[Part]:
    message.drop("role")
    parts: list[Part] = list(decode_reasoning(message))
    parts += _decode_content(message, choice)
    if refusal := message.text("refusal"):
        parts.append(RefusalPart(text=refusal, logprobs=decode_logprobs(choice, "refusal")))
    elif message.get("refusal") == "":
        message.drop("refusal")
    parts += _decode_calls(message, answer_id)
    return parts


def _decode_content(message: Fields, choice: Fields) -> list[Part]:
    """The parts of content; annotations and probabilities belong to its text, if that is one part."""
    content = message.get("content")
    if not is_array(content):
        if content is not None and not isinstance(content, str):
            return []
        content = [content or ""]
    message.drop("content")
    parts = _joined([part for value in content for part in decode_answer_content(value)])
    texts = [place for place, part in enumerate(parts) if isinstance(part, TextPart)]
    if len(texts) == 1:
        text = parts[texts[0]]
        tokens = decode_logprobs(choice, "content")
        parts[texts[0]] = msgspec.structs.replace(text, citations=decode_annotations(message), logprobs=tokens)
    elif not message.get("annotations"):
        message.drop("annotations")
    return parts


def _joined(parts: Sequence[Part]) -> list[Part]:
    """Neighbours that are plain text, or plain thinking, become one part, as a stream could not tell them apart."""
    grown: list[Part] = []
    for part in parts:
        if isinstance(part, ReasoningPart) and is_empty(part):
            continue
        last = grown[-1] if grown else None
        match last, part:
            case (TextPart(), TextPart()) | (ReasoningPart(), ReasoningPart()):
                if msgspec.structs.replace(last, text=part.text) == part and not part.extensions:
                    grown[-1] = msgspec.structs.replace(last, text=last.text + part.text)
                    continue
            case _:
                pass
        grown.append(part)
    return grown


def decode_answer_content(value: object) -> list[Part]:
    """The part that a member of a content array in an answer says (Mistral, recorded 2025); whatever is not understood
    is kept verbatim."""
    if isinstance(value, str):
        return [TextPart(text=value)] if value else []
    if not is_object(value):
        return []
    try:
        return [decode_content_part(Fields(value))]
    except FaultError:
        return [OpaquePart(format=NAME, value=value)]


def _decode_calls(message: Fields, answer_id: str | None) -> list[ToolCallPart]:
    """The calls of a message; if one of them names no tool, none is understood and all stay where they are."""
    values = message.get("tool_calls")
    if not is_array(values):
        if values is None:
            message.drop("tool_calls")
        return []
    calls = [_decode_call(value) for value in values if is_object(value)]
    known = [call for call in calls if call is not None]
    if len(known) < len(values):
        unreadable_answer("A tool call in the provider's answer names no tool.")
    message.drop("tool_calls")
    return [
        call if call.id else msgspec.structs.replace(call, id=made_up_id(answer_id, number))
        for number, call in enumerate(known)
    ]


def _decode_call(value: dict[str, object]) -> ToolCallPart | None:
    fields = Fields(value)
    fields.drop("index")
    return decode_tool_call(fields)


def made_up_id(answer_id: str | None, number: int) -> str:
    """The id of a tool call that came without one: results have to name it, and it must not come twice in a
    conversation."""
    return f"call_{answer_id or 'answer'}_{number}"


def encode_response(response: ChatResponse, losses: list[Loss]) -> bytes:
    """The body of an answer; appends to `losses` what this format cannot say."""
    noted = Losses(NAME, losses)
    body: dict[str, object] = {
        "id": response.id or "",
        "object": "chat.completion",
        "created": response.created or 0,
        "model": response.model or "",
        "choices": [
            _encode_choice(choice, f"choices[{number}]", noted) for number, choice in enumerate(response.choices)
        ],
    }
    if response.usage is not None:
        body["usage"] = encode_usage(response.usage)
    if response.service_tier is not None:
        body["service_tier"] = response.service_tier
    noted.restore(body, response.extensions, "")
    return render(body)


def _encode_choice(choice: Choice, path: str, losses: Losses) -> dict[str, object]:
    message: dict[str, object] = {"role": "assistant"}
    parts = [(f"{path}.parts[{number}]", part) for number, part in enumerate(choice.parts)]
    message |= encode_answer_parts(
        [(place, _said_beside(part)) for place, part in parts if _beside_content(part)], losses
    )
    text: list[dict[str, object]] = []
    refusal: list[dict[str, object]] = []
    for place, part in parts:
        if isinstance(part, TextPart):
            text += part.logprobs
        elif isinstance(part, RefusalPart):
            refusal += part.logprobs
        elif not (_in_content(part) or _beside_content(part)):
            losses.note(place, "an answer of openai_chat has no such part")
    message |= _encode_content([item for item in parts if _in_content(item[1])], losses)
    called = has_tool_calls(choice.parts)
    if message["content"] is None and not called and "refusal" not in message:
        message["content"] = ""
    encoded: dict[str, object] = {
        "index": choice.index,
        "message": message,
        "logprobs": encode_logprobs(text, refusal),
        "finish_reason": encode_finish(choice.finish, has_tool_calls=called),
    }
    losses.restore(encoded, choice.extensions, path)
    return encoded


def _in_content(part: Part) -> bool:
    return isinstance(part, TextPart | OpaquePart) or (isinstance(part, RefusalPart) and bool(part.extensions))


def _beside_content(part: Part) -> bool:
    return isinstance(part, RefusalPart | ReasoningPart | ToolCallPart) and not _in_content(part)


def _said_beside(part: Part) -> Part:
    """Clients of this format read text in `content`, and nothing but text: thinking goes to `reasoning`."""
    if isinstance(part, ReasoningPart) and part.form == THINKING_FORM:
        return msgspec.structs.replace(part, form=None)
    return part


def _encode_content(parts: Sequence[tuple[str, Part]], losses: Losses) -> dict[str, object]:
    """content and annotations: one string, unless the provider's own content was a list that holds more than text."""
    members: list[dict[str, object]] = []
    text = ""
    annotations: list[object] = []
    for path, part in parts:
        said = part
        if isinstance(part, TextPart):
            annotations += encode_annotations(part.citations, len(text), path, losses)
            text += part.text
            said = msgspec.structs.replace(part, citations=())
        member = encode_content_part(said, path, losses)
        if member is not None:
            members.append(member)
    plain = all(plain_text(member) is not None for member in members)
    content: object = (text or None) if plain else members
    return {"content": content, **({"annotations": annotations} if annotations else {})}
