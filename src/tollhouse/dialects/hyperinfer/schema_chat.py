"""HyperInfer's chat request. Unknown fields, and unknown members of its unions, pass (behaviour.md D1)."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec

from tollhouse.dialects.fields import (
    MAX_MESSAGES,
    MAX_PARTS,
    MAX_TOOL_CALLS,
    MAX_TOOLS,
    Choices,
    ModelName,
    OutputLimit,
    Stops,
    Temperature,
    UnitInterval,
    UserId,
    check_metadata,
    is_absent,
)
from tollhouse.dialects.hyperinfer.plugins import PLUGIN_IDS, Plugins
from tollhouse.dialects.members import missing
from tollhouse.dialects.reading import Reader
from tollhouse.ir.fault import invalid_request


class ImageUrl(msgspec.Struct, gc=False):
    """An image by data URL or http URL."""

    url: str
    detail: str | None = None


class File(msgspec.Struct, gc=False):
    """A file by its data, by URL or by id."""

    filename: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    file_id: str | None = None


class Part(msgspec.Struct, gc=False):
    """One content part: text, image_url or file, each with the field of its name; other types pass. Mistral's own
    clients send the URL of an image as a bare string."""

    type: str
    text: str | None = None
    image_url: ImageUrl | str | None = None
    file: File | None = None


class FunctionCall(msgspec.Struct, gc=False):
    """What the model called; `arguments` is JSON in a string."""

    name: str
    arguments: str


class ToolCall(msgspec.Struct, gc=False):
    """One call by the model."""

    id: str
    type: str
    function: FunctionCall | None = None


Parts = Annotated[list[Part], msgspec.Meta(max_length=MAX_PARTS)]
ToolCalls = Annotated[list[ToolCall], msgspec.Meta(max_length=MAX_TOOL_CALLS)]


class Message(msgspec.Struct, gc=False):
    """One turn; content may be null or missing."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Parts | None = None
    name: str | None = None
    reasoning: str | None = None
    tool_calls: ToolCalls | None = None
    tool_call_id: str | None = None


class Function(msgspec.Struct, gc=False):
    """A function that the model may call; `parameters` is a JSON schema."""

    name: str
    description: str | None = None
    parameters: msgspec.Raw = msgspec.Raw()


class Tool(msgspec.Struct, gc=False):
    """One tool; types other than function pass, and so does one without a type, as Mistral's own clients send."""

    type: str | None = None
    function: Function | None = None


class NamedFunction(msgspec.Struct, gc=False):
    """The function that has to be called."""

    name: str


class ToolChoice(msgspec.Struct, gc=False):
    """A named tool; types other than function pass, and so does one without a type."""

    type: str | None = None
    function: NamedFunction | None = None


class JsonSchema(msgspec.Struct, gc=False):
    """The schema that the answer has to follow."""

    name: str
    schema: dict[str, msgspec.Raw]
    strict: bool | None = None


class ResponseFormat(msgspec.Struct, gc=False):
    """Text or JSON."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(msgspec.Struct, gc=False):
    """What a stream carries."""

    include_usage: bool | None = None


class ChatRequest(msgspec.Struct, gc=False):
    """The body of a chat call. `n` and `metadata` are not in the contract; they are bounded as OpenAI's API does."""

    model: ModelName
    messages: Annotated[list[Message], msgspec.Meta(min_length=1, max_length=MAX_MESSAGES)]
    tools: Annotated[list[Tool], msgspec.Meta(max_length=MAX_TOOLS)] | None = None
    tool_choice: str | ToolChoice | None = None
    max_tokens: OutputLimit | None = None
    max_completion_tokens: OutputLimit | None = None
    temperature: Temperature | None = None
    top_p: UnitInterval | None = None
    stop: str | Stops | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    plugins: Plugins | None = None
    hi_tool_events: bool | None = None
    user: UserId | None = None
    n: Choices | None = None
    metadata: msgspec.Raw = msgspec.Raw()


_READER: Final = Reader(
    ChatRequest,
    {
        "role": "system, developer, user, assistant or tool",
        "type": "text, json_object or json_schema",
        "id": PLUGIN_IDS,
    },
)


def check_chat(body: bytes) -> None:
    """Refuse a body that does not fit the contract. Raises FaultError (invalid_request) naming the field."""
    request = _READER.read(body)
    for index, message in enumerate(request.messages):
        if isinstance(message.content, list):
            _check_parts(message.content, f"messages[{index}].content")
        if message.tool_calls:
            _check_calls(message.tool_calls, f"messages[{index}].tool_calls")
    _check_tools(request.tools or ())
    choice = request.tool_choice
    if isinstance(choice, ToolChoice) and choice.type == "function" and choice.function is None:
        raise missing("tool_choice.function")
    if not is_absent(request.metadata):
        check_metadata(request.metadata)


def _check_parts(parts: Sequence[Part], where: str) -> None:
    for index, part in enumerate(parts):
        kind = part.type
        if (
            (kind == "text" and part.text is None)
            or (kind == "image_url" and part.image_url is None)
            or (kind == "file" and part.file is None)
        ):
            raise missing(f"{where}[{index}].{kind}")


def _check_calls(calls: Sequence[ToolCall], where: str) -> None:
    for index, call in enumerate(calls):
        if call.type == "function" and call.function is None:
            raise missing(f"{where}[{index}].function")


def _check_tools(tools: Sequence[Tool]) -> None:
    for index, tool in enumerate(tools):
        if tool.type != "function":
            continue
        if tool.function is None:
            raise missing(f"tools[{index}].function")
        parameters = tool.function.parameters
        if not is_absent(parameters) and not bytes(parameters).startswith(b"{"):
            param = f"tools[{index}].function.parameters"
            raise invalid_request(f"`{param}` must be an object: a JSON schema.", param)
