"""Processes that end with many calls running: no charge is lost, and none is made for nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.books import ask
from support.process import GatewayProcess

STREAMS = 200
CREDIT = 5 * 10**9


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., GatewayProcess]]:
    started: list[GatewayProcess] = []

    def start(*arguments: str, **how: Any) -> GatewayProcess:
        started.append(GatewayProcess(tmp_path / "data", *arguments, **how))
        return started[-1]

    yield start
    for process in started:
        process.kill()


def charged(process: GatewayProcess) -> int:
    """All charges in the books, in nano-USD."""
    ((total,),) = ask(
        process.data_dir, "SELECT COALESCE(SUM(amount), 0) FROM transfer WHERE credit_account = 'revenue:nano_usd'"
    )
    return total


@pytest.mark.fault(74)
@pytest.mark.parametrize(
    ("script", "drain_s", "status"), [("text=40/delay=50ms", "20", "ok"), ("text=100000/delay=50ms", "1", "aborted")]
)
def test_sigterm_with_200_streams_loses_no_charge(
    serve: Callable[..., GatewayProcess], script: str, drain_s: str, status: str
) -> None:
    process = serve(environ={"TOLLHOUSE_DRAIN_S": drain_s})
    add = [sys.executable, "-m", "tollhouse", "credits", "add", "demo", "10000", "--data-dir", str(process.data_dir)]
    subprocess.run(add, check=True, capture_output=True)
    answers = [process.post(f"simulator/script/{script}", stream=True) for _ in range(STREAMS)]
    for answer in answers:
        assert answer.readline()
    process.signal(signal.SIGTERM)
    if status == "ok":
        assert all(answer.read().rstrip().endswith(b"data: [DONE]") for answer in answers)
    assert process.wait(60) == 0
    ended = [line for line in process.log_lines() if line["event"] == "call"]
    assert [line["status"] for line in ended] == [status] * STREAMS
    assert all(line["cost_nano_usd"] > 0 for line in ended)
    assert charged(process) == sum(line["cost_nano_usd"] for line in ended)
    assert ask(process.data_dir, "SELECT COUNT(*) FROM lease WHERE state = 'active'") == [(0,)]
    assert ask(process.data_dir, "SELECT SUM(leased) FROM account") == [(0,)]


@pytest.mark.fault(75)
def test_a_killed_worker_takes_none_of_the_money_with_it(serve: Callable[..., GatewayProcess]) -> None:
    """As when the kernel ends one worker for want of memory: the other goes on, and what the dead one had leased or
    begun is closed without a charge."""
    process = serve("--workers", "2")
    process.post("simulator/script/text=100000/delay=10ms", stream=True).readline()
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    workers = [pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    deadline_s = time.monotonic() + 30
    # Calls are noted once they have run for a moment.
    while not (noted := ask(process.data_dir, "SELECT owner FROM open_call")):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    for pid in workers:
        os.kill(int(pid), signal.SIGKILL)
    while ask(process.data_dir, "SELECT COUNT(*) FROM open_call") != [(0,)]:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    assert len(noted) == 1
    assert ask(process.data_dir, "SELECT status, cost_nano_usd FROM request") == [("lost_on_crash", 0)]
    answer = process.post("simulator/script/usage=10:20/say=x")
    assert answer.status == 200
    cost = round(json.loads(answer.read())["usage"]["cost"] * 10**9)
    assert charged(process) == cost > 0
    assert ask(process.data_dir, "SELECT credits - debits FROM account WHERE kind = 'credit'") == [(CREDIT - cost,)]
