"""What callers see when a provider fails or is slow, when paths are wrong, and when the books are gone."""

import contextlib
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.callers import FACES, HPP, HYPERINFER, USER, VOLTAGE, Face, Reply, ask, chat
from support.gateway import RunningGateway

SECRET = "upstream-secret-canary"
CANARY = "the prompt's canary words"


def envelope(reply: Reply, face: Face) -> Any:
    """The error in a reply, once what the envelope promises has been checked."""
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-request-id"]
    body = reply.json()
    if face is HPP:
        return body["error"]
    if face is HYPERINFER:
        assert set(body["error"]) == {"message", "type", "code", "param", "request_id"}
        return body["error"]
    assert isinstance(body["error"], str)
    assert body["details"]["status"] == reply.status
    assert body["details"]["endpoint"].startswith("/v1/")
    return body


@pytest.mark.row(12, 13, 92, 95, 134)
@pytest.mark.parametrize(
    ("status", "hpp", "hyperinfer", "voltage", "code", "upstream_status"),
    [
        (500, 500, 502, 500, "provider_unavailable", 500),
        (502, 500, 502, 500, "provider_unavailable", 502),
        (503, 500, 529, 500, "provider_overloaded", 503),
        (529, 500, 529, 500, "provider_overloaded", 529),
        (504, 500, 504, 500, "provider_timeout", 504),
        (401, 500, 502, 500, "provider_auth", 401),
        (403, 500, 502, 500, "provider_auth", 403),
        (429, 429, 429, 429, "provider_rate_limit", 429),
    ],
)
def test_a_providers_failure_in_three_wordings(
    gateway: RunningGateway, status: int, hpp: int, hyperinfer: int, voltage: int, code: str, upstream_status: int
) -> None:
    key = gateway.key()
    # A wait that is longer than the plan allows ends the call at once.
    model = f"simulator/script/status={status}/retry_after=3000"
    for face in FACES:
        reply = chat(gateway, face, key, model)
        error = envelope(reply, face)
        if face is HPP:
            assert reply.status == hpp
            assert error["provider"] == "simulator"
            assert error["upstream_status"] == upstream_status
            assert error["retryable"] is (code != "provider_auth")
        elif face is HYPERINFER:
            assert (reply.status, error["code"]) == (hyperinfer, code)
        else:
            assert reply.status == voltage
            assert error["details"]["attempts"][-1]["status"] == status
        assert SECRET not in reply.body.decode()


@pytest.mark.row(140)
@pytest.mark.parametrize("face", FACES, ids=lambda f: f.name)
def test_a_credential_that_a_provider_repeats_is_not_passed_on(gateway: RunningGateway, face: Face) -> None:
    for status in (400, 401):
        reply = chat(gateway, face, gateway.key(), f"simulator/script/status={status}/body=echo_auth")
        assert reply.status >= 400
        assert SECRET not in reply.body.decode()


@pytest.mark.parametrize("face", FACES, ids=lambda f: f.name)
def test_a_refusal_that_blames_the_request_is_passed_on(gateway: RunningGateway, face: Face) -> None:
    arrived = len(gateway.arrivals())
    reply = chat(gateway, face, gateway.key(), "simulator/script/status=400/body=context")
    assert reply.status == 400
    assert "maximum context length is 8192" in reply.body.decode()
    error = envelope(reply, face)
    if face is HPP:
        assert error == "context_length_exceeded"
    if face is HYPERINFER:
        assert error["code"] == "context_length_exceeded"
    assert len(gateway.arrivals()) == arrived + 1


@pytest.mark.row(94)
def test_retries_before_the_first_byte(gateway: RunningGateway) -> None:
    key = gateway.key()
    for status in (500, 503, 429):
        arrived = len(gateway.arrivals())
        reply = chat(gateway, HYPERINFER, key, f"simulator/script/fail=2:{status}/text=2/token=retries-{status}")
        assert reply.status == 200
        assert len(gateway.arrivals()) == arrived + 3
    arrived = len(gateway.arrivals())
    reply = chat(gateway, HYPERINFER, key, "simulator/script/fail=3:500/text=2/token=too-many")
    assert (reply.status, reply.json()["error"]["code"]) == (502, "provider_unavailable")
    assert len(gateway.arrivals()) == arrived + 3


@pytest.mark.row(94)
def test_a_retry_waits_as_long_as_the_provider_asks(gateway: RunningGateway) -> None:
    started_s = time.monotonic()
    reply = chat(gateway, HYPERINFER, gateway.key(), "simulator/script/status=429/retry_after=1/then/text=2")
    assert reply.status == 200
    assert time.monotonic() - started_s >= 1


