"""Tools of Responses, in both directions: definitions, and the choice among them."""

from collections.abc import Sequence
from typing import assert_never

from tollhouse.ir.plain import is_array, is_object
from tollhouse.ir.request import CustomTool, FunctionTool, NamespaceTool, ProviderTool, ToolChoice, ToolSpec
from tollhouse.wire.breakpoints import decode_cache_control, encode_cache_control
from tollhouse.wire.fields import Fields
from tollhouse.wire.leftovers import Losses, kept
from tollhouse.wire.openai_responses.parts import NAME


def decode_tool(value: object, path: str) -> ToolSpec:
    """One member of `tools`; what is neither a function nor a custom tool is one that only the provider knows."""
    if not is_object(value):
        raise Fields({}).wrong(path, "an object")
    fields = Fields(value, path, strict=True)
    kind = fields.text("type")
    if kind is None:
        raise fields.missing("type", "the kind of the tool, such as function")
    if kind not in ("function", "custom", "namespace"):
        return ProviderTool(format=NAME, value=value)
    name = fields.text("name")
    if name is None:
        raise fields.missing("name", "the tool's name")
    description = fields.text("description")
    if kind == "namespace":
        return _decode_namespace(fields, name, description)
    if kind == "custom":
        return CustomTool(
            name=name,
            description=description,
            grammar=fields.plain("format"),
            cache_control=decode_cache_control(fields, NAME),
            extensions=kept(NAME, fields.rest()),
        )
    return FunctionTool(
        name=name,
        description=description,
        parameters=fields.plain("parameters"),
        # "not strict" has to be said here, while elsewhere it goes without saying.
        strict=fields.boolean("strict") or None,
        cache_control=decode_cache_control(fields, NAME),
        extensions=kept(NAME, fields.rest()),
    )


def _decode_namespace(fields: Fields, name: str, description: str | None) -> NamespaceTool:
    members: list[FunctionTool | CustomTool | ProviderTool] = []
    for number, value in enumerate(fields.array("tools") or ()):
        path = fields.path(f"tools[{number}]")
        member = decode_tool(value, path)
        if isinstance(member, NamespaceTool):
            raise fields.wrong(f"tools[{number}]", "a function or a custom tool; namespaces do not nest")
        members.append(member)
    return NamespaceTool(name=name, description=description, tools=tuple(members), extensions=kept(NAME, fields.rest()))


def encode_tools(tools: Sequence[ToolSpec], losses: Losses, place: str = "tools") -> list[object]:
    """The list `tools`; what only another format knows is lost. `place` is where the list stands."""
    encoded: list[object] = []
    for number, tool in enumerate(tools):
        path = f"{place}[{number}]"
        match tool:
            case NamespaceTool():
                group: dict[str, object] = {"type": "namespace", "name": tool.name}
                group |= _present(description=tool.description)
                group["tools"] = encode_tools(tool.tools, losses, f"{path}.tools")
                losses.restore(group, tool.extensions, path)
                encoded.append(group)
                continue
            case FunctionTool():
                # Left out, `strict` means that the schema is made strict where that is possible, which turns optional
                # arguments into required ones (OpenAI, guide "Function calling", November 2026).
                spec: dict[str, object] = {"type": "function", "name": tool.name, "strict": tool.strict or False}
                spec |= _present(description=tool.description, parameters=tool.parameters)
            case CustomTool():
                spec = {"type": "custom", "name": tool.name}
                spec |= _present(description=tool.description, format=tool.grammar)
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
    if not is_object(value):
        return None
    kind, name = value.get("type"), value.get("name")
    if kind == "allowed_tools":
        return _allowed_tools(value)
    if kind not in ("function", "custom") or not isinstance(name, str):
        return None
    namespace = value.get("namespace")
    return ToolChoice(
        mode="tool",
        name=name,
        namespace=namespace if isinstance(namespace, str) else None,
        kind="custom" if kind == "custom" else "function",
    )


def _allowed_tools(value: dict[str, object]) -> ToolChoice | None:
    """{"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": …}, …]}"""
    tools, mode = value.get("tools"), value.get("mode")
    if not is_array(tools) or mode not in ("auto", "required"):
        return None
    names: list[str] = []
    for tool in tools:
        name = tool.get("name") if is_object(tool) and tool.get("type") == "function" else None
        if not isinstance(name, str):
            return None
        names.append(name)
    return ToolChoice(mode="auto" if mode == "auto" else "required", allowed=tuple(names))


def encode_tool_choice(choice: ToolChoice) -> object:
    """The value of `tool_choice`."""
    if choice.mode == "tool":
        return {"type": choice.kind, "name": choice.name, **_present(namespace=choice.namespace)}
    if choice.allowed is not None:
        tools = [{"type": "function", "name": name} for name in choice.allowed]
        return {"type": "allowed_tools", "mode": choice.mode, "tools": tools}
    return choice.mode


def _present(**values: object) -> dict[str, object]:
    return {key: value for key, value in values.items() if value is not None}
