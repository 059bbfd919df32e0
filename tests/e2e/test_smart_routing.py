"""`hpprouter/auto` over HTTP: which model answers, what the headers say, what is billed and what is refused."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.callers import DIALECTS, HPP, Face, Reply, ask, chat
from support.gateway import CATALOG, RunningGateway
from tollhouse.cli import main
from tollhouse.relay.rules_in_force import REFRESH_S
from tollhouse.tokens.bounds import likely_tokens

AUTO = "hpprouter/auto"
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
WHOLE = """\
tool: {model: openai/gpt-5}
simple: {model: openai/gpt-4, keywords: [translate, Übersetze], up_to_tokens: 20}
tiers:
  T1: {model: moonshotai/kimi-k2.6, up_to_tokens: 100}
  T2: {model: anthropic/claude-sonnet-4, up_to_tokens: 200}
  T3: {model: 'ollama/gpt-oss:120b'}
margin_percent: 25
streaming: {model: 'ollama/solidity-master:2'}
tokens_per_image: 150
tokenizer: bytes
"""
# What the header tells of a decision, in the order of `told`.
_TOLD = ("resolved-model", "basket", "tier", "rule-id")


def of_tokens(count: int) -> list[dict[str, Any]]:
    """Messages whose text has so many tokens."""
    text = "x" * (3 * count)
    assert likely_tokens(len(text)) == count
    return [{"role": "user", "content": text}]


def told(reply: Reply) -> tuple[str | None, ...]:
    return tuple(reply.headers.get(f"x-hpp-router-{name}") for name in _TOLD)


def started(folder: Path, rules: str | None, **settings: Any) -> RunningGateway:
    if rules is not None:
        (folder / "rules.yaml").write_text(rules)
        settings["routing_rules"] = folder / "rules.yaml"
    return RunningGateway(folder / "gateway", **settings)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    running = started(tmp_path_factory.mktemp("auto"), WHOLE, cors_origins=("https://app.example",))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def key(gateway: RunningGateway) -> str:
    return gateway.key()


@pytest.mark.row(18, 19, 22, 27)
@pytest.mark.parametrize("fields", [{"tools": [TOOL]}, {"tool_choice": "none"}, {"tools": [], "tool_choice": "auto"}])
def test_tools_or_a_choice_of_tools_go_to_basket_a(gateway: RunningGateway, key: str, fields: dict[str, Any]) -> None:
    reply = chat(gateway, HPP, key, AUTO, messages=[{"role": "user", "content": "translate this"}], **fields)
    assert reply.status == 200
    assert told(reply) == ("openai/gpt-5", "A", None, "tools_present")
    assert reply.headers["x-hpp-router-rules-version"].startswith("file-")
    assert gateway.last_body()["model"] == "gpt-5"
    assert reply.json()["model"] == "openai/gpt-5"


@pytest.mark.row(18)
@pytest.mark.parametrize("fields", [{"tools": []}, {"tools": None}, {"tool_choice": None}])
def test_no_tools_are_no_tools(gateway: RunningGateway, key: str, fields: dict[str, Any]) -> None:
    reply = chat(gateway, HPP, key, AUTO, messages=of_tokens(5), **fields)
    assert told(reply) == ("openai/gpt-4", "B", None, "tokens_le_threshold")


@pytest.mark.row(20)
@pytest.mark.parametrize(
    ("word", "rule_id"), [("TRANSLATE", "keyword:translate"), ("übersetze", "keyword:%C3%9Cbersetze")]
)
def test_a_keyword_goes_to_basket_b_even_when_long(gateway: RunningGateway, key: str, word: str, rule_id: str) -> None:
    reply = chat(gateway, HPP, key, AUTO, messages=[{"role": "user", "content": f"{word} it: {'x ' * 5_000}"}])
    assert told(reply) == ("openai/gpt-4", "B", None, rule_id)


@pytest.mark.row(21, 23, 24)
@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (20, ("openai/gpt-4", "B", None, "tokens_le_threshold")),  # 25 with the margin, which is not added here
        (21, ("moonshotai/kimi-k2.6", "C", "T1", "band_T1")),
        (80, ("moonshotai/kimi-k2.6", "C", "T1", "band_T1")),  # 100 with the margin
        (81, ("anthropic/claude-sonnet-4", "C", "T2", "band_T2")),
        (160, ("anthropic/claude-sonnet-4", "C", "T2", "band_T2")),
        (161, ("ollama/gpt-oss:120b", "C", "T3", "band_T3")),
        (70_000, ("ollama/gpt-oss:120b", "C", "T3", "band_T3")),  # decided on a thread
    ],
)
def test_the_edges_of_the_threshold_and_the_bands(
    gateway: RunningGateway, key: str, tokens: int, expected: tuple[str | None, ...]
) -> None:
    reply = chat(gateway, HPP, key, AUTO, messages=of_tokens(tokens))
    assert reply.status == 200
    assert told(reply) == expected


@pytest.mark.row(25)
@pytest.mark.parametrize("fields", [{}, {"tools": [TOOL]}])
def test_a_stream_goes_to_its_own_model(gateway: RunningGateway, key: str, fields: dict[str, Any]) -> None:
    reply = chat(gateway, HPP, key, AUTO, stream=True, **fields)
    assert reply.status == 200
    assert told(reply) == ("ollama/solidity-master:2", None, None, "streaming_fallback")
    assert "x-hpp-router-rules-version" in reply.headers
    assert {chunk["model"] for chunk in reply.chunks()} == {"ollama/solidity-master:2"}


@pytest.mark.row(26)
def test_pictures_raise_the_estimate(gateway: RunningGateway, key: str) -> None:
    words = {"type": "text", "text": "x" * 30}
    without = chat(gateway, HPP, key, AUTO, messages=[{"role": "user", "content": [words]}])
    with_one = chat(gateway, HPP, key, AUTO, messages=[{"role": "user", "content": [words, PICTURE]}])
    assert told(without)[1:] == ("B", None, "tokens_le_threshold")
    assert told(with_one)[1:] == ("C", "T2", "band_T2")  # (10 + 150) tokens and 25 %


@pytest.mark.row(31)
def test_the_bill_and_the_record_carry_the_resolved_model(gateway: RunningGateway) -> None:
    own = gateway.key(workspace="bill")
    before = gateway.balance("bill")
    reply = chat(gateway, HPP, own, AUTO, messages=of_tokens(100))
    named = chat(gateway, HPP, own, "anthropic/claude-sonnet-4", messages=of_tokens(100))
    kept = gateway.record(reply.request_id)
    assert kept.model == "anthropic/claude-sonnet-4"
    assert kept.cost_nano_usd == gateway.record(named.request_id).cost_nano_usd > 0
    assert before - gateway.balance("bill") == 2 * kept.cost_nano_usd
    assert kept.routed is not None
    assert (kept.routed.basket, kept.routed.tier, kept.routed.rule_id) == ("C", "T2", "band_T2")
    assert kept.routed.tokens == 100
    assert gateway.record(named.request_id).routed is None


def test_a_key_may_use_no_more_models_than_it_is_allowed(
    gateway: RunningGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    own = gateway.key(workspace="allowed")
    folder = ("--data-dir", str(gateway.data_dir / "data"))
    assert main(["keys", "list", "--workspace", "allowed", *folder, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["hint"].endswith(own[-4:])
    assert main(["keys", "allow", row["id"], "openai/gpt-4", *folder]) == 0
    gateway.eventually(lambda: chat(gateway, HPP, own, "openai/gpt-5").status == 400)
    assert chat(gateway, HPP, own, AUTO, messages=of_tokens(5)).status == 200
    arrived = len(gateway.arrivals())
    reply = chat(gateway, HPP, own, AUTO, messages=of_tokens(50))
    assert (reply.status, reply.json()["error"]) == (400, "model_not_allowed")
    assert len(gateway.arrivals()) == arrived


@pytest.mark.row(14)
def test_a_model_that_was_named_has_no_rule(gateway: RunningGateway, key: str) -> None:
    assert told(chat(gateway, HPP, key, "openai/gpt-4")) == ("openai/gpt-4", None, None, None)


@pytest.mark.row(32)
def test_a_browser_may_read_every_header_of_a_decision(gateway: RunningGateway, key: str) -> None:
    origin = {"origin": "https://app.example"}
    body = {"model": AUTO, "messages": of_tokens(30)}
    reply = ask(gateway, "POST", HPP.chat, HPP.auth(key) | origin, body)
    exposed = {name.strip().lower() for name in reply.headers["access-control-expose-headers"].split(",")}
    sent = {name for name in reply.headers if name.startswith("x-hpp-router-")}
    assert len(sent) == 5
    assert sent <= exposed


@pytest.mark.row(33)
def test_the_list_of_models_has_the_virtual_one_without_a_price(gateway: RunningGateway, key: str) -> None:
    listed = ask(gateway, "GET", HPP.models, HPP.auth(key)).json()["data"]
    assert [entry["pricing"] for entry in listed if entry["id"] == AUTO] == [None]
    assert all(set(entry["pricing"]) == {"input", "output", "cache_write", "cache_read"} for entry in listed[1:])


@pytest.mark.parametrize("face", [face for face in DIALECTS if face is not HPP], ids=lambda f: f.name)
def test_the_other_dialects_do_not_know_the_name(gateway: RunningGateway, key: str, face: Face) -> None:
    arrived = len(gateway.arrivals())
    assert chat(gateway, face, key, AUTO).status in (400, 404)
    assert len(gateway.arrivals()) == arrived


def refused(gateway: RunningGateway, code: str, **fields: Any) -> str:
    """The message of a refusal that reached no provider and cost nothing."""
    key, arrived, balance = gateway.key(), len(gateway.arrivals()), gateway.balance()
    reply = chat(gateway, HPP, key, AUTO, **fields)
    assert (reply.status, reply.json()["error"]) == (400, code)
    assert len(gateway.arrivals()) == arrived
    assert gateway.balance() == balance
    assert not [name for name in reply.headers if name.startswith("x-hpp-router-")]
    kept = gateway.record(reply.request_id)
    assert (kept.status, kept.model, kept.cost_nano_usd) == ("refused", None, 0)
    return reply.json()["message"]


@pytest.mark.row(28, 29, 30)
def test_what_the_rules_lack_or_forbid_is_refused_and_nothing_forwarded(tmp_path: Path) -> None:
    rules = """\
