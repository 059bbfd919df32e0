"""The kill matrix: a gateway is killed (kill -9) under load, at random and at each step of a call, and started again on
the same books; then the books are compared with what its callers were told. `python -m support.kill_matrix` writes the
result to a file."""

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from support.kill_books import KilledBooks, PostgresBooks, SqliteBooks, active_leases, orphans, unsound
from support.kill_load import CATALOG, Callers
from support.postgres import PostgresServer, find_postgres
from support.process import GatewayProcess

TESTS = Path(__file__).parents[1]
RANDOM = "at random"
AT_START = ("during sweep", "during migration")
# A start has something to sweep because the one before it was killed under load.
STEPS = (
    RANDOM,
    "after hold",
    "after send",
    "first chunk",
    "before settle",
    "during sweep",
    "mid group commit",
    "after commit before ack",
    "during migration",
)
_DEATH_S = 60.0


class KillMatrix:
    """One set of books, and all lives of a gateway on it. What is left to chance follows from `seed`, but for what the
    machine does."""

    def __init__(self, folder: Path, books: KilledBooks, seed: int) -> None:
        """The gateway's data folder is `data` in `folder`."""
        self._data_dir = folder / "data"
        self._books = books
        self._random = random.Random(seed)
        self._callers = Callers(folder / "acknowledged.jsonl", seed)
        self._callers.file.touch()
        catalog = folder / "catalog.yaml"
        catalog.write_text(CATALOG)
        self._environ = {
            **self._books.environ,
            "TOLLHOUSE_CATALOG": str(catalog),
            "TOLLHOUSE_LOG_LEVEL": "warning",
            "PYTHONPATH": str(TESTS),
        }
        self._key = ""
        self._noted: set[str] = set()
        self._steps: Counter[str] = Counter()
        self._leases_left = 0

    def run(self, kills: int) -> dict[str, Any]:
        """Kill it so often, and see what has become of the books. Raises AssertionError when they are wrong."""
        began_s = time.monotonic()
        self._begin()
        for number in range(kills):
            step = STEPS[number % len(STEPS)]
            if step in AT_START:
                self._die_at_start(step)
            else:
                self._live(step)
            self._steps[step] += 1
            self._look_at_the_dead(step)
        self._recover()
        return {**self._verdict(), "seconds": round(time.monotonic() - began_s)}

    def _start(self, *module: str) -> GatewayProcess:
        return GatewayProcess(self._data_dir, environ=self._environ, module=module or ("tollhouse",))

    def _mortal(self, step: str, passes: int) -> tuple[str, ...]:
        return ("support.mortal", self._books.store, step, str(passes))

    def _run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", *command, "--data-dir", str(self._data_dir)],
            env={**os.environ, **self._environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=_DEATH_S,
        )

    def _begin(self) -> None:
        """Books with one purse."""
        first = self._start()
        try:
            made = self._run("tollhouse", "keys", "create", "--workspace", "acme", "--credit", "1000", "--json")
            assert made.returncode == 0, made.stderr
            self._key = json.loads(made.stdout)["key"]
            first.signal(signal.SIGTERM)
            assert first.wait() == 0
        finally:
            first.kill()

    def _live(self, step: str) -> None:
        """One life under load, which ends at that step, or at any moment."""
        # Every step of a call is passed hundreds of times a second.
        passes = self._random.randint(3, 60)
        life = self._start() if step == RANDOM else self._start(*self._mortal(step, passes))
        try:
            self._assert_recovered()
            end_s = self._random.uniform(0.02, 1.5) if step == RANDOM else None
            asyncio.run(self._load_until_death(life, end_s))
            assert life.wait(_DEATH_S) == -signal.SIGKILL, life.log()
        finally:
            life.kill()

    async def _load_until_death(self, life: GatewayProcess, end_s: float | None) -> None:
        """`end_s` after the first answer it is killed; None when it does that itself."""
        heard = asyncio.Event()
        async with asyncio.timeout(_DEATH_S):
            load = asyncio.ensure_future(self._callers.load(life.port, self._key, heard))
            if end_s is not None:
                await heard.wait()
                await asyncio.sleep(end_s)
                life.signal(signal.SIGKILL)
            await load

    def _die_at_start(self, step: str) -> None:
        done = self._run(*self._mortal(step, 1), "serve", "--port", "0")
        assert done.returncode == -signal.SIGKILL, done.stderr

    def _look_at_the_dead(self, step: str) -> None:
        """At the moment of a death the books are sound as well; they say what is left to be recovered."""
        rows = self._books.ask_as_left
        assert unsound(rows) == [], step
        self._noted |= orphans(rows)
        self._leases_left += active_leases(rows) > 0

    def _assert_recovered(self) -> None:
        """Once a gateway listens, nothing is left of the one before."""
        rows = self._books.ask
        assert active_leases(rows) == 0
        assert orphans(rows) == set()
        assert unsound(rows) == []

    def _recover(self) -> None:
        """A last life, which nobody kills."""
        life = self._start()
        try:
            self._assert_recovered()
            life.signal(signal.SIGTERM)
            assert life.wait() == 0, life.log()
        finally:
            life.kill()
        self._assert_recovered()

    def _verdict(self) -> dict[str, Any]:
        """The books against what the callers were told (I4), and what is counted of both."""
        rows = self._books.ask
        charges = rows(
            "SELECT t.request, r.client_request_id, t.amount FROM transfer t LEFT JOIN request r ON r.id = t.request "
            "WHERE t.credit_account = 'revenue:nano_usd'"
        )
        asked, acknowledged = self._callers.asked, self._callers.acknowledged()
        charged = {request: (call, amount) for request, call, amount in charges}
        times = Counter(call for _, call, _ in charges)
        lost = {row[0] for row in rows("SELECT id FROM request WHERE status = 'lost_on_crash' AND cost_nano_usd = 0")}
        (balance,) = rows("SELECT credits - debits, leased FROM account a JOIN workspace w ON w.id = a.scope "
                          "WHERE a.kind = 'credit' AND w.name = 'acme'")  # fmt: skip
        (sums,) = rows("SELECT SUM(calls), SUM(cost_nano_usd) FROM rollup")
        wrong = {
            "lost": [ack for ack in acknowledged if charged.get(ack["request"]) != (ack["call"], ack["cost"])],
            "doubled": [call for call, number in times.items() if number > 1],
            "inexact": [charge for charge in charges if charge[2] != asked.get(charge[1])],
            "orphans not recorded as lost": sorted(lost ^ (self._noted - charged.keys())),
            "orphans charged": sorted(lost & charged.keys()),
        }
        spent = sum(amount for _, _, amount in charges)
        assert not any(wrong.values()), wrong
        assert balance == (1000 * 10**9 - spent, 0)
        assert sums == (rows("SELECT COUNT(*) FROM request")[0][0], spent)
        return {
            "kills": self._steps.total(),
            "by_step": dict(sorted(self._steps.items())),
            "calls_asked": len(asked),
            "calls_acknowledged": len(acknowledged),
            "charges": len(charges),
            "charges_not_acknowledged": len(charges) - len(acknowledged),
            **{name.replace(" ", "_"): len(found) for name, found in wrong.items()},
            "lost_on_crash": len(lost),
            "deaths_that_left_leases": self._leases_left,
            "leases_not_recovered": active_leases(rows),
            "charged_nano_usd": spent,
        }


