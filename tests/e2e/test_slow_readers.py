"""A caller who reads slowly or not at all: the provider is held back, memory stays bounded, what came is charged."""

import json
import socket
import time
from collections.abc import Callable

import pytest

from support.callers import HYPERINFER, chat
from support.gateway import RunningGateway

Start = Callable[..., RunningGateway]
CATALOG = """
extends: default
providers:
  - {{id: simulator, format: openai_chat, base_url: '{simulator}/v1', api_key: none}}
models:
  - slug: priced/*
    creator: simulator
    pricing: {{prompt: 1, completion: 1}}
    deployments: [{{provider: simulator, model: '*'}}]
"""
# Each event of the stream, which has no end.
EVENT_BYTES = 40_000
SCRIPT = f"priced/script/infinite/chunk_tokens={EVENT_BYTES // 5}"


def open_stream(running: RunningGateway, key: str, model: str) -> socket.socket:
    """A stream that nobody reads yet, over a socket that takes little on its own."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": True}).encode()
    fields = {"Host": "x", "Content-Length": str(len(body)), **HYPERINFER.auth(key)}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    line.settimeout(20)
    line.connect(("127.0.0.1", running.port))
    line.sendall(f"POST {HYPERINFER.chat} HTTP/1.1\r\n{head}\r\n".encode() + body)
    return line


def sent_when_quiet(running: RunningGateway) -> int:
    """How many events the provider has sent, once it sends no more."""
    before, sent = -1, 0
    deadline_s = time.monotonic() + 20
    while sent == 0 or sent != before:
        assert time.monotonic() < deadline_s, "the provider is not held back"
        before = sent
        time.sleep(0.4)
        sent = running.arrivals()[-1].events_sent
    return sent


@pytest.mark.fault(19)
def test_who_reads_slowly_holds_the_provider_back_and_loses_nothing(start_gateway: Start) -> None:
    running = start_gateway(catalog=CATALOG)
    line = open_stream(running, running.key("slow"), SCRIPT)
    held = sent_when_quiet(running)
    assert held * EVENT_BYTES < 20_000_000
    got = 0
    while got < 3 * held * EVENT_BYTES:
        got += len(line.recv(1 << 20))
    assert running.arrivals()[-1].events_sent > 2 * held
    assert running.gateway.app.in_flight == 1
    line.close()
    running.eventually(lambda: running.gateway.app.in_flight == 0)
    running.eventually(lambda: running.arrivals()[-1].outcome == "gone")


@pytest.mark.fault(19)
@pytest.mark.row(95)
def test_who_reads_nothing_is_cut_off_and_pays_for_what_came(start_gateway: Start) -> None:
    running = start_gateway(catalog=CATALOG, write_timeout_s=1.5)
    line = open_stream(running, running.key("deaf", usd=50), SCRIPT)
    running.eventually(lambda: '"aborted"' in running.log(), 20)
    running.eventually(lambda: running.gateway.app.in_flight == 0)
    running.eventually(lambda: running.arrivals()[-1].outcome == "gone")
    (entry,) = [json.loads(row) for row in running.log().splitlines() if '"aborted"' in row]
    record = running.record(entry["request_id"])
    assert record.usage_source == "estimated"
    assert record.cost_nano_usd > 0
    assert running.balance("deaf") == 50 * 10**9 - record.cost_nano_usd
    line.close()
    assert chat(running, HYPERINFER, running.key("deaf"), "priced/script/text=2").status == 200
