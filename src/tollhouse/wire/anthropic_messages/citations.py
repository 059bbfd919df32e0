"""Citations of Messages, in both directions: what a text block quotes, and where from."""

from collections.abc import Iterable

from tollhouse.ir.parts import Citation
from tollhouse.ir.plain import is_object
from tollhouse.wire.anthropic_messages.names import NAME
from tollhouse.wire.fields import Fields
from tollhouse.wire.leftovers import Losses, kept

# Citations of documents call the title so; the others say `title`.
_OF_DOCUMENTS = frozenset({"char_location", "page_location", "content_block_location"})


def decode_citations(values: Iterable[object]) -> tuple[Citation, ...]:
    """The citations of a text block; places within documents stay among the leftovers, with the type."""
    return tuple(decode_citation(value) for value in values if is_object(value))


def decode_citation(value: dict[str, object]) -> Citation:
    """One citation."""
    fields = Fields(value)
    return Citation(
        url=fields.text("url"),
        title=fields.text(_title_key(value.get("type"))),
        cited_text=fields.text("cited_text"),
        extensions=kept(NAME, fields.rest()),
    )


def encode_citations(citations: Iterable[Citation], path: str, losses: Losses, *, asked: bool) -> list[object]:
    """The list `citations`. `asked`: for a request, which may only repeat what this format has said itself."""
    encoded: list[object] = []
    for number, citation in enumerate(citations):
        value = encode_citation(citation, f"{path}.citations[{number}]", losses, asked=asked)
        if value is not None:
            encoded.append(value)
    return encoded


def encode_citation(citation: Citation, path: str, losses: Losses, *, asked: bool) -> dict[str, object] | None:
    """One citation; None, with a loss, where it cannot be said."""
    own = citation.extensions.get(NAME, {})
    kind = own.get("type")
    value: dict[str, object]
    if isinstance(kind, str):
        value = {"type": kind}
        if citation.url is not None:
            value["url"] = citation.url
        if citation.cited_text is not None:
            value["cited_text"] = citation.cited_text
    elif citation.url is not None and not asked:
        value = {"type": "web_search_result_location", "url": citation.url, "cited_text": citation.cited_text or ""}
        # Required, and readable by Anthropic alone.
        value["encrypted_index"] = ""
    else:
        losses.note(path, f"{NAME} cannot cite this")
        return None
    if citation.title is not None:
        value[_title_key(kind)] = citation.title
    for name, place in (("start", citation.start), ("end", citation.end)):
        if place is not None:
            losses.note(f"{path}.{name}", f"{NAME} does not say where in the answer a citation stands")
    losses.restore(value, citation.extensions, path)
    return value


def _title_key(kind: object) -> str:
    return "document_title" if isinstance(kind, str) and kind in _OF_DOCUMENTS else "title"
