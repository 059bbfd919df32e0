"""Libraries: runs the programs that use SDKs, each against every upstream, and reads what they say."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from clients.follow_up import follow_up_failures
from clients.installing import NPM, PROGRAMS, PYTHON
from clients.outcome import Outcome
from clients.stage import Stage, quiet

NODE_PROGRAMS = ("openai", "anthropic", "vercel")
PYTHON_PROGRAMS = ("use_langchain", "use_pydantic_ai", "use_openai_agents")
_LIMIT_S = 300


def run_library(program: str, upstreams: Sequence[str], stage: Stage, scratch: Path) -> list[Outcome]:
    """The outcomes of one program; a program that dies is an outcome too."""
    home = scratch / program
    home.mkdir()
    node = program in NODE_PROGRAMS
    command = (
        ["node", str(NPM / f"{program}.mjs")]
        if node
        else [str(PYTHON / "bin" / "python"), str(PROGRAMS / f"{program}.py")]
    )
    environment = quiet(home, GATEWAY_URL=stage.gateway, GATEWAY_KEY=stage.key, UPSTREAMS=" ".join(upstreams))
    # Tracing would call home.
    environment |= {"LANGSMITH_TRACING": "false", "OPENAI_AGENTS_DISABLE_TRACING": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, env=environment, cwd=home, capture_output=True, text=True, timeout=_LIMIT_S, check=False
    )
    outcomes = [Outcome(**json.loads(line)) for line in done.stdout.splitlines()]
    if done.returncode or not outcomes:
        outcomes.append(
            Outcome(program, "-", "the program itself", f"exit code {done.returncode}: {done.stderr[-300:]}")
        )
    return _with_follow_ups(outcomes, stage)


def _with_follow_ups(outcomes: Sequence[Outcome], stage: Stage) -> list[Outcome]:
    """The outcomes, and for each round trip of a tool whether the upstream got the id of its own call back."""
    found = follow_up_failures(stage.take_requests())
    checked = list(outcomes)
    for client, upstream in dict.fromkeys((one.client, one.upstream) for one in outcomes if one.scenario == "tools"):
        # A client's token stands in the name of each of its models.
        token = f"token={client}/"
        failures = [failure for (at, model), failure in found.items() if at == upstream and token in unquote(model)]
        failure = failures[0] if failures else "no request with the script reached the upstream"
        checked.append(Outcome(client, upstream, "call id comes back", failure))
    return checked
