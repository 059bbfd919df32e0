"""Golden files: expected text kept beside the tests; `GOLDEN=write` in the environment writes them anew."""

import os
from pathlib import Path


def check_golden(path: Path, text: str) -> None:
    """Compare `text` with the file, byte for byte."""
    if os.environ.get("GOLDEN") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    assert path.read_bytes() == text.encode(), f"{path.name} differs: see `git diff` after a run with GOLDEN=write"
