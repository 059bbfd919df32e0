"""Fixtures that every test may use."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from support.gateway import RunningGateway
from support.postgres import PostgresServer, require_postgres

# Every run tries the same examples without a stopwatch, so that a change fails by what it did itself; `make test-fresh`
# looks for new ones.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("fresh", derandomize=False, deadline=None, print_blob=True)
settings.load_profile("same")


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """One gateway for all tests that only call it."""
    running = RunningGateway(tmp_path_factory.mktemp("gateway"))
    yield running
    running.stop()


@pytest.fixture
def start_gateway(tmp_path: Path) -> Iterator[Callable[..., RunningGateway]]:
    """Starts gateways of a test's own, with settings and a catalogue of its own."""
    started: list[RunningGateway] = []

    def start(**how: Any) -> RunningGateway:
        running = RunningGateway(tmp_path / str(len(started)), **how)
        started.append(running)
        return running

    yield start
    for running in started:
        running.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One PostgreSQL for all tests that only use it."""
    # What a test could lose by a power failure matters to nobody.
    server = PostgresServer(require_postgres(), fsync="off")
    yield server
    server.remove()


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL of a test's own, to be stopped and frozen."""
    server = PostgresServer(require_postgres())
    yield server
    server.remove()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """An empty database."""
    url = postgres.new_database()
    yield url
    postgres.drop(url)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What tests have to tell beside passing: what became of the cases that the published documents called for."""
    reports = [report for kind in ("", "passed", "failed", "error") for report in terminalreporter.stats.get(kind, ())]
    lines = [value for report in reports for name, value in getattr(report, "user_properties", ()) if name == "cases"]
    if lines:
        terminalreporter.section("cases of the published documents")
        for line in sorted(set(lines)):
            terminalreporter.line(line)
