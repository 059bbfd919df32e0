"""Fixtures that every test may use."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.gateway import RunningGateway


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
