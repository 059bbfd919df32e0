"""The tests of money are tested: each patch is a bug that somebody could write, and a test must notice it.

A patch's first lines say what is wrong and which test kills it. One that does not apply any more fails.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATCHES = sorted(Path(__file__).parent.glob("*.patch"))


def mutated(patch: Path, folder: Path) -> Path:
    """A copy of the source with the bug in it."""
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        ["git", "apply", "--verbose", str(patch)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"the patch does not apply any more: {done.stderr}"
    return folder / "src"


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("patch", PATCHES, ids=lambda path: path.stem)
def test_a_mutant_is_killed(patch: Path, tmp_path: Path) -> None:
    named = re.search(r"^Killed by: (\S+)$", patch.read_text(), re.MULTILINE)
    assert named, "the patch does not say which test kills it"
    source = mutated(patch, tmp_path)
    environ = {**os.environ, "PYTHONPATH": str(source), "MONEY_SHRINK": "0", "MONEY_EXAMPLES": "1500"}
    where = subprocess.run(
        [sys.executable, "-c", "import tollhouse; print(tollhouse.__file__)"],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(source)), "the test would not run on the mutant"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", named.group(1)],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, f"it survived {named.group(1)}:\n{done.stdout[-2000:]}"
    assert re.search("AssertionError|CancelledError|Flaky", done.stdout), done.stdout[-3000:]


def test_each_seeded_bug_is_there() -> None:
    assert len(PATCHES) >= 9
