"""Callers who hang up pay for what was generated, cut off or drained as their provider bills; nothing leaks."""

import asyncio
import json
import resource
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.callers import HYPERINFER, ask
from support.gateway import RunningGateway
from tollhouse.observe.record import CallRecord

THREE = """
extends: default
providers:
  - {{id: stops, format: openai_chat, base_url: '{simulator}/stops/v1', api_key: none}}
  - id: half
    format: openai_chat
    base_url: '{simulator}/half/v1'
    api_key: none
    on_disconnect: cancel_streams
  - {{id: bills, format: openai_chat, base_url: '{simulator}/bills/v1', api_key: none, on_disconnect: drain}}
models:
  - slug: cut/*
    creator: simulator
    pricing: &price {{prompt: 1, completion: 2}}
    deployments: [{{provider: stops, model: '*'}}]
  - {{slug: half/*, creator: simulator, pricing: *price, deployments: [{{provider: half, model: '*'}}]}}
  - {{slug: drained/*, creator: simulator, pricing: *price, deployments: [{{provider: bills, model: '*'}}]}}
"""
RESET = struct.pack("ii", 1, 0)


class Leaver:
    """A caller on a socket of its own, who can hang up at any byte."""

    def __init__(
        self,
        running: RunningGateway,
        key: str,
        model: str,
        *,
        path: str = HYPERINFER.chat,
        own: dict[str, Any] | None = None,
        **fields: Any,
    ) -> None:
        said = own or {"messages": [{"role": "user", "content": "hi"}]}
        asked = {"model": model, "stream": True} | said | fields
        body = json.dumps(asked).encode()
        headers = {"Host": "x", "Content-Length": str(len(body)), **HYPERINFER.auth(key)}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.line = socket.create_connection(("127.0.0.1", running.port), timeout=20)
        self.line.sendall(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        self.got = b""

    def read_until(self, enough: Callable[[bytes], bool]) -> None:
        """Byte by byte, so that nothing more is read than is needed."""
        while not enough(self.got):
            piece = self.line.recv(1)
            assert piece, self.got
            self.got += piece

    def leave(self, *, reset: bool = False) -> None:
        """Close the connection, in good order or by a TCP reset."""
        if reset:
            self.line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.line.close()


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    running = RunningGateway(tmp_path_factory.mktemp("three"), catalog=THREE, abandoned_call_s=2.0)
    yield running
    running.stop()


def arrived(running: RunningGateway, before: int) -> None:
    running.eventually(lambda: len(running.arrivals()) > before)


def ended(running: RunningGateway, workspace: str) -> CallRecord:
    """The record of the workspace's only call; its charge is what the purse lost."""
    found: list[CallRecord] = []

    def recorded() -> bool:
        for row in running.log().splitlines():
            entry = json.loads(row)
            if entry.get("event") == "call" and entry["request_id"] not in seen:
                record = running.record(entry["request_id"])
                if record.workspace_id == workspace_id:
                    found.append(record)
        return bool(found)

    seen: set[str] = set()
    workspace_id = running.do(_workspace_id(running, workspace))
    running.eventually(recorded)
    assert running.balance(workspace) == 5 * 10**9 - found[0].cost_nano_usd
    running.eventually(lambda: running.gateway.app.in_flight == 0)
    return found[0]


async def _workspace_id(running: RunningGateway, name: str) -> str:
    workspace = await running.gateway.store.workspace(name)
    assert workspace is not None
    return workspace.id


def figures(record: CallRecord) -> tuple[str, str | None, int, int]:
    return record.status, record.usage_source, record.prompt_tokens, record.completion_tokens


@pytest.mark.fault(27, 21)
@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(
    ("model", "stream", "expected", "outcome"),
    [
        ("cut", True, ("aborted", None, 0, 0), "gone"),
        ("cut", False, ("aborted", None, 0, 0), "gone"),
        ("half", True, ("aborted", None, 0, 0), "gone"),
        ("half", False, ("aborted", "provider", 11, 9), "done"),
        ("drained", True, ("aborted", "provider", 11, 9), "done"),
        ("drained", False, ("aborted", "provider", 11, 9), "done"),
    ],
)
def test_leaving_before_the_first_byte(
    three: RunningGateway, model: str, stream: bool, reset: bool, expected: tuple[Any, ...], outcome: str
) -> None:
    workspace = f"first-{model}-{stream}-{reset}"
    before = len(three.arrivals())
    caller = Leaver(three, three.key(workspace), f"{model}/script/text=9/usage=11:9/first=400ms", stream=stream)
    arrived(three, before)
    caller.leave(reset=reset)
    record = ended(three, workspace)
    assert figures(record) == expected
    three.eventually(lambda: three.arrivals()[before].outcome == outcome)


@pytest.mark.fault(27)
@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("model", ["cut", "half", "drained"])
def test_leaving_in_the_middle_of_a_token(three: RunningGateway, model: str, reset: bool) -> None:
    workspace = f"middle-{model}-{reset}"
    before = len(three.arrivals())
    caller = Leaver(three, three.key(workspace), f"{model}/script/text=40/usage=11:40/delay=20ms")
    caller.read_until(lambda got: got.count(b"data: ") == 4 and got.endswith(b'"content'))
    caller.leave(reset=reset)
    record = ended(three, workspace)
    if model == "drained":
        assert figures(record) == ("aborted", "provider", 11, 40)
        assert record.cost_nano_usd == 11 * 1000 + 40 * 2000
        assert record.finish_reason == "stop"
    else:
        assert figures(record)[:2] == ("aborted", "estimated")
        assert 2 <= record.completion_tokens < 40
        three.eventually(lambda: three.arrivals()[before].outcome == "gone")


@pytest.mark.row(96)
@pytest.mark.parametrize("path", ["/api/v1/chat/completions", "/api/v1/responses", "/api/v1/messages"])
def test_who_leaves_has_the_provider_stopped_pays_for_what_came_and_finds_his_call(
    three: RunningGateway, path: str
) -> None:
    workspace = f"leaves-{path}"
    key = three.key(workspace)
    before = len(three.arrivals())
    said = [{"role": "user", "content": "hi"}]
    own = {"input": said} if path.endswith("responses") else {"messages": said, "max_tokens": 500}
    caller = Leaver(three, key, "cut/script/text=400/usage=11:400/delay=20ms", path=path, own=own)
    caller.read_until(lambda got: got.count(b"data: ") == 8)
    caller.leave()
    record = ended(three, workspace)
    three.eventually(lambda: three.arrivals()[before].outcome == "gone")
    assert three.arrivals()[before].events_sent < 100, "the provider goes on"
    assert 2 <= record.completion_tokens < 100
    assert record.cost_nano_usd == record.prompt_tokens * 1000 + record.completion_tokens * 2000
    found = ask(three, "GET", f"/api/v1/generation?id={record.id}", HYPERINFER.auth(key)).json()["data"]
    assert (found["status"], found["tokens_completion"]) == ("aborted", record.completion_tokens)
    assert found["cost_micro_usd"] == str(record.cost_nano_usd // 1000)


@pytest.mark.fault(27)
@pytest.mark.parametrize("model", ["cut", "drained"])
def test_leaving_after_the_last_token_and_before_the_end(three: RunningGateway, model: str) -> None:
    """The provider has told its usage, and all that is missing is its `[DONE]`: nothing is estimated."""
    workspace = f"last-{model}"
    # Usage stands with the finish reason, and then the stream stalls before [DONE].
    script = "text=4/usage=11:4/usage_at=choices/stall=6"
    caller = Leaver(three, three.key(workspace), f"{model}/script/{script}")
    caller.read_until(lambda got: got.count(b"data: ") >= 5)
    three.eventually(lambda: three.arrivals()[-1].events_sent >= 6)
    caller.leave()
    record = ended(three, workspace)
    assert figures(record) == ("aborted", "provider", 11, 4)


@pytest.mark.fault(27)
@pytest.mark.parametrize(
    ("script", "said"),
    [
        pytest.param("text=900/delay=10ms", True, id="too long"),
        pytest.param("text=9/stall=5", True, id="it falls silent"),
        pytest.param("text=9/cut=5/delay=100ms", True, id="it breaks off"),
        pytest.param("text=9/first=forever", False, id="it never begins"),
    ],
)
def test_a_drain_that_comes_to_nothing_is_bounded_and_charged_by_estimate(
    three: RunningGateway, script: str, said: bool
) -> None:
    workspace = f"bounded-{script}"
    before = len(three.arrivals())
    caller = Leaver(three, three.key(workspace), f"drained/script/{script}")
    arrived(three, before)
    if said:
        caller.read_until(lambda got: got.count(b"data: ") == 2)
    caller.leave()
    record = ended(three, workspace)
    assert figures(record)[:2] == ("aborted", "estimated")
    # What was asked went out, and the provider bills for it.
    assert record.prompt_tokens > 0
    assert record.cost_nano_usd == record.prompt_tokens * 1000 + record.completion_tokens * 2000
    assert record.provider == "bills"
    assert (record.completion_tokens > 0) == said
    assert record.finished_at_ms - record.started_at_ms < 5_000


def test_a_drain_ends_at_the_limit_that_was_sent(three: RunningGateway) -> None:
    started_s = time.monotonic()
    caller = Leaver(three, three.key("limit"), "drained/script/infinite/delay=1ms", max_tokens=30)
    caller.read_until(lambda got: got.count(b"data: ") == 2)
    caller.leave()
    assert ended(three, "limit").completion_tokens == 30
    assert time.monotonic() - started_s < 1.9


def test_nobody_else_is_asked_for_a_caller_who_is_gone(three: RunningGateway) -> None:
    before = len(three.arrivals())
    caller = Leaver(three, three.key("retry"), "drained/script/status=503/first=200ms")
    arrived(three, before)
    caller.leave()
    record = ended(three, "retry")
    assert record.cost_nano_usd == 0
    assert [attempt.outcome for attempt in record.attempts] == ["provider_overloaded"]
    assert len(three.arrivals()) == before + 1


@pytest.mark.fault(28)
def test_a_storm_of_leavers_is_drained_as_far_as_there_is_room_and_leaks_nothing(
    start_gateway: Callable[..., RunningGateway],
) -> None:
    """500 streams hang up at once: 20 are drained, 480 cut off and estimated, each is charged once."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    storm, room = 500, 20
    running = start_gateway(catalog=THREE, abandoned_calls=room, abandoned_call_s=60.0)
    key = running.key("storm")
    first = Leaver(running, key, "drained/script/text=1")
    first.read_until(lambda got: got.endswith(b"0\r\n\r\n"))
    first.leave()
    files, tasks = _open_files(), running.do(_tasks())
    callers = [Leaver(running, key, "drained/script/text=6/usage=11:6/delay=3s", max_tokens=50) for _ in range(storm)]
    for caller in callers:
        caller.read_until(lambda got: got.count(b"data: ") == 2)
    for caller in callers:
        caller.leave(reset=True)
    running.eventually(lambda: running.log().count('"aborted"') >= storm, 60)
    records = [running.record(entry["request_id"]) for entry in _calls(running)]
    told = [record for record in records if record.status == "aborted" and record.usage_source == "provider"]
    counted = [record for record in records if record.usage_source == "estimated"]
    assert (len(told), len(counted)) == (room, storm - room)
    assert {record.completion_tokens for record in told} == {6}
    assert all(0 < record.completion_tokens <= 6 for record in counted)
    assert running.balance("storm") == 5 * 10**9 - sum(record.cost_nano_usd for record in records)
    running.eventually(lambda: running.gateway.app.in_flight == 0)
    running.eventually(lambda: running.do(_tasks()) <= tasks, 30)
    # The connections that were drained are kept for the next calls; each has two ends here.
    running.eventually(lambda: _open_files() <= files + 2 * room, 30)


def _calls(running: RunningGateway) -> list[dict[str, Any]]:
    entries = [json.loads(row) for row in running.log().splitlines()]
    return [entry for entry in entries if entry.get("event") == "call"]


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def _tasks() -> int:
    return len(asyncio.all_tasks())
