"""I1 to I8 on SQLite and on PostgreSQL, whatever happens: see support/money_machine.py."""

import os
import secrets
import sys
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from support.money_machine import Bench, LedgerMachine
from support.postgres import PostgresServer
from support.postgres_bench import PostgresBench, PostgresBooks
from support.sqlite_bench import SqliteBench

STEPS = 40


def examine(examples: int, make: Callable[[], Bench] = SqliteBench) -> None:
    """Run the machine. MONEY_SEED repeats a run; MONEY_SHRINK=0 stops at the first failure as it was found."""

    class Machine(LedgerMachine):
        def bench(self) -> Bench:
            return make()

    chosen = int(os.environ.get("MONEY_SEED") or secrets.randbelow(2**32))
    sys.stdout.write(f"MONEY_SEED={chosen}\n")
    phases = (Phase.generate,) if os.environ.get("MONEY_SHRINK") == "0" else (Phase.generate, Phase.shrink)
    run_state_machine_as_test(
        seed(chosen)(Machine),
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            phases=phases,
            database=None,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.fault(73)
def test_the_books_hold() -> None:
    examine(60)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(4))
def test_the_books_hold_for_long(part: int) -> None:
    examine(int(os.environ.get("MONEY_EXAMPLES", "400")))


@pytest.fixture
def books(postgres: PostgresServer) -> Iterator[PostgresBooks]:
    """Where the examples of a test have their books in turn."""
    made = PostgresBooks(postgres)
    yield made
    made.remove()


@pytest.mark.fault(73)
def test_the_books_hold_on_postgres(books: PostgresBooks) -> None:
    examine(60, lambda: PostgresBench(books))


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(4))
def test_the_books_hold_on_postgres_for_long(books: PostgresBooks, part: int) -> None:
    examine(int(os.environ.get("MONEY_EXAMPLES", "400")), lambda: PostgresBench(books))
