"""Rules as a document: what it can say, and how its mistakes are reported."""

import pytest

from tollhouse.catalog.problems import CatalogError
from tollhouse.routing.rules import Band, RuleSet, Simple
from tollhouse.routing.rules_document import read_rules

WHOLE = """\
tool: {model: m/tool}
simple:
  model: m/simple
  keywords: [translate, summarise]
  up_to_tokens: 200
tiers:
  T1: {model: m/t1, up_to_tokens: 1000}
  T2: {model: m/t2, up_to_tokens: 8000}
  T3: {model: m/t3}
margin_percent: 15
streaming: {model: m/stream, classify: true}
tokens_per_image: 700
providers: [openai, anthropic]
"""


def test_a_whole_document() -> None:
    assert read_rules(WHOLE, "rules.yaml", "3") == RuleSet(
        version="3",
        tool_model="m/tool",
        simple=Simple(model="m/simple", keywords=("translate", "summarise"), up_to_tokens=200),
        bands=(
            Band(tier="T1", model="m/t1", up_to_tokens=1_000),
            Band(tier="T2", model="m/t2", up_to_tokens=8_000),
            Band(tier="T3", model="m/t3"),
        ),
        margin_percent=15,
        streaming_model="m/stream",
        classify_streams=True,
        tokens_per_image=700,
        providers=("openai", "anthropic"),
    )


def test_json_is_read_as_well_and_pieces_may_be_missing() -> None:
    rules = read_rules('{"tool": {"model": "m/tool"}}', "rules.json", "1")
    assert rules == RuleSet(version="1", tool_model="m/tool")
    assert rules.models() == ("m/tool",)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("tool: {modle: m/x}", 1, "`modle`"),
        ("simple: {up_to_tokens: -5}", 1, "whole number"),
        ("tiers:\n  T4: {model: m}", 2, "`T4`"),
        ("tiers:\n  T1: {model: a, up_to_tokens: 10}\n  T2: {model: b, up_to_tokens: 10}", 3, "above the 10 of T1"),
        ("tiers:\n  T1: {model: a}\n  T2: {model: b, up_to_tokens: 10}", 3, "can never be reached"),
        ("margin_percent: 5000", 1, "at most 1000"),
        ("streaming: {classify: perhaps}", 1, "true or false"),
        ("streeming: {model: m}", 1, "did you mean `streaming`"),
        ("- a\n- b", 1, "keys and values"),
        ("tool: {model: m/x", 2, "not valid YAML"),
    ],
)
def test_mistakes_name_their_line(text: str, line: int, words: str) -> None:
    with pytest.raises(CatalogError) as refused:
        read_rules(text, "rules.yaml", "1")
    problem = refused.value.problems[0]
    assert problem.line == line
    assert words in f"{problem.path}: {problem.message}"
