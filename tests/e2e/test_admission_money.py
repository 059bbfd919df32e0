"""Admission: what a call can cost at most must fit the purse, and the refusal or the answer says what would."""

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support.books import ask as look
from support.books import assert_books_balance
from support.callers import DIALECTS, HPP, HYPERINFER, USER, Face, ask, chat
from support.gateway import RunningGateway

CATALOG = """
extends: default
providers:
  - {{id: simulator, format: openai_chat, base_url: '{simulator}/v1', api_key: none}}
  - {{id: responder, format: openai_responses, base_url: '{simulator}/v1', api_key: none}}
  - {{id: messenger, format: anthropic_messages, base_url: '{simulator}/v1', api_key: none}}
models:
  - slug: priced/*
    name: Priced
    creator: simulator
    pricing: {{prompt: 1, completion: 10}}
    deployments: [{{provider: simulator, model: '*'}}]
  - slug: responder/*
    name: Responder
    creator: simulator
    pricing: {{prompt: 1, completion: 10}}
    deployments: [{{provider: responder, model: '*'}}]
  - slug: messenger/*
    name: Messenger
    creator: simulator
    pricing: {{prompt: 1, completion: 10}}
    deployments: [{{provider: messenger, model: '*'}}]
"""
PROMPT_NANO_USD, OUTPUT_NANO_USD = 1_000, 10_000
WORDS = {
    "hpp": (429, lambda body: body["error"] == "quota_exceeded" and body["message"]),
    "hyperinfer": (402, lambda body: body["error"]["code"] == "insufficient_credits" and body["error"]["message"]),
    "voltage": (403, lambda body: body["details"]["status"] == 403 and body["error"]),
}


@pytest.fixture(scope="module")
def priced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    running = RunningGateway(tmp_path_factory.mktemp("admission"), catalog=CATALOG)
    yield running
    running.stop()


def purse(running: RunningGateway, workspace: str, nano_usd: int) -> str:
    """The key of a workspace with so much credit."""
    key = running.key(workspace, usd=0)

    async def fill() -> None:
        found = await running.gateway.store.workspace(workspace)
        assert found is not None
        await running.gateway.store.top_up(found.id, nano_usd, f"fill:{workspace}", 1)

    running.do(fill())
    return key


@pytest.mark.row(54)
@pytest.mark.parametrize("face", DIALECTS, ids=lambda face: face.name)
def test_a_limit_that_does_not_fit_is_refused_and_the_one_that_does_is_named(
    priced: RunningGateway, face: Face
) -> None:
    key = purse(priced, f"explicit-{face.name}", 1_000 * OUTPUT_NANO_USD)
    before = len(priced.arrivals())
    reply = chat(priced, face, key, "priced/script/text=1", max_tokens=5_000)
    status, says = WORDS[face.name]
    assert reply.status == status, reply.body
    message = says(reply.json())
    assert len(priced.arrivals()) == before
    named = re.search(r"at most (\d+)", message)
    assert named, message
    fits = int(named.group(1))
    assert 900 < fits < 1_000
    assert chat(priced, face, key, "priced/script/text=1", max_tokens=fits + 200).status == status
    assert chat(priced, face, key, "priced/script/text=1", max_tokens=fits).status == 200


