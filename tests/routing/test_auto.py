"""Smart routing: which rule wins, where the edges are, and what is refused."""

from typing import Self

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.ir.parts import ImagePart, MediaUrl, TextPart, ToolResultPart
from tollhouse.ir.request import ChatRequest, FunctionTool, Message
from tollhouse.routing.auto import Facts, decide, estimate, facts_of, first_keyword
from tollhouse.routing.rules import Band, RuleSet, Simple

RULES = RuleSet(
    version="7",
    tool_model="m/tool",
    simple=Simple(model="m/simple", keywords=("translate", "c++"), up_to_tokens=100),
    bands=(
        Band(tier="T1", model="m/t1", up_to_tokens=1_000),
        Band(tier="T2", model="m/t2", up_to_tokens=2_000),
        Band(tier="T3", model="m/t3"),
    ),
    margin_percent=10,
    streaming_model="m/stream",
    tokens_per_image=500,
)


def asked(tokens: int = 0, **known: object) -> Facts:
    """A prompt of so many words; `words` counts one token for each."""
    text = "x " * tokens
    return msgspec.convert(
        {"stream": False, "has_tools": False, "texts": (text,), "user_texts": (text,)} | known, Facts
    )


def words(text: str) -> int:
    return len(text.split())


def test_tools_come_first_and_the_tokenizer_is_not_asked() -> None:
    def never(_text: str) -> int:
        raise AssertionError("the estimate is not needed")

    chosen = decide(RULES, asked(5, has_tools=True, user_texts=("translate this",)), never)
    assert (chosen.basket, chosen.model, chosen.rule_id, chosen.tier) == ("A", "m/tool", "tools_present", None)


@pytest.mark.parametrize("has_tool_choice", [True, False])
def test_a_tool_choice_alone_is_a_tool_call_and_an_empty_list_is_none(has_tool_choice: bool) -> None:
    request = ChatRequest(model="hpprouter/auto", tools=())
    assert facts_of(request, has_tool_choice=has_tool_choice).has_tools is has_tool_choice
    with_tool = msgspec.structs.replace(request, tools=(FunctionTool(name="f"),))
    assert facts_of(with_tool, has_tool_choice=False).has_tools


def test_a_keyword_wins_however_long_the_prompt_is() -> None:
    facts = asked(50_000, user_texts=("Please TRANSLATE: " + "x " * 50_000,))
    chosen = decide(RULES, facts, words)
    assert (chosen.basket, chosen.model, chosen.rule_id) == ("B", "m/simple", "keyword:translate")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("translate", "translate"),
        ("it was translated", None),
        ("untranslate translates; translate!", "translate"),
        ("I like c++", "c++"),
        ("c++11 code", "c++"),
        ("abc++", None),
        ("", None),
    ],
)
def test_keywords_are_whole_words(text: str, found: str | None) -> None:
    assert first_keyword(RULES.simple.keywords, (text,)) == found


def test_the_threshold_of_simple_prompts_has_no_margin() -> None:
    at, above = decide(RULES, asked(100), words), decide(RULES, asked(101), words)
    assert (at.basket, at.rule_id, at.tokens) == ("B", "tokens_le_threshold", 100)
    assert (above.basket, above.tier) == ("C", "T1")


@pytest.mark.parametrize(
    ("tokens", "tier"),
    [(909, "T1"), (910, "T2"), (1_818, "T2"), (1_819, "T3"), (10**6, "T3")],
)
def test_each_band_edge_with_the_margin(tokens: int, tier: str) -> None:
    chosen = decide(RULES, asked(tokens), words)
    assert (chosen.basket, chosen.tier, chosen.rule_id) == ("C", tier, f"band_{tier}")
    assert chosen.model == f"m/{tier.lower()}"


def test_a_stream_goes_to_its_own_model_even_with_tools_unless_streams_are_classified() -> None:
    facts = asked(5, stream=True, has_tools=True)
    chosen = decide(RULES, facts, words)
    assert (chosen.model, chosen.rule_id, chosen.basket, chosen.tier) == ("m/stream", "streaming_fallback", None, None)
    classified = decide(msgspec.structs.replace(RULES, classify_streams=True), facts, words)
    assert (classified.model, classified.basket) == ("m/tool", "A")


def test_pictures_count_wherever_they_stand() -> None:
    image = ImagePart(source=MediaUrl(url="https://example.com/a.png"))
    request = ChatRequest(
        model="hpprouter/auto",
        messages=(
            Message(role="user", parts=(TextPart(text="what is this"), image)),
            Message(role="tool", parts=(ToolResultPart(call_id="c", parts=(TextPart(text="seen"), image)),)),
        ),
    )
    facts = facts_of(request, has_tool_choice=False)
    assert facts.images == 2
    assert facts.user_texts == ("what is this",)
    assert estimate(RULES, facts, words) == 3 + 1 + 2 * 500


@pytest.mark.parametrize(
    ("rules", "facts", "piece"),
    [
        (msgspec.structs.replace(RULES, tool_model=None), asked(has_tools=True), "tool.model"),
        (msgspec.structs.replace(RULES, streaming_model=None), asked(stream=True), "streaming.model"),
        (msgspec.structs.replace(RULES, simple=Simple(up_to_tokens=5)), asked(1), "simple.model"),
        (msgspec.structs.replace(RULES, bands=()), asked(500), "a tier for 500 tokens"),
        (msgspec.structs.replace(RULES, bands=(Band(tier="T1"),)), asked(500), "tiers.T1.model"),
        (msgspec.structs.replace(RULES, bands=RULES.bands[:2]), asked(5_000), "a tier for 5000 tokens"),
    ],
)
def test_a_missing_piece_is_named(rules: RuleSet, facts: Facts, piece: str) -> None:
    with pytest.raises(FaultError) as refused:
        decide(rules, facts, words)
    assert refused.value.fault.kind is FaultKind.SMART_ROUTING
    assert piece in refused.value.fault.message


@given(st.integers(0, 5_000), st.booleans(), st.booleans(), st.integers(0, 3))
def test_every_complete_rule_set_decides_and_says_why(tokens: int, stream: bool, has_tools: bool, images: int) -> None:
    facts = asked(tokens, stream=stream, has_tools=has_tools, images=images)
    chosen = decide(RULES, facts, words)
    assert chosen.model in RULES.models()
    assert chosen.why
    assert chosen.rules_version == "7"
    assert (chosen.tier is not None) == (chosen.basket == "C")


class Watched(str):
    """A text that notes where each search in it began."""

    __slots__ = ("starts",)

    def __new__(cls, text: str) -> Self:
        made = super().__new__(cls, text)
        made.starts = []
        return made

    def casefold(self) -> Self:
        return self

    def find(self, *args: object) -> int:  # type: ignore[override]
        self.starts.append(args[1] if len(args) > 1 else 0)
        return super().find(*args)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["transl" * 500, "xtranslate" * 500, "translate_" * 500, "c+" * 900])
def test_a_search_never_looks_back(text: str) -> None:
    watched = Watched(text)
    assert first_keyword(("translate",), (watched,)) is None
    assert watched.starts == sorted(set(watched.starts))
    assert len(watched.starts) <= text.count("translate") + 1
