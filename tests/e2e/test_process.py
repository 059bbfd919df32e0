"""The gateway as a process: what it prints, how it drains, what survives a kill, several workers."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.process import GatewayProcess
from support.scripted_providers import ScriptedProviders, catalogue, failed, said
from tollhouse.money.amount import parse_usd


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., GatewayProcess]]:
    started: list[GatewayProcess] = []

    def start(*arguments: str, name: str = "data", **how: Any) -> GatewayProcess:
        started.append(GatewayProcess(tmp_path / name, *arguments, **how))
        return started[-1]

    yield start
    for process in started:
        process.kill()


def tollhouse(*arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "tollhouse", *arguments, "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def balance(process: GatewayProcess, workspace: str = "demo") -> int:
    """In nano-USD, as the command line shows it."""
    return parse_usd(tollhouse("credits", "show", workspace, "--data-dir", str(process.data_dir))["balance_usd"])


def listens(port: int) -> bool:
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == 0


def test_a_fresh_start_prints_calls_that_answer_and_a_later_one_prints_the_same_key(
    serve: Callable[..., GatewayProcess],
) -> None:
    first = serve()
    key = first.demo_key()
    assert (first.data_dir / "demo-key").stat().st_mode & 0o777 == 0o600
    printed = re.sub(r"\\\n", " ", first.output)
    commands = [line.strip() for line in printed.splitlines() if line.strip().startswith("curl")]
    assert len(commands) == 3
    for command in commands:
        answer = subprocess.run(["bash", "-c", f"{command} -sS"], capture_output=True, text=True, check=True)
        assert json.loads(answer.stdout)["choices"][0]["message"]["content"]
    first.signal(signal.SIGTERM)
    assert first.wait() == 0
    again = serve()
    assert key in again.output
    assert again.demo_key() == key


def test_sigterm_lets_a_running_stream_end_and_takes_no_new_call(serve: Callable[..., GatewayProcess]) -> None:
    process = serve()
    answer = process.post("simulator/script/text=60/delay=20ms", stream=True)
    got = answer.readline()
    process.signal(signal.SIGTERM)
    got += answer.read()
    assert got.rstrip().endswith(b"data: [DONE]")
    assert process.wait() == 0
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", process.port), timeout=5)
    ended = [line for line in process.log_lines() if line["event"] == "call"]
    assert [line["status"] for line in ended] == ["ok"]


def test_a_stream_that_outlasts_the_drain_is_cut_settled_and_the_exit_is_clean(
    serve: Callable[..., GatewayProcess],
) -> None:
    process = serve(environ={"TOLLHOUSE_DRAIN_S": "1"})
    answer = process.post("simulator/script/text=100000/delay=10ms", stream=True)
    answer.readline()
    process.signal(signal.SIGTERM)
    assert process.wait() == 0
    ended = [line for line in process.log_lines() if line["event"] == "call"]
    assert [line["status"] for line in ended] == ["aborted"]
    assert ended[0]["cost_nano_usd"] > 0
    assert balance(process) == 5 * 10**9 - ended[0]["cost_nano_usd"]


DRAINED = """
extends: default
providers:
  - {id: bills, format: openai_chat, base_url: simulator, api_key: none, on_disconnect: drain}