@pytest.mark.parametrize(
    ("model", "path", "fields", "field"),
    [
        ("priced", HYPERINFER.chat, {"messages": [USER]}, "max_completion_tokens"),
        ("responder", "/api/v1/responses", {"input": "Hello!"}, "max_output_tokens"),
        ("messenger", HYPERINFER.chat, {"messages": [USER]}, "max_tokens"),
        ("priced", "/api/v1/responses", {"input": "Hello!"}, "max_completion_tokens"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_without_a_limit_the_affordable_one_is_sent_and_named(
    priced: RunningGateway, model: str, path: str, fields: dict[str, Any], field: str, stream: bool
) -> None:
    key = purse(priced, f"injected-{model}-{path}-{stream}", 1_000 * OUTPUT_NANO_USD)
    body = {"model": f"{model}/script/text=1", "stream": stream, **fields}
    reply = ask(priced, "POST", path, HYPERINFER.auth(key), body)
    assert reply.status == 200, reply.body
    sent = json.loads(priced.arrivals()[-1].body)[field]
    assert 900 < sent < 1_000
    assert reply.headers["x-tollhouse-max-tokens"] == str(sent)


@pytest.mark.parametrize("face", DIALECTS, ids=lambda face: face.name)
def test_a_full_purse_sends_no_limit(priced: RunningGateway, face: Face) -> None:
    reply = chat(priced, face, purse(priced, f"full-{face.name}", 10**9), "priced/script/text=1")
    assert reply.status == 200
    assert "x-tollhouse-max-tokens" not in reply.headers
    assert "max_completion_tokens" not in json.loads(priced.arrivals()[-1].body)


@pytest.mark.parametrize(
    ("tokens", "fields", "status"),
    [
        (330, {}, 402),
        (400, {}, 200),
        (1_200, {"thinking": {"type": "enabled", "budget_tokens": 1_024}}, 200),
        (1_050, {"thinking": {"type": "enabled", "budget_tokens": 1_024}}, 402),
    ],
)
def test_a_limit_that_is_too_low_to_be_of_use_is_not_sent(
    priced: RunningGateway, tokens: int, fields: dict[str, Any], status: int
) -> None:
    """The prompt counts a token per byte: some hundred bytes, at a tenth of the price of an answer's."""
    key = purse(priced, f"least-{tokens}-{bool(fields)}", tokens * OUTPUT_NANO_USD - 800_000)
    reply = chat(priced, HYPERINFER, key, "priced/script/text=1", **fields)
    assert reply.status == status, (reply.body, reply.headers)


@pytest.mark.fault(9)
@pytest.mark.parametrize("limit", [2**31 - 1, 10**9])
def test_a_huge_limit_is_refused_and_nothing_overflows(priced: RunningGateway, limit: int) -> None:
    key = purse(priced, f"huge-{limit}", 10**9)
    assert chat(priced, HYPERINFER, key, "priced/script/text=1", max_tokens=limit).status == 402
    for bad in (10**30, -1, 1.5, True, "7"):
        assert chat(priced, HYPERINFER, key, "priced/script/text=1", max_tokens=bad).status == 400
    assert chat(priced, HYPERINFER, key, "priced/script/text=1", max_tokens=100, n=10**9).status == 400
    assert priced.balance(f"huge-{limit}") == 10**9


@pytest.mark.fault(8)
def test_of_a_repeated_limit_the_one_that_is_held_for_is_the_one_that_is_sent(priced: RunningGateway) -> None:
    key = purse(priced, "twice", 1_000 * OUTPUT_NANO_USD)
    words = b'{"model":"none","model":"priced/script/text=1","messages":[{"role":"user","content":"x"}],'
    refused = ask(priced, "POST", HYPERINFER.chat, HYPERINFER.auth(key), words + b'"max_tokens":1,"max_tokens":9000}')
    assert refused.status == 402
    taken = ask(priced, "POST", HYPERINFER.chat, HYPERINFER.auth(key), words + b'"max_tokens":9000,"max_tokens":10}')
    assert taken.status == 200
    sent = priced.arrivals()[-1].body
    assert json.loads(sent)["max_tokens"] == 10
    assert sent.count("max_tokens") == 1
    assert sent.count('"model"') == 1


@pytest.mark.row(55)
@pytest.mark.parametrize("rule", ["bound", "positive"])
def test_an_answer_dearer_than_its_hold_is_delivered_and_charged_and_the_next_call_refused(
    start_gateway: Callable[..., RunningGateway], rule: str
) -> None:
    running = start_gateway(catalog=CATALOG, admission=rule)
    key = purse(running, "dear", 500 * OUTPUT_NANO_USD)
    # Under `positive` an honest provider may take the purse below zero too: no limit has to fit.
    asked = 5_000 if rule == "positive" else 100
    reply = chat(running, HYPERINFER, key, "priced/script/text=3/usage=8:2000", max_tokens=asked)
    assert reply.status == 200, reply.body
    assert running.balance("dear") == -1_500 * OUTPUT_NANO_USD - 8 * 1000
    assert chat(running, HYPERINFER, key, "priced/script/text=1", max_tokens=1).status == 402
    assert b"tollhouse_overage_nano_usd_total" in ask(running, "GET", "/metrics").body


@pytest.mark.fault(69)
def test_a_thousand_calls_at_once_on_a_purse_for_fifty(priced: RunningGateway) -> None:
    # Each call costs exactly what is held for it, but for its prompt: 1,000 tokens of answer.
    worth = 50 * 1_000 * OUTPUT_NANO_USD + 50 * 150 * PROMPT_NANO_USD
    key = purse(priced, "thousand", worth)
    model = "priced/script/text=1/usage=10:1000"
    with ThreadPoolExecutor(40) as pool:
        replies = list(pool.map(lambda _: chat(priced, HPP, key, model, max_tokens=1_000), range(1_000)))
    statuses = [reply.status for reply in replies]
    assert set(statuses) == {200, 429}
    answered = statuses.count(200)
    assert 45 <= answered <= 50
    assert {reply.json()["error"] for reply in replies if reply.status == 429} == {"quota_exceeded"}
    charged = answered * (1_000 * OUTPUT_NANO_USD + 10 * PROMPT_NANO_USD)
    assert priced.balance("thousand") == worth - charged
    priced.do(priced.gateway.money.ledger.give_back(priced.gateway.money.ledger.leases.accounts))
    folder = Path(priced.data_dir / "data")
    rows = look(folder, "SELECT leased FROM account WHERE leased <> 0")
    assert rows == []


def test_an_ended_gateway_leaves_no_lease(start_gateway: Callable[..., RunningGateway]) -> None:
    running = start_gateway(catalog=CATALOG)
    key = running.key("ended")
    assert chat(running, HYPERINFER, key, "priced/script/text=3/usage=10:3").status == 200
    folder = running.data_dir / "data"
    assert look(folder, "SELECT COUNT(*) FROM lease WHERE state = 'active'") == [(1,)]
    running.do(running.gateway.money.close(running.gateway.log))
    assert_books_balance(folder)


ENDS = {
    HYPERINFER.chat: lambda frames: frames[-3]["choices"][0]["finish_reason"] == "length",
    "/api/v1/responses": lambda frames: frames[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"},
    "/api/v1/messages": lambda frames: frames[-2]["delta"]["stop_reason"] == "max_tokens",
}


@pytest.mark.fault(41)
@pytest.mark.parametrize("model", ["priced", "responder", "messenger"])
@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (HYPERINFER.chat, {"messages": [USER], "max_tokens": 50}),
        ("/api/v1/responses", {"input": "Hello!", "max_output_tokens": 50}),
        ("/api/v1/messages", {"messages": [USER], "max_tokens": 50}),
    ],
)
def test_a_stream_that_heeds_no_limit_is_cut_at_twice_the_limit_and_charged(
    priced: RunningGateway, model: str, path: str, fields: dict[str, Any]
) -> None:
    key = purse(priced, f"endless-{model}-{path}", 10**9)
    body = {"model": f"{model}/script/infinite/ignore_limit", "stream": True, **fields}
    reply = ask(priced, "POST", path, HYPERINFER.auth(key), body)
    assert reply.status == 200, reply.body
    data = [line[6:] for line in reply.body.decode().splitlines() if line.startswith("data: ")]
    frames = [json.loads(text) for text in data if text != "[DONE]"]
    assert ENDS[path]([*frames, None] if path == HYPERINFER.chat else frames), frames[-4:]
    record = priced.record(reply.request_id)
    assert (record.status, record.finish_reason, record.usage_source) == ("ok", "length", "estimated")
    # In bytes the limit is wide; in tokens, estimated, it is about four times the one that was sent.
    assert 50 < record.completion_tokens < 700
    assert record.cost_nano_usd == 10**9 - priced.balance(f"endless-{model}-{path}") > 0
