"""The composition root: what must not keep a gateway from starting."""

import resource

import pytest

from tollhouse import server
from tollhouse.settings import Settings


def test_a_system_that_keeps_its_file_limit_is_no_reason_not_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    class ReachedError(Exception):
        pass

    def refuse(_which: int, _limits: tuple[int, int]) -> None:
        raise ValueError("current limit exceeds maximum limit")

    def reached(_work: object) -> None:
        _work.close()  # type: ignore[attr-defined]  # a coroutine that shall not run
        raise ReachedError

    monkeypatch.setattr(resource, "setrlimit", refuse)
    monkeypatch.setattr(server.uvloop, "run", reached)
    with pytest.raises(ReachedError):
        server.run(Settings(port=0))
