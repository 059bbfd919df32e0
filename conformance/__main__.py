"""Runs the recordings in the folder that TOLLHOUSE_CONFORMANCE names through a gateway, and judges the findings."""

import argparse
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Generator, Sequence
from pathlib import Path

import yaml

HERE = Path(__file__).parent
ROOT = HERE.parent
FOLDER = "TOLLHOUSE_CONFORMANCE"
MODELS = {"openai_chat": "replay-chat", "openai_responses": "replay-responses", "anthropic_messages": "replay-messages"}
CROSS_WANTED = 0.99
_PAIR = re.compile(r"(\w+)(?:->|<-)(\w+)")

Findings = dict[str, list[tuple[str, str]]]


def main() -> int:
    """The exit code: 0 when all is as wanted or there are no recordings, 1 otherwise."""
    options = argparse.ArgumentParser(prog="python -m conformance", description=__doc__)
    options.add_argument("--every", type=int, default=1, help="take every N-th recording")
    options.add_argument("--fault", default="", help="replay faults such as ~chunk=7 or ~crlf~comments")
    options.add_argument("--report", type=Path, help="keep the findings in this file")
    chosen = options.parse_args()
    folder = os.environ.get(FOLDER, "")
    if not folder or not (Path(folder) / "check.py").exists():
        print(f"conformance: skipped, because {FOLDER} names no folder with recordings")
        return 0
    python = _environment()
    with tempfile.TemporaryDirectory() as scratch:
        report = (chosen.report or Path(scratch) / "findings.json").resolve()
        extra = ["--every", str(chosen.every), *(["--fault", chosen.fault] if chosen.fault else [])]
        with _replay(python, Path(folder)) as replay, _gateway(Path(scratch), replay) as (gateway, key):
            _check(python, Path(folder), ["--gateway", gateway, "--key", key, "--replay", replay], extra, report)
        findings: Findings = json.loads(report.read_text())
    return _judge(findings, _asked(Path(folder), chosen.every), chosen.fault)


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
    """Without settings for the gateway, which would also refuse the name of our own variable."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TOLLHOUSE_")}


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


def _check(python: Path, folder: Path, where: Sequence[str], extra: Sequence[str], report: Path) -> None:
    models = [part for api, prefix in MODELS.items() for part in ("--model", f"{api}={prefix}/{{id}}")]
    corpus = ["--corpus", str(folder / "exchanges")]
    command = [str(python), str(folder / "check.py"), "gateway", *corpus, *where, *models, *extra]
    # Its exit code says only that there are findings.
    subprocess.run([*command, "--json", str(report)], check=False)


def _asked(folder: Path, every: int) -> dict[str, str]:
    """The recordings that the oracle takes, with their format, by the same rules."""
    asked: list[tuple[str, str]] = []
    for path in sorted((folder / "exchanges").glob("*.json")):
        if not path.name.startswith(tuple(f"{api}-" for api in MODELS)):
            continue
        exchange = json.loads(path.read_text(errors="surrogatepass"))
        odd = not isinstance(exchange["request_json"], dict) or "response_b64" in exchange
        if exchange["api"] in MODELS and not odd and not isinstance(exchange.get("response_json"), list):
            asked.append((exchange["id"], exchange["api"]))
    return dict(asked[::every])


def _judge(findings: Findings, asked: dict[str, str], fault: str) -> int:
    known: dict[str, str] = yaml.safe_load((HERE / "known.yaml").read_text()) or {}
    pairs: Counter[str] = Counter()
    bad: dict[str, set[str]] = {"same": set(), "cross": set()}
    for identity, api in asked.items():
        found = [(kind, text) for kind, text in findings.get(identity, [])]
        if any(kind == "skip" and "SDK cannot read" in text for kind, text in found):
            continue
        for caller in MODELS:
            kind = "same" if caller == api else "cross"
            if kind == "cross" and any(one == "skip" and _about(text, caller, api) for one, text in found):
                continue
            pairs[kind] += 1
            if any(one != "skip" and _about(text, caller, api) for one, text in found):
                bad[kind].add(f"{caller}->{identity}")
    unknown = sorted(name for names in bad.values() for name in names if name not in known)
    print(f"same format:  {pairs['same'] - len(bad['same'])} of {pairs['same']} pairs clean")
    share = 1 - len(bad["cross"]) / max(1, pairs["cross"])
    print(f"cross format: {pairs['cross'] - len(bad['cross'])} of {pairs['cross']} pairs clean ({share:.2%})")
    for name in unknown[:40]:
        print(f"not in the list of known cases: {name}")
    ok = not unknown and share >= CROSS_WANTED
    print(f"conformance{fault}: {'passed' if ok else 'failed'}")
    return 0 if ok else 1


def _about(text: str, caller: str, api: str) -> bool:
    """Whether a finding is about this pair: `caller->api: ...`, and for skips `api<-caller: ...` or `api<-all`."""
    found = _PAIR.match(text)
    return found is None or set(found.groups()) == {caller, api}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
