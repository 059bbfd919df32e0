"""Scripts: what a model name or a control header may say, and what is refused."""

import math

import pytest

from tollhouse.simulator.script import WORDS, Script, ScriptError, plan_from_json, plan_from_model


def script(model: str) -> Script:
    plan = plan_from_model(model)
    assert len(plan.attempts) == 1
    return plan.attempts[0]


@pytest.mark.parametrize("model", ["echo", "gpt-4", "openai/gpt-5", "scripted/text=3", "myscript/text=3"])
def test_other_names_hold_no_script(model):
    assert script(model) == Script()


@pytest.mark.parametrize(
    "model", ["script/text=3/no_done", "simulator/script/text=3/no_done", "a/b/script/text=3/no_done/"]
)
def test_a_script_is_found_behind_any_prefix(model):
    assert script(model) == Script(text=3, no_done=True)


def test_values_have_their_types():
    read = script(
        "script/delay=5ms/first=1.5s/wait=forever/usage=10:5/header=A:b/header=Set-Cookie:x%2Fy/say=a%20b/length_off=-3"
    )
    assert (read.delay, read.first, read.wait) == (0.005, 1.5, math.inf)
    assert read.header == (("A", "b"), ("Set-Cookie", "x/y"))
    assert (read.usage, read.say, read.length_off) == ("10:5", "a b", -3)


def test_attempts_follow_each_other_and_the_last_stays():
    plan = plan_from_model("script/token=t/fail=2:503/status=429/then/text=5")
    assert plan.token == "t"
    assert [plan.attempt(n).status for n in range(5)] == [503, 503, 429, None, None]
    assert plan.attempt(9).text == 5


def test_the_header_says_the_same_as_the_name():
    assert plan_from_json(b'{"text": 3, "no_done": true, "crlf": false, "header": ["A:b", "C:d"]}').attempts == (
        Script(text=3, no_done=True, header=(("A", "b"), ("C", "d"))),
    )
    assert [a.status for a in plan_from_json(b'[{"status": 500}, {"status": 429}, {}]').attempts] == [500, 429, None]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("script/dealy=5ms", "did you mean 'delay'"),
        ("script/text=many", "whole number"),
        ("script/delay=5", "a time such as"),
        ("script/no_done=1", "is a flag"),
        ("script/usage=odd", "total_mismatch"),
        ("script/usage_at=nowhere", "after_done"),
        ("script/status=999", "HTTP status"),
        ("script/header=novalue", "Name:value"),
        ("script/fail=x", "count:status"),
        ("script/qqqqq", "unknown"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(model, words):
    with pytest.raises(ScriptError, match=words):
        plan_from_model(model)


@pytest.mark.parametrize("header", [b"{", b"3", b'["x"]', b'{"txt": 3}'])
def test_a_header_that_does_not_fit_is_refused(header):
    with pytest.raises(ScriptError):
        plan_from_json(header)


def test_every_word_is_documented(pytestconfig):
    page = (pytestconfig.rootpath / "docs" / "simulator.md").read_text()
    assert [word for word in sorted(WORDS) if f"`{word}" not in page] == []
