"""Quotas over HTTP with real keys: who is refused, in which words, what the provider sees, and what is told of it."""

import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support.callers import DIALECTS, HPP, HYPERINFER, VOLTAGE, Face, Reply, ask, chat
from support.gateway import RunningGateway
from tollhouse.accounts import keys
from tollhouse.accounts.change import Change
from tollhouse.accounts.limits import Period
from tollhouse.accounts.principal import Principal
from tollhouse.accounts.quotas import LimitWish

CATALOG = """
extends: default
plans:
  - {{name: tiny, tokens: 600, period: month}}
providers:
  - {{id: simulator, format: openai_chat, base_url: '{simulator}/v1', api_key: none}}
models:
  - slug: priced/*
    name: Priced
    creator: simulator
    pricing: {{prompt: 1, completion: 10}}
    deployments: [{{provider: simulator, model: '*'}}]
  - slug: ollama/gratis
    name: Gratis
    creator: simulator
    free: true
    aliases: [gratis]
    deployments: [{{provider: simulator, model: 'script/text=3/usage=10:3'}}]
"""
# 100,000 tokens at 1 USD per million and 100 at 10: 0.101 USD.
CENTS = "priced/script/text=100/usage=100000:100"
COST = 101_000_000
USD = 10**9


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory):
    running = RunningGateway(tmp_path_factory.mktemp("limits"), catalog=CATALOG)
    yield running
    running.stop()


class Account:
    """A key, and what an administrator of the same process does to it."""

    def __init__(self, gateway: RunningGateway, workspace: str, usd: int = 5, **more: Any) -> None:
        self.gateway = gateway
        self.key = gateway.key(workspace, usd, **more)
        self.quotas = gateway.gateway.store.quotas
        found = gateway.do(gateway.gateway.store.principal(keys.digest(self.key)))
        assert isinstance(found, Principal)
        self.principal = found

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.gateway.do(work)

    def limit(self, amount: int | None, period: Period = "day", *, consumer: bool = False) -> None:
        reason = "consumer_quota" if consumer else "key_limit"
        wish = LimitWish(owner_id=self.principal.key_id, reason=reason, unit="nano_usd", period=period, amount=amount)
        self.do(self.quotas.set_limit(wish, change()))

    def usage(self) -> dict[str, Any]:
        return ask(self.gateway, "GET", "/api/usage", HPP.auth(self.key)).json()

    def check(self) -> Reply:
        return ask(self.gateway, "GET", "/api/quota-check", HPP.auth(self.key))


