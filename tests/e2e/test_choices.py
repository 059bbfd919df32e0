"""Several choices at providers whose formats have one answer per call: so many calls, one answer, one charge."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from support.callers import HPP, HYPERINFER, VOLTAGE, Reply, ask
from support.chat_grammar import check_chat_stream
from support.formats import CATALOG, events
from support.gateway import RunningGateway

TRANSLATED = ("responses", "messages")
# `tiered`: a prompt above ten tokens is dearer. `both`: the first provider always fails.
TIERED = """
  - slug: tiered/*
    name: tiered
    creator: simulator
    max_output_tokens: 1000
    pricing: {{prompt: 1, completion: 10, tiers: [{{above_prompt_tokens: 10, prompt: 100, completion: 1000}}]}}
    deployments: [{{provider: messages, model: '*'}}]
  - slug: both
    name: both
    creator: simulator
    max_output_tokens: 1000
    pricing: {{prompt: 1, completion: 10}}
    deployments:
      - {{provider: messages, model: 'script/status=503'}}
      - {{provider: chat, model: 'script/text=2', order: 1}}
"""

every_upstream = pytest.mark.parametrize("upstream", TRANSLATED)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    running = RunningGateway(tmp_path_factory.mktemp("choices"), catalog=CATALOG + TIERED)
    yield running
    running.stop()


def call(running: RunningGateway, model: str, n: int = 3, key: str | None = None, **fields: Any) -> Reply:
    body = {"model": model, "n": n, "messages": [{"role": "user", "content": "Hello!"}], **fields}
    return ask(running, "POST", VOLTAGE.chat, VOLTAGE.auth(key or running.key("choices")), body)


def asked(running: RunningGateway, before: int) -> list[dict[str, Any]]:
    """What the provider was sent since there were so many arrivals."""
    return [json.loads(arrival.body) for arrival in running.arrivals()[before:]]


@pytest.mark.row(124)
@every_upstream
def test_so_many_calls_make_one_answer_and_one_charge(running: RunningGateway, upstream: str) -> None:
    model = f"{upstream}/script/say=Toll%20paid."
    one = call(running, model, n=1)
    before = len(running.arrivals())
    reply = call(running, model)
    assert reply.status == 200, reply.body
    sent = asked(running, before)
    assert len(sent) == 3
    assert all(body == sent[0] and "n" not in body for body in sent)
    answer = reply.json()
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert {choice["message"]["content"] for choice in answer["choices"]} == {"Toll paid."}
    assert {choice["finish_reason"] for choice in answer["choices"]} == {"stop"}
    assert answer["model"] == model
    single = one.json()["usage"]
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert answer["usage"][name] == 3 * single[name]
    records = [running.record(each.request_id) for each in (one, reply)]
    assert records[1].cost_nano_usd == 3 * records[0].cost_nano_usd > 0
    assert records[1].usage_source == "provider"
    assert len(records[1].attempts) == 1
    assert "choices" not in reply.headers.get("x-tollhouse-loss", "")


@pytest.mark.row(124)
@every_upstream
def test_a_stream_has_each_choice_under_its_index(running: RunningGateway, upstream: str) -> None:
    model = f"{upstream}/script/text=20/delay=2ms"
    whole = call(running, model)
    reply = call(running, model, stream=True, stream_options={"include_usage": True})
    assert reply.status == 200
    assert reply.body.endswith(b"data: [DONE]\n\n")
    check_chat_stream(reply.body)
    chunks = events(reply)
    assert len({(chunk["id"], chunk["model"]) for chunk in chunks}) == 1
    texts: dict[int, str] = {}
    ends: dict[int, str] = {}
    order: list[int] = []
    for chunk in chunks:
        for choice in chunk["choices"]:
            texts[choice["index"]] = texts.get(choice["index"], "") + (choice["delta"].get("content") or "")
            if choice["delta"].get("content"):
                order.append(choice["index"])
            if choice["finish_reason"]:
                ends[choice["index"]] = choice["finish_reason"]
    expected = whole.json()["choices"][0]["message"]["content"]
    assert texts == dict.fromkeys(range(3), expected)
    assert ends == dict.fromkeys(range(3), "stop")
    # Side by side, not one after the other.
    assert order.index(2) < len(order) - 1 - order[::-1].index(0)
    assert [chunk["usage"] for chunk in chunks if chunk.get("usage")] == [whole.json()["usage"]]
    costs = {running.record(each.request_id).cost_nano_usd for each in (whole, reply)}
    assert len(costs) == 1


def test_the_price_is_that_of_each_prompt_and_not_of_their_sum(running: RunningGateway) -> None:
    one, three = call(running, "tiered/script/text=2", n=1), call(running, "tiered/script/text=2", n=3)
    prompt = one.json()["usage"]["prompt_tokens"]
    assert prompt <= 10 < 3 * prompt
    costs = [running.record(each.request_id).cost_nano_usd for each in (one, three)]
    assert costs[1] == 3 * costs[0] == 3 * (prompt * 1000 + 2 * 10_000)


@every_upstream
@pytest.mark.parametrize("stream", [False, True])
def test_one_failure_has_all_calls_made_again(running: RunningGateway, upstream: str, stream: bool) -> None:
    token = f"{upstream}-{stream}"
    before = len(running.arrivals())
    reply = call(running, f"{upstream}/script/fail=1:503/text=5/token={token}", stream=stream)
    assert reply.status == 200, reply.body
    record = running.record(reply.request_id)
    assert [attempt.outcome for attempt in record.attempts] == ["provider_overloaded", "ok"]
    assert len(asked(running, before)) == 6
    once = call(running, f"{upstream}/script/text=5", n=1)
    assert record.cost_nano_usd == 3 * running.record(once.request_id).cost_nano_usd


@every_upstream
def test_all_or_nothing(running: RunningGateway, upstream: str) -> None:
    balance = running.balance("choices")
    reply = call(running, f"{upstream}/script/status=500")
    assert reply.status == 500
    assert "choices" not in reply.json()
    assert running.record(reply.request_id).cost_nano_usd == 0
    assert running.balance("choices") == balance
    refused = call(running, f"{upstream}/script/status=400")
    assert refused.status == 400
    assert len(running.record(refused.request_id).attempts) == 1


def test_answers_that_were_given_in_vain_are_charged_as_the_provider_says(running: RunningGateway) -> None:
    """The second of the two calls breaks off once the first is complete; then both are made again."""
    model = "messages/script/text=5/then/first=100ms/text=5/truncate/then/text=5/token=vain"
    reply = call(running, model, n=2)
    assert reply.status == 200
    single = running.record(call(running, "messages/script/text=5", n=1).request_id).cost_nano_usd
    record = running.record(reply.request_id)
    assert [attempt.outcome for attempt in record.attempts] == ["provider_unavailable", "ok"]
    assert record.cost_nano_usd == 3 * single


@every_upstream
def test_a_stream_that_breaks_in_one_choice_ends_with_the_error(running: RunningGateway, upstream: str) -> None:
    reply = call(running, f"{upstream}/script/text=50/error_at=20", stream=True)
    assert reply.status == 200
    last = events(reply)[-1]
    assert last["details"]["status"] == 500
    assert b"[DONE]" not in reply.body
    record = running.record(reply.request_id)
    assert record.status == "failed"
    assert record.cost_nano_usd > 0


def test_a_choice_that_was_cut_short_is_an_error(running: RunningGateway) -> None:
    reply = call(running, "messages/script/text=50/eof=30", stream=True)
    assert "details" in events(reply)[-1]
    assert b"[DONE]" not in reply.body


def test_a_caller_who_leaves_has_all_calls_cut_off(running: RunningGateway) -> None:
    before = len(running.arrivals())
    key = running.key("choices")
    with openai.OpenAI(base_url=running.url + "/v1", api_key=key, max_retries=0) as client:
        stream = client.chat.completions.create(
            model="messages/script/text=1000/delay=5ms",
            messages=[{"role": "user", "content": "Hello!"}],
            n=3,
            stream=True,
        )
        for number, _ in enumerate(stream):
            if number == 12:
                break
        stream.close()
    running.eventually(lambda: all(one.outcome == "gone" for one in running.arrivals()[before:]))
    assert len(running.arrivals()[before:]) == 3


def test_what_is_held_covers_every_call(running: RunningGateway) -> None:
    """Ten prompts of some 100,000 tokens do not fit where one does."""
    key = running.key("choices-short", usd=1)
    text = "toll " * 40_000
    said = [{"role": "user", "content": text}]
    one = call(running, "messages/script/text=1", n=1, key=key, messages=said, max_tokens=10)
    assert one.status == 200
    before = len(running.arrivals())
    reply = call(running, "messages/script/text=1", n=10, key=key, messages=said, max_tokens=10)
    assert reply.status == 403, reply.body
    assert len(running.arrivals()) == before
    # A provider of the caller's own format is sent the prompt once.
    assert call(running, "chat/script/text=1", n=10, key=key, messages=said, max_tokens=10).status == 200


def test_a_provider_of_the_own_format_gets_one_call(running: RunningGateway) -> None:
    before = len(running.arrivals())
    reply = call(running, "chat/script/text=2", n=4)
    assert [choice["index"] for choice in reply.json()["choices"]] == [0, 1, 2, 3]
    assert [body["n"] for body in asked(running, before)] == [4]


def test_a_fallback_from_many_calls_to_one(running: RunningGateway) -> None:
    before = len(running.arrivals())
    reply = call(running, "both", n=2)
    assert reply.status == 200
    assert [choice["index"] for choice in reply.json()["choices"]] == [0, 1]
    record = running.record(reply.request_id)
    assert record.attempts[-1].provider == "chat"
    assert asked(running, before)[-1]["n"] == 2


@pytest.mark.parametrize("face", [HPP, HYPERINFER], ids=lambda face: face.name)
def test_the_other_apis_refuse_what_only_a_translation_could_give(running: RunningGateway, face: Any) -> None:
    before = len(running.arrivals())
    body = {"model": "messages/script/text=1", "n": 2, "messages": [{"role": "user", "content": "Hello!"}]}
    reply = ask(running, "POST", face.chat, face.auth(running.key("choices")), body)
    assert reply.status == 400
    assert b"n must be 1 for this model" in reply.body
    assert len(running.arrivals()) == before


def test_many_at_once_keep_their_books(running: RunningGateway) -> None:
    key = running.key("choices-many", usd=5)
    replies: list[Reply] = []

    def one(number: int) -> None:
        fields: dict[str, Any] = {"stream": True} if number % 2 else {}
        replies.append(call(running, f"{TRANSLATED[number % 2]}/script/text=9", n=2 + number % 3, key=key, **fields))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {reply.status for reply in replies} == {200}
    charged = sum(running.record(reply.request_id).cost_nano_usd for reply in replies)
    assert running.balance("choices-many") == 5 * 10**9 - charged
