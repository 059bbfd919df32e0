"""`tollhouse route` as people and programs use it, on a data folder of its own."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.books import new_id, record, with_store
from tollhouse.cli import main
from tollhouse.observe.record import Routed
from tollhouse.stores.sqlite import SqliteStore

RULES = """\
tool: {model: openai/gpt-5}
simple: {model: 'ollama/gpt-oss:120b', keywords: [translate], up_to_tokens: 20}
tiers:
  T1: {model: openai/gpt-4, up_to_tokens: 100}
  T2: {model: anthropic/claude-sonnet-4}
streaming: {model: openai/gpt-4}
tokenizer: bytes
"""
Run = Callable[..., Any]


@pytest.fixture
def route(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("TOLLHOUSE_DATA_DIR", str(tmp_path / "data"))
    for name in ("CATALOG", "CONFIG", "ROUTING_RULES"):
        monkeypatch.delenv(f"TOLLHOUSE_{name}", raising=False)
    (tmp_path / "rules.yaml").write_text(RULES)

    def run(*argv: str, code: int = 0) -> Any:
        """What was printed as JSON; the error message where another exit code is expected."""
        capsys.readouterr()
        got = main(["route", *argv] + (["--json"] if code == 0 else []))
        printed = capsys.readouterr()
        assert got == code, printed.err
        return json.loads(printed.out) if code == 0 else printed.err

    return run


def rules_file(tmp_path: Path, text: str = RULES) -> str:
    file = tmp_path / "candidate.yaml"
    file.write_text(text)
    return str(file)


def request_file(tmp_path: Path, **fields: Any) -> str:
    file = tmp_path / "request.json"
    file.write_text(json.dumps({"messages": [{"role": "user", "content": "x" * 120}]} | fields))
    return str(file)


@pytest.mark.row(27)
def test_versions_stay_as_they_were_handed_in(route: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = rules_file(tmp_path, RULES + "# kept, too\n")
    assert route("set", first, "--author", "ada")["version"] == 1
    assert route("set", rules_file(tmp_path), "--author", "bob", "--no-activate")["in_force"] is False
    listed = route("list")
    assert (listed["in_force"], listed["activated_by"]) == ("1", "ada")
    assert [(row["version"], row["author"]) for row in listed["versions"]] == [(1, "ada"), (2, "bob")]
    assert all(row["stored_at"].endswith("Z") for row in listed["versions"])
    assert route("show")["document"] == RULES + "# kept, too\n"
    assert route("show", "2")["document"] == RULES
    assert route("activate", "2")["in_force"] == "2"
    assert route("rollback")["in_force"] == "1"
    assert route("rollback")["in_force"] == "configuration"
    assert "nothing held before" in route("rollback", code=1)
    capsys.readouterr()
    assert main(["audit", "--json"]) == 0
    kept = [(row["action"], row["subject"], row["detail"]) for row in json.loads(capsys.readouterr().out)]
    assert sorted(kept, key=str) == [
        ("routing.activate", "rules:1", {"activation": 1}),
        ("routing.activate", "rules:1", {"activation": 3}),
        ("routing.activate", "rules:2", {"activation": 2}),
        ("routing.activate", "rules:configuration", {"activation": 4}),
        ("routing.store", "rules:1", {}),
        ("routing.store", "rules:2", {}),
    ]
    assert "no rules of version 9" in route("activate", "9", code=1)
    assert "no rules of version 9" in route("show", "9", code=1)


def test_rules_with_mistakes_are_not_stored_and_gaps_are_told(route: Run, tmp_path: Path) -> None:
    assert "unknown key `modle`" in route("set", rules_file(tmp_path, "tool: {modle: a/b}\n"), code=1)
    assert "cannot be read" in route("set", str(tmp_path / "none.yaml"), code=1)
    stored = route("set", rules_file(tmp_path, "tool: {model: nobody/knows}\nproviders: [openai]\n"))
    assert stored["version"] == 1
    warned = " ".join(stored["warnings"])
    assert "nobody/knows cannot be called" in warned
    assert "`tiers` is missing" in warned
    assert "`streaming.model` is missing" in warned
    assert "printable" in route("set", rules_file(tmp_path), "--author", "a\nb", code=1)


@pytest.mark.parametrize(
    ("fields", "model", "rule_id", "looked_at"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "openai/gpt-5", "tools_present", "A tool"),
        (
            {"messages": [{"role": "user", "content": "translate " + "x" * 900}]},
            "ollama/gpt-oss:120b",
            "keyword:translate",
            "B keyword",
        ),
        (
            {"messages": [{"role": "user", "content": "x"}]},
            "ollama/gpt-oss:120b",
            "tokens_le_threshold",
            "B tokens",
        ),
        ({}, "openai/gpt-4", "band_T1", "C T1"),
        ({"messages": [{"role": "user", "content": "x" * 900}]}, "anthropic/claude-sonnet-4", "band_T2", "C T2"),
        ({"stream": True}, "openai/gpt-4", "streaming_fallback", "streaming"),
    ],
)
def test_explain_names_the_rule_and_every_step_to_it(
    route: Run, tmp_path: Path, fields: dict[str, Any], model: str, rule_id: str, looked_at: str
) -> None:
    told = route("explain", request_file(tmp_path, **fields), "--rules", rules_file(tmp_path))
    assert (told["decision"]["model"], told["decision"]["rule_id"]) == (model, rule_id)
    assert [step["rule"] for step in told["steps"] if step["matched"]] == [looked_at]
    assert told["steps"][-1]["rule"] == looked_at
    assert [one["model"] for one in told["alternatives"] if one["chosen"]] == [model]


def test_explain_prices_the_alternatives_by_the_catalogue(
    route: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = request_file(tmp_path, max_tokens=100)
    told = route("explain", file, "--rules", rules_file(tmp_path))
    # 40 tokens in, 100 out; USD per 1M: Claude 3 and 15, GPT-5 1.25 and 10, GPT-4 30 and 60.
    costs = {one["model"]: one["cost_usd"] for one in told["alternatives"]}
    assert costs == {
        "ollama/gpt-oss:120b": "0",
        "openai/gpt-5": "0.00105",
        "anthropic/claude-sonnet-4": "0.00162",
        "openai/gpt-4": "0.0072",
    }
    assert list(costs) == sorted(costs, key=lambda model: float(costs[model]))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path(file).read_bytes())))
    assert main(["route", "explain", "-", "--rules", rules_file(tmp_path), "--output-tokens", "0"]) == 0
    out = capsys.readouterr().out
    assert "Model: openai/gpt-4 (rule band_T1)" in out
    assert "0.0012 USD" in out


def test_explain_says_what_is_refused(route: Run, tmp_path: Path) -> None:
    rules = rules_file(tmp_path, "tool: {model: nobody/knows}\n")
    told = route("explain", request_file(tmp_path), "--rules", rules)
    assert "lack a tier" in told["refused"]
    told = route("explain", request_file(tmp_path, tool_choice="auto"), "--rules", rules)
    assert "no price is on record" in told["refused"]
    assert "not valid JSON" in route("explain", rules, "--rules", rules, code=1)


def test_explain_goes_by_the_rules_in_force(route: Run, tmp_path: Path) -> None:
    file = request_file(tmp_path)
    assert route("explain", file)["rules_version"].startswith("demo-")
    route("set", rules_file(tmp_path))
    assert route("explain", file)["rules_version"] == "1"


def keep(tmp_path: Path, *calls: dict[str, Any]) -> None:
    async def work(store: SqliteStore) -> None:
        for call in calls:
            await store.commit_call((), record(new_id(), **({"cached_tokens": 0, "stream": False} | call)))

    with_store(tmp_path / "data", work)


def by(rule_id: str, basket: str | None, tokens: int | None = None) -> Routed:
    return Routed(rules_version="1", rule_id=rule_id, basket=basket, tokens=tokens)


def test_replay_compares_cost_and_mix_and_says_what_is_certain(route: Run, tmp_path: Path) -> None:
    route("set", rules_file(tmp_path))
    size = {"completion_tokens": 100, "reasoning_tokens": 0}
    gpt4 = {"model": "openai/gpt-4", "prompt_tokens": 40, "cost_nano_usd": 7_200_000, **size}
    keep(
        tmp_path,
        {"model": "openai/gpt-5", "prompt_tokens": 10, "cost_nano_usd": 5, "routed": by("tools_present", "A"), **size},
        {**gpt4, "routed": by("band_T1", "C", 40)},
        {**gpt4, "routed": by("keyword:translate", "B")},
        {**gpt4, "stream": True, "routed": by("streaming_fallback", None)},
        {**gpt4, "status": "failed", "routed": by("band_T1", "C", 40)},
        {**gpt4, "routed": None},
    )
    same = route("replay", rules_file(tmp_path))
    assert (same["calls"], same["certain"], same["refused"]) == (4, 4, {})
    assert same["old"]["models"]["openai/gpt-4"] == {"calls": 3, "cost_usd": "0.0216"}
    assert same["new"]["models"]["ollama/gpt-oss:120b"] == {"calls": 1, "cost_usd": "0"}
    candidate = RULES.replace("model: openai/gpt-4, up_to_tokens: 100", "model: openai/gpt-5, up_to_tokens: 100")
    other = route("replay", rules_file(tmp_path, candidate.replace("[translate]", "[translate, poem]")))
    # 40 tokens in and 100 out on GPT-5, and the tool call as it was charged.
    assert other["new"]["models"]["openai/gpt-5"] == {"calls": 2, "cost_usd": "0.001050005"}
    assert (other["assumed_no_tools"], other["assumed_no_keyword"]) == (0, 1)
    classified = route("replay", rules_file(tmp_path, RULES.replace("streaming: {", "streaming: {classify: true, ")))
    assert (classified["assumed_no_tools"], classified["certain"]) == (1, 3)
    # The keyword's call was never counted by the rules: its length is the provider's word.
    uncounted = route("replay", rules_file(tmp_path, RULES.replace("[translate]", "[]")))
    assert (uncounted["assumed_count"], uncounted["certain"]) == (1, 3)
    missing = route("replay", rules_file(tmp_path, "tool: {model: nobody/knows}\n"), "--all")
    assert missing["calls"] == 5
    assert missing["new"]["calls"] == 0
    assert sum(missing["refused"].values()) == 5


def test_calibrate_proposes_what_splits_the_recorded_prompts(route: Run, tmp_path: Path) -> None:
    assert route("set", rules_file(tmp_path))["version"] == 1
    keep(
        tmp_path,
        *({"prompt_tokens": 1, "routed": by("band_T1", "C", tokens)} for tokens in range(1, 101)),
        {"prompt_tokens": 10_000, "routed": by("tools_present", "A")},
    )
    told = route("calibrate", "--shares", "40,30,20,10", "--margin", "10")
    assert told["calls"] == 100
    assert told["quantiles"]["50"] == 50
    proposal = told["proposal"]
    assert (proposal["simple"], proposal["t1"], proposal["t2"]) == (40, 77, 99)
    assert proposal["reached"] == [40.0, 30.0, 20.0, 10.0]
    assert route("calibrate", "--workspace", "nobody", code=1)


@pytest.mark.parametrize("command", [("replay", "rules.yaml"), ("calibrate",)])
def test_without_calls_there_is_nothing_to_try(
    route: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    route("set", rules_file(tmp_path))
    argv = [str(tmp_path / part) if part.endswith(".yaml") else part for part in command]
    assert route(*argv)["calls"] == 0
    assert main(["route", *argv]) == 0
    assert "no recorded calls" in capsys.readouterr().out


@pytest.mark.parametrize(
    "argv",
    [
        ("activate", "one"),
        ("calibrate", "--shares", "50,50"),
        ("calibrate", "--shares", "50,50,50,50"),
        ("calibrate", "--since", "yesterday"),
        ("calibrate", "--limit", "0"),
        ("explain", "x.json", "--output-tokens", "-1"),
    ],
)
def test_arguments_that_cannot_be_used(route: Run, argv: tuple[str, ...]) -> None:
    assert route(*argv, code=2)


@pytest.mark.usefixtures("route")
def test_check_tells_of_rules_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOLLHOUSE_ROUTING_RULES", rules_file(tmp_path, "tool: ["))
    assert main(["check"]) == 0
    assert "calls to hpprouter/auto are refused" in capsys.readouterr().out
    monkeypatch.setenv("TOLLHOUSE_ROUTING_RULES", rules_file(tmp_path, "simple: {model: openai/gpt-5}\n"))
    assert main(["check"]) == 0
    assert "`tool.model` is missing" in capsys.readouterr().out
