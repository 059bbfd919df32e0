"""A gateway as a process of its own, started as an operator starts it."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any


class GatewayProcess:
    """`tollhouse serve` on a free port; `output` is all that it printed, `url` where it answers. `module` may be
    another that does the same, with its arguments."""

    def __init__(
        self,
        data_dir: Path,
        *arguments: str,
        environ: Mapping[str, str] | None = None,
        module: Sequence[str] = ("tollhouse",),
    ) -> None:
        self.data_dir = data_dir
        self.log_path = data_dir.with_suffix(".log")
        kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
        command = [sys.executable, "-m", *module, "serve", "--data-dir", str(data_dir), "--port", "0", *arguments]
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env={**kept, **(environ or {})}
            )
        self._connections: list[HTTPConnection | HTTPResponse] = []
        self.output = ""
        self._told = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._told.wait(30), f"it did not start: {self.log()}"
        found = re.search(r"http://127\.0\.0\.1:(\d+)", self.output)
        assert found, f"it did not start: {self.output}{self.log()}"
        self.port = int(found.group(1))
        self.url = found.group(0)

    @property
    def pid(self) -> int:
        return self._process.pid

    def demo_key(self) -> str:
        return (self.data_dir / "demo-key").read_text().strip()

    def post(self, model: str, *, stream: bool = False, path: str = "/api/v1/chat/completions") -> HTTPResponse:
        """A chat call; the answer's body is left to read."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        self._connections.append(connection)
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello!"}], "stream": stream})
        headers = {"Authorization": f"Bearer {self.demo_key()}", "Content-Type": "application/json"}
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        self._connections.append(response)
        return response

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, timeout_s: float = 30) -> int:
        """The exit code, once it has ended."""
        code = self._process.wait(timeout_s)
        self._reader.join(10)
        if self._process.stdout is not None:
            self._process.stdout.close()
        return code

    def hang_up(self) -> None:
        """Close the connections of all calls."""
        for connection in self._connections:
            connection.close()

    def kill(self) -> None:
        """End it at once, if it still runs."""
        self.hang_up()
        if self._process.poll() is None:
            self._process.kill()
        self.wait()

    def log(self) -> str:
        return self.log_path.read_text()

    def log_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log().splitlines()]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.output += line
            calls_shown = "VoltageGPU" in self.output and line.strip().startswith("-H")
            if calls_shown or line.startswith("Make a key with"):
                self._told.set()
        self._told.set()
