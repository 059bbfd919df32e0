"""VoltageGPU's chat request; fields that the contract does not name pass (behaviour.md D1)."""

from typing import Annotated, Final, Literal

import msgspec

from tollhouse.dialects.fields import (
    MAX_MESSAGES,
    MAX_TOOLS,
    ModelName,
    OutputLimit,
    RawTool,
    Stops,
    Temperature,
    UnitInterval,
    UserId,
    check_metadata,
    is_absent,
)
from tollhouse.dialects.reading import Reader

Penalty = Annotated[float, msgspec.Meta(ge=-2, le=2)]
TenChoices = Annotated[int, msgspec.Meta(ge=1, le=10)]


class Message(msgspec.Struct, gc=False):
    """One turn: text only, and no tool turns."""

    role: Literal["system", "user", "assistant"]
    content: str
    name: str | None = None


class ChatRequest(msgspec.Struct, gc=False):
    """The body of a chat call. The last four are not in the contract; they are bounded as OpenAI's API does."""

    model: ModelName
    messages: Annotated[list[Message], msgspec.Meta(min_length=1, max_length=MAX_MESSAGES)]
    temperature: Temperature | None = None
    top_p: UnitInterval | None = None
    n: TenChoices | None = None
    stream: bool | None = False
    max_tokens: OutputLimit | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    stop: str | Stops | None = None
    max_completion_tokens: OutputLimit | None = None
    tools: Annotated[list[RawTool], msgspec.Meta(max_length=MAX_TOOLS)] | None = None
    user: UserId | None = None
    metadata: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)


_READER: Final = Reader(ChatRequest, {"role": "system, user or assistant"})


def check_chat(body: bytes) -> None:
    """Refuse a body that does not fit the contract. Raises FaultError (invalid_request) naming the field."""
    request = _READER.read(body)
    if not is_absent(request.metadata):
        check_metadata(request.metadata)