@pytest.mark.row(94)
@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 408, 413, 422])
def test_other_refusals_are_not_retried(gateway: RunningGateway, status: int) -> None:
    arrived = len(gateway.arrivals())
    assert chat(gateway, HYPERINFER, gateway.key(), f"simulator/script/status={status}").status >= 400
    assert len(gateway.arrivals()) == arrived + 1


@pytest.mark.row(94)
@pytest.mark.parametrize("face", FACES, ids=lambda f: f.name)
@pytest.mark.parametrize("end", ["error_at=4", "cut=4", "eof=4"])
def test_a_failure_in_mid_stream_is_an_error_frame_and_no_retry(gateway: RunningGateway, face: Face, end: str) -> None:
    arrived = len(gateway.arrivals())
    reply = chat(gateway, face, gateway.key(), f"simulator/script/text=9/{end}", stream=True)
    assert reply.status == 200
    *frames, last = reply.frames()
    error = json.loads(last)["error"]
    if face is HPP:
        assert error["type"] == "upstream_error"
    elif face is HYPERINFER:
        assert error["code"] == "provider_unavailable"
    else:
        assert json.loads(last)["details"]["status"] == 500
    assert all("error" not in json.loads(frame) for frame in frames)
    assert "".join(json.loads(frame)["choices"][0]["delta"].get("content") or "" for frame in frames) == "a quick coin"
    assert len(gateway.arrivals()) == arrived + 1


HASTY = """
extends: default
providers:
  - id: simulator
    format: openai_chat
    base_url: '{simulator}/v1'
    api_key: upstream-secret-canary
    timeouts: {{connect_s: 0.2, first_byte_s: 0.5, idle_s: 0.5, total_s: 1.2, stream_s: 1.2}}
"""


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway whose every limit is short."""
    running = RunningGateway(tmp_path_factory.mktemp("hasty"), HASTY)
    yield running
    running.stop()


@pytest.mark.row(95)
@pytest.mark.parametrize("face", [HPP, HYPERINFER, VOLTAGE], ids=lambda f: f.name)
@pytest.mark.parametrize(
    ("script", "stream"),
    [
        ("first=forever", False),
        ("first=forever", True),
        ("wait=forever", False),
        ("wait=forever", True),
    ],
)
def test_a_provider_that_does_not_begin(hasty: RunningGateway, face: Face, script: str, stream: bool) -> None:
    reply = chat(hasty, face, hasty.key(), f"simulator/script/{script}", stream=stream)
    error = envelope(reply, face)
    if face is HPP:
        assert (reply.status, error["code"], error["upstream_status"]) == (500, "timeout", 504)
    elif face is HYPERINFER:
        assert (reply.status, error["code"]) == (504, "provider_timeout")
    else:
        assert reply.status == 500


@pytest.mark.row(95)
def test_a_finite_answer_that_takes_too_long_in_all(hasty: RunningGateway) -> None:
    reply = chat(hasty, HYPERINFER, hasty.key(), "simulator/script/text=200/slice=50/delay=100ms")
    assert (reply.status, reply.json()["error"]["code"]) == (504, "provider_timeout")


@pytest.mark.row(95)
@pytest.mark.parametrize("script", ["text=9/stall=4", "infinite/delay=50ms"])
def test_a_stream_that_falls_silent_or_never_ends(hasty: RunningGateway, script: str) -> None:
    for face in (HPP, HYPERINFER, VOLTAGE):
        reply = chat(hasty, face, hasty.key(), f"simulator/script/{script}", stream=True)
        assert reply.status == 200
        error = json.loads(reply.frames()[-1])["error"]
        if face is HPP:
            assert error["upstream_status"] == 504
        elif face is HYPERINFER:
            assert error["code"] == "provider_timeout"


def nobody_at(port: int) -> str:
    """A catalogue with one more model, whose provider is at `port`."""
    return (
        HASTY
        + f"""
  - {{{{id: nobody, format: openai_chat, base_url: 'http://127.0.0.1:{port}/v1', api_key: none,
      timeouts: {{{{connect_s: 0.2}}}}}}}}
models:
  - slug: nobody/home
    name: Nobody
    creator: simulator
    free: true
    deployments:
      - {{{{provider: nobody, model: home}}}}
