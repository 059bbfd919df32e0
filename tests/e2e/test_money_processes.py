"""One purse, several processes: together they spend no more than there is, and the other tidies up after one."""

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

from support.books import ask, assert_books_balance
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
def serve(tmp_path: Path) -> Iterator[Callable[..., GatewayProcess]]:
    started: list[GatewayProcess] = []
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(CATALOG)

    def start(*arguments: str) -> GatewayProcess:
        environ = {"TOLLHOUSE_CATALOG": str(catalog)}
        started.append(GatewayProcess(tmp_path / "data", *arguments, environ=environ))
        return started[-1]

    yield start
    for process in started:
        process.kill()


def new_key(data_dir: Path, credit_nano_usd: int) -> str:
    command = ["keys", "create", "--workspace", "acme", "--credit", usd_text(credit_nano_usd)]
    done = subprocess.run(
        [sys.executable, "-m", "tollhouse", *command, "--data-dir", str(data_dir), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["key"]


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


def balance(data_dir: Path) -> int:
    sql = "SELECT credits - debits FROM account JOIN workspace w ON scope = w.id WHERE kind = 'credit' AND w.name = ?"
    return ask(data_dir, sql, "acme")[0][0]


@pytest.mark.fault(69)
@pytest.mark.parametrize("how", ["two processes", "two workers"])
def test_a_thousand_calls_on_a_purse_for_fifty(serve: Callable[..., GatewayProcess], how: str) -> None:
    processes = [serve(), serve()] if how == "two processes" else [serve("--workers", "2")]
    data_dir = processes[0].data_dir
    worth = 50 * (1_000 * OUTPUT_NANO_USD + 150 * PROMPT_NANO_USD)
    key = new_key(data_dir, worth)

    def one(number: int) -> int:
        port = processes[number % len(processes)].port
        status, body = call(port, key, model="priced/script/text=1/usage=10:1000", max_tokens=1_000)
        assert status == 200 or json.loads(body)["error"]["code"] == "insufficient_credits"
        return status

    with ThreadPoolExecutor(40) as pool:
        statuses = list(pool.map(one, range(1_000)))
    assert set(statuses) == {200, 402}
    answered = statuses.count(200)
    assert 45 <= answered <= 50
    assert balance(data_dir) == worth - answered * (1_000 * OUTPUT_NANO_USD + 10 * PROMPT_NANO_USD)
    for process in processes:
        process.signal(signal.SIGTERM)
        assert process.wait() == 0
    assert_books_balance(data_dir)
    assert list((data_dir / "owners").iterdir()) == []


@pytest.mark.fault(68)
def test_what_a_killed_process_had_leased_and_begun_is_closed_by_the_other(
    serve: Callable[..., GatewayProcess],
) -> None:
    first, second = serve(), serve()
    data_dir = first.data_dir
    key = new_key(data_dir, 10**9)

    def begun() -> bool:
        return ask(data_dir, "SELECT COUNT(*) FROM open_call") == [(1,)]

    connection = HTTPConnection("127.0.0.1", first.port, timeout=60)
    body = {
        "model": "priced/script/text=2000/delay=50ms",
        "stream": True,
        "messages": [{"role": "user", "content": "x"}],
    }
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    connection.request("POST", "/api/v1/chat/completions", json.dumps(body), headers)
    eventually(begun)
    assert ask(data_dir, "SELECT SUM(leased) > 0 FROM account") == [(1,)]
    first.signal(signal.SIGKILL)
    eventually(lambda: ask(data_dir, "SELECT SUM(leased) FROM account") == [(0,)])
    rows = ask(data_dir, "SELECT status, cost_nano_usd, model FROM request WHERE status <> 'ok'")
    assert rows == [("lost_on_crash", 0, "priced/script/text=2000/delay=50ms")]
    assert ask(data_dir, "SELECT COUNT(*) FROM open_call") == [(0,)]
    connection.close()
    metrics = HTTPConnection("127.0.0.1", second.port, timeout=10)
    metrics.request("GET", "/metrics")
    assert b"tollhouse_lost_calls_total 1.0" in metrics.getresponse().read()
    metrics.close()
    assert balance(data_dir) == 10**9
    second.signal(signal.SIGTERM)
    assert second.wait() == 0
    assert_books_balance(data_dir)


def eventually(check: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 30
    while not check():
        assert time.monotonic() < deadline_s, "it did not come to pass in time"
        time.sleep(0.05)
