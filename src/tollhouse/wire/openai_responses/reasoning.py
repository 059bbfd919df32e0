"""Reasoning items of Responses, in both directions: the summary, the reasoning itself, and what is encrypted."""

from collections.abc import Sequence

from tollhouse.ir.parts import ReasoningOrigin, ReasoningPart
from tollhouse.ir.plain import is_array, is_object
from tollhouse.wire.fields import Fields
from tollhouse.wire.leftovers import Losses, kept
from tollhouse.wire.openai_responses.parts import NAME

ORIGIN = ReasoningOrigin(format=NAME)


def decode_reasoning(item: Fields) -> ReasoningPart:
    """A reasoning item; members of its lists that are not known stay where they are."""
    item.drop("type")
    opaque = item.text("encrypted_content") or None
    return ReasoningPart(
        text="".join(_texts(item, "content", "reasoning_text")),
        summary=_texts(item, "summary", "summary_text"),
        opaque=opaque,
        origin=None if opaque is None else ORIGIN,
        id=item.text("id"),
        extensions=kept(NAME, item.rest()),
    )


def encode_reasoning(part: ReasoningPart, path: str, losses: Losses) -> dict[str, object]:
    """The reasoning item that says `part`."""
    item: dict[str, object] = {"type": "reasoning"}
    if part.id is not None:
        item["id"] = part.id
    item["summary"] = encode_summary(part.summary)
    if part.text:
        item["content"] = [encode_reasoning_text(part.text)]
    if (opaque := readable_opaque(part.opaque, part.origin, path, losses)) is not None:
        item["encrypted_content"] = opaque
    losses.restore(item, part.extensions, path)
    return item


def encode_summary(paragraphs: Sequence[str]) -> list[object]:
    """The list `summary`."""
    return [{"type": "summary_text", "text": text} for text in paragraphs]


def encode_reasoning_text(text: str) -> dict[str, object]:
    """The one member of `content`."""
    return {"type": "reasoning_text", "text": text}


def readable_opaque(opaque: str | None, origin: ReasoningOrigin | None, path: str, losses: Losses) -> str | None:
    """`opaque`, unless only another format can read it: then it is lost."""
    if opaque is not None and origin is not None and origin.format != NAME:
        losses.note(f"{path}.opaque", f"only {origin.format} can read this reasoning")
        return None
    return opaque


def _texts(item: Fields, key: str, kind: str) -> tuple[str, ...]:
    """The texts of a list of `{type: kind, text}`, taken out of the item if it holds nothing else."""
    values = item.get(key)
    if not is_array(values):
        if values is None:
            item.drop(key)
        return ()
    texts: list[str] = []
    for value in values:
        text = value.get("text") if is_object(value) and value.get("type") == kind and len(value) == 2 else None
        if not isinstance(text, str):
            return ()
        texts.append(text)
    item.drop(key)
    return tuple(texts)
