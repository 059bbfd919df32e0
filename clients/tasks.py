"""Tasks: what the agents are given to do, and how it is judged that they have done it."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from urllib.parse import quote

from clients.agents import Agent, Place, Ran, claude_code, codex, opencode
from clients.follow_up import follow_up_failures
from clients.outcome import Outcome
from clients.stage import Stage

# Short, because the name of a model holds the whole script and may have 256 characters.
SAID = "It is written."
NOTE = "paid"
_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
_NO_KEY = "th-nobody"


@dataclass(frozen=True)
class Task:
    """One scenario: the script that the upstream follows, in a place; the prompt; and why it has failed, if it has.

    `upstreams` are those at which it makes sense. `calls` says that the upstream calls a tool, and so must get the
    call and its result back.
    """

    script: Callable[[Place], str]
    failure: Callable[[Place, Ran], str | None]
    run: Agent
    prompt: str = "Write the note."
    upstreams: tuple[str, ...] = ("chat", "responses", "messages")
    calls: bool = False
    key: str | None = None


@dataclass(frozen=True)
class Program:
    """An agent: its name, what its models' names begin with, and what it is given to do."""

    name: str
    prefix: str
    tasks: Mapping[str, Task]


def _says(words: str) -> str:
    return f"say={quote(words, safe='')}"


def _calls(tool: str, arguments: Callable[[Place], object]) -> Callable[[Place], str]:
    """A script that reasons, calls the tool once, and says so when it has answered."""

    def script(place: Place) -> str:
        text = quote(json.dumps(arguments(place), separators=(",", ":")), safe="")
        return f"reasoning=6/once/call={tool}/args={text}/{_says(SAID)}"

    return script


def _printed(*wanted: str, code: int | None = None) -> Callable[[Place, Ran], str | None]:
    """Judges what was printed, and the exit code: any but `code` is wrong; None: any that is not 0 is right."""

    def failure(_place: Place, ran: Ran) -> str | None:
        missing = [word for word in wanted if word not in ran.output]
        if missing or (ran.code != code if code is not None else ran.code == 0):
            return f"exit code {ran.code}, without {missing}: {ran.output[:600]}"
        return None

    return failure


def _wrote(place: Place, ran: Ran) -> str | None:
    """Judges the file that the tool had to write."""
    note = place.folder / "note.txt"
    if not note.exists() or note.read_text().strip() != NOTE:
        return f"the file was not written: exit code {ran.code}, {ran.output[:600]}"
    return _printed(SAID, code=0)(place, ran)


def _shell(_place: Place) -> dict[str, str]:
    return {"command": f"printf '{NOTE}' > note.txt", "description": "writes the note"}


def _tasks(run: Agent, *, too_many: Task | None = None, unknown_key: str = "401") -> dict[str, Task]:
    """What every agent is given; `too_many` judges how it takes a rate limit, `unknown_key` is what it
    prints of a key that is not known."""
    refused = Task(lambda _: "status=400", _printed("The simulator was told to fail"), run)
    nobody = Task(lambda _: _says(SAID), _printed(unknown_key), run, key=_NO_KEY)
    tasks = {
        "text": Task(lambda _: _says(SAID), _printed(SAID, code=0), run, prompt="Hello"),
        "error 400": refused,
        "error 401": nobody,
    }
    return tasks if too_many is None else {**tasks, "error 429": too_many}


def _claude_code() -> Program:
    limited = Task(lambda _: "status=429", _printed("429"), claude_code)
    write = _calls("Write", lambda place: {"file_path": str(place.folder / "note.txt"), "content": NOTE})
    shell = partial(_with, claude_code, ("--allowedTools", "Bash"))
    schema = partial(_with, claude_code, ("--json-schema", json.dumps(_SCHEMA)))
    answer = _calls("StructuredOutput", lambda _: {"city": "Oslo"})
    tasks = {
        **_tasks(claude_code, too_many=limited),
        "writes a file": Task(write, _wrote, claude_code, calls=True),
        "runs a command": Task(_calls("Bash", _shell), _wrote, shell, calls=True),
        "structured": Task(answer, _printed('"structured_output":{"city":"Oslo"}', code=0), schema),
        "counts tokens": Task(lambda _: _says(SAID), _printed("Context Usage", code=0), claude_code, prompt="/context"),
    }
    return Program("Claude Code", "claude-sonnet-4-5-", tasks)


