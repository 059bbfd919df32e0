"""Embeddings and pictures where the money is short, the books are gone, or the caller is."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support.callers import HPP, HYPERINFER, VOLTAGE, Reply, ask
from support.gateway import RunningGateway
from tollhouse.accounts import keys
from tollhouse.accounts.quotas import Change, LimitWish
from tollhouse.observe.record import CallRecord

IMAGES = "/v1/images/generations"
CATALOG = """
plans:
  - {{name: tiny, tokens: 60, period: total}}
providers:
  - id: stops
    formats: [openai_embeddings, openai_images]
    base_url: '{simulator}/stops/v1'
    api_key: none
  - {{id: bills, format: openai_images, base_url: '{simulator}/bills/v1', api_key: none, on_disconnect: cancel_streams}}
models:
  - slug: cut/*
    operations: [embeddings, images]
    pricing: &price {{prompt: 1, per_image: 0.01, images: [{{size: 256x256, usd: 0.002, output_tokens: 20}}]}}
    deployments: [{{provider: stops, model: '*'}}]
  - {{slug: billed/*, operations: [images], pricing: *price, deployments: [{{provider: bills, model: '*'}}]}}
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    running = RunningGateway(tmp_path_factory.mktemp("operations"), catalog=CATALOG, abandoned_call_s=1.0)
    yield running
    running.stop()


def change() -> Change:
    return Change(at_ms=time.time_ns() // 1_000_000, actor="tests")


def key_id(gateway: RunningGateway, key: str) -> str:
    principal = gateway.do(gateway.gateway.store.principal(keys.digest(key)))
    assert principal is not None
    return principal.key_id


def paint(gateway: RunningGateway, headers: dict[str, str], **fields: Any) -> Reply:
    return ask(gateway, "POST", IMAGES, headers, {"prompt": "a", "model": "cut/x"} | fields)


def embed(gateway: RunningGateway, headers: dict[str, str], path: str = "/v1/embeddings") -> Reply:
    return ask(gateway, "POST", path, headers, {"model": "cut/x", "input": "some words " * 9, "dimensions": 2})


@pytest.mark.row(41)
def test_an_exhausted_consumer_gets_no_pictures(gateway: RunningGateway) -> None:
    key = gateway.key("exhausted")
    wish = LimitWish(owner_id=key_id(gateway, key), reason="consumer_quota", unit="nano_usd", period="total", amount=0)
    gateway.do(gateway.gateway.store.quotas.set_limit(wish, change()))
    before = len(gateway.arrivals())
    reply = paint(gateway, HPP.auth(key))
    assert (reply.status, reply.json()["error"]) == (429, "quota_exceeded")
    assert ask(gateway, "GET", "/api/quota-check", HPP.auth(key)).json()["has_quota"] is False
    assert len(gateway.arrivals()) == before


@pytest.mark.row(131)
def test_a_plan_of_tokens_ends_with_its_counters(gateway: RunningGateway) -> None:
    key = gateway.key("planned")
    gateway.do(gateway.gateway.store.quotas.set_plan(key_id(gateway, key), "tiny", change()))
    headers = VOLTAGE.auth(key)
    # Two pictures are 40 tokens by the catalogue, and the prompt is one.
    assert paint(gateway, headers, size="256x256", n=2).status == 200
    reply = paint(gateway, headers, size="256x256", n=2)
    assert reply.status == 403
    assert reply.json()["error"].startswith("Quota exceeded: ")
    assert reply.json()["details"] == {
        "status": 403,
        "endpoint": IMAGES,
        "plan": "tiny",
        "usage": {"tokens_used": 41, "tokens_limit": 60},
    }
    refused = embed(gateway, headers)
    assert (refused.status, refused.json()["details"]["endpoint"]) == (403, "/v1/embeddings")
    assert paint(gateway, HPP.auth(key), prompt="a toll house " * 9).json()["error"] == "quota_exceeded"
    assert embed(gateway, HYPERINFER.auth(key), "/api/v1/embeddings").json()["error"]["code"] == "key_limit_exceeded"


@pytest.mark.row(42)
def test_books_that_are_gone_deny_at_once(tmp_path: Path) -> None:
    gateway = RunningGateway(tmp_path, catalog=CATALOG)
    try:
        key = gateway.key()
        assert paint(gateway, HPP.auth(key)).status == 200
        before = len(gateway.arrivals())
        (tmp_path / "data" / "tollhouse.db").rename(tmp_path / "elsewhere")
        gateway.eventually(lambda: ask(gateway, "GET", "/api/quota-check", HPP.auth(key)).status == 503)
        reply = paint(gateway, HPP.auth(key))
        assert (reply.status, reply.json()["error"]) == (503, "books_unavailable")
        assert "retry-after" in reply.headers
        assert paint(gateway, VOLTAGE.auth(key)).status == 500
        assert embed(gateway, VOLTAGE.auth(key)).status == 500
        assert len(gateway.arrivals()) == before
        (tmp_path / "elsewhere").rename(tmp_path / "data" / "tollhouse.db")
    finally:
        gateway.stop()


def left(gateway: RunningGateway, workspace: str, model: str, **fields: Any) -> CallRecord:
    """The record of a call whose caller hangs up while the provider paints."""
    key = gateway.key(workspace)
    before = len(gateway.arrivals())
    body = json.dumps({"prompt": "a toll house", "model": model, "size": "256x256", "n": 3} | fields).encode()
    head = f"POST {IMAGES} HTTP/1.1\r\nHost: x\r\nX-VoltageGPU-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as line:
        line.sendall(head.encode() + body)
        gateway.eventually(lambda: len(gateway.arrivals()) > before)
    gateway.eventually(lambda: gateway.gateway.app.in_flight == 0)
    found: list[CallRecord] = []

    def recorded() -> bool:
        for row in gateway.log().splitlines():
            entry = json.loads(row)
            if entry.get("event") == "call" and entry["key"] == key_id(gateway, key):
                found.append(gateway.record(entry["request_id"]))
        return bool(found)

    gateway.eventually(recorded)
    assert gateway.balance(workspace) == 5 * 10**9 - found[0].cost_nano_usd
    return found[0]


@pytest.mark.fault(27, 21)
@pytest.mark.parametrize(
    ("workspace", "model", "status", "nano_usd"),
    [
        ("cut", "cut/script/first=400ms", "aborted", 0),
        # The provider bills the rest, so it is waited for, and what came is charged.
        ("waited", "billed/script/first=400ms", "aborted", 6_000_000 + 5 * 1_000),
        # For no longer than is bearable: then what was asked for is charged.
        ("overdue", "billed/script/first=5s", "aborted", 6_000_000 + 5 * 1_000),
    ],
)
def test_who_leaves_pays_as_the_provider_bills(
    gateway: RunningGateway, workspace: str, model: str, status: str, nano_usd: int
) -> None:
    record = left(gateway, workspace, model)
    assert (record.status, record.cost_nano_usd) == (status, nano_usd)


def test_many_at_once_are_charged_to_the_last_nano_dollar(gateway: RunningGateway) -> None:
    key = gateway.key("many", usd=1)

    def one(number: int) -> int:
        how = {"response_format": "b64_json"} if number % 2 else {}
        reply = paint(gateway, VOLTAGE.auth(key), size="256x256", **how)
        assert reply.status == 200, reply.body
        return gateway.record(reply.request_id).cost_nano_usd

    with ThreadPoolExecutor(8) as threads:
        costs = list(threads.map(one, range(24)))
    assert gateway.balance("many") == 10**9 - sum(costs)
    assert set(costs) == {2_000_000 + 1_000}