models:
  - slug: drained/*
    creator: simulator
    pricing: {prompt: 1, completion: 2}
    deployments: [{provider: bills, model: '*'}]
"""


@pytest.mark.fault(28)
@pytest.mark.parametrize(("tokens", "source"), [(60, "provider"), (100_000, "estimated")])
def test_sigterm_waits_for_drains_within_its_limit_and_settles_them(
    serve: Callable[..., GatewayProcess], tmp_path: Path, tokens: int, source: str
) -> None:
    catalog = tmp_path / "drained.yaml"
    catalog.write_text(DRAINED)
    process = serve("--catalog", str(catalog), environ={"TOLLHOUSE_DRAIN_S": "3"})
    answer = process.post(f"drained/script/text={tokens}/delay=20ms/usage=11:{tokens}", stream=True)
    answer.readline()
    process.hang_up()
    process.signal(signal.SIGTERM)
    assert process.wait() == 0
    (ended,) = [line for line in process.log_lines() if line["event"] == "call"]
    assert ended["status"] == "aborted"
    assert (ended["completion_tokens"] == 60) == (source == "provider")
    assert ended["cost_nano_usd"] > 0
    assert balance(process) == 5 * 10**9 - ended["cost_nano_usd"]


def test_a_second_interrupt_cuts_off_at_once_and_settles_all_the_same(serve: Callable[..., GatewayProcess]) -> None:
    process = serve()
    answer = process.post("simulator/script/text=100000/delay=10ms", stream=True)
    answer.readline()
    process.signal(signal.SIGINT)
    # It drains once it no longer listens; an interrupt before that would be the same one.
    deadline_s = time.monotonic() + 10
    while listens(process.port):
        assert time.monotonic() < deadline_s
    process.signal(signal.SIGINT)
    assert process.wait() == 0
    ended = [line for line in process.log_lines() if line["event"] == "call"]
    assert [line["status"] for line in ended] == ["aborted"]
    assert ended[0]["cost_nano_usd"] > 0
    assert balance(process) == 5 * 10**9 - ended[0]["cost_nano_usd"]


def test_what_was_answered_survives_a_kill(serve: Callable[..., GatewayProcess]) -> None:
    process = serve()
    spent = 0
    for _ in range(10):
        answer = process.post("simulator/script/text=5/usage=100:5")
        usage = json.loads(answer.read())["usage"]
        spent += round(usage["cost"] * 10**9)
    process.signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert spent > 0
    assert balance(process) == 5 * 10**9 - spent
    assert serve().post("simulator/script/text=5").status == 200


def test_the_command_line_works_beside_a_running_gateway(serve: Callable[..., GatewayProcess]) -> None:
    process = serve()
    folder = ("--data-dir", str(process.data_dir))
    made = tollhouse("keys", "create", "--workspace", "acme", "--credit", "2", *folder)
    assert made["workspace"] == "acme"
    assert balance(process, "acme") == 2 * 10**9
    (process.data_dir / "demo-key").write_text(made["key"] + "\n")
    assert process.post("simulator/script/text=5").status == 200
    tollhouse("keys", "revoke", made["id"], *folder)
    assert eventually_refused(process)


def eventually_refused(process: GatewayProcess) -> bool:
    """A revoked key is refused within a second, in which calls may still be answered."""
    return any(process.post("simulator/script/text=1/delay=50ms").status == 401 for _ in range(60))


def test_two_workers_share_the_port_the_folder_and_the_purse(serve: Callable[..., GatewayProcess]) -> None:
    process = serve("--workers", "2")
    for number in range(20):
        answer = process.post("simulator/script/text=5/usage=100:5", stream=bool(number % 2))
        assert answer.status == 200
        answer.read()
    ended = [line for line in process.log_lines() if line["event"] == "call"]
    assert len(ended) == 20
    assert balance(process) == 5 * 10**9 - sum(line["cost_nano_usd"] for line in ended)
    process.signal(signal.SIGTERM)
    assert process.wait() == 0


def in_flight(process: GatewayProcess) -> float | None:
    """As the metrics have it; None while no worker answers."""
    try:
        with urllib.request.urlopen(f"{process.url}/metrics", timeout=5) as answer:
            page = answer.read().decode()
    except OSError:
        return None
    return sum(float(line.split()[-1]) for line in page.splitlines() if line.startswith("tollhouse_calls_in_flight"))


def test_calls_of_a_killed_worker_are_no_longer_in_flight(serve: Callable[..., GatewayProcess]) -> None:
    process = serve("--workers", "2")
    process.post("simulator/script/text=100000/delay=10ms", stream=True).readline()
    assert in_flight(process) == 1
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    workers = [pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert len(workers) == 2
    for pid in workers:
        os.kill(int(pid), signal.SIGKILL)
    deadline_s = time.monotonic() + 20
    while in_flight(process) != 0:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def test_workers_do_not_outlive_a_parent_that_was_killed(serve: Callable[..., GatewayProcess]) -> None:
    process = serve("--workers", "2")
    process.signal(signal.SIGKILL)
    # It ends when the last worker has closed the pipe that they all print to.
    assert process.wait() == -signal.SIGKILL
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", process.port), timeout=5)


@pytest.mark.parametrize(
    ("arguments", "environ", "says"),
    [
        (("--catalog", "/nowhere/providers.yaml"), {}, "/nowhere/providers.yaml"),
        (("--workers", "none"), {}, "workers"),
        ((), {"TOLLHOUSE_LOG_LEVEL": "loud"}, "log_level"),
    ],
)
def test_a_start_that_cannot_work_says_why_and_exits_with_one(
    tmp_path: Path, arguments: tuple[str, ...], environ: dict[str, str], says: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tollhouse", "serve", "--data-dir", str(tmp_path), "--port", "0", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environ,
        timeout=60,
    )
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "tollhouse", "serve", "--data-dir", str(tmp_path), "--port", port],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 1
    assert "is in use by another program" in done.stderr


@pytest.mark.fault(51)
def test_recovery_is_noticed_within_one_probe_interval(serve: Callable[..., GatewayProcess], tmp_path: Path) -> None:
    providers = ScriptedProviders(lambda _: failed(500))
    try:
        names = "{provider: a, model: x}, {provider: b, model: x}, {provider: c, model: x}, {provider: d, model: x}"
        text = catalogue(providers.url, f"  - {{slug: m/four, free: true, deployments: [{names}]}}\n")
        file = tmp_path / "catalog.yaml"
        file.write_text(text.replace("{{", "{").replace("}}", "}"))
        environ = {"TOLLHOUSE_BREAKER_PROBE_S": "2", "TOLLHOUSE_BREAKER_FAILURES": "2"}
        gateway = serve("--catalog", str(file), environ=environ)
        for _ in range(30):
            assert gateway.post("m/four").status == 502
        before = len(providers.asked)
        for _ in range(50):
            assert gateway.post("m/four").status == 502
        assert len(providers.asked) - before <= 60
        providers.script = lambda asked: said() if asked.provider == "c" else failed(500)
        back_s = time.monotonic()
        while gateway.post("m/four").status != 200:
            time.sleep(0.02)
        assert time.monotonic() - back_s < 2 + 0.5
    finally:
        providers.stop()