def in_sqlite(kills: int, seed: int) -> dict[str, Any]:
    """The matrix on SQLite."""
    with tempfile.TemporaryDirectory(prefix="tollhouse-kills-") as folder:
        return KillMatrix(Path(folder), SqliteBooks(Path(folder) / "data"), seed).run(kills)


def in_postgres(kills: int, seed: int) -> dict[str, Any]:
    """The matrix on PostgreSQL, which has to be installed."""
    programs = find_postgres()
    assert programs is not None, "PostgreSQL is not installed (Debian: apt-get install postgresql)"
    server = PostgresServer(programs)
    try:
        with tempfile.TemporaryDirectory(prefix="tollhouse-kills-") as folder:
            return KillMatrix(Path(folder), PostgresBooks(server.new_database()), seed).run(kills)
    finally:
        server.remove()


def main() -> None:
    """Run it on both stores at once, and write the result."""
    parser = argparse.ArgumentParser(prog="python -m support.kill_matrix", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="of each store")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    with ThreadPoolExecutor() as pool:
        matrices = {run.__name__.removeprefix("in_"): run for run in (in_sqlite, in_postgres)}
        running = {name: pool.submit(run, chosen.kills, chosen.seed) for name, run in matrices.items()}
    result = {"seed": chosen.seed, "stores": {name: future.result() for name, future in running.items()}}
    text = json.dumps(result, indent=2) + "\n"
    chosen.out.write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
