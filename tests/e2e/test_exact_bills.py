"""Exact bills: whatever a provider counts, caller, record and ledger hold the same sum, by a rule written twice."""

import json
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from support.callers import HYPERINFER, Reply, ask
from support.gateway import RunningGateway
from support.scripted_providers import Answer, Asked, ScriptedProviders

# USD per 1M tokens: sums of such prices have fractions of a nano-USD.
PROMPT, CACHED, WRITTEN, COMPLETION = "0.123457", "0.037501", "0.154322", "9.999999"
SEARCH = "0.0123"
PATHS = {"chat": HYPERINFER.chat, "responses": "/api/v1/responses", "messages": "/api/v1/messages"}
FORMATS = {"chat": "openai_chat", "responses": "openai_responses", "messages": "anthropic_messages"}


class Count(msgspec.Struct, frozen=True):
    """Disjoint classes of tokens, the reasoning inside of the output, and searches of the provider's."""

    fresh: int
    read: int
    written: int
    output: int
    reasoning: int
    searches: int

    def bill(self, form: str) -> tuple[int, int]:
        """Nano-USD for the model and for searches, each line rounded up once."""
        pairs = ((self.fresh, PROMPT), (self.read, CACHED), (self.written, WRITTEN), (self.output, COMPLETION))
        model = sum(tokens * Fraction(price) * 1000 for tokens, price in pairs)
        searches = 0 if form == "chat" else self.searches
        return ceil(model), ceil(searches * Fraction(SEARCH) * 10**9)


counts = st.builds(
    Count,
    fresh=st.integers(1, 100_000),
    read=st.integers(0, 100_000),
    written=st.integers(0, 100_000),
    output=st.integers(1, 50_000),
    reasoning=st.integers(0, 50_000),
    searches=st.integers(0, 3),
).map(lambda count: msgspec.structs.replace(count, reasoning=min(count.reasoning, count.output)))


def chat_body(count: Count) -> dict[str, Any]:
    prompt = count.fresh + count.read + count.written
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": count.output,
        "total_tokens": prompt + count.output,
        "prompt_tokens_details": {"cached_tokens": count.read, "cache_write_tokens": count.written},
        "completion_tokens_details": {"reasoning_tokens": count.reasoning},
    }
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}
    return {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}


def responses_body(count: Count) -> dict[str, Any]:
    prompt = count.fresh + count.read + count.written
    output: list[dict[str, Any]] = [
        {"type": "web_search_call", "id": f"w{number}", "status": "completed", "action": {"type": "search"}}
        for number in range(count.searches)
    ]
    text = [{"type": "output_text", "text": "Hi.", "annotations": []}]
    output.append({"type": "message", "id": "t", "role": "assistant", "status": "completed", "content": text})
    usage = {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": count.read, "cache_write_tokens": count.written},
        "output_tokens": count.output,
        "output_tokens_details": {"reasoning_tokens": count.reasoning},
        "total_tokens": prompt + count.output,
    }
    head = {"id": "r", "object": "response", "created_at": 1, "status": "completed", "model": "m"}
    return {**head, "output": output, "usage": usage}


def messages_body(count: Count) -> dict[str, Any]:
    usage = {
        "input_tokens": count.fresh,
        "cache_read_input_tokens": count.read,
        "cache_creation_input_tokens": count.written,
        "output_tokens": count.output,
        "server_tool_use": {"web_search_requests": count.searches},
    }
    head = {"id": "m", "type": "message", "role": "assistant", "model": "m", "stop_sequence": None}
    return {**head, "content": [{"type": "text", "text": "Hi."}], "stop_reason": "end_turn", "usage": usage}


BODIES = {"chat": chat_body, "responses": responses_body, "messages": messages_body}


