"""Fixtures of the tests of the stores."""

from pathlib import Path

import pytest

from support.stores import KINDS, Stores


@pytest.fixture(params=KINDS)
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    """Empty books of each kind."""
    return Stores(tmp_path, request.getfixturevalue("postgres_url") if request.param == "postgres" else None)
