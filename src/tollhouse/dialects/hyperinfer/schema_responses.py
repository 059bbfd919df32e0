"""HyperInfer's Responses request. Unknown fields, and unknown members of its unions, pass (behaviour.md D1)."""

import enum
from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec

from tollhouse.dialects.fields import (
    MAX_MESSAGES,
    MAX_PARTS,
    MAX_TOOLS,
    ModelName,
    OutputLimit,
    Temperature,
    UnitInterval,
    UserId,
    check_metadata,
)
from tollhouse.dialects.hyperinfer.plugins import PLUGIN_IDS, Plugins
from tollhouse.dialects.members import Json, Rules, check_length, check_member, kind_of, may, missing, needs, sent
from tollhouse.dialects.reading import Reader
from tollhouse.ir.fault import invalid_request


class Role(enum.Enum):
    """Who speaks in a message."""

    SYSTEM = "system"
    DEVELOPER = "developer"
    USER = "user"
    ASSISTANT = "assistant"


class Item(msgspec.Struct, gc=False):
    """One item of the input: a message (the only kind that needs no type), a call, its output, reasoning, or
    another kind, which passes. An item that is only an id refers to one that the provider keeps; it passes too."""

    type: str | None = None
    id: msgspec.Raw = msgspec.Raw()
    role: msgspec.Raw = msgspec.Raw()
    content: msgspec.Raw = msgspec.Raw()
    call_id: msgspec.Raw = msgspec.Raw()
    name: msgspec.Raw = msgspec.Raw()
    arguments: msgspec.Raw = msgspec.Raw()
    output: msgspec.Raw = msgspec.Raw()
    summary: msgspec.Raw = msgspec.Raw()


class Part(msgspec.Struct, gc=False):
    """One part of a message's content, or of a function's output."""

    type: str
    text: msgspec.Raw = msgspec.Raw()
    image_url: msgspec.Raw = msgspec.Raw()
    detail: msgspec.Raw = msgspec.Raw()
    filename: msgspec.Raw = msgspec.Raw()
    file_data: msgspec.Raw = msgspec.Raw()
    file_url: msgspec.Raw = msgspec.Raw()
    file_id: msgspec.Raw = msgspec.Raw()


class Tool(msgspec.Struct, gc=False):
    """A function, flat; a built-in tool; or another kind, which passes."""

    type: str
    name: msgspec.Raw = msgspec.Raw()
    description: msgspec.Raw = msgspec.Raw()
    parameters: msgspec.Raw = msgspec.Raw()
    strict: msgspec.Raw = msgspec.Raw()
    events: msgspec.Raw = msgspec.Raw()


class ToolChoice(msgspec.Struct, gc=False):
    """A named tool; types other than function pass."""

    type: str
    name: msgspec.Raw = msgspec.Raw()


class TextFormat(msgspec.Struct, gc=False):
    """Text or JSON; `schema` is a JSON schema."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    schema: dict[str, msgspec.Raw] | None = None
    strict: bool | None = None


class TextOptions(msgspec.Struct, gc=False):
    """How the answer's text has to look."""

    format: TextFormat | None = None


class Reasoning(msgspec.Struct, gc=False):
    """How much to think."""

    effort: str | None = None


class ResponsesRequest(msgspec.Struct, gc=False):
    """The body of a Responses call. `user` and `metadata` are not in the contract; they are bounded as for chat."""

    model: ModelName
    input: str | Annotated[list[Item], msgspec.Meta(max_length=MAX_MESSAGES)]
    instructions: str | None = None
    tools: Annotated[list[Tool], msgspec.Meta(max_length=MAX_TOOLS)] | None = None
    tool_choice: str | ToolChoice | None = None
    max_output_tokens: OutputLimit | None = None
    temperature: Temperature | None = None
    top_p: UnitInterval | None = None
    stream: bool | None = None
    store: bool | None = None
    text: TextOptions | None = None
    reasoning: Reasoning | None = None
    previous_response_id: str | None = None
    background: bool | None = None
    plugins: Plugins | None = None
    hi_tool_events: bool | None = None
    user: UserId | None = None
    metadata: msgspec.Raw = msgspec.Raw()


_READER: Final = Reader(ResponsesRequest, {"type": "text, json_object or json_schema", "id": PLUGIN_IDS})
_PARTS: Final = Reader(list[Part], {})
_ROLE: Final = Reader(Role, {"role": "system, developer, user or assistant"})

_MESSAGE: Final = (needs("role", Json.STRING), needs("content", Json.STRING, Json.LIST))
_ITEMS: Final[Rules] = {
    "message": _MESSAGE,
    "function_call": (
        needs("call_id", Json.STRING),
        needs("name", Json.STRING),
        needs("arguments", Json.STRING),
    ),
    "function_call_output": (needs("call_id", Json.STRING), needs("output", Json.STRING, Json.LIST)),
    "reasoning": (may("summary", Json.LIST),),
}
_CONTENT: Final[Rules] = {
    "input_text": (needs("text", Json.STRING),),
    "output_text": (needs("text", Json.STRING),),
    "input_image": (needs("image_url", Json.STRING), may("detail", Json.STRING)),
    "input_file": (may("filename", Json.STRING), may("file_data", Json.STRING), may("file_url", Json.STRING)),
}
_EVENTS: Final = (may("events", Json.BOOLEAN),)
_TOOLS: Final[Rules] = {
    "function": (
        needs("name", Json.STRING),
        may("description", Json.STRING),
        may("parameters", Json.OBJECT),
        may("strict", Json.BOOLEAN),
    ),
    **dict.fromkeys(("web_search", "web_fetch", "pdf", "datetime", "image"), _EVENTS),
}
_NAMED: Final = (needs("name", Json.STRING),)


def check_responses(body: bytes) -> None:
    """Refuse a body that does not fit the contract. Raises FaultError (invalid_request) naming the field."""
    request = _READER.read(body)
    if request.previous_response_id is not None:
        raise invalid_request(
            "`previous_response_id` is not supported: no responses are kept here. Send the whole conversation in "
            "`input`, and null or nothing for this field.",
            "previous_response_id",
        )
    if not isinstance(request.input, str):
        _check_items(request.input)
    for index, tool in enumerate(request.tools or ()):
        check_member(tool, _TOOLS.get(tool.type, ()), f"tools[{index}]")
    choice = request.tool_choice
    if isinstance(choice, ToolChoice) and choice.type == "function":
        check_member(choice, _NAMED, "tool_choice")
    if sent(request.metadata):
        check_metadata(request.metadata)


def _check_items(items: Sequence[Item]) -> None:
    for index, item in enumerate(items):
        where = f"input[{index}]"
        kind = item.type
        if kind is None:
            if not sent(item.role):
                if sent(item.id):
                    continue
                raise missing(f"{where}.type")
            kind = "message"
        check_member(item, _ITEMS.get(kind, ()), where)
        if kind == "message":
            _ROLE.read(item.role, f"{where}.role")
            _check_parts(item.content, f"{where}.content")
        elif kind == "function_call_output":
            _check_parts(item.output, f"{where}.output")


def _check_parts(content: msgspec.Raw, where: str) -> None:
    if kind_of(content) is not Json.LIST:
        return
    parts = _PARTS.read(content, where)
    check_length(parts, MAX_PARTS, where)
    for index, part in enumerate(parts):
        # An image or file by the id that a provider gave it is no business of this contract.
        if not sent(part.file_id):
            check_member(part, _CONTENT.get(part.type, ()), f"{where}[{index}]")
