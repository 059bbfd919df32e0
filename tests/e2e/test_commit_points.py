"""Until when a stream may still come from somebody else: held back until its content, fixed to a model by a comment."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from support.callers import DIALECTS, HYPERINFER, VOLTAGE, Face, Reply, ask, chat
from support.gateway import RunningGateway

Start = Callable[..., RunningGateway]

CATALOG = """
providers:
  - id: first
    format: openai_chat
    base_url: '{simulator}/first/v1'
    api_key: none
    timeouts: {{idle_s: 0.8}}
  - {{id: second, format: openai_chat, base_url: '{simulator}/second/v1', api_key: none}}
  - {{id: third, format: anthropic_messages, base_url: '{simulator}/third/v1', api_key: none}}
models:
  - slug: m/breaks
    free: true
    deployments:
      - {{provider: first, model: script/text=5/error_at=1}}
      - {{provider: second, model: script/say=good, order: 1}}
  - slug: m/breaks-translated
    free: true
    deployments:
      - {{provider: third, model: script/text=5/error_at=1}}
      - {{provider: second, model: script/say=good, order: 1}}
  - slug: m/stalls
    free: true
    deployments:
      - {{provider: first, model: script/text=5/stall=1}}
      - {{provider: second, model: script/say=good, order: 1}}
  - slug: m/thinks
    free: true
    deployments: [{{provider: second, model: script/say=good/delay=400ms}}]
  - slug: m/breaks-late
    free: true
    deployments:
      - {{provider: first, model: script/text=5/error_at=3}}
      - {{provider: second, model: script/say=good, order: 1}}
  - slug: m/slow
    free: true
    deployments:
      - {{provider: first, model: script/first=400ms/status=500}}
      - {{provider: second, model: script/say=good, order: 1}}
  - slug: m/slow-chain
    free: true
    deployments: [{{provider: first, model: script/first=400ms/status=500}}]
    fallbacks: [m/breaks]
"""


def outcomes(running: RunningGateway, reply: Reply) -> list[tuple[str, str]]:
    return [(one.provider, one.outcome) for one in running.record(reply.request_id).attempts]


@pytest.fixture(scope="module")
def holding(tmp_path_factory: pytest.TempPathFactory):
    running = RunningGateway(tmp_path_factory.mktemp("holding"), catalog=CATALOG)
    yield running
    running.stop()


@pytest.mark.row(93)
@pytest.mark.fault(36)
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda face: face.name)
@pytest.mark.parametrize("model", ["m/breaks", "m/breaks-translated", "m/stalls"])
def test_a_stream_that_fails_before_its_content_is_begun_anew_elsewhere(
    holding: RunningGateway, dialect: Face, model: str
) -> None:
    reply = chat(holding, dialect, holding.key(), model, stream=True)
    assert (reply.status, reply.text()) == (200, "good")
    roles = [c["delta"].get("role") for chunk in reply.chunks() for c in chunk["choices"]]
    assert roles.count("assistant") == 1
    (_, failed), (second, ok) = outcomes(holding, reply)
    assert failed.startswith("provider_")
    assert (second, ok) == ("second", "ok")


@pytest.mark.row(93)
@pytest.mark.row(94)
def test_a_stream_that_fails_after_its_content_is_not(holding: RunningGateway) -> None:
    reply = chat(holding, HYPERINFER, holding.key(), "m/breaks-late", stream=True)
    assert reply.status == 200
    assert "error" in json.loads(reply.frames()[-1])
    assert [provider for provider, _ in outcomes(holding, reply)] == ["first"]


def test_held_back_for_so_long_and_no_longer(start_gateway: Start) -> None:
    running = start_gateway(catalog=CATALOG, hold_back_s=0.1)
    reply = chat(running, VOLTAGE, running.key(), "m/stalls", stream=True)
    assert "error" in json.loads(reply.frames()[-1])
    assert outcomes(running, reply) == [("first", "ok")]
    first_ms = running.record(reply.request_id).first_byte_ms
    assert first_ms is not None
    assert 90 <= first_ms < 700


@pytest.mark.parametrize(("hold_back_s", "at_least_ms", "below_ms"), [(0.0, 0, 350), (10.0, 390, 2000)])
def test_what_it_costs_is_the_time_from_the_first_frame_to_the_first_content(
    start_gateway: Start, hold_back_s: float, at_least_ms: int, below_ms: int
) -> None:
    running = start_gateway(catalog=CATALOG, hold_back_s=hold_back_s)
    started_s = time.monotonic()
    reply = chat(running, VOLTAGE, running.key(), "m/thinks", stream=True)
    first_ms = running.record(reply.request_id).first_byte_ms
    assert reply.text() == "good"
    assert first_ms is not None
    assert at_least_ms <= first_ms < below_ms
    assert time.monotonic() - started_s < 5


def streamed(running: RunningGateway, model: str) -> tuple[Reply, list[Any]]:
    body = {"model": model, "messages": [{"role": "user", "content": "x"}], "stream": True}
    reply = ask(running, "POST", HYPERINFER.chat, HYPERINFER.auth(running.key()), body)
    return reply, [frame if frame == "[DONE]" else json.loads(frame) for frame in reply.frames()]


@pytest.mark.row(93)
def test_after_a_comment_another_deployment_of_the_model_may_answer_but_no_other_model(start_gateway: Start) -> None:
    running = start_gateway(catalog=CATALOG, stream_comment_s=0.1, attempts=2)
    reply, frames = streamed(running, "m/slow")
    assert reply.body.startswith(b": keep-alive")
    assert (reply.text(), frames[-1]) == ("good", "[DONE]")
    assert outcomes(running, reply) == [("first", "provider_unavailable"), ("second", "ok")]
    reply, frames = streamed(running, "m/slow-chain")
    assert reply.status == 200
    assert frames[-1]["error"]["code"] == "provider_unavailable"
    assert {provider for provider, _ in outcomes(running, reply)} == {"first"}


def test_without_a_comment_another_model_may_answer(holding: RunningGateway) -> None:
    reply, frames = streamed(holding, "m/slow-chain")
    assert frames[-1] == "[DONE]"
    assert {frame["model"] for frame in frames[:-1]} == {"m/breaks"}
    assert holding.record(reply.request_id).model == "m/breaks"