"""
    )


@pytest.mark.row(95)
def test_a_provider_that_refuses_connections(start_gateway: Callable[..., RunningGateway]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        gateway = start_gateway(catalog=nobody_at(port))
        for face in (HPP, HYPERINFER, VOLTAGE):
            reply = chat(gateway, face, gateway.key(), "nobody/home")
            error = envelope(reply, face)
            if face is HPP:
                assert (reply.status, error["code"], error["upstream_status"]) == (500, "unavailable", 502)
            elif face is HYPERINFER:
                assert (reply.status, error["code"]) == (502, "provider_unavailable")
            else:
                assert reply.status == 500
                steps = error["details"]["attempts"]
                assert [step["url"] for step in steps] == [f"http://127.0.0.1:{port}/v1/chat/completions"] * 3


@pytest.mark.row(95)
@pytest.mark.skipif(sys.platform != "linux", reason="other kernels refuse instead of waiting when the queue is full")
def test_a_provider_that_never_takes_the_connection(start_gateway: Callable[..., RunningGateway]) -> None:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        gateway = start_gateway(catalog=nobody_at(listener.getsockname()[1]))
        reply = chat(gateway, HYPERINFER, gateway.key(), "nobody/home")
        assert (reply.status, reply.json()["error"]["code"]) == (504, "provider_timeout")
        assert "0.2 s" in reply.json()["error"]["message"]


@pytest.mark.row(120, 139)
@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/llm/v1/nothing", "error"),
        ("/llm/v1/chat/completions/", "error"),
        ("/api/v1/nothing", "error"),
        ("/api/voltage/v1/nothing", "details"),
        ("/v1/nothing", "details"),
        ("/nothing", "error"),
        ("/", "error"),
    ],
)
def test_unknown_paths_are_404_in_json(gateway: RunningGateway, path: str, key: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        reply = ask(gateway, method, path)
        assert reply.status == 404
        assert reply.headers["content-type"] == "application/json"
        assert key in reply.json()
        if key == "details":
            assert reply.json()["details"] == {"status": 404, "endpoint": "/v1/nothing"}


@pytest.mark.row(139)
@pytest.mark.parametrize("face", FACES, ids=lambda f: f.name)
def test_wrong_methods_are_405_in_json(gateway: RunningGateway, face: Face) -> None:
    for method, path, allowed in (
        ("GET", face.chat, "POST"),
        ("PUT", face.chat, "POST"),
        ("POST", face.models, "GET, HEAD"),
        ("DELETE", face.models, "GET, HEAD"),
    ):
        reply = ask(gateway, method, path, face.auth(gateway.key()))
        assert reply.status == 405
        assert reply.headers["allow"] == allowed
        envelope(reply, face)
    assert ask(gateway, "POST", "/healthz").status == 405


@pytest.mark.row(115, 116)
def test_health_needs_nothing_and_readiness_names_what_is_down(
    start_gateway: Callable[..., RunningGateway],
) -> None:
    gateway = start_gateway()
    assert ask(gateway, "GET", "/healthz").json() == {"status": "ok"}
    ready = ask(gateway, "GET", "/readyz")
    assert (ready.status, ready.json()) == (200, {"status": "ok", "checks": {"redis": "ok", "postgres": "ok"}})
    for file in (gateway.data_dir / "data").glob("*"):
        if file.is_file():
            file.unlink()
    gateway.eventually(lambda: ask(gateway, "GET", "/readyz").status == 503)
    assert ask(gateway, "GET", "/readyz").json() == {
        "status": "degraded",
        "checks": {"redis": "ok", "postgres": "down"},
    }
    alive = ask(gateway, "GET", "/healthz")
    assert (alive.status, alive.json()) == (200, {"status": "ok"})


@pytest.mark.row(140)
def test_keys_prompts_and_credentials_are_in_no_log_and_no_error(
    start_gateway: Callable[..., RunningGateway],
) -> None:
    gateway = start_gateway(log_level="debug")
    key = gateway.key()
    messages = [USER | {"content": CANARY}]
    seen: list[bytes] = []
    for face in FACES:
        for model in ("simulator/echo", "simulator/script/status=500/body=echo_auth/retry_after=3000", "no/such"):
            for stream in (False, True):
                reply = chat(gateway, face, key, model, messages=messages, stream=stream)
                if reply.status >= 400:
                    seen.append(reply.body)
        seen.append(chat(gateway, face, key, "simulator/echo", messages=messages, temperature=CANARY).body)
        seen.append(chat(gateway, face, key, "simulator/echo", messages=[{"role": CANARY, "content": "x"}]).body)
        seen.append(ask(gateway, "POST", face.chat, face.auth(key), b'{"model": "' + CANARY.encode()).body)
        seen.append(chat(gateway, face, key + "x", "simulator/echo", messages=messages).body)
    shown = b"\n".join(seen).decode() + gateway.log()
    assert gateway.log()
    assert len(seen) > 20
    for secret in (key, key[:-1], CANARY, SECRET):
        assert secret not in shown