def _codex() -> Program:
    limited = Task(lambda _: "status=429", _printed("429"), codex)
    command = _calls("exec_command", lambda _: {"cmd": f"printf '{NOTE}' > note.txt"})
    # Codex offers its agents as a group of tools. That it looks for an agent by this name shows that it knew the tool.
    grouped = _calls("multi_agent_v1__wait_agent", lambda _: {"targets": ["nobody"], "timeout_ms": 10_000})
    tasks = {
        **_tasks(codex, too_many=limited),
        "runs a command": Task(command, _wrote, codex, calls=True),
        "calls a tool of a group": Task(
            grouped,
            _printed("invalid agent id nobody", SAID, code=0),
            codex,
            upstreams=("chat", "messages"),
            calls=True,
        ),
        "structured": Task(lambda _: "chunk_tokens=2", _printed('{"city": "text"}', code=0), _codex_with_schema),
        "falls back from WebSocket": Task(command, _wrote, partial(codex, websockets=True), calls=True),
    }
    return Program("Codex", "gpt-5.1-codex-", tasks)


def _codex_with_schema(place: Place, model: str, prompt: str) -> Ran:
    file = place.home / "schema.json"
    file.write_text(json.dumps(_SCHEMA))
    return codex(place, model, prompt, "--output-schema", str(file))


def _opencode(npm: str) -> Program:
    run = opencode(npm)
    write = _calls("write", lambda place: {"filePath": str(place.folder / "note.txt"), "content": NOTE})
    # Each run takes seconds of the processor, so what does not depend on the upstream is played at one of them.
    plain = {name: replace(task, upstreams=("chat",)) for name, task in _tasks(run, unknown_key="API key").items()}
    tasks = {**plain, "writes a file": Task(write, _wrote, run, calls=True)}
    return Program(f"opencode + {npm}", "", tasks)


def _with(run: Callable[..., Ran], options: Sequence[str], place: Place, model: str, prompt: str) -> Ran:
    return run(place, model, prompt, *options)


def programs() -> dict[str, Program]:
    """Every agent by the name under which it is chosen."""
    chosen = {"claude-code": _claude_code(), "codex": _codex()}
    for short, npm in (("chat", "openai-compatible"), ("responses", "openai"), ("messages", "anthropic")):
        chosen[f"opencode-{short}"] = _opencode(f"@ai-sdk/{npm}")
    return chosen


def run_agent(program: Program, upstreams: Sequence[str], stage: Stage, scratch: Path) -> list[Outcome]:
    """The outcomes of all its tasks at the upstreams."""
    outcomes: list[Outcome] = []
    # One home for all: some take seconds to furnish a new one.
    home = Path(tempfile.mkdtemp(dir=scratch))
    for upstream in upstreams:
        for scenario, task in program.tasks.items():
            if upstream in task.upstreams:
                folder = Path(tempfile.mkdtemp(dir=home))
                place = Place(home=home, folder=folder, gateway=stage.gateway, key=task.key or stage.key)
                failure = _play(task, place, program.prefix + upstream)
                found = follow_up_failures(stage.take_requests())
                if failure is None and task.calls:
                    came = list(found.values())
                    failure = came[0] if came else "no request with the script reached the upstream"
                outcomes.append(Outcome(program.name, upstream, scenario, failure))
    return outcomes


def _play(task: Task, place: Place, models: str) -> str | None:
    ran = task.run(place, f"{models}/script/{task.script(place)}", task.prompt)
    failure = task.failure(place, ran)
    return None if failure is None else " ".join(failure.split())
