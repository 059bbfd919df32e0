"""The plain lists of wire formats, by what a model is asked for in them."""

from collections.abc import Mapping
from types import MappingProxyType

from tollhouse.wire.anthropic_messages.format import AnthropicMessages
from tollhouse.wire.format import ModelOperation, WireFormat
from tollhouse.wire.openai_chat.format import OpenAIChat
from tollhouse.wire.openai_embeddings.format import OpenAIEmbeddings
from tollhouse.wire.openai_responses.format import OpenAIResponses

CallerFormat = WireFormat | OpenAIEmbeddings
"""A format in which callers send requests."""

FORMATS: tuple[WireFormat, ...] = (OpenAIChat(), OpenAIResponses(), AnthropicMessages())
EMBEDDINGS = OpenAIEmbeddings()

CALLER_FORMATS: Mapping[str, CallerFormat] = MappingProxyType({form.name: form for form in (*FORMATS, EMBEDDINGS)})

OPERATIONS: Mapping[str, ModelOperation] = MappingProxyType(
    {name: form.operation for name, form in CALLER_FORMATS.items()}
)
"""Every format that a provider may speak, and what it is asked for in it."""