simple: {up_to_tokens: 20, keywords: [cheap, elsewhere]}
tiers:
  T1: {up_to_tokens: 100}
  T2: {model: openai/gpt-5-mini, up_to_tokens: 200}
  T3: {model: openai/gpt-5, up_to_tokens: 1000}
providers: [openai]
tokenizer: bytes
"""
    gateway = started(tmp_path, rules)
    try:
        smart = "smart_routing_failed"
        assert "`tool.model`" in refused(gateway, smart, tools=[TOOL])
        assert "`streaming.model`" in refused(gateway, smart, stream=True)
        assert "`simple.model`" in refused(gateway, smart, messages=of_tokens(5))
        assert "`tiers.T1.model`" in refused(gateway, smart, messages=of_tokens(50))
        assert "a tier for 1001 tokens" in refused(gateway, smart, messages=of_tokens(1001))
        # Its provider is not set up, so the catalogue has no price for it.
        assert "openai/gpt-5-mini" in refused(gateway, "unsupported_model", messages=of_tokens(150))
        # The simulator serves it, and the rules allow OpenAI only.
        assert "none of the providers" in refused(gateway, smart, messages=of_tokens(500))
        assert "`tool.model` is missing" in gateway.log()
    finally:
        gateway.stop()


@pytest.mark.row(28)
@pytest.mark.parametrize("broken", ["tool: [", "tool: {modle: openai/gpt-5}", None])
def test_rules_that_cannot_be_used_refuse_the_request_and_not_the_start(tmp_path: Path, broken: str | None) -> None:
    gateway = started(tmp_path, broken, **({"routing_rules": tmp_path / "missing.yaml"} if broken is None else {}))
    try:
        message = refused(gateway, "smart_routing_failed")
        assert "cannot be used" in message
        assert str(tmp_path) not in message
        assert chat(gateway, HPP, gateway.key(), "openai/gpt-5").status == 200
        assert ("missing.yaml" if broken is None else "rules.yaml:") in gateway.log()
    finally:
        gateway.stop()


def test_without_rules_a_fresh_demo_answers_and_anything_else_refuses(tmp_path: Path) -> None:
    gateway = started(tmp_path, None)
    try:
        for fields in ({}, {"tools": [TOOL]}, {"stream": True}, {"messages": of_tokens(9_000)}):
            reply = chat(gateway, HPP, gateway.key(), AUTO, **fields)
            assert reply.status == 200
            assert reply.headers["x-hpp-router-rules-version"].startswith("demo-")
    finally:
        gateway.stop()
    plain = RunningGateway(tmp_path / "plain", demo=False)
    try:
        refused(plain, "smart_routing_failed")
    finally:
        plain.stop()


def test_a_forbidden_provider_is_no_fallback_either(tmp_path: Path) -> None:
    catalog = (
        CATALOG
        + """
  - {{id: allowed, format: openai_chat, base_url: '{simulator}/v1', api_key: none}}
