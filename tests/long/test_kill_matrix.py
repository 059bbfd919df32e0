"""Kill -9 under load, at random and at each step of a call: no acknowledged charge is lost, none is made twice."""

from pathlib import Path

import pytest

from support.kill_books import KilledBooks, PostgresBooks, SqliteBooks
from support.kill_matrix import STEPS, KillMatrix
from support.stores import KINDS

KILLS = 20


@pytest.fixture(params=KINDS)
def books(request: pytest.FixtureRequest, tmp_path: Path) -> KilledBooks:
    """Empty books of each kind."""
    if request.param == "postgres":
        return PostgresBooks(request.getfixturevalue("postgres_url"))
    return SqliteBooks(tmp_path / "data")


@pytest.mark.long
@pytest.mark.fault(68)
@pytest.mark.timeout(600)
def test_what_was_acknowledged_is_charged_once_whatever_dies_when(tmp_path: Path, books: KilledBooks) -> None:
    result = KillMatrix(tmp_path, books, seed=68).run(KILLS)
    assert result["by_step"].keys() == set(STEPS)
    assert result["calls_acknowledged"] > KILLS
    assert result["charges_not_acknowledged"] >= result["by_step"]["after commit before ack"]
    assert result["deaths_that_left_leases"] >= KILLS // 2
    assert result["lost_on_crash"] > 0


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_matrix_notices_answers_that_do_not_wait_for_their_charge(tmp_path: Path, books: KilledBooks) -> None:
    settings = {"TOLLHOUSE_SETTLE": "async"}
    matrix = KillMatrix(tmp_path, books, seed=68, steps=["before settle"], settings=settings)
    with pytest.raises(AssertionError, match=r"'lost': \[\{"):
        matrix.run(kills=8)