def change() -> Change:
    return Change(at_ms=time.time_ns() // 1_000_000, actor="tests")


def refused(gateway: RunningGateway, face: Face, key: str, model: str = CENTS) -> Reply:
    """A call that is refused before anything goes out."""
    before = len(gateway.arrivals())
    reply = chat(gateway, face, key, model)
    assert reply.status >= 400, reply.body
    assert len(gateway.arrivals()) == before
    return reply


def code(reply: Reply) -> str | None:
    error = reply.json()["error"]
    return error.get("code") if isinstance(error, dict) else error


@pytest.mark.row(38, 44)
def test_usage_grows_by_what_calls_cost(gateway: RunningGateway) -> None:
    account = Account(gateway, "usage")
    assert account.usage() | {"consumer_id": ""} == {
        "consumer_id": "",
        "username": None,
        "custom_id": None,
        "quota": 5,
        "used": 0,
        "remaining": 5,
        "requests": 0,
        "total_tokens": 0,
        "total_cost": 0,
    }
    for stream in (False, True, False):
        assert chat(gateway, HPP, account.key, CENTS, stream=stream).status == 200
    assert chat(gateway, HPP, account.key, "ollama/gratis").status == 200
    gateway.eventually(lambda: account.usage()["requests"] == 4)
    usage = account.usage()
    assert usage["total_tokens"] == 3 * 100_100 + 13
    assert (usage["quota"], usage["used"], usage["remaining"], usage["total_cost"]) == (5, 0.303, 4.697, 0.303)
    assert gateway.balance("usage") == 5 * USD - 3 * COST


@pytest.mark.row(38, 40)
def test_a_consumers_own_quota_is_what_is_told_and_what_refuses(gateway: RunningGateway) -> None:
    account = Account(gateway, "own-quota")
    account.limit(2 * COST, "total", consumer=True)
    assert account.check().json() == {"has_quota": True, "quota": 0.202, "used": 0, "remaining": 0.202}
    for _ in range(2):
        assert chat(gateway, HPP, account.key, CENTS, max_tokens=100).status == 200
    gateway.eventually(lambda: account.check().json()["remaining"] == 0)
    checked = account.check()
    assert checked.status == 200
    assert checked.json() == {"has_quota": False, "quota": 0.202, "used": 0.202, "remaining": 0}
    assert "consumer" in refused(gateway, HPP, account.key).json()["message"]
    account.limit(3 * COST, "total", consumer=True)
    assert account.check().json() == {"has_quota": True, "quota": 0.303, "used": 0.202, "remaining": 0.101}
    assert chat(gateway, HPP, account.key, CENTS, max_tokens=100).status == 200


@pytest.mark.row(39)
@pytest.mark.parametrize("path", ["/api/usage", "/api/quota-check"])
def test_a_key_without_a_consumer_has_no_usage(gateway: RunningGateway, path: str) -> None:
    account = Account(gateway, "no-consumer", consumer=None)
    reply = ask(gateway, "GET", path, HPP.auth(account.key))
    assert reply.status == 404
    assert reply.json()["error"] == "not_found"
    assert chat(gateway, HPP, account.key, CENTS).status == 200


@pytest.mark.row(1, 2, 3)
@pytest.mark.parametrize("path", ["/api/usage", "/api/quota-check"])
def test_an_account_is_shown_to_its_key_alone(gateway: RunningGateway, path: str) -> None:
    account = Account(gateway, "shown")
    for header in HPP.key_headers:
        assert ask(gateway, "GET", path, HPP.auth(account.key, header)).status == 200
    for headers in ({}, {"apikey": "th-nobody"}):
        reply = ask(gateway, "GET", path, headers)
        assert (reply.status, reply.json()["error"]) == (401, "unauthorized")


@pytest.mark.row(41)
@pytest.mark.parametrize("face", DIALECTS, ids=lambda face: face.name)
def test_an_exhausted_consumer_reaches_no_provider(gateway: RunningGateway, face: Face) -> None:
    account = Account(gateway, f"exhausted-{face.name}")
    account.limit(0, "total", consumer=True)
    expected = {HPP: (429, "quota_exceeded"), HYPERINFER: (402, "key_limit_exceeded"), VOLTAGE: (403, None)}[face]
    reply = refused(gateway, face, account.key)
    assert reply.status == expected[0]
    if expected[1] is not None:
        assert code(reply) == expected[1]
    # What costs nothing is not refused for money.
    assert chat(gateway, face, account.key, "gratis").status == 200


@pytest.mark.row(43)
def test_a_hundred_parallel_checks_and_a_change_that_is_seen_at_once(gateway: RunningGateway) -> None:
    account = Account(gateway, "parallel-checks")
    store = gateway.gateway.store.quotas
    reads: list[str] = []
    look_up = store.consumer_standing

    async def counted(key_id: str) -> Any:
        reads.append(key_id)
        return await look_up(key_id)

    store.consumer_standing = counted
    try:
        account.limit(USD, "total", consumer=True)
        with ThreadPoolExecutor(20) as pool:
            replies = list(pool.map(lambda _: account.check(), range(100)))
    finally:
        store.consumer_standing = look_up
    assert {reply.status for reply in replies} == {200}
    # One for each second that they took.
    assert 1 <= len(reads) <= 5
    for amount in (7, 3, 9):
        account.limit(amount * USD, "total", consumer=True)
        assert account.check().json()["quota"] == amount


@pytest.mark.row(52, 53)
@pytest.mark.parametrize("face", DIALECTS, ids=lambda face: face.name)
@pytest.mark.parametrize("period", ["day", "month", "total"])
def test_a_used_up_limit_refuses_in_each_dialects_words(gateway: RunningGateway, face: Face, period: Period) -> None:
    account = Account(gateway, f"limit-{face.name}-{period}")
    account.limit(COST, period)
    assert chat(gateway, face, account.key, CENTS, max_tokens=100).status == 200
    reply = refused(gateway, face, account.key)
    assert reply.status == {HPP: 429, HYPERINFER: 402, VOLTAGE: 403}[face]
    if face is VOLTAGE:
        assert reply.json()["error"].startswith("Quota exceeded: ")
        assert reply.json()["details"] == {"status": 403, "endpoint": "/v1/chat/completions"}
    else:
        assert code(reply) == {HPP: "quota_exceeded", HYPERINFER: "key_limit_exceeded"}[face]
    assert {"day": "daily", "month": "monthly", "total": "limit of the key"}[period].encode() in reply.body
    account.do(account.quotas.reset_limit(account.principal.key_id, "key_limit", period, change()))
    assert chat(gateway, face, account.key, CENTS, max_tokens=100).status == 200


def test_a_limit_that_is_lowered_holds_for_the_next_call(gateway: RunningGateway) -> None:
    account = Account(gateway, "lowered")
    account.limit(USD)
    assert chat(gateway, HYPERINFER, account.key, CENTS, max_tokens=100).status == 200
    account.limit(COST)
    assert code(refused(gateway, HYPERINFER, account.key)) == "key_limit_exceeded"
    account.limit(None)
    assert chat(gateway, HYPERINFER, account.key, CENTS, max_tokens=100).status == 200


@pytest.mark.row(54)
def test_an_explicit_limit_that_does_not_fit_is_refused_with_the_affordable_one(gateway: RunningGateway) -> None:
    account = Account(gateway, "affordable", usd=1)
    before = len(gateway.arrivals())
    reply = chat(gateway, HYPERINFER, account.key, CENTS, max_tokens=1_000_000)
    assert (reply.status, code(reply)) == (402, "insufficient_credits")
    affordable = int(reply.json()["error"]["message"].split("at most ")[1].split(",")[0])
    assert len(gateway.arrivals()) == before
    assert 90_000 < affordable < 100_000
    assert chat(gateway, HYPERINFER, account.key, CENTS, max_tokens=affordable).status == 200


@pytest.mark.row(54)
def test_an_empty_purse_refuses_and_an_invoiced_one_admits(gateway: RunningGateway) -> None:
    account = Account(gateway, "invoiced", usd=0)
    assert code(refused(gateway, HYPERINFER, account.key)) == "insufficient_credits"
    assert not account.check().json()["has_quota"]
    workspace_id = account.principal.workspace_id
    account.do(account.quotas.invoice_workspace(workspace_id, invoicing=True, change=change()))
    assert account.check().json()["has_quota"]
    assert chat(gateway, HYPERINFER, account.key, CENTS, max_tokens=1_000_000).status == 200
    assert gateway.balance("invoiced") == -COST
    account.do(account.quotas.invoice_workspace(workspace_id, invoicing=False, change=change()))
    assert code(refused(gateway, HYPERINFER, account.key)) == "insufficient_credits"


@pytest.mark.row(55)
def test_an_answer_dearer_than_its_hold_is_delivered_and_charged_and_the_next_call_refused(
    gateway: RunningGateway,
) -> None:
    account = Account(gateway, "dearer")
    account.limit(COST // 2)
    reply = chat(gateway, HYPERINFER, account.key, CENTS, max_tokens=10)
    assert reply.status == 200
    assert len(reply.json()["choices"][0]["message"]["content"].split()) == 10
    assert gateway.balance("dearer") == 5 * USD - COST
    assert code(refused(gateway, HYPERINFER, account.key)) == "key_limit_exceeded"


@pytest.mark.row(55)
def test_with_the_rule_positive_a_purse_that_is_not_empty_admits(tmp_path: Path) -> None:
    gateway = RunningGateway(tmp_path, catalog=CATALOG, admission="positive")
    try:
        account = Account(gateway, "positive", usd=1)
        dear = "priced/script/text=100/usage=2000000:100"
        reply = chat(gateway, HYPERINFER, account.key, dear, max_tokens=1_000_000)
        assert reply.status == 200
        assert gateway.balance("positive") == -1_001_000_000
        assert code(refused(gateway, HYPERINFER, account.key)) == "insufficient_credits"
    finally:
        gateway.stop()


@pytest.mark.row(56)
@pytest.mark.parametrize("face", DIALECTS, ids=lambda face: face.name)
def test_a_locked_workspace_is_refused_until_it_is_unlocked(gateway: RunningGateway, face: Face) -> None:
    account = Account(gateway, f"locked-{face.name}")
    assert chat(gateway, face, account.key, CENTS).status == 200
    account.do(account.quotas.lock_workspace(account.principal.workspace_id, locked=True, change=change()))
    reply = refused(gateway, face, account.key)
    assert reply.status == {HPP: 429, HYPERINFER: 403, VOLTAGE: 403}[face]
    if face is not VOLTAGE:
        assert code(reply) == "workspace_locked"
    account.do(account.quotas.lock_workspace(account.principal.workspace_id, locked=False, change=change()))
    assert chat(gateway, face, account.key, CENTS).status == 200


@pytest.mark.row(51)
@pytest.mark.parametrize("face", DIALECTS, ids=lambda face: face.name)
def test_a_key_may_only_use_the_models_of_its_list(gateway: RunningGateway, face: Face) -> None:
    account = Account(gateway, f"allowed-{face.name}")
    for allowed in ((), ("openai/gpt-5",)):
        account.do(account.quotas.allow_models(account.principal.key_id, allowed, change()))
        reply = refused(gateway, face, account.key)
        assert reply.status == {HPP: 400, HYPERINFER: 403, VOLTAGE: 403}[face]
        if face is not VOLTAGE:
            assert code(reply) == "model_not_allowed"
    for allowed in ((CENTS,), ("priced/*",), None):
        account.do(account.quotas.allow_models(account.principal.key_id, allowed, change()))
        assert chat(gateway, face, account.key, CENTS).status == 200
    for allowed in ("gratis", "ollama/gratis"):
        account.do(account.quotas.allow_models(account.principal.key_id, (allowed,), change()))
        assert chat(gateway, face, account.key, "gratis").status == 200


@pytest.mark.row(131)
@pytest.mark.parametrize("on", ["workspace", "key"])
def test_a_used_up_plan_is_named_with_its_counters(gateway: RunningGateway, on: str) -> None:
    account = Account(gateway, f"plan-{on}")
    owner = account.principal.workspace_id if on == "workspace" else account.principal.key_id
    account.do(account.quotas.set_plan(owner, "tiny", change()))
    # Free calls count too: the plan is one of tokens.
    assert chat(gateway, VOLTAGE, account.key, "priced/script/text=9/usage=500:99").status == 200
    reply = refused(gateway, VOLTAGE, account.key)
    assert reply.status == 403
    assert reply.json()["error"].startswith("Quota exceeded: ")
    assert reply.json()["details"] == {
        "status": 403,
        "endpoint": "/v1/chat/completions",
        "plan": "tiny",
        "usage": {"tokens_used": 599, "tokens_limit": 600},
    }
    assert code(refused(gateway, HYPERINFER, account.key)) == "key_limit_exceeded"
    assert code(refused(gateway, HPP, account.key)) == "quota_exceeded"


def test_a_plan_counts_the_tokens_of_free_calls(gateway: RunningGateway) -> None:
    account = Account(gateway, "plan-free")
    account.do(account.quotas.set_plan(account.principal.key_id, "tiny", change()))
    assert chat(gateway, HPP, account.key, "ollama/gratis").status == 200
    now_ms = time.time_ns() // 1_000_000
    (standing,) = account.do(account.quotas.limits([account.principal.key_id], now_ms))
    assert (standing.quota, standing.used) == (600, 13)


@pytest.mark.row(97)
def test_cached_and_reasoning_tokens_are_charged_once(gateway: RunningGateway) -> None:
    account = Account(gateway, "cached")
    account.limit(USD)
    reply = chat(gateway, HYPERINFER, account.key, "priced/script/text=50/usage=1000:50:400")
    assert reply.status == 200
    record = gateway.record(reply.request_id)
    assert record.cost_nano_usd == 1000 * 1_000 + 50 * 10_000
    now_ms = time.time_ns() // 1_000_000
    (standing,) = account.do(account.quotas.limits([account.principal.key_id], now_ms))
    assert standing.used == record.cost_nano_usd
    assert gateway.balance("cached") == 5 * USD - record.cost_nano_usd


@pytest.mark.row(42)
def test_books_that_are_gone_deny_at_once(tmp_path: Path) -> None:
    gateway = RunningGateway(tmp_path, catalog=CATALOG)
    try:
        account = Account(gateway, "gone")
        assert account.check().status == 200
        assert chat(gateway, HPP, account.key, CENTS).status == 200
        (tmp_path / "data" / "tollhouse.db").rename(tmp_path / "elsewhere")
        checked = account.check()
        assert (checked.status, checked.json()["error"]) == (503, "books_unavailable")
        assert int(checked.headers["retry-after"]) >= 1
        for face, status in ((HPP, 503), (HYPERINFER, 500), (VOLTAGE, 500)):
            assert refused(gateway, face, account.key).status == status
        (tmp_path / "elsewhere").rename(tmp_path / "data" / "tollhouse.db")
    finally:
        gateway.stop()
