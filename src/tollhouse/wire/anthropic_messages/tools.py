"""Tools of Messages, in both directions: definitions, the choice among them, and calls."""

from collections.abc import Sequence
from typing import assert_never

import msgspec

from tollhouse.ir.parts import ToolCallPart
from tollhouse.ir.plain import is_object
from tollhouse.ir.request import (
    ChatRequest,
    CustomTool,
    FunctionTool,
    NamespaceTool,
    ProviderTool,
    ToolChoice,
    ToolSpec,
)
from tollhouse.wire.anthropic_messages.names import (
    NAME,
    decode_cache_control,
    encode_cache_control,
    present,
    request_id_of,
)
from tollhouse.wire.custom_tools import as_function, free_input
from tollhouse.wire.fields import Fields, parse, render
from tollhouse.wire.leftovers import Losses, kept
from tollhouse.wire.tool_groups import joined_name, ungrouped

_NO_PARAMETERS: dict[str, object] = {"type": "object", "properties": {}}
_MODES = {"auto": "auto", "none": "none", "any": "required", "tool": "tool"}


def decode_tool(value: object, path: str) -> ToolSpec:
    """One member of `tools`. No type and `custom` mean a tool of the caller's; all others are the provider's own."""
    if not is_object(value):
        raise Fields({}).wrong(path, "an object")
    fields = Fields(value, path, strict=True)
    kind = fields.text("type")
    if kind not in (None, "custom"):
        return ProviderTool(format=NAME, value=value)
    name = fields.text("name")
    if name is None:
        raise fields.missing("name", "the tool's name")
    return FunctionTool(
        name=name,
        description=fields.text("description"),
        parameters=fields.plain("input_schema"),
        strict=fields.boolean("strict"),
        cache_control=decode_cache_control(fields),
        extensions=kept(NAME, fields.rest()),
    )


def encode_tools(tools: Sequence[ToolSpec], losses: Losses, place: str = "tools") -> list[object]:
    """The list `tools`; what only another format knows is lost. `place` is where the list stands."""
    encoded: list[object] = []
    for number, tool in enumerate(tools):
        path = f"{place}[{number}]"
        match tool:
            case NamespaceTool():
                losses.note(path, f"{NAME} has no groups of tools; each is sent under a joined name")
                losses.restore({}, tool.extensions, path)
                encoded += encode_tools(ungrouped(tool), losses, f"{path}.tools")
                continue
            case FunctionTool() | CustomTool():
                function = tool if isinstance(tool, FunctionTool) else as_function(tool)
                if function is not tool:
                    losses.note(path, f"{NAME} has no tools that take free text; sent as a function of one text")
                schema = _schema(function.parameters)
                spec = present(name=tool.name, description=tool.description, input_schema=schema)
                if function.strict is not None:
                    spec["strict"] = function.strict
            case ProviderTool():
                if tool.format == NAME:
                    encoded.append(tool.value)
                else:
                    losses.note(path, f"only {tool.format} has this tool")
                continue
            case _:
                assert_never(tool)
        spec |= encode_cache_control(tool.cache_control)
        losses.restore(spec, tool.extensions, path)
        encoded.append(spec)
    return encoded


def _schema(parameters: dict[str, object] | None) -> dict[str, object]:
    """A schema that the provider accepts: it must say that it is one of an object."""
    if not parameters:
        return _NO_PARAMETERS
    return parameters if "type" in parameters else {"type": "object", **parameters}


def decode_tool_choice(fields: Fields) -> tuple[ToolChoice | None, bool | None]:
    """The choice, taken out of the request, and whether calls may be parallel; a choice that is not known stays."""
    value = fields.get("tool_choice")
    if not is_object(value):
        if value is not None:
            raise fields.wrong("tool_choice", "an object with a type")
        fields.drop("tool_choice")
        return None, None
    mode = _MODES.get(str(value.get("type")))
    name = value.get("name")
    if mode is None or (mode == "tool" and not isinstance(name, str)):
        return None, None
    choice = fields.child("tool_choice") or Fields({})
    choice.drop("type")
    parallel = False if choice.boolean("disable_parallel_tool_use") else None
    if mode == "tool":
        return ToolChoice(mode="tool", name=choice.text("name")), parallel
    return ToolChoice(mode="auto" if mode == "auto" else "none" if mode == "none" else "required"), parallel


def encode_tool_choice(request: ChatRequest, tools: Sequence[object], losses: Losses) -> dict[str, object] | None:
    """The value of `tool_choice`, which holds the switch for parallel calls and may only stand beside `tools`, which
    are encoded already."""
    choice = request.tool_choice
    if not tools:
        if choice is not None and choice.mode not in ("auto", "none"):
            losses.note("tool_choice", f"{NAME} takes it only beside tools")
        return None
    encoded: dict[str, object] = {}
    if choice is not None:
        encoded["type"] = "any" if choice.mode == "required" else choice.mode
        if choice.name is not None:
            encoded["name"] = joined_name(choice.namespace, choice.name)
        if choice.allowed is not None:
            losses.note("tool_choice.allowed", f"{NAME} cannot narrow the tools without leaving them out")
    if request.parallel_tool_calls is False and encoded.get("type") != "none":
        encoded = {"type": "auto", **encoded, "disable_parallel_tool_use": True}
    return encoded or None


def decode_tool_use(fields: Fields) -> ToolCallPart:
    """A tool_use block, its type taken already."""
    call_id, name = fields.text("id"), fields.text("name")
    if call_id is None:
        raise fields.missing("id", "the id that the result will name")
    if name is None:
        raise fields.missing("name", "the tool's name")
    value = fields.get("input")
    fields.drop("input")
    return ToolCallPart(
        id=call_id,
        name=name,
        arguments="{}" if value is None else render(value).decode(),
        cache_control=decode_cache_control(fields),
        extensions=kept(NAME, fields.rest()),
    )


def encode_tool_use(call: ToolCallPart, path: str, losses: Losses, *, asked: bool) -> dict[str, object]:
    """The tool_use block that says `call`; `asked`: for a request, in which ids are restricted."""
    encoded: dict[str, object] = {
        "type": "tool_use",
        "id": request_id_of(call.id) if asked else call.id,
        "name": joined_name(call.namespace, call.name),
        "input": _encode_input(call, path, losses),
    }
    encoded |= encode_cache_control(call.cache_control)
    losses.restore(encoded, call.extensions, path)
    return encoded


def _encode_input(call: ToolCallPart, path: str, losses: Losses) -> object:
    if call.kind == "custom":
        return free_input(call.arguments)
    if not call.arguments.strip():
        return {}
    if is_json_object(call.arguments):
        # As it came: reading and writing it again would change numbers such as 1e2.
        return msgspec.Raw(call.arguments.encode())
    losses.note(f"{path}.arguments", f"{NAME} takes a JSON object; sent as the text of one field")
    return free_input(call.arguments)


def is_json_object(text: str) -> bool:
    """Whether `text` is one JSON object."""
    try:
        return is_object(parse(text.encode()))
    except ValueError:
        return False
