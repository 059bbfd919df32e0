"""Failover, limits of time and callers who leave, through a whole gateway."""

import json
import socket
import time
import urllib.parse
from collections.abc import Callable

import pytest

from support.callers import DIALECTS, HPP, HYPERINFER, Face, chat
from support.gateway import RunningGateway

TWO = """
extends: default
providers:
  - {{id: dead, format: openai_chat, base_url: 'http://127.0.0.1:9/v1', api_key: none}}
  - {{id: first, format: openai_chat, base_url: '{simulator}/first/v1', api_key: first-secret-canary}}
  - {{id: second, format: openai_chat, base_url: '{simulator}/second/v1', api_key: second-secret-canary}}
  - id: hasty
    format: openai_chat
    base_url: '{simulator}/hasty/v1'
    api_key: none
    timeouts: {{connect_s: 1, first_byte_s: 0.3, idle_s: 0.3, total_s: 0.8, stream_s: 0.8}}
models:
  - slug: pair/*
    name: Pair
    creator: simulator
    pricing: {{prompt: 1, completion: 1}}
    deployments: [{{provider: first, model: '*', order: 0}}, {{provider: second, model: '*', order: 1}}]
  - slug: lame/*
    name: Lame
    creator: simulator
    pricing: {{prompt: 1, completion: 1}}
    deployments: [{{provider: dead, model: '*', order: 0}}, {{provider: second, model: '*', order: 1}}]
  - slug: single/*
    name: Single
    creator: simulator
    pricing: {{prompt: 1, completion: 1}}
    deployments: [{{provider: first, model: '*'}}]
  - slug: hasty/*
    name: Hasty
    creator: simulator
    pricing: {{prompt: 1, completion: 1}}
    deployments: [{{provider: hasty, model: '*'}}]
"""


# Ways to fail before an answer begins, in the simulator's words.
BROKEN = ("status=500", "status=503", "status=529", "status=429", "status=401", "status=404", "reset", "html", "empty")
BROKEN += ("body=message", "bad_json=0", "garbage", "encoding=bad_gzip")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory):
    running = RunningGateway(tmp_path_factory.mktemp("two"), catalog=TWO)
    yield running
    running.stop()


def paths_since(running: RunningGateway, before: int) -> list[str]:
    return [arrival.path.split("/")[1] for arrival in running.arrivals()[before:]]


@pytest.mark.row(94)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "broken",
    [
        "status=500",
        "status=503",
        "status=529",
        "status=429",
        "status=401",
        "status=404",
        "reset",
        "html",
        "empty",
        "body=message",
        "bad_json=0",
        "garbage",
        "encoding=bad_gzip",
    ],
)
def test_a_deployment_that_fails_before_its_answer_is_stood_in_for(
    two: RunningGateway, broken: str, stream: bool
) -> None:
    before = len(two.arrivals())
    reply = chat(two, HYPERINFER, two.key(), f"pair/script/token={broken}{stream}/{broken}/then/text=5", stream=stream)
    assert reply.status == 200, reply.body
    assert reply.text()
    assert paths_since(two, before) == ["first", "second"]
    record = two.record(reply.request_id)
    assert record.provider == "second"
    assert [attempt.provider for attempt in record.attempts] == ["first", "second"]
    assert record.attempts[0].outcome != "ok"
    assert record.attempts[1].outcome == "ok"


def test_a_provider_that_is_not_there_is_stood_in_for(two: RunningGateway) -> None:
    reply = chat(two, HPP, two.key(), "lame/script/text=3")
    assert reply.status == 200, reply.body
    assert [attempt.outcome for attempt in two.record(reply.request_id).attempts] == ["provider_unavailable", "ok"]


@pytest.mark.row(94)
@pytest.mark.parametrize("status", [500, 503, 429])
def test_one_deployment_is_asked_three_times_at_most(two: RunningGateway, status: int) -> None:
    before = len(two.arrivals())
    reply = chat(two, HYPERINFER, two.key(), f"single/script/text=5/fail=2:{status}/token=ok{status}")
    assert reply.status == 200, reply.body
    assert len(two.arrivals()) - before == 3
    before = len(two.arrivals())
    reply = chat(two, HYPERINFER, two.key(), f"single/script/text=5/fail=3:{status}/token=bad{status}")
    assert reply.status in {502, 529, 429}
    assert len(two.arrivals()) - before == 3


