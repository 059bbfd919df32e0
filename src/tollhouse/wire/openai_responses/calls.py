"""Tool calls and their results as items of Responses, in both directions."""

from tollhouse.ir.parts import (
    AudioPart,
    FilePart,
    ImagePart,
    OpaquePart,
    TextPart,
    ToolCallKind,
    ToolCallPart,
    ToolResultPart,
)
from tollhouse.wire.breakpoints import decode_cache_control, encode_cache_control
from tollhouse.wire.fields import Fields
from tollhouse.wire.leftovers import Losses, kept
from tollhouse.wire.openai_responses.parts import NAME, decode_content, encode_said, plain_text

CALLS: dict[str, ToolCallKind] = {"function_call": "function", "custom_tool_call": "custom"}
RESULTS: dict[str, ToolCallKind] = {"function_call_output": "function", "custom_tool_call_output": "custom"}

_CALL_TYPES = {kind: name for name, kind in CALLS.items()}
_RESULT_TYPES = {kind: name for name, kind in RESULTS.items()}
_INPUTS: dict[ToolCallKind, str] = {"function": "arguments", "custom": "input"}


def input_key(kind: ToolCallKind) -> str:
    """Where a call of this kind has what the tool is called with."""
    return _INPUTS[kind]


def decode_call(item: Fields, kind: ToolCallKind) -> ToolCallPart:
    """A call, whose kind its type has told. Raises FaultError (invalid_request) naming the field that is missing."""
    item.drop("type")
    call_id, name, arguments = item.text("call_id"), item.text("name"), item.text(_INPUTS[kind])
    if call_id is None:
        raise item.missing("call_id", "the id of the call")
    if name is None:
        raise item.missing("name", "the name of the tool that was called")
    if arguments is None:
        raise item.missing(_INPUTS[kind], "a string")
    return ToolCallPart(
        id=call_id,
        name=name,
        namespace=item.text("namespace"),
        arguments=arguments,
        kind=kind,
        item_id=item.text("id"),
        cache_control=decode_cache_control(item, NAME),
        extensions=kept(NAME, item.rest()),
    )


def encode_call(call: ToolCallPart, path: str, losses: Losses) -> dict[str, object]:
    """The item that says `call`."""
    item: dict[str, object] = {"type": _CALL_TYPES[call.kind]}
    if call.item_id is not None:
        item["id"] = call.item_id
    item |= {"call_id": call.id, "name": call.name, _INPUTS[call.kind]: call.arguments}
    if call.namespace is not None:
        item["namespace"] = call.namespace
    item |= encode_cache_control(call.cache_control, path, losses)
    losses.restore(item, call.extensions, path)
    return item


def decode_result(item: Fields, kind: ToolCallKind) -> ToolResultPart:
    """What a tool answered. Raises FaultError (invalid_request) naming the field that does not fit."""
    item.drop("type")
    call_id = item.text("call_id")
    if call_id is None:
        raise item.missing("call_id", "the id of the call that this item answers")
    if item.get("output") is None:
        raise item.missing("output", "a string or an array of parts")
    parts: list[TextPart | ImagePart | FilePart | AudioPart | OpaquePart] = []
    for number, part in enumerate(decode_content(item, "output")):
        if not isinstance(part, TextPart | ImagePart | FilePart | AudioPart | OpaquePart):
            raise item.wrong(f"output[{number}]", "text, an image, a file or sound")
        parts.append(part)
    return ToolResultPart(
        call_id=call_id,
        parts=tuple(parts),
        kind=kind,
        item_id=item.text("id"),
        cache_control=decode_cache_control(item, NAME),
        extensions=kept(NAME, item.rest()),
    )


def encode_result(result: ToolResultPart, path: str, losses: Losses) -> dict[str, object]:
    """The item that says `result`; its output is a string where it is one plain text, or nothing."""
    item: dict[str, object] = {"type": _RESULT_TYPES[result.kind]}
    if result.item_id is not None:
        item["id"] = result.item_id
    members = [
        member
        for number, part in enumerate(result.parts)
        if (member := encode_said(part, f"{path}.parts[{number}]", losses)) is not None
    ]
    text = plain_text(members[0]) if len(members) == 1 else None
    item |= {"call_id": result.call_id, "output": (members or "") if text is None else text}
    losses.drop(f"{path}.is_error", result.is_error)
    item |= encode_cache_control(result.cache_control, path, losses)
    losses.restore(item, result.extensions, path)
    return item
