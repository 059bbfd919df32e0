"""Runs the recordings in the folder that TOLLHOUSE_CONFORMANCE names through a gateway, and judges the findings."""

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Generator, Sequence
from pathlib import Path

from conformance.verdict import APIS, Asked, judge, read_causes

HERE = Path(__file__).parent
ROOT = HERE.parent
FOLDER = "TOLLHOUSE_CONFORMANCE"
MODELS = dict(zip(APIS, ("replay-chat", "replay-responses", "replay-messages"), strict=True))
RUNS = {"": 1, "~chunk=7": 3, "~crlf~comments": 3, "~status=429": 3}
"""Faults of the replay server, and how many recordings there are for each that is taken."""


def main() -> int:
    """The exit code: 0 when all is as wanted or there are no recordings, 1 otherwise."""
    options = argparse.ArgumentParser(prog="python -m conformance", description=__doc__)
    options.add_argument(
        "--every", type=int, help="take every N-th recording, instead of what each fault has by default"
    )
    options.add_argument(
        "--fault", help='only with these faults of the replay server, such as ~chunk=7, or "" for none'
    )
    options.add_argument("--report", type=Path, help="keep the findings in this file")
    chosen = options.parse_args()
    folder = Path(os.environ.get(FOLDER) or "nowhere").resolve()
    if not (folder / "check.py").exists():
        print(f"conformance: skipped, because {FOLDER} names no folder with recordings")
        return 0
    runs = RUNS if chosen.fault is None else {chosen.fault: 1}
    python = _environment()
    passed = [_run(python, folder, fault, chosen.every or every, chosen.report) for fault, every in runs.items()]
    return 0 if all(passed) else 1


def _run(python: Path, folder: Path, fault: str, every: int, kept: Path | None) -> bool:
    """Whether a run with this fault passed."""
    asked = Asked(recordings=recordings_in(folder, every), fault=fault, whole=every == 1)
    extra = ["--every", str(every), *(["--fault", fault] if fault else [])]
    with tempfile.TemporaryDirectory() as scratch:
        report = (kept or Path(scratch) / "findings.json").resolve()
        report = report.with_name(f"{report.stem}{fault}{report.suffix}")
        with _replay(python, folder) as replay:
            with _gateway(Path(scratch), replay) as (gateway, key):
                _check(
                    python, folder, ["gateway", "--gateway", gateway, "--key", key, "--replay", replay, *extra], report
                )
            verdict = judge(json.loads(report.read_text()), asked, read_causes(HERE / "known.yaml"))
            for recording in verdict.skipped:
                if _is_readable(python, folder, replay, recording, Path(scratch) / "identity.json"):
                    verdict.problems.append(f"skipped, but the SDK can read it: {recording}")
    print("\n".join(verdict.lines()))
    print(f"conformance{fault}: {'failed' if verdict.problems else 'passed'}")
    return not verdict.problems


def _is_readable(python: Path, folder: Path, replay: str, recording: str, report: Path) -> bool:
    """Whether the SDK reads the recording as it comes."""
    _check(python, folder, ["identity", "--replay", replay, "--id", recording], report)
    findings = json.loads(report.read_text()).get(recording, [])
    return all(kind not in ("sdk", "raw", "crash") for kind, _ in findings)


def _environment() -> Path:
    """A Python of its own with the SDKs at the versions of the oracle."""
    venv = ROOT / ".venv" / "conformance"
    python = venv / "bin" / "python"
    stamp = venv / "requirements.txt"
    wanted = (HERE / "requirements.txt").read_text()
    if not stamp.exists() or stamp.read_text() != wanted:
        uv = str(ROOT / ".venv" / "bin" / "uv")
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(venv)], check=True)
        install = [uv, "pip", "install", "--quiet", "--python", str(python), "-r", str(HERE / "requirements.txt")]
        subprocess.run(install, check=True)
        stamp.write_text(wanted)
    return python


@contextlib.contextmanager
def _running(command: Sequence[str], url: str, log: Path) -> Generator[None]:
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=ROOT, env=_environ())
    try:
        deadline_s = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except OSError:
                if time.monotonic() > deadline_s or process.poll() is not None:
                    raise RuntimeError(f"{command[0]} did not start: {log.read_text()[-2000:]}") from None
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(30)


def _environ() -> dict[str, str]:
    """Without settings for the gateway, which would also refuse the name of our own variable; each provider is asked
    once, as a recording answers the second time what it answered the first."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("TOLLHOUSE_")}
    return {**others, "TOLLHOUSE_ATTEMPTS": "1"}


@contextlib.contextmanager
def _replay(python: Path, folder: Path) -> Generator[str]:
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    command = [str(python), str(folder / "replay.py"), "--corpus", str(folder / "exchanges"), "--port", str(port)]
    with tempfile.TemporaryDirectory() as scratch, _running(command, f"{url}/_replay/ids", Path(scratch) / "log"):
        yield url


@contextlib.contextmanager
def _gateway(scratch: Path, replay: str) -> Generator[tuple[str, str]]:
    catalog = scratch / "catalog.yaml"
    catalog.write_text((HERE / "catalog.yaml").read_text().replace("REPLAY", replay))
    tollhouse = str(ROOT / ".venv" / "bin" / "tollhouse")
    data = ["--data-dir", str(scratch / "data")]
    make_key = [tollhouse, "keys", "create", "--workspace", "conformance", "--json", *data]
    made = subprocess.run(make_key, check=True, capture_output=True, text=True, env=_environ())
    port = _free_port()
    command = [tollhouse, "serve", "--port", str(port), "--catalog", str(catalog), *data]
    with _running(command, f"http://127.0.0.1:{port}/healthz", scratch / "gateway.log"):
        yield f"http://127.0.0.1:{port}/api", json.loads(made.stdout)["key"]


def _check(python: Path, folder: Path, how: Sequence[str], report: Path) -> None:
    """Let the oracle write its findings; its exit code says only that there are some."""
    models = [part for api, prefix in MODELS.items() for part in ("--model", f"{api}={prefix}/{{id}}")]
    corpus = ["--corpus", str(folder / "exchanges")]
    command = [str(python), str(folder / "check.py"), *how, *corpus, *models]
    subprocess.run([*command, "--json", str(report)], check=False, stdout=subprocess.DEVNULL)


def recordings_in(folder: Path, every: int) -> list[str]:
    """The recordings that the oracle takes, by the same rules."""
    asked: list[str] = []
    for path in sorted((folder / "exchanges").glob("*.json")):
        if not path.name.startswith(tuple(f"{api}-" for api in MODELS)):
            continue
        exchange = json.loads(path.read_text(errors="surrogatepass"))
        odd = not isinstance(exchange["request_json"], dict) or "response_b64" in exchange
        if exchange["api"] in MODELS and not odd and not isinstance(exchange.get("response_json"), list):
            asked.append(exchange["id"])
    return asked[::every]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