models:
  - slug: two/served
    pricing: {{prompt: 1, completion: 1}}
    deployments: [{{provider: simulator, model: first}}, {{provider: allowed, model: second, order: 1}}]
"""
    )
    rules = "simple: {model: two/served, up_to_tokens: 1000}\nproviders: [allowed]\n"
    gateway = started(tmp_path, rules, catalog=catalog)
    try:
        key = gateway.key()
        assert told(chat(gateway, HPP, key, AUTO))[0] == "two/served"
        assert gateway.last_body()["model"] == "second"
        assert chat(gateway, HPP, key, "two/served").status == 200
        assert gateway.last_body()["model"] == "first"
    finally:
        gateway.stop()


def test_streams_are_classified_when_the_rules_say_so(tmp_path: Path) -> None:
    gateway = started(tmp_path, WHOLE.replace("streaming: {", "streaming: {classify: true, "))
    try:
        reply = chat(gateway, HPP, gateway.key(), AUTO, stream=True, messages=of_tokens(80))
        assert told(reply) == ("moonshotai/kimi-k2.6", "C", "T1", "band_T1")
        reply = chat(gateway, HPP, gateway.key(), AUTO, stream=True, tools=[TOOL])
        assert told(reply) == ("openai/gpt-5", "A", None, "tools_present")
    finally:
        gateway.stop()


def test_a_model_of_another_format_gets_a_translation(tmp_path: Path) -> None:
    catalog = (
        CATALOG
        + """
  - {{id: claude, format: anthropic_messages, base_url: '{simulator}/v1', api_key: none}}