@pytest.mark.row(94)
@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_the_caller_did_wrong_is_asked_once(two: RunningGateway, status: int) -> None:
    before = len(two.arrivals())
    reply = chat(two, HYPERINFER, two.key(), f"pair/script/status={status}")
    assert reply.status == (413 if status == 413 else 400)
    assert paths_since(two, before) == ["first"]
    assert two.record(reply.request_id).cost_nano_usd == 0


@pytest.mark.row(92)
@pytest.mark.parametrize("status", [401, 403])
def test_our_own_credential_refused_is_not_the_callers_401(two: RunningGateway, status: int) -> None:
    reply = chat(two, HYPERINFER, two.key(), f"single/script/status={status}/body=echo_auth")
    assert reply.status == 502
    assert reply.json()["error"]["code"] == "provider_auth"
    assert b"canary" not in reply.body


@pytest.mark.row(95)
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda face: face.name)
@pytest.mark.parametrize("slow", ["first=forever", "wait=forever"])
def test_a_provider_that_is_too_slow_to_begin_ends_in_the_words_of_each_api(
    two: RunningGateway, dialect: Face, slow: str
) -> None:
    reply = chat(two, dialect, two.key(), f"hasty/script/text=3/{slow}", stream=True)
    assert reply.status == (504 if dialect is HYPERINFER else 500)
    if dialect is HPP:
        assert reply.json()["error"]["upstream_status"] == 504
    assert two.record(reply.request_id).error_code == "provider_timeout"


@pytest.mark.row(95)
@pytest.mark.parametrize("slow", ["text=50/stall=5", "text=500/delay=20ms"])
def test_a_provider_that_falls_silent_or_never_ends_ends_in_an_error_frame(two: RunningGateway, slow: str) -> None:
    reply = chat(two, HYPERINFER, two.key(), f"hasty/script/{slow}", stream=True)
    assert reply.status == 200
    assert "[DONE]" not in reply.frames()
    assert json.loads(reply.frames()[-1])["error"]["code"] == "provider_timeout"
    record = two.record(reply.request_id)
    assert (record.status, record.error_code) == ("failed", "provider_timeout")
    assert record.cost_nano_usd > 0, "what was received is paid for"


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda face: face.name)
@pytest.mark.parametrize("cut", ["cut=5", "eof=5", "error_at=5", "no_finish/no_done"])
def test_a_stream_that_breaks_off_ends_in_an_error_frame_and_no_terminator(
    two: RunningGateway, dialect: Face, cut: str
) -> None:
    reply = chat(two, dialect, two.key(), f"single/script/text=20/{cut}", stream=True)
    assert reply.status == 200
    assert "[DONE]" not in reply.frames()
    assert "error" in json.loads(reply.frames()[-1])
    assert reply.text(), "what came before is delivered"
    record = two.record(reply.request_id)
    assert record.status == "failed"
    assert record.cost_nano_usd > 0


def test_a_stream_without_its_terminator_ends_cleanly(two: RunningGateway) -> None:
    for dialect in DIALECTS:
        reply = chat(two, dialect, two.key(), "single/script/text=20/no_done", stream=True)
        assert reply.frames()[-1] == "[DONE]"
        assert two.record(reply.request_id).status == "ok"


