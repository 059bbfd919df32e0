"""`GET /api/v1/generation`: what became of a call, for the workspace that made it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from support.callers import HPP, HYPERINFER, USER, Reply, ask, chat
from support.gateway import RunningGateway

CATALOG = """
extends: default
providers:
  - {{id: simulator, format: openai_chat, base_url: '{simulator}/v1', api_key: none}}
models:
  - slug: priced/*
    creator: simulator
    pricing: {{prompt: 1.25, completion: 0.0375, cached_prompt: 0.125, tool_fees: {{web_search: 0.01}}}}
    deployments: [{{provider: simulator, model: '*'}}]
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    started = RunningGateway(tmp_path_factory.mktemp("generation"), catalog=CATALOG)
    yield started
    started.stop()


def generation(running: RunningGateway, key: str, given: str | None) -> Reply:
    query = "" if given is None else f"?id={given}"
    return ask(running, "GET", f"/api/v1/generation{query}", HYPERINFER.auth(key))


@pytest.mark.row(109, 97)
def test_all_that_is_known_of_a_call(running: RunningGateway) -> None:
    key = running.key("all")
    script = "priced/script/text=3/reasoning=2/usage=1000:7:600:2"
    began = datetime.now(UTC)
    reply = chat(running, HYPERINFER, key, script, web_search_options={}, max_tokens=50)
    assert reply.status == 200, reply.body
    found = generation(running, key, reply.request_id)
    assert found.status == 200, found.body
    data = found.json()["data"]
    latency_ms, created_at = data.pop("latency_ms"), datetime.fromisoformat(data.pop("created_at"))
    assert 0 <= latency_ms < 10_000
    assert abs((created_at - began).total_seconds()) < 5
    # 400 fresh tokens at 1.25, 600 cached ones at 0.125, 7 at 0.0375 micro-dollars (rounded up to a nano-dollar once).
    assert data == {
        "id": reply.request_id,
        "model": script,
        "ingress_format": "chat_completions",
        "source": "api",
        "tokens_prompt": 1000,
        "tokens_completion": 7,
        "tokens_reasoning": 2,
        "tokens_cached_prompt": 600,
        "total_cost": 0.010575263,
        "cost_micro_usd": "10575.263",
        "tool_costs_micro_usd": {"web_search": "10000"},
        "status": "ok",
    }
    assert running.balance("all") == 5 * 10**9 - 10_575_263


@pytest.mark.row(109)
@pytest.mark.parametrize(
    ("path", "body", "ingress_format"),
    [
        ("/api/v1/chat/completions", {"messages": [USER]}, "chat_completions"),
        ("/api/v1/responses", {"input": "hi"}, "responses"),
        ("/api/v1/messages", {"messages": [USER], "max_tokens": 50}, "anthropic_messages"),
        ("/llm/v1/chat/completions", {"messages": [USER]}, "chat_completions"),
    ],
)
def test_the_id_of_an_answer_leads_to_its_call(
    running: RunningGateway, path: str, body: dict[str, Any], ingress_format: str
) -> None:
    key = running.key("prefixed")
    auth = HPP.auth(key) if path.startswith("/llm") else HYPERINFER.auth(key)
    reply = ask(running, "POST", path, auth, {"model": "priced/script/text=3"} | body)
    assert reply.status == 200, reply.body
    for given in (reply.request_id, reply.json()["id"] if "/api/" in path else f"chatcmpl-{reply.request_id}"):
        data = generation(running, key, given).json()["data"]
        assert (data["id"], data["ingress_format"]) == (reply.request_id, ingress_format)


@pytest.mark.row(110)
@pytest.mark.fault(62)
def test_a_call_of_another_workspace_is_as_unknown_as_any(running: RunningGateway) -> None:
    key, other, same = running.key("mine"), running.key("theirs"), running.key("mine")
    reply = chat(running, HYPERINFER, key, "priced/script/text=3")
    assert generation(running, same, reply.request_id).status == 200
    refusals = [
        generation(running, asking, given)
        for asking, given in (
            (other, reply.request_id),
            (other, f"gen-{reply.request_id}"),
            (key, "0" * 44),
            (key, "x"),
            (key, "%27%20OR%201=1"),
            (key, "gen-gen-" + reply.request_id),
        )
    ]
    for refusal in refusals:
        error = refusal.json()["error"]
        assert (refusal.status, error["code"], error["param"]) == (400, "invalid_request", "id")
        assert error["message"] == refusals[0].json()["error"]["message"]


@pytest.mark.row(110)
@pytest.mark.parametrize("given", [None, ""])
def test_an_id_is_required(running: RunningGateway, given: str | None) -> None:
    refusal = generation(running, running.key(), given)
    assert refusal.status == 400
    assert "required" in refusal.json()["error"]["message"]


def test_a_key_is_required(running: RunningGateway) -> None:
    assert ask(running, "GET", f"/api/v1/generation?id={'0' * 44}").status == 401
    assert ask(running, "POST", "/api/v1/generation").status == 405


@pytest.mark.row(111)
@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("priced/script/status=400", "failed", "invalid_request"),
        ("priced/script/status=503", "failed", "provider_overloaded"),
        ("priced/script/status=401", "failed", "provider_auth"),
        ("nobody/knows", "refused", "invalid_request"),
    ],
)
def test_a_call_that_failed_says_why(running: RunningGateway, model: str, status: str, code: str) -> None:
    key = running.key("failed")
    reply = chat(running, HYPERINFER, key, model)
    data = generation(running, key, reply.request_id).json()["data"]
    assert (data["status"], data["error_code"]) == (status, code)
    assert data["error_code"] == reply.json()["error"]["code"]
    assert (data["cost_micro_usd"], data["total_cost"], data["tool_costs_micro_usd"]) == ("0", 0, {})
    assert ("model" in data) == (model != "nobody/knows")
