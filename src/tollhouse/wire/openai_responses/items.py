"""The list `input` of Responses, in both directions: items to turns, and turns to items.

Items of the model in a row (text, reasoning, calls, and what only this format knows) are one turn of the assistant;
outputs of tools in a row are one turn of role `tool`.
"""

from collections.abc import Sequence
from typing import cast

import msgspec

from tollhouse.ir.parts import OpaquePart, Part, ReasoningPart, RefusalPart, TextPart, ToolCallPart, ToolResultPart
from tollhouse.ir.plain import is_object
from tollhouse.ir.request import Message, Role
from tollhouse.wire.fields import Fields
from tollhouse.wire.leftovers import Losses, kept
from tollhouse.wire.openai_responses.calls import (
    CALLS,
    RESULTS,
    decode_call,
    decode_result,
    encode_call,
    encode_result,
)
from tollhouse.wire.openai_responses.output import decode_message, grouped, item_left, marked
from tollhouse.wire.openai_responses.parts import NAME, decode_content, encode_answered, encode_said, plain_text
from tollhouse.wire.openai_responses.reasoning import decode_reasoning, encode_reasoning

# Form of reasoning that a caller sends back as more than a summary (vLLM's, gpt-oss's).
_CONTENT_FORM = "content"
_ROLES = ("system", "developer", "user", "assistant")
_KNOWN = frozenset({None, "message", "reasoning", *CALLS, *RESULTS})


def decode_items(values: Sequence[object]) -> tuple[Message, ...]:
    """The turns of a request. Raises FaultError (invalid_request) naming the field that does not fit."""
    messages: list[Message] = []
    run: list[Part] = []
    speaker: Role = "assistant"
    for number, value in enumerate(values):
        path = f"input[{number}]"
        if not is_object(value):
            raise Fields({}).wrong(path, "an object")
        present = {key: each for key, each in value.items() if each is not None}
        said = _decode_item(Fields(present, path, strict=True), value)
        role = said.role if isinstance(said, Message) else _speaker(said)
        if run and role != speaker:
            messages.append(Message(role=speaker, parts=tuple(run)))
            run = []
        speaker = role
        if isinstance(said, Message):
            messages.append(said)
        else:
            run += marked(said, run[-1] if run else None)
    if run:
        messages.append(Message(role=speaker, parts=tuple(run)))
    return tuple(messages)


def _speaker(parts: Sequence[Part]) -> Role:
    return "tool" if parts and isinstance(parts[0], ToolResultPart) else "assistant"


def _decode_item(item: Fields, value: dict[str, object]) -> Message | list[Part]:
    """A whole turn of the caller's, or parts of a turn that the items beside it may belong to."""
    kind = item.get("type")
    if kind is not None and not isinstance(kind, str):
        raise item.wrong("type", "a string")
    # What was complete needs no saying; a client repeats it from the answer.
    if item.get("status") == "completed" and kind in _KNOWN:
        item.drop("status")
    if kind is None or kind == "message":
        return _decode_message(item)
    if kind in CALLS:
        return [decode_call(item, CALLS[kind])]
    if kind in RESULTS:
        return [decode_result(item, RESULTS[kind])]
    if kind == "reasoning":
        part = decode_reasoning(item)
        return [msgspec.structs.replace(part, form=_CONTENT_FORM) if part.text else part]
    return [OpaquePart(format=NAME, value=value)]


def _decode_message(item: Fields) -> Message | list[Part]:
    role = item.text("role")
    if role not in _ROLES:
        raise item.wrong("role", f"one of {', '.join(_ROLES)}")
    content = item.get("content")
    if content is None:
        raise item.missing("content", "a string or an array of parts")
    if role == "assistant":
        if not isinstance(content, str | list):
            raise item.wrong("content", "a string or an array of parts")
        return decode_message(item, strict=True)
    item.drop("type")
    parts = decode_content(item, "content")
    item_id = item.text("id")
    return Message(role=cast("Role", role), parts=tuple(parts), id=item_id, extensions=kept(NAME, item.rest()))


