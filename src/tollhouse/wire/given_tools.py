"""Given tools: what the caller called his tools, for formats that must be told otherwise, and back again in answers.

Responses groups tools in namespaces, and knows tools that take free text; elsewhere a grouped tool goes by a joined
name and, where it has to be, free text is the one field of a function.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from tollhouse.ir.events import StreamEvent, ToolCallDelta, ToolCallEnd, ToolCallStart
from tollhouse.ir.parts import Part, ToolCallKind, ToolCallPart
from tollhouse.ir.plain import is_object
from tollhouse.ir.request import CustomTool, FunctionTool, NamespaceTool, ProviderTool, ToolSpec
from tollhouse.ir.response import ChatResponse
from tollhouse.wire.fields import parse

# The shortest limit among the formats (OpenAI and Anthropic, API references, November 2026).
_NAME_CHARS = 64
_HASH_CHARS = 8
_FOREIGN_LETTER = re.compile(r"[^a-zA-Z0-9_-]")
_FREE_TEXT = "input"


class GivenTool(msgspec.Struct, frozen=True):
    """A tool as the caller knows it."""

    namespace: str | None
    name: str
    kind: ToolCallKind


def joined_name(namespace: str | None, name: str) -> str:
    """The name of a tool where there are no namespaces. One that is too long, or has letters that names of functions
    may not have, ends in a hash, so that it stays its own."""
    if namespace is None:
        return name
    joined = namespace + name if namespace.endswith("__") else f"{namespace}__{name}"
    cleaned = _FOREIGN_LETTER.sub("_", joined)
    if cleaned == joined and len(joined) <= _NAME_CHARS:
        return joined
    digest = hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_CHARS]
    return f"{cleaned[: _NAME_CHARS - _HASH_CHARS - 1]}_{digest}"


def ungrouped(group: NamespaceTool) -> tuple[FunctionTool | CustomTool | ProviderTool, ...]:
    """The tools of a group under their joined names."""
    return tuple(
        tool
        if isinstance(tool, ProviderTool)
        else msgspec.structs.replace(tool, name=joined_name(group.name, tool.name))
        for tool in group.tools
    )


def free_input(text: str) -> dict[str, object]:
    """The input of a tool that takes free text, or of a call whose arguments are no JSON object, as an object."""
    return {_FREE_TEXT: text}


def given_tools(tools: Sequence[ToolSpec]) -> dict[str, GivenTool]:
    """By the name that the provider was told: the tools that an answer may have to name otherwise. A tool that stands
    alone keeps its name, even from one in a group."""
    given: dict[str, GivenTool] = {}
    for tool in tools:
        if isinstance(tool, NamespaceTool):
            for member in tool.tools:
                if not isinstance(member, ProviderTool):
                    given.setdefault(joined_name(tool.name, member.name), _given(tool.name, member))
    for tool in tools:
        if isinstance(tool, CustomTool):
            given[tool.name] = _given(None, tool)
        elif isinstance(tool, FunctionTool):
            given.pop(tool.name, None)
    return given


def _given(namespace: str | None, tool: FunctionTool | CustomTool) -> GivenTool:
    return GivenTool(namespace, tool.name, "custom" if isinstance(tool, CustomTool) else "function")


def answer_given_back(answer: ChatResponse, given: Mapping[str, GivenTool]) -> ChatResponse:
    """An answer whose calls name the tools as the caller does."""
    if not given:
        return answer
    choices = tuple(
        msgspec.structs.replace(choice, parts=tuple(_part_given_back(part, given) for part in choice.parts))
        for choice in answer.choices
    )
    return msgspec.structs.replace(answer, choices=choices)


def _part_given_back(part: Part, given: Mapping[str, GivenTool]) -> Part:
    tool = given.get(part.name) if isinstance(part, ToolCallPart) and part.namespace is None else None
    if tool is None or not isinstance(part, ToolCallPart):
        return part
    named = msgspec.structs.replace(part, name=tool.name, namespace=tool.namespace)
    if not _stands_for_free_text(tool, part.kind):
        return named
    return msgspec.structs.replace(named, kind="custom", arguments=_said_freely(part.arguments))


class CallsGivenBack:
    """The same for the events of a stream; free text is only known once its call is whole."""

    def __init__(self, given: Mapping[str, GivenTool]) -> None:
        self._given = given
        self._held: dict[tuple[int, int], list[str]] = {}

    def feed(self, event: StreamEvent) -> Iterable[StreamEvent]:
        """The events that stand for `event`."""
        if isinstance(event, ToolCallStart):
            return (self._start(event),)
        if isinstance(event, ToolCallDelta) and (held := self._held.get((event.choice, event.index))) is not None:
            held.append(event.arguments)
            return ()
        if isinstance(event, ToolCallEnd) and (held := self._held.pop((event.choice, event.index), None)) is not None:
            text = _said_freely("".join(held))
            return (ToolCallDelta(choice=event.choice, index=event.index, arguments=text), event)
        return (event,)

    def _start(self, event: ToolCallStart) -> ToolCallStart:
        tool = self._given.get(event.name) if event.namespace is None else None
        if tool is None:
            return event
        named = msgspec.structs.replace(event, name=tool.name, namespace=tool.namespace)
        if not _stands_for_free_text(tool, event.kind):
            return named
        self._held[event.choice, event.index] = []
        return msgspec.structs.replace(named, kind="custom")


def _stands_for_free_text(tool: GivenTool, called_as: ToolCallKind) -> bool:
    return tool.kind == "custom" and called_as == "function"


def _said_freely(arguments: str) -> str:
    """The free text in the arguments of the function that stood for it; all of them when the model wrote others."""
    try:
        value = parse(arguments.encode())
    except ValueError:
        return arguments
    text = value.get(_FREE_TEXT) if is_object(value) else None
    return text if isinstance(text, str) and is_object(value) and len(value) == 1 else arguments
