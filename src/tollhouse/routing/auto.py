"""Auto: which model answers a call to `hpprouter/auto`, decided by rules alone; no clock, no chance, no I/O."""

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from tollhouse.ir.fault import Fault, FaultError, FaultKind
from tollhouse.ir.parts import (
    FilePart,
    ImagePart,
    MediaText,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from tollhouse.ir.request import ChatRequest
from tollhouse.routing.rules import RuleSet, TierName

Basket = Literal["A", "B", "C"]


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules look at. `user_texts` are the user's own words, where keywords are looked for; `texts` is all
    text of the prompt, which is counted."""

    stream: bool
    has_tools: bool
    user_texts: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    images: int = 0


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The model and why. `basket` and `tier` are None where the call was not classified so far; `tokens` is the
    estimate without margin, None when no rule needed it. `why` is for people."""

    model: str
    rule_id: str
    rules_version: str
    why: str
    basket: Basket | None = None
    tier: TierName | None = None
    tokens: int | None = None


def facts_of(request: ChatRequest, *, has_tool_choice: bool) -> Facts:
    """The facts of a request. An empty list of tools counts as none; `has_tool_choice` says that the caller sent a
    choice of any kind, which the request no longer tells in every format."""
    users: list[str] = []
    texts: list[str] = []
    images = 0
    for message in request.messages:
        for part in message.parts:
            found = _texts_of(part)
            texts.extend(found)
            if message.role == "user":
                users.extend(found)
            images += _images_of(part)
    return Facts(
        stream=request.stream,
        has_tools=bool(request.tools) or has_tool_choice,
        user_texts=tuple(users),
        texts=tuple(texts),
        images=images,
    )


def needs_text(rules: RuleSet, facts: Facts) -> bool:
    """Whether a decision depends on what the prompt says, and not on its outside alone."""
    return not facts.has_tools and (rules.classify_streams or not facts.stream)


def decide(rules: RuleSet, facts: Facts, count: Callable[[str], int]) -> Decision:
    """The first rule that fits, in the order A, B, C; `count` is the tokenizer and is asked only when a rule needs
    the estimate. Raises FaultError (smart_routing) naming the piece of the rules that is missing."""
    if facts.stream and not rules.classify_streams:
        return Decision(
            model=_required(rules, rules.streaming_model, "streaming.model"),
            rule_id="streaming_fallback",
            rules_version=rules.version,
            why="streams are not classified: they go to the model for streams",
        )
    if facts.has_tools:
        return Decision(
            model=_required(rules, rules.tool_model, "tool.model"),
            basket="A",
            rule_id="tools_present",
            rules_version=rules.version,
            why="the request has tools or a tool_choice",
        )
    return _simple(rules, facts, count)


def estimate(rules: RuleSet, facts: Facts, count: Callable[[str], int]) -> int:
    """The prompt's tokens: its text by the tokenizer, and a flat number for each picture."""
    return sum(map(count, facts.texts)) + facts.images * rules.tokens_per_image


def first_keyword(keywords: Sequence[str], texts: Sequence[str]) -> str | None:
    """The first of `keywords` that stands in one of the texts as a word of its own, whatever its case.

    Linear in the texts: each keyword is looked for by a plain search, and only a hit is looked at more closely.
    """
    folded = [text.casefold() for text in texts] if keywords else []
    for keyword in keywords:
        wanted = keyword.casefold()
        if any(_holds_word(text, wanted) for text in folded):
            return keyword
    return None


def _holds_word(text: str, word: str) -> bool:
    start = text.find(word)
    while start >= 0:
        end = start + len(word)
        opens = start == 0 or not (_in_word(text[start - 1]) and _in_word(word[0]))
        if opens and (end == len(text) or not (_in_word(text[end]) and _in_word(word[-1]))):
            return True
        start = text.find(word, start + 1)
    return False


def _in_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _simple(rules: RuleSet, facts: Facts, count: Callable[[str], int]) -> Decision:
    keyword = first_keyword(rules.simple.keywords, facts.user_texts)
    if keyword is not None:
        rule_id, why, tokens = f"keyword:{keyword}", f"the user's text has the keyword {keyword!r}", None
    else:
        tokens = estimate(rules, facts, count)
        limit = rules.simple.up_to_tokens
        if limit is None or tokens > limit:
            return _complex(rules, tokens)
        rule_id, why = "tokens_le_threshold", f"{tokens} tokens are at most {limit}"
    return Decision(
        model=_required(rules, rules.simple.model, "simple.model"),
        basket="B",
        rule_id=rule_id,
        rules_version=rules.version,
        why=why,
        tokens=tokens,
    )


def _complex(rules: RuleSet, tokens: int) -> Decision:
    margin = f" with {rules.margin_percent} % margin" if rules.margin_percent else ""
    for band in rules.bands:
        if band.up_to_tokens is None or tokens * (100 + rules.margin_percent) <= band.up_to_tokens * 100:
            bound = "there is no upper bound" if band.up_to_tokens is None else f"the bound is {band.up_to_tokens}"
            return Decision(
                model=_required(rules, band.model, f"tiers.{band.tier}.model"),
                basket="C",
                tier=band.tier,
                rule_id=f"band_{band.tier}",
                rules_version=rules.version,
                why=f"{tokens} tokens{margin}, and {bound}",
                tokens=tokens,
            )
    raise _missing(rules, f"a tier for {tokens} tokens{margin}")


def _required(rules: RuleSet, model: str | None, piece: str) -> str:
    if model is None:
        raise _missing(rules, f"`{piece}`")
    return model


def _missing(rules: RuleSet, piece: str) -> FaultError:
    return FaultError(
        Fault(
            kind=FaultKind.SMART_ROUTING,
            source="policy",
            message=f"The routing rules (version {rules.version}) lack {piece}, so no model could be chosen. "
            "Name a model yourself, or have the operator complete the rules.",
            param="model",
        )
    )


def _texts_of(part: Part) -> tuple[str, ...]:
    match part:
        case TextPart(text=text) | RefusalPart(text=text) | ReasoningPart(text=text):
            return (text,)
        case ToolCallPart(arguments=text):
            return (text,)
        case FilePart(source=MediaText(text=text)):
            return (text,)
        case ToolResultPart(parts=parts):
            return tuple(text for inner in parts for text in _texts_of(inner))
        case _:
            return ()


def _images_of(part: Part) -> int:
    match part:
        case ImagePart():
            return 1
        case ToolResultPart(parts=parts):
            return sum(map(_images_of, parts))
        case _:
            return 0
