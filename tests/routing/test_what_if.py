"""Steps, replay, calibrate and gaps: what is told of rules agrees with what they decide."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.catalog.entries import Catalog, Creator, Deployment, Model, Price, Provider
from tollhouse.ir.fault import FaultError
from tollhouse.routing.auto import Decision, Facts, decide
from tollhouse.routing.calibrate import Shares, propose, quantile
from tollhouse.routing.gaps import gaps
from tollhouse.routing.replay import Outside, replay
from tollhouse.routing.rules import Band, RuleSet, Simple
from tollhouse.routing.steps import steps

WORDS = ("translate", "poem", "Summe")
PROVIDER = Provider(id="p", format="openai_chat", base_url="http://127.0.0.1")


def catalog(*slugs: str) -> Catalog:
    deployments = (Deployment(provider=PROVIDER, upstream_model="x"),)
    creator = Creator(slug="m", name="M")
    models = [Model(slug=s, name=s, creator=creator, deployments=deployments, price=Price()) for s in slugs]
    return Catalog({"p": PROVIDER}, tuple(models))


def words(text: str) -> int:
    return len(text.split())


def outcome(rules: RuleSet, facts: Facts) -> Decision | str:
    """The decision, or the words of the refusal."""
    try:
        return decide(rules, facts, words)
    except FaultError as error:
        return error.fault.message


models = st.sampled_from(["m/a", "m/b", "m/c", None])
limits = st.none() | st.integers(0, 30)


@st.composite
def rule_sets(draw: st.DrawFn) -> RuleSet:
    bounds = sorted(draw(st.sets(st.integers(1, 40), min_size=2, max_size=2)))
    last = draw(st.none() | st.integers(41, 60))
    return RuleSet(
        version="1",
        tool_model=draw(models),
        simple=Simple(
            model=draw(models),
            keywords=tuple(draw(st.lists(st.sampled_from(WORDS), unique=True))),
            up_to_tokens=draw(limits),
        ),
        bands=tuple(
            Band(tier=tier, model=draw(models), up_to_tokens=bound)
            for tier, bound in zip(("T1", "T2", "T3"), (*bounds, last), strict=True)
        ),
        margin_percent=draw(st.integers(0, 50)),
        streaming_model=draw(models),
        classify_streams=draw(st.booleans()),
    )


@st.composite
def asked(draw: st.DrawFn) -> Facts:
    text = " ".join(draw(st.lists(st.sampled_from((*WORDS, "x", "y")), max_size=50)))
    return Facts(stream=draw(st.booleans()), has_tools=draw(st.booleans()), user_texts=(text,), texts=(text,))


@given(rule_sets(), asked())
def test_the_steps_end_where_the_decision_is(rules: RuleSet, facts: Facts) -> None:
    told = steps(rules, facts, words)
    assert not any(step.matched for step in told[:-1])
    decision = outcome(rules, facts)
    if isinstance(decision, str):
        assert told[-1].matched == ("a tier for" not in decision)
        return
    rule = {None: "streaming", "A": "A tool"}.get(decision.basket, "")
    if decision.basket == "B":
        rule = "B keyword" if decision.rule_id.startswith("keyword:") else "B tokens"
    assert told[-1].matched
    assert told[-1].rule == (rule or f"C {decision.tier}")


@given(rule_sets(), rule_sets(), asked())
def test_what_a_replay_is_certain_of_is_so(old: RuleSet, new: RuleSet, facts: Facts) -> None:
    """A call that was answered under `old`, replayed under `new` by what its record has."""
    then = outcome(old, facts)
    if isinstance(then, str):
        return
    tokens = words(facts.texts[0])
    outside = Outside(
        stream=facts.stream,
        prompt_tokens=tokens + 7 if then.tokens is None else then.tokens,
        estimated=then.tokens is not None,
        basket=then.basket,
        rule_id=then.rule_id,
        rules_version="1",
    )
    looked_for = {"1": frozenset(word.casefold() for word in old.simple.keywords)}
    replayed = replay(new, outside, looked_for)
    if not replayed.certain:
        return
    now = outcome(new, facts)
    expected = (None, now) if isinstance(now, str) else (now.model, None)
    assert (replayed.model, replayed.refused) == expected


@given(
    st.lists(st.integers(1, 500), min_size=1, max_size=100),
    st.integers(0, 100),
    st.data(),
)
def test_the_proposal_reaches_what_it_says(tokens: list[int], margin: int, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, 100), min_size=3, max_size=3)))
    shares = Shares(cuts[0], cuts[1] - cuts[0], cuts[2] - cuts[1], 100 - cuts[2])
    found = propose(tokens, shares, margin)
    rules = RuleSet(
        version="1",
        simple=Simple(model="B", up_to_tokens=found.simple),
        bands=(
            Band(tier="T1", model="T1", up_to_tokens=found.t1),
            Band(tier="T2", model="T2", up_to_tokens=found.t2),
            Band(tier="T3", model="T3"),
        ),
        margin_percent=margin,
    )
    assert found.t1 < found.t2
    facts = [Facts(stream=False, has_tools=False, texts=("x " * each,)) for each in tokens]
    chosen = [decide(rules, each, words).model for each in facts]
    for name, reached in zip(("B", "T1", "T2", "T3"), found.reached, strict=True):
        assert reached == round(100 * chosen.count(name) / len(tokens), 1)
    # At least the share that was asked for is at or below each bound.
    assert chosen.count("B") * 100 >= len(tokens) * cuts[0]
    assert (chosen.count("B") + chosen.count("T1")) * 100 >= len(tokens) * cuts[1]


def test_quantiles() -> None:
    assert [quantile([1, 2, 3, 4], percent) for percent in (0, 1, 25, 26, 75, 100)] == [0, 1, 1, 2, 3, 4]


WHOLE: dict[str, Any] = {
    "version": "1",
    "tool_model": "m/a",
    "simple": Simple(model="m/a", up_to_tokens=5),
    "bands": (Band(tier="T1", model="m/a"),),
    "streaming_model": "m/a",
}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, ()),
        ({"tool_model": None}, ("`tool.model` is missing",)),
        ({"simple": Simple(up_to_tokens=5)}, ("`simple.model` is missing",)),
        ({"simple": Simple(keywords=("x",))}, ("`simple.model` is missing",)),
        ({"simple": Simple()}, ()),
        ({"bands": ()}, ("`tiers` is missing",)),
        ({"bands": (Band(tier="T1", model="m/a", up_to_tokens=9),)}, ("no tier takes prompts above 9",)),
        ({"bands": (Band(tier="T1"),)}, ("`tiers.T1.model` is missing",)),
        ({"streaming_model": None}, ("`streaming.model` is missing",)),
        ({"streaming_model": None, "classify_streams": True}, ()),
        ({"tool_model": "m/unknown"}, ("m/unknown cannot be called",)),
        ({"providers": ("p",)}, ()),
        ({"providers": ("q",)}, ("m/a is served by p only",)),
    ],
)
def test_gaps_are_told(changes: dict[str, Any], told: tuple[str, ...]) -> None:
    found = gaps(msgspec.convert(WHOLE | changes, RuleSet), catalog("m/a"))
    assert len(found) == len(told)
    assert all(line.startswith(start) for line, start in zip(found, told, strict=True))
