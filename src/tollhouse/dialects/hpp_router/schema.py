"""HPP Router's chat request, as far as its contract types it; everything else is open and forwarded unchanged."""

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
    RawTool,
    Stops,
    UserId,
    check_metadata,
    is_absent,
)
from tollhouse.dialects.reading import Reader
from tollhouse.ir.fault import invalid_request


class ImageUrl(msgspec.Struct, gc=False):
    """An image by data URL or http URL."""

    url: str | None = None
    detail: str | None = None


class Part(msgspec.Struct, gc=False):
    """One content part; types that are not listed pass."""

    type: str
    text: str | None = None
    image_url: ImageUrl | None = None


Parts = Annotated[list[Part], msgspec.Meta(max_length=MAX_PARTS)]
ToolCalls = Annotated[list[msgspec.Raw], msgspec.Meta(max_length=MAX_TOOL_CALLS)]


class Message(msgspec.Struct, gc=False):
    """One turn. Content may only be missing beside tool calls, where the SDKs leave it null."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | Parts | None = None
    tool_calls: ToolCalls | None = None


class ChatRequest(msgspec.Struct, gc=False):
    """The body of a chat call. What the contract does not name is typed as OpenAI's API does, for its bounds."""

    model: ModelName
    messages: Annotated[list[Message], msgspec.Meta(min_length=1, max_length=MAX_MESSAGES)]
    stream: bool | None = None
    max_tokens: OutputLimit | None = None
    max_completion_tokens: OutputLimit | None = None
    temperature: float | None = None
    stream_options: dict[str, msgspec.Raw] | None = None
    n: Choices | None = None
    stop: str | Stops | None = None
    tools: Annotated[list[RawTool], msgspec.Meta(max_length=MAX_TOOLS)] | None = None
    user: UserId | None = None
    metadata: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)


_READER: Final = Reader(ChatRequest, {"role": "system, user, assistant or tool"})


def check_chat(body: bytes) -> None:
    """Refuse a body that does not fit the contract. Raises FaultError (invalid_request) naming the field."""
    request = _READER.read(body)
    for index, message in enumerate(request.messages):
        if message.content is None and not (message.tool_calls and message.role == "assistant"):
            param = f"messages[{index}].content"
            raise invalid_request(
                f"`{param}` is required: a string or a list of parts. It may only be null in an assistant message "
                "with tool calls.",
                param,
            )
    if not is_absent(request.metadata):
        check_metadata(request.metadata)
