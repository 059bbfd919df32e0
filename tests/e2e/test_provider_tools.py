"""Tools that a provider runs itself: charged as often as they were used, and not offered where they have no price."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.callers import HYPERINFER, Reply, ask
from support.gateway import RunningGateway
from support.scripted_providers import Answer, Asked, ScriptedProviders

PATHS = {"chat": HYPERINFER.chat, "responses": "/api/v1/responses", "messages": "/api/v1/messages"}
FORMATS = {"chat": "openai_chat", "responses": "openai_responses", "messages": "anthropic_messages"}
SEARCH = {"responses": "web_search_preview", "messages": "web_search_20250305"}
NAME = {"responses": "web_search_preview", "messages": "web_search"}
TOKENS_NANO_USD = 10 * 1000 + 5 * 10_000
FEE_NANO_USD = 10**7
OWN = {
    "responses": {"type": "function", "name": "f", "parameters": {"type": "object"}},
    "messages": {"name": "f", "input_schema": {"type": "object"}},
}
every_format = pytest.mark.parametrize("form", ["responses", "messages"])


def searched(asked: Asked) -> Answer:
    """Two searches, one page that was read, one search that failed, and a text."""
    if asked.path.endswith("/messages"):
        blocks: list[dict[str, Any]] = [
            {"type": "server_tool_use", "id": f"s{number}", "name": "web_search", "input": {}} for number in range(3)
        ]
        usage: dict[str, Any] = {"input_tokens": 10, "output_tokens": 5, "server_tool_use": {"web_search_requests": 2}}
        body: dict[str, Any] = {
            "id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
            "stop_sequence": None, "content": [*blocks, {"type": "text", "text": "Hi."}], "usage": usage,
        }  # fmt: skip
        return framed(asked, body, messages_events(body))
    actions = ({"type": "search", "query": "a"}, {"type": "open_page", "url": "b"}, {"type": "search", "query": "c"})
    items: list[dict[str, Any]] = [
        {"type": "web_search_call", "id": f"w{number}", "status": "completed", "action": action}
        for number, action in enumerate(actions)
    ]
    items.append({"type": "web_search_call", "id": "w4", "status": "failed", "action": {"type": "search"}})
    items.append({"type": "function_call", "id": "f", "call_id": "f", "name": "f", "arguments": "{}"})
    content = [{"type": "output_text", "text": "Hi.", "annotations": []}]
    items.append({"type": "message", "id": "t", "role": "assistant", "status": "completed", "content": content})
    body = {
        "id": "r", "object": "response", "created_at": 1, "status": "completed", "model": "m", "output": items,
        "usage": {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15},
    }  # fmt: skip
    return framed(asked, body, responses_events(body))


def framed(asked: Asked, body: dict[str, Any], events: list[dict[str, Any]]) -> Answer:
    if not asked.body.get("stream"):
        return Answer(body=json.dumps(body).encode())
    frames = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    return Answer(body=frames.encode(), headers=(("Content-Type", "text/event-stream"),))


def messages_events(body: dict[str, Any]) -> list[dict[str, Any]]:
    begun = {**body, "content": [], "stop_reason": None, "usage": {"input_tokens": 10, "output_tokens": 1}}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": begun}]
    for index, block in enumerate(body["content"]):
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        events.append({"type": "content_block_stop", "index": index})
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    return [*events, {"type": "message_delta", "delta": end, "usage": body["usage"]}, {"type": "message_stop"}]


def responses_events(body: dict[str, Any]) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = [{"type": "response.created", "response": {**body, "output": [], "usage": None}}]
    for index, item in enumerate(body["output"]):
        events.append({"type": "response.output_item.added", "output_index": index, "item": item})
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    return [*events, {"type": "response.completed", "response": body}]


@pytest.fixture(scope="module")
def providers() -> Iterator[ScriptedProviders]:
    made = ScriptedProviders(searched)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def running(providers: ScriptedProviders, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    lines = ["extends: default", "providers:"]
    lines += [
        f"  - {{id: {form}, format: {FORMATS[form]}, base_url: '{providers.url}/{form}/v1', api_key: none}}"
        for form in NAME
    ]
    lines.append("models:")
    for form, name in NAME.items():
        for slug, fees in (("priced", f", tool_fees: {{{name}: 0.01}}"), ("bare", "")):
            lines.append(
                f"  - {{slug: {form}/{slug}, creator: simulator, pricing: {{prompt: 1, completion: 10{fees}}}, "
                f"max_output_tokens: 1000, deployments: [{{provider: {form}, model: m}}]}}"
            )
    catalog = "\n".join(lines).replace("{", "{{").replace("}", "}}") + "\n"
    made = RunningGateway(tmp_path_factory.mktemp("tools"), catalog=catalog)
    yield made
    made.stop()


@pytest.fixture
def call(running: RunningGateway) -> Callable[..., Reply]:
    def made(form: str, slug: str, headers: dict[str, str] | None = None, **fields: Any) -> Reply:
        said = [{"role": "user", "content": "Hello!"}]
        body: dict[str, Any] = {"input": said} if form == "responses" else {"messages": said, "max_tokens": 500}
        auth = HYPERINFER.auth(running.key()) | (headers or {})
        return ask(running, "POST", PATHS[form], auth, {"model": f"{form}/{slug}", **body, **fields})

    return made


def provider_tool(form: str) -> dict[str, Any]:
    return {"type": SEARCH[form], **({"name": "web_search"} if form == "messages" else {})}


@pytest.mark.row(97)
@every_format
@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_is_charged_as_often_as_it_was_used(
    running: RunningGateway, call: Callable[..., Reply], form: str, stream: bool
) -> None:
    reply = call(form, "priced", tools=[provider_tool(form), OWN[form]], stream=stream)
    assert reply.status == 200, reply.body
    record = running.record(reply.request_id)
    assert record.cost_nano_usd == TOKENS_NANO_USD + 2 * FEE_NANO_USD
    lines = running.do(running.gateway.store.charges(reply.request_id))
    assert lines == (("model", TOKENS_NANO_USD), (f"tool:{NAME[form]}", 2 * FEE_NANO_USD))


@every_format
def test_what_was_not_offered_costs_nothing(running: RunningGateway, call: Callable[..., Reply], form: str) -> None:
    """Whatever the provider says it has used: the caller did not ask for it."""
    reply = call(form, "priced", tools=[OWN[form]])
    assert running.record(reply.request_id).cost_nano_usd == TOKENS_NANO_USD


@every_format
@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_without_a_price_is_left_out_where_the_caller_has_others(
    running: RunningGateway, providers: ScriptedProviders, call: Callable[..., Reply], form: str, stream: bool
) -> None:
    """As Codex does, which offers it in every call."""
    reply = call(form, "bare", tools=[provider_tool(form), OWN[form]], stream=stream, tool_choice=auto(form))
    assert reply.status == 200, reply.body
    assert providers.asked[-1].body["tools"] == [OWN[form]]
    record = running.record(reply.request_id)
    assert record.cost_nano_usd == TOKENS_NANO_USD
    assert record.losses == ("tools[0]",)
    assert stream or reply.headers["x-tollhouse-loss"] == "tools[0]"


@every_format
def test_a_tool_without_a_price_is_refused_where_it_is_wanted(
    providers: ScriptedProviders, call: Callable[..., Reply], form: str
) -> None:
    before = len(providers.asked)
    tool, own = provider_tool(form), OWN[form]
    wishes: list[tuple[dict[str, str], dict[str, Any]]] = [
        ({}, {"tools": [tool]}),
        ({}, {"tools": [tool, own], "tool_choice": {"type": "any"} if form == "messages" else "required"}),
        ({}, {"tools": [tool, own], "tool_choice": {"type": "tool" if form == "messages" else SEARCH[form]}}),
        ({"x-tollhouse-on-loss": "reject"}, {"tools": [tool, own]}),
    ]
    if form == "messages":
        wishes[2][1]["tool_choice"]["name"] = "web_search"
    for headers, fields in wishes:
        reply = call(form, "bare", headers, **fields)
        assert reply.status == 400, fields
        message = reply.json()["error"]["message"]
        assert "no price" in message
        assert headers or (f"tool_fees: {{{NAME[form]}: 0.01}}" in message and "unpriced: allow" in message)
    assert len(providers.asked) == before


def auto(form: str) -> Any:
    return {"type": "auto"} if form == "messages" else "auto"
