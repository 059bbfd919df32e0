"""Agents: Claude Code, Codex and opencode, each given a task for which its tool has to change a file."""

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clients.installing import NPM
from clients.stage import quiet

_LIMIT_S = 120


@dataclass(frozen=True)
class Ran:
    """How a run of an agent ended; `output` is all that it printed."""

    code: int
    output: str


@dataclass(frozen=True)
class Place:
    """Where one agent plays one scenario: a home and an empty folder of its own, and the gateway with a key."""

    home: Path
    folder: Path
    gateway: str
    key: str

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> Ran:
        """Run an agent to its end."""
        try:
            done = subprocess.run(
                command,
                env=quiet(self.home, **environment),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=_LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Ran(-1, f"no end after {_LIMIT_S} s")
        return Ran(done.returncode, done.stdout)


Agent = Callable[[Place, str, str], Ran]
"""Runs a program in a place, with a model and a prompt."""


def claude_code(place: Place, model: str, prompt: str, *options: str) -> Ran:
    """Claude Code, with a token."""
    program = NPM / "node_modules/@anthropic-ai/claude-code-linux-x64/claude"
    environment = {
        "ANTHROPIC_BASE_URL": place.gateway,
        "ANTHROPIC_AUTH_TOKEN": place.key,
        "CLAUDE_CODE_MAX_RETRIES": "0",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1",
        "DISABLE_BUG_COMMAND": "1",
    }
    allowed = ["--permission-mode", "acceptEdits", "--output-format", "json"]
    return place.run([str(program), "-p", prompt, "--model", model, *allowed, *options], environment)


_CODEX_CONFIG = """
model_provider = "gateway"
check_for_update_on_startup = false
[analytics]
enabled = false
[model_providers.gateway]
name = "gateway"
base_url = "{gateway}/v1"
env_key = "GATEWAY_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
supports_websockets = {websockets}
"""


def codex(place: Place, model: str, prompt: str, *options: str, websockets: bool = False) -> Ran:
    """Codex. It is asked to try a WebSocket first when `websockets` says so."""
    program = next((NPM / "node_modules/@openai").glob("codex-linux-*/vendor/*/bin/codex"))
    home = place.home / ".codex"
    home.mkdir(exist_ok=True)
    config = _CODEX_CONFIG.format(gateway=place.gateway, websockets=str(websockets).lower())
    (home / "config.toml").write_text(config)
    how = ["--skip-git-repo-check", "--sandbox", "danger-full-access", *options]
    return place.run([str(program), "exec", *how, "-m", model, prompt], {"GATEWAY_KEY": place.key})


def opencode(npm: str) -> Agent:
    """opencode with one of its providers."""

    def run(place: Place, model: str, prompt: str) -> Ran:
        program = NPM / "node_modules/opencode-linux-x64/bin/opencode"
        options = {"baseURL": f"{place.gateway}/v1", "apiKey": place.key}
        provider = {"npm": npm, "options": options, "models": {model: {}}}
        config = {"autoupdate": False, "share": "disabled", "provider": {"gateway": provider}}
        file = place.home / "opencode.json"
        file.write_text(json.dumps(config))
        off = ("AUTOUPDATE", "MODELS_FETCH", "LSP_DOWNLOAD", "DEFAULT_PLUGINS")
        environment = {"OPENCODE_CONFIG": str(file), **{f"OPENCODE_DISABLE_{name}": "1" for name in off}}
        return place.run([str(program), "run", "--model", f"gateway/{model}", prompt], environment)

    return run
