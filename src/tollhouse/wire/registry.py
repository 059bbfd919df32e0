"""The plain list of wire formats."""

from tollhouse.wire.anthropic_messages.format import AnthropicMessages
from tollhouse.wire.format import WireFormat
from tollhouse.wire.openai_chat.format import OpenAIChat
from tollhouse.wire.openai_responses.format import OpenAIResponses

FORMATS: tuple[WireFormat, ...] = (OpenAIChat(), OpenAIResponses(), AnthropicMessages())

_BY_NAME = {fmt.name: fmt for fmt in FORMATS}


def format_named(name: str) -> WireFormat:
    """The format of that name. Raises KeyError: names come from our own code, never from a caller."""
    return _BY_NAME[name]
