"""The tokens of a whole prompt, counted without the provider: its texts, and what stands for everything else."""

from collections.abc import Iterator

import msgspec

from tollhouse.ir.parts import (
    AudioPart,
    FilePart,
    ImagePart,
    MediaData,
    MediaText,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from tollhouse.ir.request import ChatRequest, CustomTool, FunctionTool, NamespaceTool, ProviderTool, ToolSpec
from tollhouse.tokens.encodings import Encoding

MEDIA_TOKENS = 1500
"""What a picture comes to, about what vendors take for a large one; a file or sound as much for each 64 KiB begun."""

_TURN_TOKENS = 4
_MEDIA_BYTES = 64 * 1024


def count_prompt(request: ChatRequest, encoding: Encoding) -> int:
    """About how many tokens the provider will see; takes time in proportion to the text, so mind OFF_LOOP_BYTES."""
    texts: list[str] = []
    media = 0
    for message in request.messages:
        for part in _parts(message.parts):
            texts += _texts(part)
            media += _media_tokens(part)
    texts += [_tool_text(tool) for tool in request.tools or ()]
    wanted = request.response_format
    if wanted is not None and wanted.schema is not None:
        texts.append(_compact(wanted.schema))
    return encoding.count_text("\n".join(texts)) + media + _TURN_TOKENS * len(request.messages)


def _parts(parts: tuple[Part, ...]) -> Iterator[Part]:
    for part in parts:
        yield part
        if isinstance(part, ToolResultPart):
            yield from part.parts


def _texts(part: Part) -> list[str]:
    match part:
        case TextPart() | RefusalPart():
            return [part.text]
        case ReasoningPart():
            return [part.text, *part.summary]
        case ToolCallPart():
            return [part.name, part.arguments]
        case FilePart(source=MediaText() as source):
            return [source.text]
        case OpaquePart():
            return [_compact(part.value)]
        case _:
            return []


def _media_tokens(part: Part) -> int:
    match part:
        case ImagePart():
            return MEDIA_TOKENS
        case FilePart(source=MediaText()):
            return 0
        case FilePart(source=MediaData() as source) | AudioPart(source=MediaData() as source):
            size_bytes = len(source.data) * 3 // 4
            return MEDIA_TOKENS * max(1, -(-size_bytes // _MEDIA_BYTES))
        case FilePart() | AudioPart():
            return MEDIA_TOKENS
        case _:
            return 0


def _tool_text(tool: ToolSpec) -> str:
    match tool:
        case FunctionTool():
            return f"{tool.name} {tool.description or ''} {_compact(tool.parameters or {})}"
        case CustomTool():
            return f"{tool.name} {tool.description or ''} {_compact(tool.grammar or {})}"
        case ProviderTool():
            return _compact(tool.value)
        case NamespaceTool():
            inner = " ".join(map(_tool_text, tool.tools))
            return f"{tool.name} {tool.description or ''} {inner}"


def _compact(value: dict[str, object]) -> str:
    return msgspec.json.encode(value).decode()
