"""Annotations and log probabilities of Chat Completions answers: they belong to the text, but stand beside it."""

from collections.abc import Iterable

from tollhouse.ir.parts import Citation
from tollhouse.ir.plain import is_array, is_object
from tollhouse.wire.fields import Fields
from tollhouse.wire.leftovers import Losses, kept
from tollhouse.wire.openai_chat.parts import NAME


def decode_annotations(message: Fields) -> tuple[Citation, ...]:
    """The citations of a message or delta, taken out of it; a kind that is not known is kept verbatim."""
    annotations = message.array("annotations")
    return tuple(_decode_annotation(value) for value in annotations or [] if is_object(value))


def _decode_annotation(value: dict[str, object]) -> Citation:
    fields = Fields(value)
    fields.drop("index")  # of the fragment, in a stream
    cited = fields.child("url_citation") if fields.get("type") == "url_citation" else None
    url = None if cited is None else cited.text("url")
    if cited is None or url is None:
        return Citation(extensions={NAME: {key: field for key, field in value.items() if key != "index"}})
    fields.drop("type")
    return Citation(
        url=url,
        title=cited.text("title"),
        start=cited.integer("start_index"),
        end=cited.integer("end_index"),
        extensions=kept(NAME, fields.rest()),
    )


def encode_annotations(citations: Iterable[Citation], shift: int, path: str, losses: Losses) -> list[dict[str, object]]:
    """The annotations that say `citations` of a text that begins at character `shift` of the content."""
    annotations: list[dict[str, object]] = []
    for number, citation in enumerate(citations):
        own = citation.extensions.get(NAME, {})
        if citation.url is None:
            if "type" in own:
                annotations.append(own)
            else:
                losses.note(f"{path}.citations[{number}]", "openai_chat cites addresses only")
            continue
        cited: dict[str, object] = {"url": citation.url}
        if citation.title is not None:
            cited["title"] = citation.title
        if citation.start is not None:
            cited["start_index"] = citation.start + shift
        if citation.end is not None:
            cited["end_index"] = citation.end + shift
        losses.drop(f"{path}.citations[{number}].cited_text", citation.cited_text)
        annotation: dict[str, object] = {"type": "url_citation", "url_citation": cited}
        losses.restore(annotation, citation.extensions, f"{path}.citations[{number}]")
        annotations.append(annotation)
    return annotations


def decode_logprobs(choice: Fields, key: str) -> tuple[dict[str, object], ...]:
    """The probabilities under `logprobs.content` or `logprobs.refusal`, taken out of a choice."""
    logprobs = choice.get("logprobs")
    values = logprobs.get(key) if is_object(logprobs) else None
    if not is_object(logprobs) or not is_array(values):
        return ()
    tokens = tuple(value for value in values if is_object(value))
    if len(tokens) < len(values):
        return ()
    left = {name: value for name, value in logprobs.items() if name != key and value is not None}
    choice.replace("logprobs", left or None)
    return tokens


def is_blank(logprobs: object) -> bool:
    """Whether `logprobs` gives none: null, or an object of nulls."""
    return logprobs is None or (is_object(logprobs) and all(value is None for value in logprobs.values()))


def encode_logprobs(text: list[dict[str, object]], refusal: list[dict[str, object]]) -> dict[str, object] | None:
    """The value of `logprobs`: null when nobody gave any."""
    return {"content": text or None, "refusal": refusal or None} if text or refusal else None
