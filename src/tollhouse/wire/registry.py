"""The plain list of wire formats."""

from tollhouse.wire.anthropic_messages.format import AnthropicMessages
from tollhouse.wire.format import WireFormat
from tollhouse.wire.openai_chat.format import OpenAIChat
from tollhouse.wire.openai_responses.format import OpenAIResponses

FORMATS: tuple[WireFormat, ...] = (OpenAIChat(), OpenAIResponses(), AnthropicMessages())
