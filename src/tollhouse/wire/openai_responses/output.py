"""Items of the model, in both directions: messages, calls, reasoning, and what only this format knows.

A message is an item with a list of texts and refusals; each of them is a part that names the item in `item_id`, and the
first one keeps what else the item says.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from tollhouse.ir.fault import FaultError
from tollhouse.ir.parts import OpaquePart, Part, ReasoningPart, RefusalPart, TextPart, ToolCallPart
from tollhouse.ir.plain import is_array, is_object
from tollhouse.wire.fields import Fields
from tollhouse.wire.leftovers import Losses
from tollhouse.wire.openai_responses.calls import CALLS, decode_call, encode_call
from tollhouse.wire.openai_responses.parts import ITEM, NAME, decode_content_part, encode_answered
from tollhouse.wire.openai_responses.reasoning import decode_reasoning, encode_reasoning

SaidPart = TextPart | RefusalPart

_SAID_TYPES = ("output_text", "input_text", "text", "refusal")
_PREFIXES = {"function": "fc", "custom": "ctc"}


def decode_message(item: Fields, *, strict: bool) -> list[Part]:
    """The parts of a message of the model. A member of its content that is neither text nor refusal becomes a message
    of its own, kept verbatim. Strict, raises FaultError (invalid_request) naming the field that does not fit."""
    content = item.get("content")
    item_id = item.text("id")
    item.drop("content", "type", "role")
    left = item.rest()
    values: list[object] = content if is_array(content) else []
    if isinstance(content, str):
        values = [{"type": "output_text", "text": content}]
    parts: list[Part] = []
    for number, value in enumerate(values):
        path = item.path(f"content[{number}]")
        if not is_object(value):
            if strict:
                raise Fields({}).wrong(path, "an object with a type")
            continue
        part = _decode_said(value, path, strict=strict)
        if part is None:
            head: dict[str, object] = {"type": "message"} if item_id is None else {"type": "message", "id": item_id}
            parts.append(OpaquePart(format=NAME, value={**head, "role": "assistant", "content": [value], **left}))
        else:
            first = not any(isinstance(each, TextPart | RefusalPart) for each in parts)
            parts.append(with_item(msgspec.structs.replace(part, item_id=item_id), left if first else {}))
    return parts


def _decode_said(value: dict[str, object], path: str, *, strict: bool) -> SaidPart | None:
    if value.get("type") not in _SAID_TYPES:
        return None
    try:
        part = decode_content_part(Fields(value, path, strict=strict))
    except FaultError:
        if strict:
            raise
        return None
    return part if isinstance(part, TextPart | RefusalPart) else None


def with_item(part: SaidPart, left: dict[str, object]) -> SaidPart:
    """`part` with what its item says besides; as it is when that is nothing."""
    if not left:
        return part
    own = {**part.extensions.get(NAME, {}), ITEM: left}
    return msgspec.structs.replace(part, extensions={**part.extensions, NAME: own})


def item_left(extensions: dict[str, dict[str, object]]) -> dict[str, object]:
    """What the item of a part says besides, out of the part's extensions."""
    left = extensions.get(NAME, {}).get(ITEM)
    return left if is_object(left) else {}


def joins(part_item_id: str | None, extensions: dict[str, dict[str, object]], open_item_id: str | None) -> bool:
    """Whether a text or refusal belongs to the message before it, whose item is `open_item_id`."""
    return ITEM not in extensions.get(NAME, {}) and part_item_id in (None, open_item_id)


def marked(parts: Sequence[Part], before: Part | None) -> list[Part]:
    """The parts of one item, marked as such where they could be taken for more of the message `before`."""
    first = parts[0] if parts else None
    if not isinstance(first, TextPart | RefusalPart) or not isinstance(before, TextPart | RefusalPart):
        return list(parts)
    if not joins(first.item_id, first.extensions, before.item_id):
        return list(parts)
    return [with_item(first, {"type": "message"}), *parts[1:]]


def grouped(parts: Iterable[tuple[str, Part]]) -> Iterator[list[tuple[str, Part]]]:
    """The parts that one item says together, each with its path: texts and refusals side by side, else one."""
    group: list[tuple[str, Part]] = []
    for path, part in parts:
        first = group[0][1] if group else None
        together = (
            isinstance(part, TextPart | RefusalPart)
            and isinstance(first, TextPart | RefusalPart)
            and joins(part.item_id, part.extensions, first.item_id)
        )
        if group and not together:
            yield group
            group = []
        group.append((path, part))
    if group:
        yield group


def decode_output_item(value: dict[str, object]) -> list[Part]:
    """The parts of one item of an answer; what is not understood is kept verbatim. Whether an item is complete follows
    from the answer's own status, and is not kept."""
    kind = value.get("type")
    fields = Fields(value)
    fields.drop("status")
    if kind == "message":
        return decode_message(fields, strict=False)
    if kind == "reasoning":
        return [decode_reasoning(fields)]
    if isinstance(kind, str) and kind in CALLS:
        if not fields.get("call_id"):
            fields.replace("call_id", value.get("id"))
        try:
            return [decode_call(fields, CALLS[kind])]
        except FaultError:
            pass
    return [OpaquePart(format=NAME, value=value)]


def encode_output_item(
    group: Sequence[tuple[str, Part]], made_up: "MadeUpId", status: str, losses: Losses
) -> dict[str, object] | None:
    """The item of an answer that says the parts of `group`; None, with a loss, when there is none."""
    path, part = group[0]
    match part:
        case TextPart() | RefusalPart():
            members = [
                encode_answered(each, place, losses)
                for place, each in group
                if isinstance(each, TextPart | RefusalPart)
            ]
            return message_item(part.item_id or made_up("msg"), members, status, item_left(part.extensions))
        case ToolCallPart():
            item = encode_call(part, path, losses)
            return {"id": made_up(call_prefix(part.kind)), "status": status, **item}
        case ReasoningPart():
            return {"id": made_up("rs"), **encode_reasoning(part, path, losses)}
        case OpaquePart() if part.format == NAME:
            return dict(part.value)
        case _:
            losses.note(path, f"an answer of {NAME} has no such part")
            return None


def message_item(
    item_id: str, content: list[dict[str, object]], status: str, left: dict[str, object]
) -> dict[str, object]:
    """A message of an answer."""
    item: dict[str, object] = {
        "id": item_id,
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": content,
    }
    return item | {key: value for key, value in left.items() if key not in item}


def call_prefix(kind: str) -> str:
    """What the ids of calls of a kind begin with."""
    return _PREFIXES[kind]


class MadeUpId:
    """Ids for items that came without one, because their format has none: the same every time, and unique."""

    def __init__(self, answer_id: str | None, output_index: int) -> None:
        self._end = f"{(answer_id or 'answer').removeprefix('resp_')}_{output_index}"

    def __call__(self, prefix: str) -> str:
        """The id of the item if it is of that kind."""
        return f"{prefix}_{self._end}"
