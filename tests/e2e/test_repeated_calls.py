"""A client that asks again before it has its answer, and a Redis that is gone: neither touches the books."""

import json
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support.books import assert_books_balance
from support.callers import DIALECTS, HYPERINFER, USER, Face, Reply, ask, chat
from support.gateway import RunningGateway
from tollhouse.settings import SettingsError, load_settings

PRICED = """
extends: default
providers:
  - {{id: simulator, format: openai_chat, base_url: '{simulator}/v1', api_key: none}}
models:
  - slug: priced/*
    creator: simulator
    pricing: {{prompt: 1, completion: 10}}
    deployments: [{{provider: simulator, model: '*'}}]
"""
COST = 11 * 1_000 + 4 * 10_000


@pytest.mark.fault(30)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("face", DIALECTS, ids=lambda face: face.name)
def test_a_retry_beside_its_original_is_a_call_of_its_own(tmp_path: Path, face: Face, stream: bool) -> None:
    """None of the contracts promises that a repeated Idempotency-Key is answered once, and the providers do not heed
    it: both calls generate, so both are charged, each by its own id and exactly once."""
    running = RunningGateway(tmp_path, catalog=PRICED)
    key = running.key("retries")
    repeated = {"idempotency-key": "the-same", "x-request-id": "the-same-too"}
    body: dict[str, Any] = {
        "model": "priced/script/text=4/usage=11:4/first=200ms",
        "messages": [USER],
        "stream": stream,
        "max_tokens": 50,
    }

    def call(_: int) -> Reply:
        return ask(running, "POST", face.chat, face.auth(key) | repeated, body)

    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(call, range(4)))
    assert [reply.status for reply in replies] == [200] * 4
    assert {reply.text() for reply in replies} == {replies[0].text()}
    ids = {reply.request_id for reply in replies}
    assert len(ids) == 4
    assert "the-same-too" not in ids
    assert [running.record(one).cost_nano_usd for one in ids] == [COST] * 4
    assert {running.record(one).client_request_id for one in ids} == {"the-same-too"}
    assert running.balance("retries") == 5 * 10**9 - 4 * COST
    assert all(arrival.header("idempotency-key") is None for arrival in running.arrivals())
    running.stop()
    assert_books_balance(running.data_dir / "data")


@pytest.mark.fault(72)
def test_there_is_no_redis_whose_failure_could_cost_anything(start_gateway: Callable[..., RunningGateway]) -> None:
    """Limits live in the ledger, so a Redis that is down, slow, flushed, full or read-only is nothing to the gateway:
    the one that an environment names is never called, and calls, limits and readiness do without it."""
    with socket.create_server(("127.0.0.1", 0)) as redis:
        redis.setblocking(False)
        url = f"redis://127.0.0.1:{redis.getsockname()[1]}/0"
        running = start_gateway(catalog=PRICED, environ={"REDIS_URL": url, "REDIS_HOST": "127.0.0.1"})
        key = running.key("no-redis")
        for face in DIALECTS:
            reply = chat(running, face, key, "priced/script/text=4/usage=11:4", max_tokens=50)
            assert reply.status == 200
        assert running.balance("no-redis") == 5 * 10**9 - 3 * COST
        assert ask(running, "GET", "/readyz").json()["checks"]["redis"] == "ok"
        poor = running.key("poor", usd=0)
        refused = chat(running, HYPERINFER, poor, "priced/script/text=4")
        assert (refused.status, json.loads(refused.body)["error"]["code"]) == (402, "insufficient_credits")
        with pytest.raises(BlockingIOError):
            redis.accept()
        # An operator who expects one to be used is told so.
        with pytest.raises(SettingsError, match="TOLLHOUSE_REDIS_URL"):
            load_settings(None, {}, {"TOLLHOUSE_REDIS_URL": url})
