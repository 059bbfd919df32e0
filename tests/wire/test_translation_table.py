"""docs/translation.md: what each pair of formats keeps of each feature, as running the pair shows it."""

from pathlib import Path

import msgspec
import pytest

from support.features import FEATURES
from support.golden import check_golden
from tollhouse.ir.loss import Loss
from tollhouse.ir.request import ChatRequest
from tollhouse.wire.format import WireFormat
from tollhouse.wire.registry import FORMATS

PAGE = Path(__file__).parents[2] / "docs" / "translation.md"
NAMES = {"openai_chat": "Chat", "openai_responses": "Responses", "anthropic_messages": "Messages"}
PAIRS = [(source, target) for source in FORMATS for target in FORMATS if source is not target]
BEGINNING = """# What a translation keeps

One row for each feature of a request, one column for each pair of formats: the caller's, then the provider's. Every
cell is what running the pair gave (`tests/wire/test_translation_table.py`, which fails when this page is stale and
rewrites it with `GOLDEN=write`).

- **kept**: the provider reads what the caller wrote.
- **mapped**: the provider reads its own nearest form of it, without a loss.
- **lost**: named in `X-Tollhouse-Loss` and the call's record, or refused with `on_loss: reject`.
- **–**: the caller's format cannot say it.

"""


def said_in(fmt: WireFormat, request: ChatRequest) -> tuple[ChatRequest, list[Loss]]:
    """The request as a reader of the format gets it, and what was lost on the way."""
    losses: list[Loss] = []
    body = fmt.encode_request(request, losses)
    return fmt.decode_request(fmt.scan(body)), losses


def meaning(request: ChatRequest) -> object:
    """What is the same in every format: without spellings, ids of items and leftovers."""
    plain = msgspec.to_builtins(request)
    _strip(plain)
    return plain


def _strip(value: object) -> None:
    if isinstance(value, dict):
        for name in ("extensions", "item_id", "id", "said_in", "form", "origin", "stream_usage"):
            if name != "id" or value.get("type") in {"text", "reasoning", "refusal"} or "role" in value:
                value.pop(name, None)
        for inner in value.values():
            _strip(inner)
    elif isinstance(value, list):
        for inner in value:
            _strip(inner)


def cell(source: WireFormat, target: WireFormat, request: ChatRequest) -> str:
    asked, unsaid = said_in(source, request)
    if unsaid:
        return "–"
    read, lost = said_in(target, asked)
    if lost:
        return "lost"
    return "kept" if meaning(read) == meaning(asked) else "mapped"


def page() -> str:
    heads = [f"{NAMES[source.name]} → {NAMES[target.name]}" for source, target in PAIRS]
    lines = [f"| feature | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for name, request in FEATURES.items():
        cells = [cell(source, target, request) for source, target in PAIRS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return BEGINNING + "\n".join(lines) + "\n"


def test_the_page_says_what_the_pairs_do() -> None:
    check_golden(PAGE, page())


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: fmt.name)
def test_every_format_says_most_features(fmt: WireFormat) -> None:
    unsaid = [name for name, request in FEATURES.items() if said_in(fmt, request)[1]]
    assert len(unsaid) < len(FEATURES) / 2, unsaid
