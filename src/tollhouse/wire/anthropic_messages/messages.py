"""The turns of a Messages request as internal messages: results of tools become messages of their own."""

from collections.abc import Sequence
from itertools import groupby

from tollhouse.ir.parts import Part, TextPart, ToolResultPart
from tollhouse.ir.plain import is_array, is_object
from tollhouse.ir.request import Message, Role
from tollhouse.wire.anthropic_messages.blocks import decode_blocks, decode_content
from tollhouse.wire.anthropic_messages.names import NAME
from tollhouse.wire.fields import Fields
from tollhouse.wire.leftovers import kept

_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system"}


def decode_system(fields: Fields) -> tuple[Message, ...]:
    """The message that `system`, a string or an array of blocks, makes, taken out of the request."""
    system = fields.get("system")
    if isinstance(system, str) or system is None:
        fields.drop("system")
        return (Message(role="system", parts=(TextPart(text=system),)),) if system else ()
    if not is_array(system):
        raise fields.wrong("system", "a string or an array of text blocks")
    fields.drop("system")
    parts = decode_blocks(system, "system")
    return (Message(role="system", parts=tuple(parts)),) if parts else ()


def decode_messages(values: Sequence[object]) -> tuple[Message, ...]:
    """The turns of a request. Raises FaultError (invalid_request) naming the field that does not fit."""
    return tuple(
        message for number, value in enumerate(values) for message in _decode_turn(value, f"messages[{number}]")
    )


def _decode_turn(value: object, path: str) -> list[Message]:
    """One turn, as several messages where results of tools stand beside other blocks."""
    if not is_object(value):
        raise Fields({}).wrong(path, "an object with role and content")
    fields = Fields(value, path, strict=True)
    role = _ROLES.get(fields.text("role") or "")
    if role is None:
        raise fields.wrong("role", "user or assistant")
    parts = decode_content(fields)
    extensions = kept(NAME, fields.rest())
    messages: list[Message] = []
    for is_result, run in groupby(parts, key=_is_result):
        if is_result and role != "user":
            raise fields.wrong("content", f"without tool_result blocks in a turn of the {role}")
        messages.append(Message(role="tool" if is_result else role, parts=tuple(run)))
    if not messages:
        messages.append(Message(role=role))
    messages[0] = Message(role=messages[0].role, parts=messages[0].parts, extensions=extensions)
    return messages


def _is_result(part: Part) -> bool:
    return isinstance(part, ToolResultPart)
