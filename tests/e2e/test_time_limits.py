"""Every limit of time on its own, set for a provider or for a model there, and the words that each API has for it."""

import contextlib
import json
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from support.callers import DIALECTS, HPP, HYPERINFER, VOLTAGE, Face, Reply, ask, chat
from support.gateway import RunningGateway

LIMITS = {
    "connect": "connect_s",
    "first-byte": "first_byte_s",
    "idle": "idle_s",
    "total": "total_s",
    "stream": "stream_s",
}
SHORT_S = 0.3
SCRIPTS = {
    "connect": "text=1",
    "first-byte": "first=forever",
    "idle": "text=9/stall=4",
    "total": "text=200/slice=20/delay=50ms",
    "stream": "infinite/delay=20ms",
}
WORDS = {
    "connect": "could not be connected to within 0.3 s",
    "first-byte": "did not begin its answer within 0.3 s",
    "idle": "fell silent in mid-answer for 0.3 s",
    "total": "did not finish its answer within 0.3 s",
    "stream": "did not finish its answer within 0.3 s",
}
PATHS = {"chat": HYPERINFER.chat, "responses": "/api/v1/responses", "messages": "/api/v1/messages"}

each_limit = pytest.mark.parametrize("limit", LIMITS)
each_place = pytest.mark.parametrize("place", ["provider", "model"])


def catalogue(full_port: int) -> str:
    """For each limit two models, `provider-LIMIT/*` and `model-LIMIT/*`, for which it alone is short: for all of their
    provider, or for them alone at a provider that is patient."""
    providers, models = "", ""
    for limit, name in LIMITS.items():
        url = f"http://127.0.0.1:{full_port}/v1" if limit == "connect" else "{simulator}/v1"
        short = f"timeouts: {{{{{name}: {SHORT_S}}}}}"
        base = f"format: openai_chat, base_url: '{url}', api_key: none"
        providers += f"  - {{{{id: hasty-{limit}, {base}, {short}}}}}\n  - {{{{id: patient-{limit}, {base}}}}}\n"
        for place, deployment in (
            ("provider", f"provider: hasty-{limit}"),
            ("model", f"provider: patient-{limit}, {short}"),
        ):
            models += (
                f"  - {{{{slug: {place}-{limit}/*, creator: simulator, pricing: {{{{prompt: 1, completion: 1}}}}, "
                f"deployments: [{{{{{deployment}, model: '*'}}}}]}}}}\n"
            )
    return f"extends: default\nproviders:\n{providers}models:\n{models}"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """Connections to one port are never taken up: its queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        folder = tmp_path_factory.mktemp("limits")
        started = RunningGateway(folder, catalog=catalogue(listener.getsockname()[1]), retry_percent=0)
        stack.callback(started.stop)
        yield started


def late(reply: Reply, face: Face, limit: str) -> None:
    """The answer is what the face says of a provider that is too slow, as a status or as the stream's last frame."""
    streamed = limit in ("idle", "stream")
    body = json.loads(reply.frames()[-1]) if streamed else reply.json()
    statuses = {HPP: 500, HYPERINFER: 504, VOLTAGE: 500}
    assert reply.status == (200 if streamed else statuses[face])
    if face is VOLTAGE:
        assert body["details"]["status"] == 500
        message = body["error"]
    else:
        error = body["error"]
        assert error["code"] == ("timeout" if face is HPP else "provider_timeout")
        if face is HPP:
            assert (error["upstream_status"], error["retryable"]) == (504, True)
        message = error["message"]
    assert WORDS[limit] in message


@pytest.mark.row(95)
@pytest.mark.fault(32)
@each_limit
@each_place
@pytest.mark.parametrize("face", DIALECTS, ids=lambda face: face.name)
def test_each_limit_in_the_words_of_each_api(running: RunningGateway, place: str, limit: str, face: Face) -> None:
    if limit == "connect" and sys.platform != "linux":
        pytest.skip("other kernels refuse instead of waiting when the queue is full")
    started_s = time.monotonic()
    streamed = limit in ("first-byte", "idle", "stream")
    reply = chat(running, face, running.key(), f"{place}-{limit}/script/{SCRIPTS[limit]}", stream=streamed)
    took_s = time.monotonic() - started_s
    late(reply, face, limit)
    assert SHORT_S <= took_s < SHORT_S + 2
    record = running.record(reply.request_id)
    assert (record.status, record.error_code) == ("failed", "provider_timeout")
    assert len(record.attempts) == 1, "who has waited once for a provider is not made to wait again"
    assert (record.cost_nano_usd > 0) == (limit in ("idle", "stream")), "what has come is paid for, and no more"


@pytest.mark.row(95)
@pytest.mark.fault(32)
@pytest.mark.parametrize("caller", PATHS)
@pytest.mark.parametrize("limit", ["first-byte", "idle", "total"])
def test_each_limit_in_each_format(running: RunningGateway, caller: str, limit: str) -> None:
    said = [{"role": "user", "content": "Hello!"}]
    own: dict[str, Any] = {"input": said} if caller == "responses" else {"messages": said}
    body = {"model": f"model-{limit}/script/{SCRIPTS[limit]}", "max_tokens": 500, "stream": limit != "total", **own}
    reply = ask(running, "POST", PATHS[caller], HYPERINFER.auth(running.key()), body)
    if limit != "idle":
        assert reply.status == 504
        told = reply.json()
    else:
        assert reply.status == 200
        last = reply.body.decode().split("\n\n")[-2].split("\n")
        assert last[0] == "event: error" or caller == "chat"
        told = json.loads(last[-1].removeprefix("data: "))
    assert told["error"]["code"] == "provider_timeout"
    assert WORDS[limit] in told["error"]["message"]
    assert ("request_id" in told) == (caller == "messages")


def test_no_other_limit_is_shorter_than_it_was(running: RunningGateway) -> None:
    """What ends at one limit is in time where another one is short."""
    for limit, other, stream in (
        ("idle", "text=5", True),
        ("stream", "first=400ms/text=2", False),
        ("total", "text=2/first=400ms", True),
    ):
        for place in ("provider", "model"):
            reply = chat(running, HYPERINFER, running.key(), f"{place}-{limit}/script/{other}", stream=stream)
            assert reply.status == 200
            assert running.record(reply.request_id).status == "ok"
