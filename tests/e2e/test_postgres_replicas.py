"""Two replicas on one PostgreSQL, each a process with a data folder of its own, as an operator starts them."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from support.postgres import PostgresServer
from support.postgres_books import assert_postgres_balances
from support.process import GatewayProcess
from tollhouse.money.amount import usd_text

CATALOG = """
extends: default
models:
  - slug: priced/*
    name: Priced
    creator: simulator
    pricing: {prompt: 1, completion: 10}
    deployments: [{provider: simulator, model: '*'}]
"""
OUTPUT_NANO_USD, PROMPT_NANO_USD = 10_000, 1_000


@pytest.fixture
def serve(tmp_path: Path, postgres_url: str) -> Iterator[Callable[[str], GatewayProcess]]:
    started: list[GatewayProcess] = []
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(CATALOG)

    def start(name: str) -> GatewayProcess:
        environ = {"TOLLHOUSE_CATALOG": str(catalog), "TOLLHOUSE_DATABASE_URL": postgres_url}
        started.append(GatewayProcess(tmp_path / name, environ=environ))
        return started[-1]

    yield start
    for process in started:
        process.kill()


def command(url: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """The command line, which finds the books by the same variable as the gateway."""
    environ = {"TOLLHOUSE_DATABASE_URL": url, "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        [sys.executable, "-m", "tollhouse", *words], capture_output=True, text=True, check=False, env=environ
    )


def told(url: str, *words: str) -> Any:
    done = command(url, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def call(port: int, key: str, **fields: Any) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        body = {"messages": [{"role": "user", "content": "Hello!"}], **fields}
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        connection.request("POST", "/api/v1/chat/completions", json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def eventually(check: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 30
    while not check():
        assert time.monotonic() < deadline_s, "it did not come to pass in time"
        time.sleep(0.05)


@pytest.mark.fault(69)
def test_a_thousand_calls_on_a_purse_for_fifty(serve: Callable[[str], GatewayProcess], postgres_url: str) -> None:
    replicas = [serve("one"), serve("two")]
    worth = 50 * (1_000 * OUTPUT_NANO_USD + 150 * PROMPT_NANO_USD)
    made = told(postgres_url, "keys", "create", "--workspace", "acme", "--credit", usd_text(worth))

    def one(number: int) -> int:
        port = replicas[number % 2].port
        status, body = call(port, made["key"], model="priced/script/text=1/usage=10:1000", max_tokens=1_000)
        assert status == 200 or json.loads(body)["error"]["code"] == "insufficient_credits"
        return status

    with ThreadPoolExecutor(40) as pool:
        statuses = list(pool.map(one, range(1_000)))
    assert set(statuses) == {200, 402}
    answered = statuses.count(200)
    assert 45 <= answered <= 50
    charged = answered * (1_000 * OUTPUT_NANO_USD + 10 * PROMPT_NANO_USD)
    assert told(postgres_url, "credits", "show", "acme")["balance_usd"] == usd_text(worth - charged)
    (usage,) = told(postgres_url, "usage", "--workspace", "acme", "--by", "key")
    assert (usage["calls"], usage["failed_calls"]) == (1_000, 1_000 - answered)
    assert usage["cost_usd"] == usd_text(charged)
    for replica in replicas:
        replica.signal(signal.SIGTERM)
        assert replica.wait() == 0
        assert list((replica.data_dir / "owners").iterdir()) == []
    assert PostgresServer.ask(postgres_url, "SELECT id FROM account WHERE leased <> 0") == []
    assert_postgres_balances(postgres_url)


@pytest.mark.fault(68)
def test_what_a_killed_replica_had_leased_and_begun_is_closed_by_the_other(
    serve: Callable[[str], GatewayProcess], postgres_url: str
) -> None:
    first, second = serve("one"), serve("two")
    key = told(postgres_url, "keys", "create", "--workspace", "acme", "--credit", "1")["key"]

    def look(sql: str) -> list[tuple[Any, ...]]:
        return PostgresServer.ask(postgres_url, sql)

    connection = HTTPConnection("127.0.0.1", first.port, timeout=60)
    body = {
        "model": "priced/script/text=2000/delay=50ms",
        "stream": True,
        "messages": [{"role": "user", "content": "x"}],
    }
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    connection.request("POST", "/api/v1/chat/completions", json.dumps(body), headers)
    eventually(lambda: look("SELECT count(*) FROM open_call") == [(1,)])
    first.signal(signal.SIGKILL)
    connection.close()
    # The second cannot tell a dead replica from one that is cut off: it waits until its time and the grace are over.
    assert look("SELECT count(*) FROM lease WHERE state = 'active'") == [(1,)]
    gone = "SELECT owner FROM open_call"
    look(f"UPDATE lease SET expires_at_ms = expires_at_ms - 60000 WHERE owner IN ({gone})")
    look(f"UPDATE owner SET expires_at_ms = expires_at_ms - 60000 WHERE id IN ({gone})")
    eventually(lambda: look("SELECT sum(leased)::bigint FROM account") == [(0,)])
    eventually(lambda: look("SELECT count(*) FROM open_call") == [(0,)])
    rows = look("SELECT status, cost_nano_usd, model FROM request WHERE status <> 'ok'")
    assert rows == [("lost_on_crash", 0, "priced/script/text=2000/delay=50ms")]
    assert told(postgres_url, "credits", "show", "acme")["balance_usd"] == "1"
    metrics = HTTPConnection("127.0.0.1", second.port, timeout=10)
    metrics.request("GET", "/metrics")
    assert b"tollhouse_lost_calls_total 1.0" in metrics.getresponse().read()
    metrics.close()
    assert_postgres_balances(postgres_url)


def test_the_commands_work_on_it(postgres_url: str) -> None:
    assert told(postgres_url, "migrate")["applied"]
    assert told(postgres_url, "migrate")["applied"] == []
    told(postgres_url, "workspaces", "create", "acme")
    made = told(postgres_url, "keys", "create", "--workspace", "acme")
    assert told(postgres_url, "credits", "add", "acme", "2.5", "--reference", "r")["balance_usd"] == "2.5"
    assert told(postgres_url, "credits", "add", "acme", "2.5", "--reference", "r")["balance_usd"] == "2.5"
    (key,) = told(postgres_url, "keys", "list")
    assert key["workspace"] == "acme"
    assert told(postgres_url, "keys", "limit", key["id"], "--daily", "5")["limits"][0]["remaining"] == "5"
    assert told(postgres_url, "credits", "refund", "acme", "0.5", "--reference", "back")["balance_usd"] == "2"
    actions = [row["action"] for row in told(postgres_url, "audit")]
    assert actions == ["credit.refund", "limit.set", "credit.topup", "key.create"]
    assert told(postgres_url, "consumers", "list")
    assert told(postgres_url, "keys", "revoke", key["id"])
    assert command(postgres_url, "keys", "enable", key["id"]).returncode == 1
    assert made["key"] not in str(PostgresServer.ask(postgres_url, "SELECT * FROM api_key"))


def test_a_database_that_is_not_there_is_told_in_words_and_without_its_password() -> None:
    done = command("postgresql://me:canary@127.0.0.1:1/books", "keys", "list")
    assert done.returncode == 1
    assert "The books cannot be used: the database cannot be reached" in done.stderr
    assert "canary" not in done.stderr + done.stdout
    done = command("postgresql://me:canary@[::1/books", "serve", "--port", "0")
    assert done.returncode == 1
    assert "database URL cannot be used" in done.stderr
    assert "canary" not in done.stderr + done.stdout
