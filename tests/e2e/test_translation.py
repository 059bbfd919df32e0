"""Any format in, any format out: the nine pairs through a whole gateway, and what a translation loses."""

import json
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.callers import HPP, HYPERINFER, VOLTAGE, Reply, ask, chat
from support.gateway import RunningGateway

CATALOG = """
extends: default
providers:
  - {{id: chat, format: openai_chat, base_url: '{simulator}/v1', api_key: chat-secret-canary}}
  - {{id: responses, format: openai_responses, base_url: '{simulator}/v1', api_key: responses-secret-canary}}
  - {{id: messages, format: anthropic_messages, base_url: '{simulator}/v1', api_key: messages-secret-canary}}
  - {{id: plain, format: openai_chat, base_url: '{simulator}/v1', api_key: none, quirks: {{custom_tools: false}}}}
models:
"""
MODEL = """
  - slug: {slug}/*
    name: {slug}
    creator: simulator
    max_output_tokens: 1000
    pricing: {{{{prompt: 1, completion: 10, cached_prompt: 0.1}}}}
    deployments: [{deployments}]
"""
COUNTED = """
  - {{slug: exact, creator: simulator, free: true, tokenizer: o200k_base, deployments: [{{provider: chat, model: m}}]}}
  - {{slug: rough, creator: simulator, free: true, deployments: [{{provider: responses, model: m}}]}}
"""
FORMATS = ("chat", "responses", "messages")
PATHS = {"chat": HYPERINFER.chat, "responses": "/api/v1/responses", "messages": "/api/v1/messages"}
BOTH = "{{provider: messages, model: '*'}}, {{provider: chat, model: '*', order: 1}}"


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    catalog = CATALOG + "".join(
        MODEL.format(slug=name, deployments=f"{{{{provider: {name}, model: '*'}}}}") for name in (*FORMATS, "plain")
    )
    catalog += MODEL.format(slug="both", deployments=BOTH)
    running = RunningGateway(tmp_path_factory.mktemp("three"), catalog=catalog)
    yield running
    running.stop()


def call(three: RunningGateway, caller: str, model: str, headers: dict[str, str] | None = None, **fields: Any) -> Reply:
    """A call in the caller's format."""
    said = [{"role": "user", "content": "Hello!"}]
    own: dict[str, Any] = {"input": said} if caller == "responses" else {"messages": said}
    if caller == "messages":
        own["max_tokens"] = 500
    auth = HYPERINFER.auth(three.key("translation")) | (headers or {})
    return ask(three, "POST", PATHS[caller], auth, {"model": model, **own, **fields})


def text_of(caller: str, body: Any) -> str:
    if caller == "chat":
        return body["choices"][0]["message"]["content"] or ""
    if caller == "responses":
        texts = [part for item in body["output"] if item["type"] == "message" for part in item["content"]]
        return "".join(part["text"] for part in texts)
    return "".join(block["text"] for block in body["content"] if block["type"] == "text")


def usage_of(caller: str, body: Any) -> tuple[int, int]:
    usage = body["usage"]
    if caller == "chat":
        return usage["prompt_tokens"], usage["completion_tokens"]
    if caller == "responses":
        return usage["input_tokens"], usage["output_tokens"]
    return usage["input_tokens"] + usage["cache_read_input_tokens"], usage["output_tokens"]


def events_of(reply: Reply) -> list[dict[str, Any]]:
    blocks = [block for block in reply.body.decode().split("\n\n") if block and not block.startswith(":")]
    data = [line[6:] for block in blocks for line in block.split("\n") if line.startswith("data: ")]
    return [json.loads(one) for one in data if one != "[DONE]"]


