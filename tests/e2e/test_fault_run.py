"""Hundreds of calls by chance over four providers that flap: every one is answered or refused in its own envelope,
every stream is grammatical, the books balance, and nothing is left open."""

import asyncio
import json
import random
import sys
from pathlib import Path

import pytest

from support.books import ask as ask_books
from support.books import assert_books_balance
from support.callers import ask
from support.fault_run import FaultRun
from support.flapping import FlappingProviders
from support.gateway import RunningGateway
from support.kill_books import orphans, unsound

CREDIT_USD = 100
CALLS = 600


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def tasks() -> int:
    return len(asyncio.all_tasks())


def run_faults(folder: Path, seed: int, calls: int) -> None:
    """One run, and all that must hold after it."""
    providers = FlappingProviders(seed)
    running = RunningGateway(
        folder,
        catalog=providers.catalogue(),
        breakers=True,
        retry_percent=20,
        breaker_probe_s=0.3,
        stream_comment_s=0.4,
        abandoned_call_s=5.0,
    )
    try:
        files, idle = open_files(), running.do(tasks())
        key = running.key("faults", usd=CREDIT_USD)
        sys.stdout.write(f"seed {seed}\n")
        run = FaultRun(running.port, key, seed, calls)
        providers.begin()
        ended = run.run()
        providers.calm()
        sys.stdout.write(f"seed {seed}: {dict(ended)}\n")
        assert ended.total() == calls
        assert ended["ok"] > calls / 10
        assert ended["failed"]
        assert ended["refused"]
        running.eventually(lambda: running.gateway.app.in_flight == 0)
        assert_recorded(running, run)
        providers.stop()
        running.eventually(lambda: running.do(tasks()) <= idle)
        # The ports of the providers are closed as well: they were open at the beginning.
        running.eventually(lambda: open_files() <= files)
    finally:
        running.stop()
        if providers.is_open:
            providers.stop()
    books = folder / "data"
    assert_books_balance(books)
    assert unsound(lambda sql: ask_books(books, sql)) == []
    assert orphans(lambda sql: ask_books(books, sql)) == set()


def assert_recorded(running: RunningGateway, run: FaultRun) -> None:
    """Each call has one record, that says what its caller saw; the purse has lost the sum of the charges."""
    for outcome in run.outcomes:
        if outcome.request_id is not None:
            record = running.record(outcome.request_id)
            assert (record.status == "ok") == (outcome.verdict == "ok"), outcome
            assert record.cost_nano_usd > 0 or outcome.verdict != "ok" or not record.completion_tokens, outcome
    logged = [json.loads(line) for line in running.log().splitlines()]
    calls = [line for line in logged if line["event"] == "call"]
    broken = [line for line in logged if line["event"] == "the gateway failed"]
    assert broken == []
    assert len({line["request_id"] for line in calls}) == len(calls) == len(run.outcomes)
    assert running.balance("faults") == CREDIT_USD * 10**9 - sum(line["cost_nano_usd"] for line in calls)
    page = ask(running, "GET", "/metrics").body.decode()
    assert "tollhouse_leaked_holds_total 0.0" in page


@pytest.mark.timeout(240)
@pytest.mark.fault(28, 31, 32, 33, 34, 36, 38, 45)
@pytest.mark.row(93, 141)
def test_the_same_faults_as_ever(tmp_path: Path) -> None:
    run_faults(tmp_path, seed=20261121, calls=CALLS)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_faults_that_nobody_has_met_before(tmp_path: Path) -> None:
    run_faults(tmp_path, seed=random.randrange(2**32), calls=3 * CALLS)
