"""Installing: the pinned client programs, from npm and PyPI, into a folder beside our own environment."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
KEPT = ROOT / ".venv" / "clients"
NPM = KEPT / "npm"
PYTHON = KEPT / "python"
PROGRAMS = HERE / "programs"
_LISTS = ("package.json", "package-lock.json")


def install_npm() -> Path:
    """The folder with `node_modules`; the Node programs lie beside it, where Node looks for their imports."""
    wanted = {name: (HERE / name).read_text() for name in _LISTS}
    if _stamp(NPM) != wanted["package-lock.json"]:
        shutil.rmtree(NPM, ignore_errors=True)
        NPM.mkdir(parents=True)
        for name, text in wanted.items():
            (NPM / name).write_text(text)
        # No package needs its scripts: the programs for Linux are packages of their own.
        _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], NPM)
        _set_stamp(NPM, wanted["package-lock.json"])
    for program in PROGRAMS.glob("*.mjs"):
        shutil.copy(program, NPM)
    return NPM


def install_python() -> Path:
    """The interpreter of an environment with the Python clients."""
    requirements = HERE / "requirements.txt"
    if _stamp(PYTHON) != requirements.read_text():
        uv = str(ROOT / ".venv" / "bin" / "uv")
        _run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(PYTHON)], ROOT)
        _run(
            [uv, "pip", "install", "--quiet", "--python", str(PYTHON / "bin" / "python"), "-r", str(requirements)], ROOT
        )
        _set_stamp(PYTHON, requirements.read_text())
    return PYTHON / "bin" / "python"


def _stamp(folder: Path) -> str:
    stamp = folder / "installed.txt"
    return stamp.read_text() if stamp.exists() else ""


def _set_stamp(folder: Path, text: str) -> None:
    (folder / "installed.txt").write_text(text)


def _run(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"clients: {command[0]} could not install: {done.stderr[-2000:] or done.stdout[-2000:]}")
