"""Steps: a decision told rule by rule, for people; `decide` is what counts, and this agrees with it."""

from collections.abc import Callable, Iterator

import msgspec

from tollhouse.routing.auto import Facts, estimate, first_keyword
from tollhouse.routing.rules import Band, RuleSet


class Step(msgspec.Struct, frozen=True):
    """One rule that was looked at, and why it did or did not match."""

    rule: str
    matched: bool
    why: str


def steps(rules: RuleSet, facts: Facts, count: Callable[[str], int]) -> tuple[Step, ...]:
    """The rules in their order, up to the first that matches; the last one did not match where none does."""
    told: list[Step] = []
    for step in _all(rules, facts, count):
        told.append(step)
        if step.matched:
            break
    return tuple(told)


def _all(rules: RuleSet, facts: Facts, count: Callable[[str], int]) -> Iterator[Step]:
    if not facts.stream:
        yield Step("streaming", matched=False, why="the request is no stream")
    elif rules.classify_streams:
        yield Step("streaming", matched=False, why="it is a stream, and the rules classify streams too")
    else:
        yield Step("streaming", matched=True, why="it is a stream, and the rules do not classify streams")
    tools = "it has tools or a tool_choice" if facts.has_tools else "it has neither tools nor a tool_choice"
    yield Step("A tool", matched=facts.has_tools, why=tools)
    yield _keyword(rules, facts)
    tokens = estimate(rules, facts, count)
    limit = rules.simple.up_to_tokens
    if limit is None:
        yield Step("B tokens", matched=False, why="no threshold is set")
    else:
        word = "at most" if tokens <= limit else "more than"
        yield Step("B tokens", matched=tokens <= limit, why=f"{tokens} tokens are {word} the threshold of {limit}")
    for band in rules.bands:
        yield _band(band, tokens, rules.margin_percent)


def _keyword(rules: RuleSet, facts: Facts) -> Step:
    keyword = first_keyword(rules.simple.keywords, facts.user_texts)
    if keyword is not None:
        return Step("B keyword", matched=True, why=f"the user's text has the keyword {keyword!r}")
    looked_for = len(rules.simple.keywords)
    return Step("B keyword", matched=False, why=f"the user's text has none of the {looked_for} keywords")


def _band(band: Band, tokens: int, margin_percent: int) -> Step:
    rule = f"C {band.tier}"
    if band.up_to_tokens is None:
        return Step(rule, matched=True, why="it has no upper bound")
    matched = tokens * (100 + margin_percent) <= band.up_to_tokens * 100
    word = "at most" if matched else "more than"
    return Step(
        rule,
        matched=matched,
        why=f"{tokens} tokens and {margin_percent} % margin are {word} the bound of {band.up_to_tokens}",
    )
