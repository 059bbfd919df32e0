"""Tools of Chat Completions, in both directions: definitions, the choice among them, and calls."""

from collections.abc import Sequence
from typing import assert_never

from tollhouse.ir.parts import ToolCallPart
from tollhouse.ir.plain import is_array, is_object
from tollhouse.ir.request import CustomTool, FunctionTool, NamespaceTool, ProviderTool, ToolChoice, ToolSpec
from tollhouse.wire.breakpoints import decode_cache_control, encode_cache_control
from tollhouse.wire.fields import Fields
from tollhouse.wire.leftovers import Losses, kept
from tollhouse.wire.openai_chat.parts import NAME
from tollhouse.wire.tool_groups import joined_name, ungrouped


def decode_tool(value: object, path: str) -> ToolSpec:
    """One member of `tools`. A missing type means a function, as providers read it."""
    if not is_object(value):
        raise Fields({}).wrong(path, "an object")
    fields = Fields(value, path, strict=True)
    kind = fields.text("type")
    if kind == "custom" and is_object(fields.get("custom")):
        return _decode_custom_tool(fields)
    if kind not in (None, "function"):
        return ProviderTool(format=NAME, value=value)
    function = fields.child("function")
    if function is None:
        raise fields.missing("function", "an object with a name")
    name = function.text("name")
    if name is None:
        raise function.missing("name", "the function's name")
    return FunctionTool(
        name=name,
        description=function.text("description"),
        parameters=function.plain("parameters"),
        strict=function.boolean("strict"),
        cache_control=decode_cache_control(fields, NAME),
        extensions=kept(NAME, fields.rest()),
    )


def _decode_custom_tool(fields: Fields) -> CustomTool:
    custom = fields.child("custom") or Fields({})
    name = custom.text("name")
    if name is None:
        raise custom.missing("name", "the tool's name")
    return CustomTool(
        name=name,
        description=custom.text("description"),
        grammar=custom.plain("format"),
        cache_control=decode_cache_control(fields, NAME),
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
            case FunctionTool():
                function: dict[str, object] = {"name": tool.name}
                function |= _present(description=tool.description, parameters=tool.parameters, strict=tool.strict)
                spec: dict[str, object] = {"type": "function", "function": function}
            case CustomTool():
                custom: dict[str, object] = {"name": tool.name}
                custom |= _present(description=tool.description, format=tool.grammar)
                spec = {"type": "custom", "custom": custom}
            case ProviderTool():
                if tool.format == NAME:
                    encoded.append(tool.value)
                else:
                    losses.note(path, f"only {tool.format} has this tool")
                continue
            case _:
                assert_never(tool)
        spec |= encode_cache_control(tool.cache_control, path, losses)
        losses.restore(spec, tool.extensions, path)
        encoded.append(spec)
    return encoded


def decode_tool_choice(fields: Fields) -> ToolChoice | None:
    """The choice, taken out of the request; one that is not known stays where it is."""
    value = fields.get("tool_choice")
    choice = _known_choice(value)
    if choice is not None or value is None:
        fields.drop("tool_choice")
    return choice


def _known_choice(value: object) -> ToolChoice | None:
    if value in ("auto", "none", "required"):
        return ToolChoice(mode="auto" if value == "auto" else "none" if value == "none" else "required")
    if value == "any":  # Mistral's word for required (docs "Function calling", November 2026)
        return ToolChoice(mode="required")
    if not is_object(value):
        return None
    kind = value.get("type")
    if kind == "allowed_tools":
        return _allowed_tools(value.get("allowed_tools"))
    named = value.get("custom" if kind == "custom" else "function")
    name = named.get("name") if is_object(named) else None
    if kind not in ("function", "custom") or not isinstance(name, str):
        return None
    return ToolChoice(mode="tool", name=name, kind="custom" if kind == "custom" else "function")


def _allowed_tools(value: object) -> ToolChoice | None:
    """{"mode": "auto", "tools": [{"type": "function", "function": {"name": …}}, …]}"""
    tools = value.get("tools") if is_object(value) else None
    mode = value.get("mode") if is_object(value) else None
    if not is_array(tools) or mode not in ("auto", "required"):
        return None
    names: list[str] = []
    for tool in tools:
        function = tool.get("function") if is_object(tool) else None
        name = function.get("name") if is_object(function) else None
        if not isinstance(name, str):
            return None
        names.append(name)
    return ToolChoice(mode="auto" if mode == "auto" else "required", allowed=tuple(names))


def encode_tool_choice(choice: ToolChoice) -> object:
    """The value of `tool_choice`."""
    if choice.mode == "tool":
        return {"type": choice.kind, choice.kind: {"name": joined_name(choice.namespace, choice.name or "")}}
    if choice.allowed is not None:
        tools = [{"type": "function", "function": {"name": name}} for name in choice.allowed]
        return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": tools}}
    return choice.mode


def decode_tool_call(fields: Fields) -> ToolCallPart | None:
    """One whole member of `tool_calls`; None when it names no tool. An id that is missing comes back as ""."""
    kind = fields.text("type")
    if kind == "custom" or (kind is None and is_object(fields.get("custom"))):
        inner, key = fields.child("custom"), "input"
    else:
        inner, key = fields.child("function"), "arguments"
    name = None if inner is None else inner.text("name")
    if inner is None or name is None:
        return None
    return ToolCallPart(
        id=fields.text("id") or "",
        name=name,
        arguments=inner.text(key) or "",
        kind="custom" if key == "input" else "function",
        cache_control=decode_cache_control(fields, NAME),
        extensions=kept(NAME, fields.rest()),
    )


def encode_tool_call(call: ToolCallPart, path: str, losses: Losses) -> dict[str, object]:
    """The member of `tool_calls` that says `call`."""
    arguments = "input" if call.kind == "custom" else "arguments"
    encoded: dict[str, object] = {
        "id": call.id,
        "type": call.kind,
        call.kind: {"name": joined_name(call.namespace, call.name), arguments: call.arguments},
    }
    encoded |= encode_cache_control(call.cache_control, path, losses)
    losses.restore(encoded, call.extensions, path)
    return encoded


def _present(**values: object) -> dict[str, object]:
    return {key: value for key, value in values.items() if value is not None}