def streamed(caller: str, reply: Reply) -> tuple[str, tuple[int, int]]:
    """Text and usage of a stream."""
    events = events_of(reply)
    if caller == "chat":
        deltas = [choice["delta"] for event in events for choice in event["choices"]]
        return "".join(delta.get("content") or "" for delta in deltas), usage_of("chat", events[-1])
    if caller == "responses":
        texts = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
        assert events[-1]["type"] == "response.completed"
        return "".join(texts), usage_of("responses", events[-1]["response"])
    texts = [event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta"]
    assert events[-1]["type"] == "message_stop"
    start, end = events[0]["message"], events[-2]
    return "".join(texts), usage_of("messages", {"usage": {**start["usage"], **end["usage"]}})


@pytest.mark.row(90)
@pytest.mark.parametrize("caller", FORMATS)
@pytest.mark.parametrize("upstream", FORMATS)
def test_every_pair_gives_the_same_answer_streamed_or_not(three: RunningGateway, caller: str, upstream: str) -> None:
    model = f"{upstream}/script/say=Toll%20paid."
    whole = call(three, caller, model)
    assert whole.status == 200, whole.body
    stream = call(three, caller, model, stream=True)
    assert stream.status == 200, stream.body
    text, usage = streamed(caller, stream)
    assert text == text_of(caller, whole.json()) == "Toll paid."
    assert usage == usage_of(caller, whole.json())
    costs = {three.record(reply.request_id).cost_nano_usd for reply in (whole, stream)}
    assert costs == {usage[0] * 1000 + usage[1] * 10_000}
    prefix = {"chat": "gen-", "responses": "resp_", "messages": "msg_"}[caller]
    assert whole.json()["id"] == prefix + whole.request_id
    assert whole.json()["model"] == model
    # The one member of an answer that only Chat knows; nothing else is lost.
    assert whole.headers.get("x-tollhouse-loss", "system_fingerprint") == "system_fingerprint"


@pytest.mark.row(65, 90)
@pytest.mark.parametrize("caller", FORMATS)
@pytest.mark.parametrize("upstream", FORMATS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_call_goes_through_every_pair(three: RunningGateway, caller: str, upstream: str, stream: bool) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tool: dict[str, Any] = {"name": "weather", "description": "The weather."}
    tools: dict[str, Any] = {
        "chat": {"type": "function", "function": {**tool, "parameters": schema}},
        "responses": {"type": "function", **tool, "parameters": schema},
        "messages": {**tool, "input_schema": schema},
    }
    reply = call(three, caller, f"{upstream}/script/tools=2", tools=[tools[caller]], stream=stream)
    assert reply.status == 200, reply.body
    names = json.dumps(events_of(reply) if stream else reply.json())
    assert names.count('"weather"') >= 2
    record = three.record(reply.request_id)
    assert record.finish_reason in {"tool_calls", "tool_use", "completed"}
    assert '"city"' in names or '\\"city\\"' in names


CODING_TOOLS: list[dict[str, Any]] = [
    {"type": "namespace", "name": "agents", "tools": [{"type": "function", "name": "wait"}]},
    {"type": "custom", "name": "patch"},
    {"type": "web_search", "external_web_access": True},
]


@pytest.mark.row(78)
@pytest.mark.parametrize("upstream", ["chat", "messages"])
@pytest.mark.parametrize("stream", [False, True])
def test_calls_come_back_under_the_names_that_the_caller_gave(
    three: RunningGateway, upstream: str, stream: bool
) -> None:
    def calls(script: str, kind: str, **fields: Any) -> tuple[Reply, list[dict[str, Any]]]:
        reply = call(three, "responses", f"{upstream}/script/{script}", tools=CODING_TOOLS, stream=stream, **fields)
        assert reply.status == 200, reply.body
        body = events_of(reply)[-1]["response"] if stream else reply.json()
        return reply, [item for item in body["output"] if item["type"] == kind]

    reply, (grouped,) = calls("call=agents__wait/args=%7B%7D", "function_call")
    assert (grouped["namespace"], grouped["name"], grouped["arguments"]) == ("agents", "wait", "{}")
    record = three.record(reply.request_id)
    # The provider's own tool has no price, and no other format can say it: it is left out, and costs nothing.
    assert {"tools[0]", "tools[2]"} <= set(record.losses)
    assert "web_search" not in three.arrivals()[-1].body
    if upstream == "messages":
        _, (free,) = calls("call=patch/args=%7B%22input%22%3A%22a%20b%22%7D", "custom_tool_call")
        assert (free["name"], free["input"]) == ("patch", "a b")

    said = {"role": "user", "content": "Hello!"}
    output = {"type": "function_call_output", "call_id": grouped["call_id"], "output": "ready"}
    calls("say=Done.", "message", input=[said, grouped, output])
    assert "agents__wait" in three.arrivals()[-1].body
    sent = three.last_body()["messages"]
    assert grouped["call_id"] in json.dumps(sent[-2]), sent
    assert grouped["call_id"] in json.dumps(sent[-1]), sent


def test_an_unpriced_tool_goes_only_where_it_is_left_out(three: RunningGateway) -> None:
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    refused = call(three, "messages", "messages/script/say=Hi", tools=tools)
    assert refused.status == 400
    assert "web_search" in refused.json()["error"]["message"]
    served = call(three, "messages", "both/script/say=Hi", tools=tools)
    assert served.status == 200, served.body
    assert three.record(served.request_id).provider == "chat"
    assert "tools[0]" in served.headers["x-tollhouse-loss"].split(", ")


@pytest.mark.parametrize(
    ("caller", "upstream"), [("chat", "messages"), ("responses", "messages"), ("responses", "plain")]
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_of_free_text_is_a_function_to_providers_that_know_no_other(
    three: RunningGateway, caller: str, upstream: str, stream: bool
) -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: PATCH"}
    patch: dict[str, Any] = {"name": "patch", "description": "Changes files."}
    text = '*** Begin "Patch"\n'
    said: list[dict[str, Any]] = [{"role": "user", "content": "Hello!"}]
    if caller == "chat":
        tool: dict[str, Any] = {"type": "custom", "custom": {**patch, "format": grammar}}
        choice: dict[str, Any] = {"type": "custom", "custom": {"name": "patch"}}
        called = {"id": "call_1", "type": "custom", "custom": {"name": "patch", "input": text}}
        said.append({"role": "assistant", "content": None, "tool_calls": [called]})
        said.append({"role": "tool", "tool_call_id": "call_1", "content": "done"})
    else:
        tool = {"type": "custom", **patch, "format": grammar}
        choice = {"type": "custom", "name": "patch"}
        said.append({"type": "custom_tool_call", "call_id": "call_1", "name": "patch", "input": text})
        said.append({"type": "custom_tool_call_output", "call_id": "call_1", "output": "done"})
    asked = {"input" if caller == "responses" else "messages": said, "tools": [tool], "tool_choice": choice}
    arguments = urllib.parse.quote(json.dumps({"input": text}), safe="")
    reply = call(three, caller, f"{upstream}/script/call=patch/args={arguments}", stream=stream, **asked)
    assert reply.status == 200, reply.body
    sent = three.last_body()
    schema = {
        "type": "object",
        "properties": {"input": {"type": "string", "description": "Text of this grammar:\nstart: PATCH"}},
        "required": ["input"],
    }
    if upstream == "messages":
        assert sent["tools"] == [{**patch, "input_schema": schema}]
        assert sent["tool_choice"] == {"type": "tool", "name": "patch"}
        assert sent["messages"][1]["content"][0]["input"] == {"input": text}
        assert sent["messages"][2]["content"][0]["type"] == "tool_result"
    else:
        assert sent["tools"] == [{"type": "function", "function": {**patch, "parameters": schema}}]
        assert sent["tool_choice"] == {"type": "function", "function": {"name": "patch"}}
        (before,) = sent["messages"][1]["tool_calls"]
        assert json.loads(before["function"]["arguments"]) == {"input": text}
    assert custom_call(caller, reply, stream=stream) == ("patch", text)
    assert "tools[0]" in three.record(reply.request_id).losses


def custom_call(caller: str, reply: Reply, *, stream: bool) -> tuple[str, str]:
    """Name and text of the one custom call of an answer."""
    if caller == "responses":
        body = events_of(reply)[-1]["response"] if stream else reply.json()
        (item,) = [item for item in body["output"] if item["type"].endswith("_call")]
        assert item["type"] == "custom_tool_call"
        if stream:
            deltas = [e["delta"] for e in events_of(reply) if e["type"] == "response.custom_tool_call_input.delta"]
            assert "".join(deltas) == item["input"]
        return item["name"], item["input"]
    if stream:
        choices = [choice for event in events_of(reply) for choice in event["choices"]]
        assert choices[-1]["finish_reason"] == "tool_calls"
        calls = [each["custom"] for choice in choices for each in choice["delta"].get("tool_calls", ())]
        return calls[0]["name"], "".join(each["input"] for each in calls)
    (whole,) = reply.json()["choices"][0]["message"]["tool_calls"]
    assert whole["type"] == "custom"
    return whole["custom"]["name"], whole["custom"]["input"]


@pytest.mark.parametrize("upstream", ["responses", "messages"])
@pytest.mark.parametrize("stream", [False, True])
def test_the_other_apis_reach_models_of_other_formats(three: RunningGateway, upstream: str, stream: bool) -> None:
    for face in (HPP, VOLTAGE):
        reply = chat(three, face, three.key("translation"), f"{upstream}/script/say=Hi", stream=stream)
        assert reply.status == 200, reply.body
        assert reply.text() == "Hi"


@pytest.mark.parametrize("upstream", ["responses", "messages"])
@pytest.mark.parametrize("caller", FORMATS)
def test_a_stream_that_is_cut_ends_in_the_callers_own_error_frame(
    three: RunningGateway, caller: str, upstream: str
) -> None:
    reply = call(three, caller, f"{upstream}/script/text=50/cut=9", stream=True)
    last = events_of(reply)[-1]
    assert "error" in last
    assert b"[DONE]" not in reply.body
    assert b"message_stop" not in reply.body
    assert b"response.completed" not in reply.body
    record = three.record(reply.request_id)
    assert record.status == "failed"
    assert record.cost_nano_usd > 0


@pytest.mark.parametrize("status", [429, 500, 529, 400, 401])
@pytest.mark.parametrize("caller", FORMATS)
@pytest.mark.parametrize("upstream", FORMATS)
def test_a_providers_error_comes_in_the_callers_envelope(
    three: RunningGateway, caller: str, upstream: str, status: int
) -> None:
    reply = call(three, caller, f"{upstream}/script/status={status}/retry_after=100")
    assert reply.status == {429: 429, 500: 502, 529: 529, 400: 400, 401: 502}[status]
    body = reply.json()
    assert (body.get("type") == "error") == (caller == "messages")
    assert body["error"]["code"]


def test_what_cannot_be_said_is_named_and_recorded(three: RunningGateway) -> None:
    reply = call(three, "chat", "messages/script/say=x", seed=7, frequency_penalty=0.5)
    assert reply.status == 200, reply.body
    named = reply.headers["x-tollhouse-loss"].split(", ")
    assert any("seed" in path for path in named)
    assert any("frequency_penalty" in path for path in named)
    assert set(three.record(reply.request_id).losses) == set(named)


def test_losses_can_be_refused_before_anything_is_forwarded(three: RunningGateway) -> None:
    before = len(three.arrivals())
    reply = call(three, "chat", "messages/script/say=x", {"X-Tollhouse-On-Loss": "reject"}, seed=7)
    assert reply.status == 400
    assert "seed" in reply.json()["error"]["message"]
    assert len(three.arrivals()) == before
    assert call(three, "chat", "messages/script/say=x", {"X-Tollhouse-On-Loss": "reject"}).status == 200


def test_a_deployment_that_loses_nothing_is_asked_first(three: RunningGateway) -> None:
    reply = call(three, "chat", "both/script/say=x", seed=7)
    assert three.record(reply.request_id).provider == "chat"
    reply = call(three, "messages", "both/script/say=x")
    assert three.record(reply.request_id).provider == "messages"


def test_several_choices_are_refused_where_only_a_translation_could_give_them(three: RunningGateway) -> None:
    reply = call(three, "chat", "messages/script/say=x", n=2)
    assert reply.status == 400
    assert reply.json()["error"]["param"] == "n"


def test_tokens_are_counted_for_every_upstream(three: RunningGateway) -> None:
    auth = {"x-api-key": three.key("translation")}
    for upstream in FORMATS:
        asked = {"model": f"{upstream}/script/say=x", "messages": [{"role": "user", "content": "Hello there!"}]}
        reply = ask(three, "POST", "/api/v1/messages/count_tokens", auth, asked)
        assert reply.status == 200, reply.body
        assert reply.json()["input_tokens"] > 0


@pytest.mark.fault(13, 14)
def test_a_prompt_is_counted_in_the_models_own_encoding(start_gateway: Callable[..., RunningGateway]) -> None:
    running = start_gateway(catalog=CATALOG + COUNTED)
    auth = {"x-api-key": running.key()}

    def counted(model: str, text: str) -> int:
        asked = {"model": model, "messages": [{"role": "user", "content": text}]}
        reply = ask(running, "POST", "/api/v1/messages/count_tokens", auth, asked)
        assert reply.status == 200, reply.body
        return reply.json()["input_tokens"]

    before = len(running.arrivals())
    words = "the clerk counts each cart " * 100
    assert counted("exact", words) - counted("exact", "x") == pytest.approx(500, abs=5)
    assert counted("rough", words) - counted("rough", "x") == pytest.approx(len(words) / 3, abs=5)
    assert counted("exact", "<|endoftext|>" * 10) > 50
    # Long text is counted on a thread, in time that no caller can stretch.
    assert counted("exact", "a" * 1_000_000) > 100_000
    assert len(running.arrivals()) == before


def test_the_provider_gets_its_own_key_in_its_own_way(three: RunningGateway) -> None:
    call(three, "chat", "messages/script/say=x")
    sent = {name.lower(): value for name, value in dict(three.arrivals()[-1].headers).items()}
    assert sent["x-api-key"] == "messages-secret-canary"
    assert sent["anthropic-version"] == "2023-06-01"
    assert "authorization" not in sent


def sealed_turns(caller: str, body: Any) -> list[dict[str, Any]]:
    """The conversation so far as the caller sends it back, with the reasoning as it came."""
    said = {"role": "user", "content": "Hello!"}
    more = {"role": "user", "content": "And then?"}
    if caller == "responses":
        return [said, *body["output"], more]
    if caller == "chat":
        return [said, body["choices"][0]["message"], more]
    return [said, {"role": "assistant", "content": body["content"]}, more]


@pytest.mark.parametrize("caller", FORMATS)
def test_sealed_reasoning_comes_back_to_its_own_provider_byte_for_byte(three: RunningGateway, caller: str) -> None:
    model = "messages/script/reasoning=5/say=x"
    first = call(three, caller, model)
    assert first.status == 200, first.body
    if caller != "messages":
        assert b"th1.anthropic_messages.simulator." in first.body
    turns = sealed_turns(caller, first.json())
    own = {"input": turns} if caller == "responses" else {"messages": turns}
    again = call(three, caller, model, **own)
    assert again.status == 200, again.body
    sent = json.loads(three.arrivals()[-1].body)
    (thinking,) = [
        block
        for message in sent["messages"]
        if message["role"] == "assistant"
        for block in message["content"]
        if block["type"] == "thinking"
    ]
    assert thinking["signature"]
    assert not thinking["signature"].startswith("th1.")
    elsewhere = call(three, caller, "chat/script/say=x", **own)
    assert elsewhere.status == 200, elsewhere.body
    assert thinking["signature"] not in three.arrivals()[-1].body