def open_call(running: RunningGateway, model: str, *, stream: bool) -> socket.socket:
    """Send a call and leave the answer on the wire."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": stream}).encode()
    fields = {"Host": "x", "Content-Length": str(len(body)), **HYPERINFER.auth(running.key("leavers"))}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    line = socket.create_connection(("127.0.0.1", running.port), timeout=10)
    line.sendall(f"POST {HYPERINFER.chat} HTTP/1.1\r\n{head}\r\n".encode() + body)
    return line


@pytest.mark.fault(20)
@pytest.mark.parametrize("how", ["close", "half-close"])
@pytest.mark.parametrize(
    ("model", "stream", "charged"),
    [
        ("single/script/text=5/first=forever", False, False),
        ("single/script/text=5/wait=forever", True, False),
        ("single/script/text=5000/delay=5ms", True, True),
    ],
)
def test_a_caller_who_leaves_cancels_the_providers_call_and_pays_for_what_came(
    two: RunningGateway, how: str, model: str, stream: bool, charged: bool
) -> None:
    model = f"{model}/token={how}"
    before, left_before = len(two.arrivals()), two.log().count('"aborted"')
    line = open_call(two, model, stream=stream)
    two.eventually(lambda: len(two.arrivals()) > before)
    if charged:
        got = b""
        while got.count(b"data:") < 5:
            got += line.recv(65536)
    if how == "close":
        line.close()
    else:
        line.shutdown(socket.SHUT_WR)
    two.eventually(lambda: two.arrivals()[before].outcome == "gone")
    two.eventually(lambda: two.log().count('"aborted"') > left_before)
    line.close()
    entry = next(json.loads(row) for row in reversed(two.log().splitlines()) if '"aborted"' in row)
    record = two.record(entry["request_id"])
    assert record.status == "aborted"
    assert [attempt.outcome for attempt in record.attempts] == ["ok" if charged else "aborted"]
    assert (record.cost_nano_usd > 0) == charged
    two.eventually(lambda: two.gateway.app.in_flight == 0)


def test_a_slow_provider_is_not_waited_for_when_the_plan_waits(two: RunningGateway) -> None:
    started_s = time.monotonic()
    reply = chat(two, HYPERINFER, two.key(), "single/script/status=429/retry_after=3000")
    assert reply.status == 429
    assert time.monotonic() - started_s < 5
    assert int(reply.headers["retry-after"]) >= 1


def test_books_balance_after_all_of_it(start_gateway: Callable[..., RunningGateway]) -> None:
    running = start_gateway(catalog=TWO)
    key = running.key("all")
    spent = 0
    for model in ("single/script/text=5", "pair/script/status=500", "single/script/text=9/cut=3"):
        for stream in (False, True):
            reply = chat(running, HYPERINFER, key, model, stream=stream)
            spent += running.record(reply.request_id).cost_nano_usd
    assert running.balance("all") == 5 * 10**9 - spent


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda face: face.name)
@pytest.mark.parametrize("end", ["stall=7", "cut=7", "stall=7/delay=20ms", "cut=7/delay=20ms"])
def test_an_answer_that_is_complete_stands_however_its_connection_ends(
    two: RunningGateway, dialect: Face, end: str
) -> None:
    reply = chat(two, dialect, two.key(), f"hasty/script/text=3/usage=10:3/{end}", stream=True)
    assert reply.frames()[-1] == "[DONE]"
    record = two.record(reply.request_id)
    assert (record.status, record.finish_reason, record.usage_source) == ("ok", "stop", "provider")
    assert (record.prompt_tokens, record.completion_tokens) == (10, 3)


def failing(tokens: object) -> str:
    body = json.dumps({"error": {"message": "no"}, "usage": {"prompt_tokens": 100, "completion_tokens": tokens}})
    return urllib.parse.quote(body, safe="")


@pytest.mark.parametrize(
    ("first", "stream"),
    [
        ("status=500/body=" + failing(20), False),
        ("status=503/body=" + failing(20), True),
        ("body=" + failing(20), False),
        ("plain/body=" + failing(20), True),
    ],
)
def test_a_failed_attempt_costs_what_its_provider_reports_on_a_line_of_its_own(
    two: RunningGateway, first: str, stream: bool
) -> None:
    workspace = f"paid-{first}-{stream}"
    model = f"pair/script/{first}/then/text=5/usage=11:5"
    reply = chat(two, HYPERINFER, two.key(workspace), model, stream=stream, max_tokens=50)
    assert reply.status == 200, reply.body
    record = two.record(reply.request_id)
    assert [attempt.outcome == "ok" for attempt in record.attempts][-1]
    assert len(record.attempts) == 2
    assert (record.prompt_tokens, record.completion_tokens) == (11, 5)
    charged = two.do(two.gateway.store.charges(reply.request_id))
    assert charged == (("model", 16_000), ("attempt", 120_000))
    assert record.cost_nano_usd == 136_000
    assert two.balance(workspace) == 5 * 10**9 - 136_000


@pytest.mark.parametrize("tokens", [-1, 2**63, 1.5, "20", None])
def test_a_failed_attempt_whose_report_makes_no_sense_costs_nothing(two: RunningGateway, tokens: object) -> None:
    workspace = f"unpaid-{tokens}"
    model = f"pair/script/status=500/body={failing(tokens)}/then/text=5/usage=11:5"
    reply = chat(two, HYPERINFER, two.key(workspace), model)
    assert two.record(reply.request_id).cost_nano_usd == 16_000
    assert two.balance(workspace) == 5 * 10**9 - 16_000


def test_attempts_that_all_fail_cost_what_they_report(two: RunningGateway) -> None:
    reply = chat(two, HYPERINFER, two.key("all-paid"), "single/script/status=400/body=" + failing(20), max_tokens=50)
    assert reply.status == 400
    record = two.record(reply.request_id)
    assert (record.status, record.cost_nano_usd) == ("failed", 120_000)
    assert two.do(two.gateway.store.charges(reply.request_id)) == (("attempt", 120_000),)
    assert two.balance("all-paid") == 5 * 10**9 - 120_000
