"""Stage: a simulator that records, a gateway in front of it, and the quiet surroundings in which clients run."""

import contextlib
import json
import os
import re
import subprocess
import time
import urllib.request
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from clients.installing import ROOT
from clients.outcome import UPSTREAMS

_TOLLHOUSE = str(ROOT / ".venv" / "bin" / "tollhouse")
_FORMATS = {"chat": "openai_chat", "responses": "openai_responses", "messages": "anthropic_messages"}
_PREFIXES = ("", "claude-sonnet-4-5-", "gpt-5.1-codex-")
_START_S = 30
_URL = re.compile(r"http://127\.0\.0\.1:[1-9][0-9]*")


@dataclass(frozen=True)
class Stage:
    """Where clients find the gateway, and where what reached the upstream is kept."""

    gateway: str
    simulator: str
    key: str

    def take_requests(self) -> list[dict[str, Any]]:
        """What has reached the upstream since the last time, oldest first."""
        url = f"{self.simulator}/_simulator/requests"
        with urllib.request.urlopen(url, timeout=30) as answer:
            requests: list[dict[str, Any]] = json.load(answer)["requests"]
        urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=30).close()
        return requests


def quiet(home: Path, **more: str) -> dict[str, str]:
    """The environment of a client: a home of its own, no settings of ours or the user's, and no way out but loopback:
    whatever else it calls goes to a proxy that is not there."""
    nowhere = "http://127.0.0.1:9"
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), nowhere)
    loopback = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", **proxies, **loopback, **more}


@contextlib.contextmanager
def set_stage(scratch: Path) -> Generator[Stage]:
    """A simulator and a gateway on free ports, with a key of a workspace that has credit."""
    with _running([_TOLLHOUSE, "simulate", "--port", "0"], scratch / "simulator.log") as simulator:
        catalog = scratch / "catalog.yaml"
        catalog.write_text(yaml.safe_dump(catalogue(simulator)))
        data = ["--data-dir", str(scratch / "data")]
        make_key = [_TOLLHOUSE, "keys", "create", "--workspace", "clients", "--credit", "1000", "--json", *data]
        made = subprocess.run(make_key, check=True, capture_output=True, text=True, env=_environ())
        serve = [_TOLLHOUSE, "serve", "--port", "0", "--catalog", str(catalog), *data]
        with _running(serve, scratch / "gateway.log") as gateway:
            yield Stage(gateway=f"{gateway}/api", simulator=simulator, key=json.loads(made.stdout)["key"])


def catalogue(simulator: str) -> dict[str, object]:
    """A provider for each format, and wildcards that hand a script on to it: under plain names, and under names by
    which clients know what a model can do."""
    providers = [
        {"id": name, "format": form, "base_url": f"{simulator}/v1", "api_key": "none"}
        for name, form in _FORMATS.items()
    ]
    models = [
        {
            "slug": f"{prefix}{name}/*",
            "creator": "clients",
            "max_output_tokens": 32_000,
            # Codex offers its provider's search in every call. Where the provider speaks Responses it needs a price;
            # elsewhere a translation has to leave it out.
            "pricing": {
                "prompt": 1,
                "completion": 2,
                **({"tool_fees": {"web_search": 0.01}} if name == "responses" else {}),
            },
            "deployments": [{"provider": name, "model": "*"}],
        }
        for prefix in _PREFIXES
        for name in UPSTREAMS
    ]
    return {"creators": [{"slug": "clients", "name": "Clients"}], "providers": providers, "models": models}


@contextlib.contextmanager
def _running(command: Sequence[str], log: Path) -> Generator[str]:
    """A process that prints its URL when it listens; gives the URL."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=_environ())
    try:
        deadline_s = time.monotonic() + _START_S
        while (found := _URL.search(log.read_text())) is None:
            if time.monotonic() > deadline_s or process.poll() is not None:
                raise SystemExit(f"clients: {command[1]} did not start: {log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield found[0]
    finally:
        process.terminate()
        process.wait(30)


def _environ() -> dict[str, str]:
    """Without settings for a gateway of the user's."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TOLLHOUSE_")}
