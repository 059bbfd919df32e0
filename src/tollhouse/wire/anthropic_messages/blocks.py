"""Content blocks of Messages, in both directions; a kind that is not known is kept verbatim."""

from collections.abc import Sequence

from tollhouse.ir.parts import (
    AudioPart,
    FilePart,
    ImagePart,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from tollhouse.ir.plain import is_array, is_object
from tollhouse.wire.anthropic_messages.citations import decode_citations, encode_citations
from tollhouse.wire.anthropic_messages.media import decode_document, decode_image, encode_file, encode_image
from tollhouse.wire.anthropic_messages.names import NAME, decode_cache_control, encode_cache_control, request_id_of
from tollhouse.wire.anthropic_messages.reasoning import (
    decode_redacted,
    decode_thinking,
    encode_asked_reasoning,
    encode_reasoning,
)
from tollhouse.wire.anthropic_messages.tools import decode_tool_use, encode_tool_use
from tollhouse.wire.fields import Fields
from tollhouse.wire.leftovers import Losses, kept


def decode_block(fields: Fields) -> Part:
    """One block. Raises FaultError (invalid_request) where a known kind lacks what it needs."""
    kind = fields.text("type")
    match kind:
        case "text":
            return _decode_text(fields)
        case "image":
            return decode_image(fields)
        case "document":
            return decode_document(fields)
        case "thinking":
            return decode_thinking(fields)
        case "redacted_thinking":
            return decode_redacted(fields)
        case "tool_use":
            return decode_tool_use(fields)
        case "tool_result":
            return _decode_result(fields)
        case None:
            raise fields.missing("type", "the kind of the block, such as text")
        case _:
            return OpaquePart(format=NAME, value={"type": kind, **fields.rest()})


def decode_content(fields: Fields) -> list[Part]:
    """The parts of `content`, a string or an array of blocks, taken out of a turn or a result."""
    content = fields.get("content")
    if isinstance(content, str) or content is None:
        fields.drop("content")
        return [TextPart(text=content)] if content else []
    if not is_array(content):
        raise fields.wrong("content", "a string or an array of blocks")
    fields.drop("content")
    return decode_blocks(content, fields.path("content"))


def decode_blocks(values: Sequence[object], path: str) -> list[Part]:
    """The parts of an array of blocks in a request; `path` names it."""
    parts: list[Part] = []
    for number, value in enumerate(values):
        place = f"{path}[{number}]"
        if not is_object(value):
            raise Fields({}).wrong(place, "an object with a type")
        parts.append(decode_block(Fields(value, place, strict=True)))
    return parts


def _decode_text(fields: Fields) -> TextPart:
    text = fields.text("text")
    if text is None:
        raise fields.missing("text", "a string")
    return TextPart(
        text=text,
        citations=decode_citations(fields.array("citations") or ()),
        cache_control=decode_cache_control(fields),
        extensions=kept(NAME, fields.rest()),
    )


def _decode_result(fields: Fields) -> ToolResultPart:
    call_id = fields.text("tool_use_id")
    if call_id is None:
        raise fields.missing("tool_use_id", "the id of the call that this result answers")
    parts: list[TextPart | ImagePart | FilePart | AudioPart | OpaquePart] = []
    for number, part in enumerate(decode_content(fields)):
        if not isinstance(part, TextPart | ImagePart | FilePart | AudioPart | OpaquePart):
            raise fields.wrong(f"content[{number}]", "text, an image or a document")
        parts.append(part)
    return ToolResultPart(
        call_id=call_id,
        parts=tuple(parts),
        is_error=fields.boolean("is_error") or False,
        cache_control=decode_cache_control(fields),
        extensions=kept(NAME, fields.rest()),
    )


def encode_asked(part: Part, path: str, losses: Losses, *, blank: bool = False) -> dict[str, object] | None:
    """The block of a request that says `part`; None, with a loss, when there is none. Tool results are not meant.

    The provider refuses empty text, and text without a visible letter unless the model said it (`blank`).
    """
    match part:
        case TextPart() | RefusalPart():
            if not (part.text if blank else part.text.strip()):
                losses.drop(path, part.text or part.cache_control or part.extensions or None)
                return None
            return _encode_asked_text(part, path, losses)
        case ReasoningPart():
            return encode_asked_reasoning(part, path, losses)
        case ToolCallPart():
            return encode_tool_use(part, path, losses, asked=True)
        case ImagePart() | FilePart():
            return _encode_media(part, path, losses)
        case OpaquePart() if part.format == NAME:
            return dict(part.value)
        case _:
            losses.note(path, f"{NAME} has no such part here")
            return None


def _encode_asked_text(part: TextPart | RefusalPart, path: str, losses: Losses) -> dict[str, object]:
    block: dict[str, object] = {"type": "text", "text": part.text}
    if isinstance(part, RefusalPart):
        losses.note(path, f"{NAME} has no refusals; sent as text")
    elif citations := encode_citations(part.citations, path, losses, asked=True):
        block["citations"] = citations
    losses.drop(f"{path}.logprobs", part.logprobs)
    block |= encode_cache_control(part.cache_control)
    losses.restore(block, part.extensions, path)
    return block


def _encode_media(part: ImagePart | FilePart, path: str, losses: Losses) -> dict[str, object] | None:
    block = encode_image(part, path, losses) if isinstance(part, ImagePart) else encode_file(part, path, losses)
    if block is None:
        return None
    block |= encode_cache_control(part.cache_control)
    losses.restore(block, part.extensions, path)
    return block


def encode_result(result: ToolResultPart, path: str, losses: Losses) -> dict[str, object]:
    """The tool_result block that says `result`."""
    block: dict[str, object] = {"type": "tool_result", "tool_use_id": request_id_of(result.call_id)}
    if content := encode_result_content(result, path, losses):
        block["content"] = content
    if result.is_error:
        block["is_error"] = True
    block |= encode_cache_control(result.cache_control)
    losses.restore(block, result.extensions, path)
    return block


def encode_result_content(result: ToolResultPart, path: str, losses: Losses) -> list[dict[str, object]]:
    """The blocks inside of a result."""
    blocks = [encode_asked(part, f"{path}.parts[{number}]", losses) for number, part in enumerate(result.parts)]
    return [block for block in blocks if block is not None]


def encode_answered(part: Part, path: str, losses: Losses) -> dict[str, object] | None:
    """The block of an answer that says `part`; None, with a loss, when there is none."""
    match part:
        case TextPart():
            block: dict[str, object] = {"type": "text", "text": part.text}
            if citations := encode_citations(part.citations, path, losses, asked=False):
                block["citations"] = citations
            losses.drop(f"{path}.logprobs", part.logprobs)
        case RefusalPart():
            losses.note(path, f"{NAME} has no refusals; sent as text")
            losses.drop(f"{path}.logprobs", part.logprobs)
            block = {"type": "text", "text": part.text}
        case ReasoningPart():
            return encode_reasoning(part, path, losses)
        case ToolCallPart():
            return encode_tool_use(part, path, losses, asked=False)
        case OpaquePart() if part.format == NAME:
            return dict(part.value)
        case _:
            losses.note(path, f"an answer of {NAME} has no such part")
            return None
    losses.restore(block, part.extensions, path)
    return block
