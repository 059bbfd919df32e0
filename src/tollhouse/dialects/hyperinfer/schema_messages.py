"""HyperInfer's Messages request, and that of counting its tokens. Unknown fields, and unknown members of its unions,
pass (behaviour.md D1)."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec

from tollhouse.dialects.fields import (
    MAX_MESSAGES,
    MAX_PARTS,
    MAX_TOOLS,
    ModelName,
    OutputLimit,
    Stops,
    UnitInterval,
    check_metadata,
)
from tollhouse.dialects.hyperinfer.plugins import PLUGIN_IDS, Plugins
from tollhouse.dialects.members import Json, Rules, check_length, check_member, kind_of, may, needs, sent
from tollhouse.dialects.reading import Reader
from tollhouse.ir.fault import FaultError, invalid_request


class Block(msgspec.Struct, gc=False):
    """One content block."""

    type: str
    text: msgspec.Raw = msgspec.Raw()
    thinking: msgspec.Raw = msgspec.Raw()
    signature: msgspec.Raw = msgspec.Raw()
    source: msgspec.Raw = msgspec.Raw()
    title: msgspec.Raw = msgspec.Raw()
    id: msgspec.Raw = msgspec.Raw()
    name: msgspec.Raw = msgspec.Raw()
    input: msgspec.Raw = msgspec.Raw()
    tool_use_id: msgspec.Raw = msgspec.Raw()
    content: msgspec.Raw = msgspec.Raw()
    is_error: msgspec.Raw = msgspec.Raw()


Blocks = Annotated[list[Block], msgspec.Meta(max_length=MAX_PARTS)]


class Source(msgspec.Struct, gc=False):
    """Where an image or a document comes from."""

    type: str
    media_type: msgspec.Raw = msgspec.Raw()
    data: msgspec.Raw = msgspec.Raw()
    url: msgspec.Raw = msgspec.Raw()


class Message(msgspec.Struct, gc=False):
    """One turn. The contract has no system turns, but programs send them in the middle of a conversation."""

    role: Literal["user", "assistant", "system"]
    content: str | Blocks


class Tool(msgspec.Struct, gc=False):
    """A tool of the caller (no type, or custom), or one of the provider's, which passes."""

    type: str | None = None
    name: msgspec.Raw = msgspec.Raw()
    description: msgspec.Raw = msgspec.Raw()
    input_schema: msgspec.Raw = msgspec.Raw()


class ToolChoice(msgspec.Struct, gc=False):
    """Whether a tool has to be called, and which."""

    type: str
    name: msgspec.Raw = msgspec.Raw()


class Thinking(msgspec.Struct, gc=False):
    """Whether to think first; kinds other than enabled and disabled pass."""

    type: str
    budget_tokens: int | None = None


class CountRequest(msgspec.Struct, gc=False, kw_only=True):
    """The body of a request to count tokens: what a Messages call says to the model."""

    model: ModelName
    messages: Annotated[list[Message], msgspec.Meta(min_length=1, max_length=MAX_MESSAGES)]
    system: str | Blocks | None = None
    tools: Annotated[list[Tool], msgspec.Meta(max_length=MAX_TOOLS)] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    plugins: Plugins | None = None
    response_format: msgspec.Raw = msgspec.Raw()


class MessagesRequest(CountRequest, gc=False, kw_only=True):
    """The body of a Messages call."""

    max_tokens: OutputLimit
    temperature: UnitInterval | None = None
    top_p: UnitInterval | None = None
    stop_sequences: Stops | None = None
    stream: bool | None = None
    metadata: msgspec.Raw = msgspec.Raw()
    thread: msgspec.Raw = msgspec.Raw()
    hi_tool_events: bool | None = None


_CHOICES: Final = {"role": "user, assistant or system", "id": PLUGIN_IDS}
_READER: Final = Reader(MessagesRequest, _CHOICES)
_COUNT_READER: Final = Reader(CountRequest, _CHOICES)
_INNER: Final = Reader(list[Block], {})
_SOURCE: Final = Reader(Source, {})

_BLOCKS: Final[Rules] = {
    "text": (needs("text", Json.STRING),),
    "thinking": (needs("thinking", Json.STRING), may("signature", Json.STRING)),
    "image": (needs("source", Json.OBJECT),),
    "document": (needs("source", Json.OBJECT), may("title", Json.STRING)),
    "tool_use": (needs("id", Json.STRING), needs("name", Json.STRING), needs("input", Json.OBJECT)),
    "tool_result": (
        needs("tool_use_id", Json.STRING),
        may("content", Json.STRING, Json.LIST),
        may("is_error", Json.BOOLEAN),
    ),
}
_SOURCES: Final[Rules] = {
    "base64": (needs("media_type", Json.STRING), needs("data", Json.STRING)),
    "url": (needs("url", Json.STRING),),
}
_TOOL: Final = (
    needs("name", Json.STRING),
    may("description", Json.STRING),
    needs("input_schema", Json.OBJECT),
)
_NAMED: Final = (needs("name", Json.STRING),)
_METADATA: Final = (may("metadata", Json.OBJECT),)


def check_messages(body: bytes) -> None:
    """Refuse a body that does not fit the contract. Raises FaultError (invalid_request) naming the field."""
    request = _READER.read(body)
    if sent(request.thread):
        # Anthropic's libraries begin every tool loop with a thread, and go on without one when they read this code
        # (@anthropic-ai/sdk 1.11, ThreadUnsupportedRequestErrorDetails, November 2026).
        message = (
            "`thread` is not supported: no conversations are kept here. Send the whole conversation in `messages`."
        )
        fault = invalid_request(message, "thread").fault
        raise FaultError(msgspec.structs.replace(fault, code="thread_unsupported_request"))
    _check_prompt(request)
    check_member(request, _METADATA, "")
    if sent(request.metadata):
        check_metadata(request.metadata)


def check_count(body: bytes) -> None:
    """The same for a request to count tokens."""
    _check_prompt(_COUNT_READER.read(body))


def _check_prompt(request: CountRequest) -> None:
    if sent(request.response_format):
        raise invalid_request(
            "`response_format` does not exist in this format. Ask for JSON in a tool's `input_schema` with "
            "`tool_choice`, or call /api/v1/chat/completions.",
            "response_format",
        )
    for index, message in enumerate(request.messages):
        if not isinstance(message.content, str):
            _check_blocks(message.content, f"messages[{index}].content")
    if request.system is not None and not isinstance(request.system, str):
        _check_blocks(request.system, "system")
    for index, tool in enumerate(request.tools or ()):
        if tool.type is None or tool.type == "custom":
            check_member(tool, _TOOL, f"tools[{index}]")
    choice = request.tool_choice
    if choice is not None and choice.type == "tool":
        check_member(choice, _NAMED, "tool_choice")


def _check_blocks(blocks: Sequence[Block], where: str, *, inner: bool = False) -> None:
    """`inner` blocks are those of a tool's result, which hold no further results."""
    for index, block in enumerate(blocks):
        at = f"{where}[{index}]"
        check_member(block, _BLOCKS.get(block.type, ()), at)
        match block.type:
            case "image" | "document":
                source = _SOURCE.read(block.source, f"{at}.source")
                check_member(source, _SOURCES.get(source.type, ()), f"{at}.source")
            case "tool_result" if not inner and kind_of(block.content) is Json.LIST:
                results = _INNER.read(block.content, f"{at}.content")
                check_length(results, MAX_PARTS, f"{at}.content")
                _check_blocks(results, f"{at}.content", inner=True)
            case _:
                pass
