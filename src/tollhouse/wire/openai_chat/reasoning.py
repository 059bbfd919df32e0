"""Reasoning in Chat Completions, in both directions: `reasoning`, `reasoning_content` and `reasoning_details`.

The format's own vendor has no field for it. `reasoning` is OpenRouter's name, vLLM's and Groq's, `reasoning_content`
DeepSeek's; `reasoning_details` (OpenRouter, docs "Reasoning tokens", November 2026) also carries signatures and
encrypted payloads, and repeats the text that `reasoning` has.
"""

from collections.abc import Sequence

import msgspec

from tollhouse.ir.events import ReasoningStart
from tollhouse.ir.parts import ReasoningOrigin, ReasoningPart
from tollhouse.ir.plain import is_array, is_object
from tollhouse.wire.fields import Fields
from tollhouse.wire.leftovers import Losses, kept
from tollhouse.wire.openai_chat.parts import NAME

REASONING = "reasoning"
CONTENT_FORM = "reasoning_content"
BOTH_FORM = "reasoning+reasoning_content"
TEXT_FORM = "reasoning.text"
SUMMARY_FORM = "reasoning.summary"
ENCRYPTED_FORM = "reasoning.encrypted"

_DETAIL_FORMS = frozenset({TEXT_FORM, SUMMARY_FORM, ENCRYPTED_FORM})
ORIGIN = ReasoningOrigin(format=NAME)


def decode_reasoning(message: Fields) -> list[ReasoningPart]:
    """The reasoning of a message, taken out of it; details of an unknown kind stay where they are."""
    details = _decode_details(message)
    told = "".join(part.text + "".join(part.summary) for part in details)
    parts: list[ReasoningPart] = []
    for key in (REASONING, CONTENT_FORM):
        value = message.get(key)
        if not value or value == told:
            message.drop(key)
        elif isinstance(value, str) and not parts:
            message.drop(key)
            parts.append(ReasoningPart(text=value, form=None if key == REASONING else key))
        elif parts and value == parts[0].text:
            message.drop(key)
            parts = [ReasoningPart(text=parts[0].text, form=BOTH_FORM)]
    # A stream that was translated tells the signature after the text, as a detail of its own.
    if len(parts) == len(details) == 1 and details[0].form == TEXT_FORM and not details[0].text:
        signed = details[0]
        return [msgspec.structs.replace(signed, text=parts[0].text, form=parts[0].form)]
    return [*parts, *details]


def encode_reasoning(parts: Sequence[tuple[str, ReasoningPart]], losses: Losses) -> dict[str, object]:
    """The fields of a message that say `parts`, each given with its path."""
    plain: dict[str, str] = {}
    told: list[str] = []
    details: list[dict[str, object]] = []
    for path, part in parts:
        if is_detail(part):
            for detail in _encode_details(part, path, losses):
                detail.setdefault("index", len(details))
                details.append(detail)
            told.append(part.text + "".join(part.summary))
        # Paragraphs as readers of this format put fragments together: with nothing between them.
        elif text := part.text or "".join(part.summary):
            for key in plain_keys(part.form):
                plain[key] = plain.get(key, "") + text
            losses.restore({}, {name: fields for name, fields in part.extensions.items() if name != NAME}, path)
            for key in part.extensions.get(NAME, ()):
                losses.note(f"{path}.{key}", "plain reasoning of openai_chat has no fields of its own")
    if not plain and (text := "".join(told)):
        plain[REASONING] = text
    return {**plain, "reasoning_details": details} if details else dict(plain)


def plain_keys(form: str | None) -> tuple[str, ...]:
    """The fields that reasoning of this form stands in."""
    return {CONTENT_FORM: (CONTENT_FORM,), BOTH_FORM: (REASONING, CONTENT_FORM)}.get(form or "", (REASONING,))


def _decode_details(message: Fields) -> list[ReasoningPart]:
    details = message.get("reasoning_details")
    if not is_array(details):
        return []
    told = [decode_detail(Fields(detail)) for detail in details if is_object(detail)]
    known = [part for part in told if part is not None]
    if len(known) < len(details):
        return []
    message.drop("reasoning_details")
    parts: list[ReasoningPart] = []
    for part in known:
        before = parts[-1] if parts else None
        # A summary and the payload under it come as two details with one id.
        if before is not None and part.redacted and part.id is not None and before.id == part.id and before.summary:
            parts[-1] = msgspec.structs.replace(before, opaque=part.opaque, origin=part.origin)
        elif not is_empty(part):
            parts.append(part)
    return parts


def decode_detail(detail: Fields) -> ReasoningPart | None:
    """One member of `reasoning_details`; None when its kind is not known."""
    form = detail.get("type")
    if not isinstance(form, str) or form not in _DETAIL_FORMS:
        return None
    detail.drop("type")
    text = detail.text("text") if form == TEXT_FORM else None
    summary = detail.text("summary") if form == SUMMARY_FORM else None
    carrier = {TEXT_FORM: "signature", ENCRYPTED_FORM: "data"}.get(form)
    opaque = None if carrier is None else detail.text(carrier) or None
    return ReasoningPart(
        text=text or "",
        summary=() if summary is None else (summary,),
        opaque=opaque,
        origin=None if opaque is None else ORIGIN,
        redacted=form == ENCRYPTED_FORM,
        id=detail.text("id"),
        form=form,
        extensions=kept(NAME, detail.rest()),
    )


def is_empty(part: ReasoningPart) -> bool:
    """Whether `part` says nothing: a stream would not tell of it."""
    return not (part.text or any(part.summary) or part.opaque)


def is_detail(part: ReasoningPart) -> bool:
    """Whether `part` needs a member of `reasoning_details`."""
    return part.form in _DETAIL_FORMS or part.opaque is not None or part.redacted


def _encode_details(part: ReasoningPart, path: str, losses: Losses) -> list[dict[str, object]]:
    opaque = readable_opaque(part.opaque, part.origin, path, losses)
    details: list[dict[str, object]] = [{"type": SUMMARY_FORM, "summary": text} for text in part.summary]
    if part.redacted or (part.summary and not part.text):
        if opaque is not None:
            details.append({"type": ENCRYPTED_FORM, "data": opaque})
    elif part.text or opaque is not None or part.form == TEXT_FORM:
        signature: dict[str, object] = {} if opaque is None else {"signature": opaque}
        details.append({"type": TEXT_FORM, "text": part.text, **signature})
    for detail in details:
        finish_detail(detail, part, path, losses)
    return details


def readable_opaque(opaque: str | None, origin: ReasoningOrigin | None, path: str, losses: Losses) -> str | None:
    """`opaque`, unless only another format can read it: then it is lost."""
    if opaque is not None and origin is not None and origin.format != NAME:
        losses.note(f"{path}.opaque", f"only {origin.format} can read this reasoning")
        return None
    return opaque


def finish_detail(
    detail: dict[str, object], part: ReasoningPart | ReasoningStart, path: str, losses: Losses
) -> dict[str, object]:
    """`detail` with the id and the leftovers of its part, which every fragment of a stream repeats."""
    if part.id is not None:
        detail["id"] = part.id
    losses.restore(detail, part.extensions, path)
    return detail
