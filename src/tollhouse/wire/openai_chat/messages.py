"""Messages of Chat Completions, in both directions."""

from collections.abc import Iterator, Sequence
from typing import cast

from tollhouse.ir.parts import (
    AudioPart,
    FilePart,
    ImagePart,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from tollhouse.ir.plain import is_array, is_object
from tollhouse.ir.request import Message, Role
from tollhouse.wire.fields import Fields
from tollhouse.wire.leftovers import Losses, kept
from tollhouse.wire.openai_chat.parts import NAME, THINKING_FORM, decode_content_part, encode_content_part, plain_text
from tollhouse.wire.openai_chat.reasoning import decode_reasoning, encode_reasoning
from tollhouse.wire.openai_chat.tools import decode_tool_call, encode_tool_call

_ROLES = ("system", "developer", "user", "assistant", "tool")


def decode_messages(values: Sequence[object]) -> tuple[Message, ...]:
    """The turns of a request. Raises FaultError (invalid_request) naming the field that does not fit."""
    return tuple(_decode_message(value, f"messages[{number}]") for number, value in enumerate(values))


def _decode_message(value: object, path: str) -> Message:
    if not is_object(value):
        raise Fields({}).wrong(path, "an object with role and content")
    fields = Fields(value, path, strict=True)
    role = fields.text("role")
    if role not in _ROLES:
        raise fields.wrong("role", f"one of {', '.join(_ROLES)}")
    if role == "tool":
        return _decode_tool_message(fields)
    parts: list[Part] = []
    if role == "assistant":
        parts += decode_reasoning(fields)
    if role == "assistant" and fields.get("content") == "" and fields.get("tool_calls"):
        # What a client puts together from a stream has "" where an answer in one piece has null.
        fields.drop("content")
    parts += decode_content(fields)
    if role == "assistant":
        if refusal := fields.text("refusal"):
            parts.append(RefusalPart(text=refusal))
        parts += _decode_calls(fields)
    elif fields.get("tool_calls") is None:
        fields.drop("tool_calls")
    name = fields.text("name")
    return Message(role=cast("Role", role), parts=tuple(parts), name=name, extensions=kept(NAME, fields.rest()))


def _decode_calls(fields: Fields) -> list[ToolCallPart]:
    calls: list[ToolCallPart] = []
    for number, value in enumerate(fields.array("tool_calls") or []):
        path = f"tool_calls[{number}]"
        if not is_object(value):
            raise fields.wrong(path, "an object")
        call = decode_tool_call(Fields(value, fields.path(path), strict=True))
        if call is None:
            raise fields.missing(f"{path}.function.name", "the name of the function that was called")
        calls.append(call)
    return calls


def _decode_tool_message(fields: Fields) -> Message:
    call_id = fields.text("tool_call_id")
    if call_id is None:
        raise fields.missing("tool_call_id", "the id of the call that this message answers")
    parts: list[TextPart | ImagePart | FilePart | AudioPart | OpaquePart] = []
    for number, part in enumerate(decode_content(fields)):
        if not isinstance(part, TextPart | ImagePart | FilePart | AudioPart | OpaquePart):
            raise fields.wrong(f"content[{number}]", "text, an image, a file or sound")
        parts.append(part)
    name = fields.text("name")
    result = ToolResultPart(call_id=call_id, parts=tuple(parts))
    return Message(role="tool", parts=(result,), name=name, extensions=kept(NAME, fields.rest()))


def decode_content(fields: Fields) -> Iterator[Part]:
    """The parts of `content`, a string or an array, taken out of a message."""
    content = fields.get("content")
    if isinstance(content, str) or content is None:
        fields.drop("content")
        if content is not None:
            yield TextPart(text=content)
        return
    if not is_array(content):
        raise fields.wrong("content", "a string or an array of parts")
    fields.drop("content")
    for number, value in enumerate(content):
        path = f"content[{number}]"
        if not is_object(value):
            raise fields.wrong(path, "an object with a type")
        yield decode_content_part(Fields(value, fields.path(path), strict=True))


def encode_messages(messages: Sequence[Message], losses: Losses) -> list[object]:
    """The list `messages`; a turn with several tool results becomes as many messages."""
    encoded: list[object] = []
    for number, message in enumerate(messages):
        path = f"messages[{number}]"
        if message.role == "tool":
            encoded += _encode_tool_messages(message, path, losses)
        elif message.role == "assistant":
            answered = _encode_assistant(message, path, losses)
            # Providers refuse a turn in which nothing is said: one whose parts are all lost is left out.
            if not message.parts or answered != {"role": "assistant", "content": None}:
                encoded.append(answered)
        else:
            fields: dict[str, object] = {"role": message.role}
            fields["content"] = encode_content(_numbered(message.parts, path), losses) or ""
            encoded.append(_finished(fields, message, path, losses))
    return encoded


def _encode_tool_messages(message: Message, path: str, losses: Losses) -> Iterator[dict[str, object]]:
    for place, part in _numbered(message.parts, path):
        if not isinstance(part, ToolResultPart):
            losses.note(place, "a tool message of openai_chat holds results only")
            continue
        fields: dict[str, object] = {"role": "tool", "tool_call_id": part.call_id}
        fields["content"] = encode_content(_numbered(part.parts, place), losses) or ""
        losses.drop(f"{place}.is_error", part.is_error)
        losses.drop(f"{place}.cache_control", part.cache_control)
        losses.restore(fields, part.extensions, place)
        yield _finished(fields, message, path, losses)


def _encode_assistant(message: Message, path: str, losses: Losses) -> dict[str, object]:
    fields: dict[str, object] = {"role": "assistant"}
    fields |= encode_answer_parts(_numbered(message.parts, path), losses)
    return _finished(fields, message, path, losses)


def encode_answer_parts(parts: Sequence[tuple[str, Part]], losses: Losses) -> dict[str, object]:
    """content, refusal, reasoning and tool_calls of an assistant's message; each part comes with its path."""
    content: list[tuple[str, Part]] = []
    reasoning: list[tuple[str, ReasoningPart]] = []
    calls: list[dict[str, object]] = []
    refusal: list[str] = []
    for path, part in parts:
        match part:
            case ReasoningPart() if part.form != THINKING_FORM:
                reasoning.append((path, part))
            case ToolCallPart():
                calls.append(encode_tool_call(part, path, losses))
            case RefusalPart(cache_control=None) if not part.extensions:
                refusal.append(part.text)
            case _:
                content.append((path, part))
    fields: dict[str, object] = {"content": encode_content(content, losses)}
    if refusal:
        fields["refusal"] = "".join(refusal)
    fields |= encode_reasoning(reasoning, losses)
    if calls:
        fields["tool_calls"] = calls
    return fields


def encode_content(parts: Sequence[tuple[str, Part]], losses: Losses) -> object:
    """The value of `content`: a string for a single plain text, an array otherwise, None for no parts at all."""
    members = [member for path, part in parts if (member := encode_content_part(part, path, losses)) is not None]
    if len(members) == 1 and (text := plain_text(members[0])) is not None:
        return text
    return members or None


def _numbered(parts: Sequence[Part], path: str) -> list[tuple[str, Part]]:
    return [(f"{path}.parts[{number}]", part) for number, part in enumerate(parts)]


def _finished(fields: dict[str, object], message: Message, path: str, losses: Losses) -> dict[str, object]:
    if message.name is not None:
        fields["name"] = message.name
    losses.restore(fields, message.extensions, path)
    return fields