@pytest.fixture(scope="module")
def providers() -> Iterator[ScriptedProviders]:
    made = ScriptedProviders(lambda _: Answer(500))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def running(providers: ScriptedProviders, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    price = (
        f"{{prompt: {PROMPT}, cached_prompt: {CACHED}, cache_write: {WRITTEN}, completion: {COMPLETION}, "
        f"tool_fees: {{web_search: {SEARCH}}}}}"
    )
    lines = ["extends: default", "providers:"]
    lines += [
        f"  - {{id: {name}, format: {form}, base_url: '{providers.url}/{name}/v1', api_key: none}}"
        for name, form in FORMATS.items()
    ]
    lines.append("models:")
    lines += [
        f"  - {{slug: exact/{name}, creator: simulator, pricing: {price}, "
        f"deployments: [{{provider: {name}, model: m}}]}}"
        for name in FORMATS
    ]
    catalog = "\n".join(lines).replace("{", "{{").replace("}", "}}") + "\n"
    made = RunningGateway(tmp_path_factory.mktemp("exact"), catalog=catalog)
    made.key("exact", usd=10_000)
    yield made
    made.stop()


def called(running: RunningGateway, key: str, caller: str, form: str) -> Reply:
    said = [{"role": "user", "content": "Hello!"}]
    body: dict[str, Any] = {"input": said} if caller == "responses" else {"messages": said}
    if caller == "messages":
        body["max_tokens"] = 60_000
    if caller == form != "chat":
        own = {"type": "web_search"} if form == "responses" else {"type": "web_search_20250305", "name": "web_search"}
        body["tools"] = [own]
    return ask(running, "POST", PATHS[caller], HYPERINFER.auth(key), {**body, "model": f"exact/{form}"})


@pytest.fixture(scope="module")
def key(running: RunningGateway) -> str:
    return running.key("exact", usd=0)


@pytest.mark.row(97)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(count=counts, form=st.sampled_from(list(FORMATS)), caller=st.sampled_from(list(FORMATS)))
@example(count=Count(1, 0, 0, 1, 1, 0), form="chat", caller="chat")
@example(count=Count(1, 99_999, 1, 50_000, 50_000, 3), form="responses", caller="responses")
@example(count=Count(1, 99_999, 1, 50_000, 50_000, 3), form="messages", caller="messages")
def test_caller_record_and_ledger_hold_the_same_sum(
    running: RunningGateway, providers: ScriptedProviders, key: str, count: Count, form: str, caller: str
) -> None:
    def script(_: Asked) -> Answer:
        return Answer(body=json.dumps(BODIES[form](count)).encode())

    providers.script = script
    before = running.balance("exact")
    reply = called(running, key, caller, form)
    assert reply.status == 200, reply.body
    model, searches = count.bill(form)
    if caller != form:
        searches = 0  # the tool could not be asked for
    cost = model + searches
    record = running.record(reply.request_id)
    assert (record.cost_nano_usd, record.usage_source) == (cost, "provider")
    assert (record.prompt_tokens, record.cached_tokens) == (count.fresh + count.read + count.written, count.read)
    assert record.completion_tokens == count.output
    assert record.reasoning_tokens == (0 if form == "messages" else count.reasoning)
    charges = dict(running.do(running.gateway.store.charges(reply.request_id)))
    assert charges == {code: amount for code, amount in (("model", model), ("tool:web_search", searches)) if amount}
    assert before - running.balance("exact") == cost
    if caller == "chat":
        assert json.loads(reply.body, parse_float=Decimal, parse_int=Decimal)["usage"]["cost"] * 10**9 == cost
    told = ask(running, "GET", f"/api/v1/generation?id={reply.request_id}", HYPERINFER.auth(key)).json()["data"]
    assert Decimal(told["cost_micro_usd"]) * 1000 == cost
    assert told["cost_micro_usd"] == f"{Decimal(cost) / 1000:f}"
    tools = {name: Decimal(amount) * 1000 for name, amount in told["tool_costs_micro_usd"].items()}
    assert tools == ({"web_search": searches} if searches else {})
