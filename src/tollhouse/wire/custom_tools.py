"""Custom tools, which take free text, as functions of one text, for providers that know functions only; and back."""

from collections.abc import Iterable
from typing import TypeVar

import msgspec

from tollhouse.ir.events import StreamEvent, ToolCallDelta, ToolCallEnd, ToolCallStart
from tollhouse.ir.loss import Loss
from tollhouse.ir.parts import Part, ToolCallPart, ToolResultPart
from tollhouse.ir.plain import is_object
from tollhouse.ir.request import ChatRequest, CustomTool, FunctionTool, Message, NamespaceTool, ProviderTool, ToolSpec
from tollhouse.ir.response import ChatResponse
from tollhouse.wire.fields import parse, render
from tollhouse.wire.tool_groups import ungrouped

_FIELD = "input"
_Part = TypeVar("_Part", bound=Part)
_Tool = TypeVar("_Tool", bound=FunctionTool | CustomTool | ProviderTool)


def names_of(request: ChatRequest) -> frozenset[str]:
    """The names of the custom tools that are offered, as a provider without groups of tools is told them."""
    tools = request.tools or ()
    members = [tool for group in tools if isinstance(group, NamespaceTool) for tool in ungrouped(group)]
    return frozenset(tool.name for tool in (*tools, *members) if isinstance(tool, CustomTool))


def as_function(tool: CustomTool) -> FunctionTool:
    """A function of one text; a grammar is told to the model, but nobody holds it to it."""
    text: dict[str, object] = {"type": "string"}
    grammar = tool.grammar or {}
    inner = grammar.get("grammar") if is_object(grammar.get("grammar")) else grammar
    definition = inner.get("definition") if is_object(inner) else None
    if isinstance(definition, str) and definition:
        text["description"] = f"Text of this grammar:\n{definition}"
    return FunctionTool(
        name=tool.name,
        description=tool.description,
        parameters={"type": "object", "properties": {_FIELD: text}, "required": [_FIELD]},
        cache_control=tool.cache_control,
        extensions=tool.extensions,
    )


def free_input(text: str) -> dict[str, object]:
    """The input of such a function, or of a call whose arguments are no JSON object."""
    return {_FIELD: text}


def free_text(arguments: str) -> str:
    """The text that a call of such a function holds; all of its arguments when the model has sent something else."""
    try:
        value = parse(arguments.encode())
    except ValueError:
        return arguments
    text = value.get(_FIELD) if is_object(value) else None
    return text if isinstance(text, str) else arguments


def asked_as_functions(request: ChatRequest, losses: list[Loss]) -> ChatRequest:
    """The request with functions in place of its custom tools, and in calls and results of such tools."""
    tools = request.tools
    if tools is not None:
        tools = tuple(_tool(tool, f"tools[{number}]", losses) for number, tool in enumerate(tools))
    choice = request.tool_choice
    if choice is not None and choice.kind == "custom":
        choice = msgspec.structs.replace(choice, kind="function")
    messages = tuple(_message(message) for message in request.messages)
    return msgspec.structs.replace(request, tools=tools, tool_choice=choice, messages=messages)


def _tool(tool: ToolSpec, path: str, losses: list[Loss]) -> ToolSpec:
    if isinstance(tool, NamespaceTool):
        members = tuple(_member(one, f"{path}.tools[{number}]", losses) for number, one in enumerate(tool.tools))
        return msgspec.structs.replace(tool, tools=members)
    return _member(tool, path, losses)


def _member(tool: _Tool, path: str, losses: list[Loss]) -> _Tool | FunctionTool:
    if not isinstance(tool, CustomTool):
        return tool
    losses.append(Loss(path, "the provider knows functions only; sent as one of one text"))
    return as_function(tool)


def _message(message: Message) -> Message:
    if not any(isinstance(part, ToolCallPart | ToolResultPart) and part.kind == "custom" for part in message.parts):
        return message
    return msgspec.structs.replace(message, parts=tuple(_asked(part) for part in message.parts))


def _asked(part: _Part) -> _Part:
    if isinstance(part, ToolCallPart) and part.kind == "custom":
        arguments = render(free_input(part.arguments)).decode()
        return msgspec.structs.replace(part, kind="function", arguments=arguments)
    if isinstance(part, ToolResultPart) and part.kind == "custom":
        return msgspec.structs.replace(part, kind="function")
    return part


def answered_as_custom(answer: ChatResponse, names: frozenset[str]) -> ChatResponse:
    """The answer with calls of the custom tools `names` as the caller knows them."""
    choices = tuple(
        msgspec.structs.replace(choice, parts=tuple(_answered(part, names) for part in choice.parts))
        for choice in answer.choices
    )
    return msgspec.structs.replace(answer, choices=choices)


def _answered(part: _Part, names: frozenset[str]) -> _Part:
    if isinstance(part, ToolCallPart) and part.kind == "function" and part.name in names:
        return msgspec.structs.replace(part, kind="custom", arguments=free_text(part.arguments))
    return part


class CustomCalls:
    """The same for a stream: the text of a call is told when all of it has come, as it stands inside JSON."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._held: dict[tuple[int, int], list[str]] = {}

    def adapted(self, events: Iterable[StreamEvent]) -> list[StreamEvent]:
        """The events in whose place these stand."""
        return [one for event in events for one in self._adapted(event)] if self._names else list(events)

    def _adapted(self, event: StreamEvent) -> list[StreamEvent]:
        match event:
            case ToolCallStart() if event.kind == "function" and event.name in self._names:
                self._held[event.choice, event.index] = []
                return [msgspec.structs.replace(event, kind="custom")]
            case ToolCallDelta() if (held := self._held.get((event.choice, event.index))) is not None:
                held.append(event.arguments)
                return []
            case ToolCallEnd() if (held := self._held.pop((event.choice, event.index), None)) is not None:
                text = free_text("".join(held))
                told = [ToolCallDelta(choice=event.choice, index=event.index, arguments=text)] if text else []
                return [*told, event]
            case _:
                return [event]
