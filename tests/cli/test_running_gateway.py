"""`tollhouse serve` and `simulate` as processes, and the other commands beside a running gateway."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tollhouse.cli.serving import greeting


class Process:
    """One `python -m tollhouse …` with what it has printed so far."""

    def __init__(self, data_dir: Path, *argv: str) -> None:
        environ = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tollhouse", *argv],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**environ, "TOLLHOUSE_DATA_DIR": str(data_dir), "PYTHONUNBUFFERED": "1"},
        )
        self.printed = ""

    def wait_for(self, pattern: str) -> str:
        """The first match of `pattern` in what it prints; fails when it ends without."""
        assert self._process.stdout is not None
        while (match := re.search(pattern, self.printed)) is None:
            line = self._process.stdout.readline()
            assert line, f"ended without {pattern!r}: {self.printed}"
            self.printed += line
        return match.group(0)

    def stop(self) -> int:
        """The exit code after SIGTERM."""
        self._process.send_signal(signal.SIGTERM)
        self._process.communicate(timeout=60)
        return self._process.returncode

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def processes() -> Iterator[list[Process]]:
    started: list[Process] = []
    yield started
    for process in started:
        process.kill()


def tollhouse(data_dir: Path, *argv: str) -> Any:
    """The JSON that a command prints."""
    done = subprocess.run(
        [sys.executable, "-m", "tollhouse", *argv, "--data-dir", str(data_dir), "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def call(url: str, key: str) -> int:
    """The status of one chat call."""
    body = {"model": "openai/gpt-5", "messages": [{"role": "user", "content": "Hello"}]}
    request = urllib.request.Request(
        f"{url}/api/v1/chat/completions",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_the_gateway_greets_serves_and_shares_its_folder(tmp_path: Path, processes: list[Process]) -> None:
    data_dir = tmp_path / "data"
    gateway = Process(data_dir, "serve", "--port", "0")
    processes.append(gateway)
    url = gateway.wait_for(r"http://127\.0\.0\.1:\d+")
    key = gateway.wait_for(r"th-[0-9A-Za-z]{49}")
    gateway.wait_for(r"X-VoltageGPU-Key.*\n.*\n")
    assert call(url, key) == 200

    # The commands work beside it.
    usage = tollhouse(data_dir, "usage", "--by", "workspace,model")
    assert [(row["workspace"], row["calls"]) for row in usage] == [("demo", 1)]
    spent = 5_000_000_000 - round(float(tollhouse(data_dir, "credits", "show", "demo")["balance_usd"]) * 1e9)
    assert spent == round(float(usage[0]["cost_usd"]) * 1e9) > 0
    made = tollhouse(data_dir, "keys", "create", "--workspace", "empty")
    assert call(url, made["key"]) == 402
    tollhouse(data_dir, "credits", "add", "empty", "1")
    assert call(url, made["key"]) == 200
    tollhouse(data_dir, "keys", "revoke", made["id"])
    assert gateway.stop() == 0

    # A later run shows the same key, and the books are as they were.
    again = Process(data_dir, "serve", "--port", "0")
    processes.append(again)
    url = again.wait_for(r"http://127\.0\.0\.1:\d+")
    assert again.wait_for(r"th-[0-9A-Za-z]{49}") == key
    again.wait_for(r"X-VoltageGPU-Key.*\n.*\n")
    assert call(url, made["key"]) == 401
    assert call(url, key) == 200
    assert again.stop() == 0
    rows = tollhouse(data_dir, "usage", "--by", "workspace")
    counted = {row["workspace"]: (row["calls"], row["failed_calls"]) for row in rows}
    assert counted["demo"] == (2, 0)
    assert counted["empty"] == (2, 1)


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = subprocess.run(
            [sys.executable, "-m", "tollhouse", "serve", "--port", str(taken.getsockname()[1])],
            env={**os.environ, "TOLLHOUSE_DATA_DIR": str(tmp_path / "data")},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert "in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_simulator_runs_by_itself(tmp_path: Path, processes: list[Process]) -> None:
    simulator = Process(tmp_path, "simulate", "--port", "0")
    processes.append(simulator)
    simulator.wait_for(r"answers on http://127\.0\.0\.1:\d+")
    assert simulator.stop() == 0


def test_a_greeting_without_a_key_or_a_model_says_how_to_get_one() -> None:
    assert "tollhouse keys create" in greeting("http://x", None, "m")
    assert "OPENAI_API_KEY" in greeting("http://x", "th-1", None)
    assert "curl" not in greeting("http://x", None, "m") + greeting("http://x", "th-1", None)
    assert greeting("http://x", "th-1", "m").count("curl http://x/") == 3
