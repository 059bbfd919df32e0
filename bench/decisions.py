"""Decisions: what a choice by routing rules costs, over prompts that were never seen before."""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tollhouse.relay.rules_in_force import configured_rules
from tollhouse.routing.auto import decide, facts_of
from tollhouse.routing.rules import RuleSet
from tollhouse.tokens.encodings import encoding
from tollhouse.wire.openai_chat.format import OpenAIChat

SIZES_KB = (1, 4, 16, 60)
_PROMPTS = 120


@dataclass(frozen=True)
class Decided:
    """Prompts of one size: microseconds of CPU to read the request and decide, in the median and at p90."""

    size_kb: int
    median_us: float
    p90_us: float


def decisions() -> list[Decided]:
    """Each size on prompts of its own: the tokenizer remembers words, so one that comes again would cost less."""
    rules = configured_rules(None, demo=True)
    if not isinstance(rules, RuleSet):
        raise RuntimeError(f"the shipped routing rules cannot be used: {rules.why}")
    texts = _texts()
    form, count = OpenAIChat(), encoding(rules.tokenizer).count_text
    count(next(texts))
    found: list[Decided] = []
    for size_kb in SIZES_KB:
        spent: list[float] = []
        for _ in range(_PROMPTS):
            turn = {"role": "user", "content": _taken(texts, size_kb * 1024)}
            scan = form.scan(msgspec.json.encode({"model": "hpprouter/auto", "messages": [turn]}))
            begun = time.process_time_ns()
            decide(rules, facts_of(form.decode_request(scan), has_tool_choice=False), count)
            spent.append((time.process_time_ns() - begun) / 1000)
        found.append(Decided(size_kb, statistics.median(spent), statistics.quantiles(spent, n=10)[-1]))
    return found


def _texts() -> Iterator[str]:
    """Python's own library, file by file: as much text as is needed, on every machine; much of it is prose."""
    for path in sorted(Path(statistics.__file__).parent.rglob("*.py")):
        if "site-packages" not in path.parts:
            yield path.read_text(encoding="utf-8", errors="replace")


def _taken(texts: Iterator[str], size: int) -> str:
    parts: list[str] = []
    while size > 0:
        text = next(texts)[:size]
        parts.append(text)
        size -= len(text)
    return "".join(parts)