def encode_items(messages: Sequence[Message], losses: Losses, first: int = 0) -> list[object]:
    """The list `input`; the turns are numbered from `first` where losses are noted."""
    items: list[object] = []
    for number, message in enumerate(messages, first):
        path = f"messages[{number}]"
        losses.drop(f"{path}.name", message.name)
        if message.role == "tool":
            encoded = _encode_results(message, path, losses)
        elif message.role == "assistant":
            encoded = _encode_answered(message, path, losses)
        else:
            encoded = [_encode_said(message, path, losses)]
        losses.restore(encoded[0] if encoded else {}, message.extensions, path)
        items += encoded
    return items


def _encode_said(message: Message, path: str, losses: Losses) -> dict[str, object]:
    members = [
        member
        for number, part in enumerate(message.parts)
        if (member := encode_said(part, f"{path}.parts[{number}]", losses)) is not None
    ]
    item: dict[str, object] = {"type": "message"}
    if message.id is not None:
        item["id"] = message.id
    text = plain_text(members[0]) if len(members) == 1 else None
    return item | {"role": message.role, "content": (members or "") if text is None else text}


def _encode_results(message: Message, path: str, losses: Losses) -> list[dict[str, object]]:
    items: list[dict[str, object]] = []
    for number, part in enumerate(message.parts):
        place = f"{path}.parts[{number}]"
        if isinstance(part, ToolResultPart):
            items.append(encode_result(part, place, losses))
        else:
            losses.note(place, "a turn of tools holds results only")
    return items


def _encode_answered(message: Message, path: str, losses: Losses) -> list[dict[str, object]]:
    items: list[dict[str, object]] = []
    numbered = ((f"{path}.parts[{number}]", part) for number, part in enumerate(message.parts))
    for group in grouped(numbered):
        place, part = group[0]
        if isinstance(part, TextPart | RefusalPart):
            items.append(_encode_own_message(part, group, losses))
        elif (item := _encode_own_item(part, place, losses)) is not None:
            items.append(item)
    return items


def _encode_own_item(part: Part, path: str, losses: Losses) -> dict[str, object] | None:
    match part:
        case ToolCallPart():
            return encode_call(part, path, losses)
        case ReasoningPart():
            item = encode_reasoning(_as_replayed(part), path, losses)
            # Of reasoning that only another format can read, nothing may be left.
            return None if part.opaque is not None and item == {"type": "reasoning", "summary": []} else item
        case OpaquePart() if part.format == NAME:
            return dict(part.value)
        case _:
            losses.note(path, f"{NAME} has no such part in an assistant's turn")
            return None


def _as_replayed(part: ReasoningPart) -> ReasoningPart:
    """What another format showed of the reasoning, as a summary: the vendor refuses an item of its own with content
    ("array too long", openai/codex#36704, 2026). Those who show the reasoning itself get it back where it stood."""
    if not part.text or part.summary or part.form == _CONTENT_FORM:
        return part
    return msgspec.structs.replace(part, text="", summary=(part.text,))


def _encode_own_message(
    first: TextPart | RefusalPart, group: Sequence[tuple[str, Part]], losses: Losses
) -> dict[str, object]:
    members = [
        _without_blanks(encode_answered(part, path, losses))
        for path, part in group
        if isinstance(part, TextPart | RefusalPart)
    ]
    item: dict[str, object] = {"type": "message"}
    if first.item_id is not None:
        item["id"] = first.item_id
    text = plain_text(members[0]) if len(members) == 1 and first.item_id is None else None
    item |= {"role": "assistant", "content": members if text is None else text}
    return item | {key: value for key, value in item_left(first.extensions).items() if key not in item}


def _without_blanks(member: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in member.items() if value or key not in ("annotations", "logprobs")}