models:
  - slug: c/one
    pricing: {{prompt: 1, completion: 1}}
    max_output_tokens: 100
    deployments: [{{provider: claude, model: one}}]
"""
    )
    gateway = started(tmp_path, "simple: {model: c/one, up_to_tokens: 1000}\n", catalog=catalog)
    try:
        reply = chat(gateway, HPP, gateway.key(), AUTO)
        assert (reply.status, reply.json()["model"]) == (200, "c/one")
        assert gateway.last_body()["model"] == "one"
        assert gateway.arrivals()[-1].path.endswith("/messages")
    finally:
        gateway.stop()


@pytest.mark.row(27)
def test_stored_rules_hold_within_a_second_and_can_be_rolled_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway = started(tmp_path, WHOLE)
    folder = ("--data-dir", str(gateway.data_dir / "data"))
    file = tmp_path / "other.yaml"

    def run(*argv: str) -> Any:
        assert main(["route", *argv, *folder, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    def version() -> str:
        reply = chat(gateway, HPP, key, AUTO, messages=of_tokens(5))
        assert reply.status in (200, 400)
        return reply.headers.get("x-hpp-router-rules-version") or str(reply.json()["error"])

    def holds(wanted: str) -> None:
        begun_s = time.monotonic()
        gateway.eventually(lambda: version() == wanted)
        took_s.append(time.monotonic() - begun_s)

    key = gateway.key()
    took_s: list[float] = []
    try:
        configured = version()
        file.write_text(WHOLE.replace("openai/gpt-4,", "openai/gpt-5,"))
        assert run("set", str(file), "--author", "ada")["version"] == 1
        holds("1")
        assert told(chat(gateway, HPP, key, AUTO, messages=of_tokens(5)))[0] == "openai/gpt-5"
        file.write_text("tool: {model: openai/gpt-5}\n")
        assert run("set", str(file), "--author", "bob")["version"] == 2
        holds("smart_routing_failed")
        assert run("rollback", "--author", "ada")["in_force"] == "1"
        holds("1")
        run("activate", "2")
        holds("smart_routing_failed")
        run("activate", "configuration")
        holds(configured)
        run("rollback")
        run("rollback")
        holds("1")
        run("rollback")
        holds(configured)
        assert [(row["version"], row["author"]) for row in run("list")["versions"]] == [(1, "ada"), (2, "bob")]
    finally:
        gateway.stop()
    # The gateway looks several times a second; what a loaded machine adds is its own.
    assert REFRESH_S <= 0.5
    assert min(took_s) < 1.0
