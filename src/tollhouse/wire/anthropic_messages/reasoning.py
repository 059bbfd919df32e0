"""Thinking and redacted thinking, in both directions: the opaque payload goes back to where it came from or nowhere."""

import msgspec

from tollhouse.ir.parts import ReasoningOrigin, ReasoningPart
from tollhouse.wire.anthropic_messages.names import NAME, ORIGIN
from tollhouse.wire.fields import Fields
from tollhouse.wire.leftovers import Losses, kept


def decode_thinking(fields: Fields) -> ReasoningPart:
    """A thinking block, its type taken already."""
    text = fields.text("thinking")
    if text is None:
        raise fields.missing("thinking", "a string")
    signature = fields.text("signature") or None
    return ReasoningPart(
        text=text,
        opaque=signature,
        origin=None if signature is None else ORIGIN,
        extensions=kept(NAME, fields.rest()),
    )


def decode_redacted(fields: Fields) -> ReasoningPart:
    """A redacted_thinking block, its type taken already."""
    data = fields.text("data")
    if data is None:
        raise fields.missing("data", "a string")
    return ReasoningPart(opaque=data, origin=ORIGIN, redacted=True, extensions=kept(NAME, fields.rest()))


def encode_asked_reasoning(part: ReasoningPart, path: str, losses: Losses) -> dict[str, object] | None:
    """The block of a request; None, with a loss, without a signature that the provider would accept as its own."""
    if part.opaque is None or not is_own(part.origin):
        losses.note(path, f"{NAME} accepts no reasoning but its own, signed")
        return None
    return encode_reasoning(part, path, losses)


def encode_reasoning(part: ReasoningPart, path: str, losses: Losses) -> dict[str, object] | None:
    """The block of an answer: what another format hid is lost, what it showed comes without a signature."""
    opaque = own_opaque(part.opaque, part.origin, path, losses)
    if part.redacted:
        if opaque is None:
            return None
        block: dict[str, object] = {"type": "redacted_thinking", "data": opaque}
    else:
        block = {"type": "thinking", "thinking": part.text or "".join(part.summary), "signature": opaque or ""}
        if part.text:
            losses.drop(f"{path}.summary", part.summary)
    losses.restore(block, part.extensions, path)
    return block


def paragraphs(part: ReasoningPart) -> list[ReasoningPart]:
    """A summary as one part for each paragraph, the last with the payload: readers put blocks together as they like."""
    texts = [text for text in part.summary if text]
    if part.text or part.redacted or len(texts) < 2:
        return [part]
    first = msgspec.structs.replace(part, summary=(texts[0],), opaque=None, origin=None)
    last = msgspec.structs.replace(part, summary=(texts[-1],), extensions={})
    return [first, *(ReasoningPart(summary=(text,)) for text in texts[1:-1]), last]


def own_opaque(opaque: str | None, origin: ReasoningOrigin | None, path: str, losses: Losses) -> str | None:
    """`opaque`, unless only another format can read it: then it is lost."""
    if opaque is not None and not is_own(origin):
        losses.note(f"{path}.opaque", f"only {'another format' if origin is None else origin.format} can read this")
        return None
    return opaque


def is_own(origin: ReasoningOrigin | None) -> bool:
    """Whether this format can read a payload of that origin; one without is taken as our own."""
    return origin is None or origin.format == NAME
