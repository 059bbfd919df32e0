"""How models of one format differ, as data of the catalogue; and what a format hands on beside the body."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from support.callers import HYPERINFER, ask
from support.formats import CATALOG, FORMATS, PATHS, call, events, losses, told
from support.gateway import RunningGateway

QUIRKS = {
    "newer": "thinking: adaptive, sampling: false, system_turns: true",
    "older": "thinking: budget",
    "plain": "",
}
MODELS = "".join(
    f"  - {{{{slug: {name}/*, name: {name}, creator: simulator, free: true, max_output_tokens: 20000, "
    f"deployments: [{{{{provider: messages, model: '*', quirks: {{{{{quirks}}}}}}}}}]}}}}\n"
    for name, quirks in QUIRKS.items()
)
# Two deployments of one format that differ in their quirks alone.
MODELS += (
    "  - {{slug: mixed, creator: simulator, free: true, max_output_tokens: 20000, deployments: ["
    "{{provider: messages, model: script/status=500, quirks: {{thinking: budget}}}}, "
    "{{provider: messages, model: script/status=500, order: 1, quirks: {{thinking: adaptive}}}}]}}\n"
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    gateway = RunningGateway(tmp_path_factory.mktemp("quirks"), catalog=CATALOG + MODELS)
    yield gateway
    gateway.stop()


TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "system", "content": "Be kind."},
]


def test_models_of_one_format_are_asked_in_their_own_way(running: RunningGateway) -> None:
    asked: dict[str, Any] = {"messages": TURNS, "reasoning_effort": "medium", "temperature": 0.5, "max_tokens": 16_000}

    newer = call(running, "chat", "newer/script/say=x", **asked)
    sent = told(running)
    assert (sent["thinking"], sent["output_config"]) == ({"type": "adaptive"}, {"effort": "medium"})
    assert [turn["role"] for turn in sent["messages"]] == ["user", "system"]
    assert losses(newer) == ["sampling.temperature"]

    older = call(running, "chat", "older/script/say=x", **asked)
    sent = told(running)
    assert (sent["thinking"], "output_config" in sent) == ({"type": "enabled", "budget_tokens": 8192}, False)
    assert [turn["role"] for turn in sent["messages"]] == ["user"]
    assert sorted(losses(older)) == ["messages[2].role", "sampling.temperature"]

    del asked["reasoning_effort"]
    plain = call(running, "chat", "plain/script/say=x", **asked)
    assert (told(running)["temperature"], losses(plain)) == (0.5, ["messages[2].role"])


def test_each_deployment_gets_its_own_translation(running: RunningGateway) -> None:
    reply = call(running, "chat", "mixed", reasoning_effort="low", max_tokens=16_000)
    assert reply.status == 502
    tried = [json.loads(arrival.body)["thinking"]["type"] for arrival in running.arrivals()[-3:]]
    assert set(tried) == {"enabled", "adaptive"}


def test_a_caller_of_the_same_format_is_taken_at_his_word(running: RunningGateway) -> None:
    asked = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "temperature": 1, "max_tokens": 2000}
    assert call(running, "messages", "newer/script/say=x", **asked).status == 200
    assert {name: told(running)[name] for name in asked} == asked


@pytest.mark.parametrize("caller", FORMATS)
@pytest.mark.parametrize("upstream", FORMATS)
def test_headers_of_a_format_go_to_that_format_only(running: RunningGateway, caller: str, upstream: str) -> None:
    given = {"anthropic-beta": "context-1m", "anthropic-version": "2023-06-01", "openai-beta": "responses=v1"}
    given |= {"x-other": "stays here", "cookie": "stays=here"}
    said = [{"role": "user", "content": "Hello!"}]
    body: dict[str, Any] = {"input": said} if caller == "responses" else {"messages": said, "max_tokens": 9}
    asked = {"model": f"{upstream}/script/say=x", **body}
    reply = ask(running, "POST", PATHS[caller], HYPERINFER.auth(running.key()) | given, asked)
    assert reply.status == 200, reply.body
    arrived = running.arrivals()[-1]
    own = {"chat": "openai-beta", "responses": "openai-beta", "messages": "anthropic-beta"}[upstream]
    for name in ("anthropic-beta", "openai-beta"):
        wanted = given[name] if caller == upstream and name == own else None
        assert arrived.header(name) == wanted, name
    # A provider of Messages needs the version from whomever it comes.
    assert (arrived.header("anthropic-version") is not None) == (upstream == "messages")
    assert arrived.header("x-other") is None
    assert arrived.header("cookie") is None


@pytest.mark.row(89)
@pytest.mark.parametrize("upstream", ["chat", "responses"])
def test_message_start_tells_about_how_long_the_prompt_is(running: RunningGateway, upstream: str) -> None:
    said = [{"role": "user", "content": "the clerk counts each cart " * 100}]
    reply = call(running, "messages", f"{upstream}/script/say=Hi", messages=said, stream=True)
    told_events = events(reply)
    first, last = told_events[0]["message"]["usage"], told_events[-2]["usage"]
    assert 500 <= first["input_tokens"] <= 1500
    # The last word is the provider's, and so is the charge.
    assert last["input_tokens"] == running.record(reply.request_id).prompt_tokens
    assert last["input_tokens"] != first["input_tokens"]
