"""What is measured: nginx as a bare reverse proxy, and Tollhouse as an operator would run it."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from bench.client import Target
from bench.loads import LOADS
from bench.processes import free_port, running

NGINX_HINT = "nginx is not installed (Debian, Ubuntu: apt-get install -y nginx), so there is nothing to compare with"

_NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log warn;
{user}
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/nginx-body;
  proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi;
  uwsgi_temp_path {folder}/nginx-uwsgi;
  scgi_temp_path {folder}/nginx-scgi;
  client_max_body_size 64m;
  client_body_buffer_size 256k;
  keepalive_requests 100000000;
  upstream bench {{
    server 127.0.0.1:{upstream};
    keepalive 64;
    keepalive_requests 100000000;
  }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://bench;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""

# Cheap enough that 1,000 USD outlast any run, dear enough that each call is a charge.
_PRICING = "{prompt: '0.01', completion: '0.04'}"
_PROVIDER_KEY = "BENCH_PROVIDER_KEY"


@dataclass(frozen=True)
class Proxy:
    """A running proxy: its process and the targets that lead through it, by load."""

    name: str
    pid: int
    targets: dict[str, Target]


def direct(upstream: int) -> Proxy:
    """The upstream itself, with nothing before it."""
    return Proxy("direct", os.getpid(), _plain_targets("direct", upstream))


def find_nginx() -> str | None:
    """The path of nginx, None where it is not installed."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/bin")


@contextlib.contextmanager
def nginx(binary: str, folder: Path, upstream: int, on: set[int]) -> Generator[Proxy]:
    """nginx before the upstream, with one worker on the cores `on`."""
    port = free_port()
    config = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(_NGINX.format(folder=folder, user=user, upstream=upstream, port=port))
    command = [binary, "-p", str(folder), "-c", str(config), "-e", str(folder / "nginx-error.log")]
    with running(command, on, os.environ, folder / "nginx.log") as process:
        yield Proxy("nginx", process.pid, _plain_targets("nginx", port))


class Tollhouse:
    """A Tollhouse installation in `folder`: a priced catalogue that leads to the upstream, a data folder and a key."""

    # Of each API: where its chat completions are.
    surfaces: ClassVar = {"hpp": "/llm/v1/chat/completions", "hyperinfer": "/api/v1/chat/completions"}

    def __init__(self, folder: Path, upstream: int) -> None:
        self.log = folder / "tollhouse.log"
        catalogue = folder / "providers.yaml"
        catalogue.write_text(_catalogue(upstream))
        self._port = free_port()
        self._environment = {
            **{name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}},
            _PROVIDER_KEY: "sk-bench",
            "TOLLHOUSE_DATA_DIR": str(folder / "data"),
            "TOLLHOUSE_CATALOG": str(catalogue),
            "TOLLHOUSE_HOST": "127.0.0.1",
            "TOLLHOUSE_PORT": str(self._port),
        }
        script = Path(sys.executable).parent / "tollhouse"
        self._command = [str(script)] if script.exists() else [sys.executable, "-m", "tollhouse"]
        self._key = self._make_key()

    @contextlib.contextmanager
    def serve(self, on: set[int]) -> Generator[dict[str, Proxy]]:
        """`tollhouse serve` on the cores `on`: the same process as a proxy for each API."""
        with running([*self._command, "serve"], on, self._environment, self.log) as process:
            yield {
                name: Proxy(f"tollhouse {name}", process.pid, self._targets(name, path))
                for name, path in self.surfaces.items()
            }

    def _targets(self, name: str, path: str) -> dict[str, Target]:
        headers = (f"authorization: Bearer {self._key}",)
        return {load: Target(f"tollhouse {name}", self._port, path, f"bench/{load}", headers) for load in LOADS}

    def _make_key(self) -> str:
        command = [*self._command, "keys", "create", "--workspace", "bench", "--credit", "1000", "--json"]
        made = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise RuntimeError(f"`tollhouse keys create` failed ({made.returncode}): {made.stderr or made.stdout}")
        return json.loads(made.stdout)["key"]


def _plain_targets(name: str, port: int) -> dict[str, Target]:
    paths = {name: f"/{load.plain or name}/v1/chat/completions" for name, load in LOADS.items()}
    return {load: Target(name, port, path, load) for load, path in paths.items()}


def _catalogue(upstream: int) -> str:
    lines = ["providers:"]
    for load, told in LOADS.items():
        lines += [
            f"  - id: bench-{load}",
            f"    format: {told.upstream_format}",
            f"    base_url: http://127.0.0.1:{upstream}/{load}/v1",
            f"    api_key: ${{{_PROVIDER_KEY}}}",
        ]
    lines.append("models:")
    for load in LOADS:
        lines += [
            f"  - slug: bench/{load}",
            f"    pricing: {_PRICING}",
            "    context_length: 1000000",
            "    max_output_tokens: 4096",
            f"    deployments: [{{provider: bench-{load}, model: {load}}}]",
        ]
    return "\n".join(lines) + "\n"
