"""The plain lists of wire formats, by what a model is asked for in them."""

from collections.abc import Mapping
from types import MappingProxyType

from tollhouse.wire.anthropic_messages.format import AnthropicMessages
from tollhouse.wire.format import ModelOperation, WireFormat
from tollhouse.wire.images import ImagesFormat
from tollhouse.wire.openai_chat.format import OpenAIChat
from tollhouse.wire.openai_embeddings.format import OpenAIEmbeddings
from tollhouse.wire.openai_images.format import OpenAIImages
from tollhouse.wire.openai_responses.format import OpenAIResponses
from tollhouse.wire.sdapi.format import Sdapi

CallerFormat = WireFormat | OpenAIEmbeddings | OpenAIImages
"""A format in which callers send requests."""

FORMATS: tuple[WireFormat, ...] = (OpenAIChat(), OpenAIResponses(), AnthropicMessages())
EMBEDDINGS = OpenAIEmbeddings()
OPENAI_IMAGES = OpenAIImages()
IMAGES: tuple[ImagesFormat, ...] = (OPENAI_IMAGES, Sdapi())

CALLER_FORMATS: Mapping[str, CallerFormat] = MappingProxyType(
    {form.name: form for form in (*FORMATS, EMBEDDINGS, OPENAI_IMAGES)}
)

OPERATIONS: Mapping[str, ModelOperation] = MappingProxyType(
    {form.name: form.operation for form in (*FORMATS, EMBEDDINGS, *IMAGES)}
)
"""Every format that a provider may speak, and what it is asked for in it."""
