"""Tool groups: the namespaces of Responses, under joined names in formats that have none, and back in answers."""

import hashlib
import re
from collections.abc import Mapping, Sequence

import msgspec

from tollhouse.ir.events import StreamEvent, ToolCallStart
from tollhouse.ir.parts import Part, ToolCallPart
from tollhouse.ir.request import CustomTool, FunctionTool, NamespaceTool, ProviderTool, ToolSpec
from tollhouse.ir.response import ChatResponse

# The shortest limit among the formats (OpenAI and Anthropic, API references, November 2026).
_NAME_CHARS = 64
_HASH_CHARS = 8
_FOREIGN_LETTER = re.compile(r"[^a-zA-Z0-9_-]")

Grouped = Mapping[str, tuple[str, str]]
"""By the joined name that a provider was told: the group and the name that the caller gave."""


def joined_name(namespace: str | None, name: str) -> str:
    """The name of a tool where there are no namespaces (OpenAI names a lone function as its own namespace, recorded
    2026). One that is too long, or has letters that names of functions
    may not have, ends in a hash, so that it stays its own."""
    if namespace is None or namespace == name:
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


def grouped_names(tools: Sequence[ToolSpec]) -> dict[str, tuple[str, str]]:
    """The tools of groups. A tool that stands alone keeps its name, even from one in a group."""
    found = {
        joined_name(group.name, tool.name): (group.name, tool.name)
        for group in tools
        if isinstance(group, NamespaceTool)
        for tool in group.tools
        if not isinstance(tool, ProviderTool)
    }
    alone = {tool.name for tool in tools if isinstance(tool, FunctionTool | CustomTool)}
    return {name: pair for name, pair in found.items() if name not in alone}


def answer_grouped(answer: ChatResponse, grouped: Grouped) -> ChatResponse:
    """The answer with calls that name the tools of groups as the caller does."""
    if not grouped:
        return answer
    choices = tuple(
        msgspec.structs.replace(choice, parts=tuple(_part_grouped(part, grouped) for part in choice.parts))
        for choice in answer.choices
    )
    return msgspec.structs.replace(answer, choices=choices)


def _part_grouped(part: Part, grouped: Grouped) -> Part:
    if not isinstance(part, ToolCallPart) or part.namespace is not None or part.name not in grouped:
        return part
    namespace, name = grouped[part.name]
    return msgspec.structs.replace(part, namespace=namespace, name=name)


def event_grouped(event: StreamEvent, grouped: Grouped) -> StreamEvent:
    """The same for an event of a stream."""
    if not isinstance(event, ToolCallStart) or event.namespace is not None or event.name not in grouped:
        return event
    namespace, name = grouped[event.name]
    return msgspec.structs.replace(event, namespace=namespace, name=name)
