"""Annotations and log probabilities of Responses: members of the text that they belong to."""

from collections.abc import Iterable

from tollhouse.ir.parts import Citation
from tollhouse.ir.plain import is_array, is_object
from tollhouse.wire.fields import Fields
from tollhouse.wire.leftovers import Losses, kept

_NAME = "openai_responses"


def decode_annotations(text: Fields) -> tuple[Citation, ...]:
    """The citations of a text, taken out of it; a kind that is not known is kept verbatim."""
    annotations = text.get("annotations")
    if not is_array(annotations):
        return ()
    text.drop("annotations")
    return tuple(decode_annotation(value) for value in annotations if is_object(value))


def decode_annotation(value: dict[str, object]) -> Citation:
    """One citation."""
    fields = Fields(value)
    url = fields.text("url") if fields.get("type") == "url_citation" else None
    if url is None:
        return Citation(extensions={_NAME: value})
    fields.drop("type")
    start, end = fields.integer("start_index"), fields.integer("end_index")
    # No stretch at all stands for a place that nobody knows.
    placed = bool(start or end)
    return Citation(
        url=url,
        title=fields.text("title") or None,
        start=start if placed else None,
        end=end if placed else None,
        extensions=kept(_NAME, fields.rest()),
    )


def encode_annotations(citations: Iterable[Citation], path: str, losses: Losses) -> list[object]:
    """The annotations that say `citations`."""
    annotations: list[object] = []
    for number, citation in enumerate(citations):
        annotation = encode_annotation(citation, f"{path}.citations[{number}]", losses)
        if annotation is not None:
            annotations.append(annotation)
    return annotations


def encode_annotation(citation: Citation, path: str, losses: Losses) -> dict[str, object] | None:
    """One annotation; None, with a loss, for what this format cannot cite. Clients with types require title and
    places, so what nobody said is written as "" and 0."""
    own = citation.extensions.get(_NAME, {})
    if citation.url is None:
        if "type" in own:
            return dict(own)
        losses.note(path, f"{_NAME} cites addresses only")
        return None
    losses.drop(f"{path}.cited_text", citation.cited_text)
    annotation: dict[str, object] = {
        "type": "url_citation",
        "url": citation.url,
        "title": citation.title or "",
        "start_index": citation.start or 0,
        "end_index": citation.end or 0,
    }
    losses.restore(annotation, citation.extensions, path)
    return annotation


def decode_logprobs(text: Fields) -> tuple[dict[str, object], ...]:
    """The probabilities of a text's tokens, taken out of it."""
    values = text.get("logprobs")
    if values is None:
        text.drop("logprobs")
    if not is_array(values):
        return ()
    tokens = tuple(value for value in values if is_object(value))
    if len(tokens) < len(values):
        return ()
    text.drop("logprobs")
    return tokens
