"""The checklist's rows on HyperInfer's Responses and Messages, over providers of every format."""

from collections.abc import Iterator
from typing import Any

import pytest

from support.conversation import PDF, PNG
from support.formats import CATALOG, FORMATS, call, events, losses, told
from support.gateway import RunningGateway

SCHEMA = {"type": "object", "properties": {"n": {"const": 7}}, "required": ["n"], "additionalProperties": False}
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
TOOL = {"name": "weather", "description": "The weather.", "input_schema": SCHEMA}
SAID = [{"role": "user", "content": "Hi"}]
every_upstream = pytest.mark.parametrize("upstream", FORMATS)
streamed_or_not = pytest.mark.parametrize("stream", [False, True])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    gateway = RunningGateway(tmp_path_factory.mktemp("rows"), catalog=CATALOG)
    yield gateway
    gateway.stop()


# Responses.


@pytest.mark.row(75, 76)
@every_upstream
def test_input_as_text_and_null_for_each_nullable_field(running: RunningGateway, upstream: str) -> None:
    nulls = dict.fromkeys(
        ("instructions", "max_output_tokens", "temperature", "top_p", "reasoning", "previous_response_id")
    )
    model = f"{upstream}/script/say=Hi"
    reply = call(running, "responses", model, input="Hello!", **nulls)
    assert reply.status == 200, reply.body
    assert reply.json()["output"][0]["content"][0]["text"] == "Hi"
    assert losses(reply) == []
    reply = call(running, "responses", model, input="Hello!", instructions="Be brief.")
    assert reply.status == 200
    sent = told(running)
    first = {
        "chat": lambda: sent["messages"][0]["content"],
        "responses": lambda: sent["instructions"],
        "messages": lambda: sent["system"][0]["text"],
    }
    assert first[upstream]() == "Be brief."


@pytest.mark.row(79)
@every_upstream
@pytest.mark.parametrize("effort", ["low", "medium", "high", None])
def test_a_schema_and_an_effort_for_responses(running: RunningGateway, upstream: str, effort: str | None) -> None:
    wanted = {"format": {"type": "json_schema", "name": "answer", "schema": SCHEMA, "strict": True}}
    reply = call(running, "responses", f"{upstream}/echo", text=wanted, reasoning={"effort": effort})
    assert reply.status == 200, reply.body
    assert reply.json()["output"][-1]["content"][0]["text"].replace(" ", "") == '{"n":7}'
    sent = told(running)
    said = {
        "chat": lambda: sent.get("reasoning_effort"),
        "responses": lambda: sent["reasoning"]["effort"],
        "messages": lambda: sent["output_config"].get("effort"),
    }
    assert said[upstream]() == effort


@pytest.mark.row(80)
@every_upstream
@streamed_or_not
def test_a_truncated_answer_of_responses_is_incomplete(running: RunningGateway, upstream: str, stream: bool) -> None:
    reply = call(running, "responses", f"{upstream}/script/text=50", max_output_tokens=16, stream=stream)
    assert reply.status == 200, reply.body
    body = reply.json() if not stream else events(reply)[-1]["response"]
    assert body["status"] == "incomplete"
    assert body["incomplete_details"] == {"reason": "max_output_tokens"}
    assert body["usage"]["output_tokens"] == 16
    if stream:
        # The contract's one last event, whatever the status in it.
        assert events(reply)[-1]["type"] == "response.completed"
    required = {"id", "object", "created_at", "status", "model", "output", "usage"}
    assert required <= set(body)
    assert (body["object"], body["id"]) == ("response", f"resp_{reply.request_id}")


@pytest.mark.row(80, 81)
@every_upstream
@streamed_or_not
def test_output_is_reasoning_then_text_then_calls(running: RunningGateway, upstream: str, stream: bool) -> None:
    tools = [{"type": "function", "name": "weather", "parameters": SCHEMA}]
    script = "reasoning=3/say=Look./call=weather/tools=2"
    reply = call(running, "responses", f"{upstream}/script/{script}", tools=tools, stream=stream)
    body = events(reply)[-1]["response"] if stream else reply.json()
    kinds = [item["type"] for item in body["output"]]
    assert kinds == ["reasoning", "message", "function_call", "function_call"]
    assert body["status"] == "completed"
    if stream:
        named = [event["type"] for event in events(reply)]
        assert named[:2] == ["response.created", "response.in_progress"]
        assert named.count("response.output_item.added") == named.count("response.output_item.done") == 4
        assert [event["sequence_number"] for event in events(reply)] == list(range(len(named)))


# Messages.

PAPER = {"type": "base64", "media_type": "application/pdf", "data": PDF}
BLOCKS: list[dict[str, Any]] = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "Look."},
            PICTURE,
            {"type": "document", "title": "a.pdf", "source": PAPER},
        ],
    },
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"n": 7}},
        ],
    },
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "sun"}]},
]


@pytest.mark.row(83)
@every_upstream
@pytest.mark.parametrize("system", ["Be brief.", [{"type": "text", "text": "Be"}, {"type": "text", "text": "brief."}]])
def test_all_six_blocks_and_both_kinds_of_system(running: RunningGateway, upstream: str, system: Any) -> None:
    reply = call(running, "messages", f"{upstream}/script/say=x", messages=BLOCKS, system=system, tools=[TOOL])
    assert reply.status == 200, reply.body
    sent = told(running)
    if upstream == "messages":
        assert (sent["messages"], sent["system"]) == (BLOCKS, system)
        return
    turns = sent["messages"] if upstream == "chat" else sent["input"]
    text = str(sent)
    for word in ("Look.", PNG, PDF, "Hm.", "I look.", "sun", "brief."):
        assert word in text, word
    assert "c2ln" not in text
    # The signature of another maker's thinking has no place here; nothing else is lost.
    assert [path.rpartition(".")[2] for path in losses(reply)] == ["opaque"]
    assert len(turns) >= 4


@pytest.mark.row(84)
@every_upstream
@pytest.mark.parametrize("failed", [False, True])
def test_results_with_text_images_and_errors(running: RunningGateway, upstream: str, failed: bool) -> None:
    result = {
        "type": "tool_result",
        "tool_use_id": "toolu_1",
        "content": [{"type": "text", "text": "no sun"}, PICTURE],
        "is_error": failed,
    }
    turns = [*BLOCKS[:1], {"role": "assistant", "content": BLOCKS[1]["content"][1:]}]
    asked = [*turns, {"role": "user", "content": [result]}]
    reply = call(running, "messages", f"{upstream}/script/say=x", messages=asked, tools=[TOOL])
    assert reply.status == 200, reply.body
    sent = told(running)
    if upstream == "messages":
        assert sent["messages"][-1]["content"] == [result]
        return
    last = (sent["messages"] if upstream == "chat" else sent["input"])[-1]
    kinds = [part["type"] for part in (last["content"] if upstream == "chat" else last["output"])]
    assert kinds == (["text", "image_url"] if upstream == "chat" else ["input_text", "input_image"])
    assert losses(reply) == (["messages[2].parts[0].is_error"] if failed else [])


@pytest.mark.row(86)
@every_upstream
@streamed_or_not
def test_thinking_comes_when_it_is_asked_for(running: RunningGateway, upstream: str, stream: bool) -> None:
    asked = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000, "stream": stream}
    reply = call(running, "messages", f"{upstream}/script/reasoning=3/say=Well.", **asked)
    assert reply.status == 200, reply.body
    if stream:
        deltas = [event["delta"] for event in events(reply) if event["type"] == "content_block_delta"]
        assert "".join(delta.get("thinking", "") for delta in deltas) == "a quick coin"
        started = [e["content_block"]["type"] for e in events(reply) if e["type"] == "content_block_start"]
        assert started == ["thinking", "text"]
    else:
        thinking, text = reply.json()["content"]
        assert (thinking["type"], thinking["thinking"], text["text"]) == ("thinking", "a quick coin", "Well.")
        assert isinstance(thinking["signature"], str)
    sent = told(running)
    if upstream == "messages":
        assert sent["thinking"] == asked["thinking"]
    else:
        effort = sent["reasoning_effort"] if upstream == "chat" else sent["reasoning"]["effort"]
        assert effort == "low"


@pytest.mark.row(86)
@every_upstream
def test_thinking_that_is_switched_off(running: RunningGateway, upstream: str) -> None:
    reply = call(running, "messages", f"{upstream}/script/say=Well.", thinking={"type": "disabled"})
    assert [block["type"] for block in reply.json()["content"]] == ["text"]
    if upstream == "messages":
        assert told(running)["thinking"] == {"type": "disabled"}
    else:
        # Those formats have no word for it that every model knows.
        assert losses(reply) == ["reasoning.mode"]


@pytest.mark.row(88)
@every_upstream
@streamed_or_not
def test_an_answer_of_messages_has_its_fields(running: RunningGateway, upstream: str, stream: bool) -> None:
    reply = call(running, "messages", f"{upstream}/script/say=Hi/usage=100:10:40", stream=stream)
    assert reply.status == 200, reply.body
    if stream:
        start, end = events(reply)[0]["message"], events(reply)[-2]
        usage, head, reason = {**start["usage"], **end["usage"]}, start, end["delta"]
    else:
        head = reason = reply.json()
        usage = head["usage"]
    assert (head["type"], head["role"], head["id"]) == ("message", "assistant", f"msg_{reply.request_id}")
    assert head["model"] == f"{upstream}/script/say=Hi/usage=100:10:40"
    assert (reason["stop_reason"], reason["stop_sequence"]) == ("end_turn", None)
    assert (usage["input_tokens"], usage["cache_read_input_tokens"]) == (60, 40)
    assert (usage["output_tokens"], usage["cache_creation_input_tokens"]) == (10, 0)
    assert running.record(reply.request_id).cost_nano_usd == 60 * 1000 + 40 * 100 + 10 * 10_000


STOPS = {"end_turn": "say=Hi", "max_tokens": "text=90", "tool_use": "tools=1", "refusal": "refusal=No"}


@pytest.mark.row(88)
@every_upstream
@pytest.mark.parametrize("reason", STOPS)
@streamed_or_not
def test_every_stop_reason_is_reached(running: RunningGateway, upstream: str, reason: str, stream: bool) -> None:
    script = STOPS[reason]
    if reason == "refusal" and upstream != "messages":
        script = "finish=content_filter"
    asked = {"max_tokens": 20, "tools": [TOOL], "stream": stream}
    reply = call(running, "messages", f"{upstream}/script/{script}", **asked)
    assert reply.status == 200, reply.body
    told_reason = events(reply)[-2]["delta"]["stop_reason"] if stream else reply.json()["stop_reason"]
    assert told_reason == reason


@pytest.mark.row(88)
@streamed_or_not
def test_the_stop_sequence_is_reported(running: RunningGateway, stream: bool) -> None:
    asked = {"stop_sequences": ["gate", "toll"], "stream": stream}
    reply = call(running, "messages", "messages/script/say=The%20toll%20gate", **asked)
    delta = events(reply)[-2]["delta"] if stream else reply.json()
    # The contract's list of reasons has no stop_sequence.
    assert (delta["stop_reason"], delta["stop_sequence"]) == ("end_turn", "toll")
    assert told(running)["stop_sequences"] == ["gate", "toll"]


@pytest.mark.row(89)
@every_upstream
def test_a_stream_of_messages_has_its_order_and_three_kinds_of_deltas(running: RunningGateway, upstream: str) -> None:
    script = "reasoning=3/say=Look%20there./call=weather/args=%7B%22n%22%3A7%7D"
    reply = call(running, "messages", f"{upstream}/script/{script}", tools=[TOOL], stream=True)
    told_events = events(reply)
    kinds = [event["type"] for event in told_events]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    deltas: dict[int, list[str]] = {}
    open_block: int | None = None
    for event in told_events[1:-2]:
        match event["type"]:
            case "content_block_start":
                assert open_block is None
                open_block = event["index"]
            case "content_block_delta":
                assert event["index"] == open_block
                deltas.setdefault(event["index"], []).append(event["delta"]["type"])
            case "content_block_stop":
                assert event["index"] == open_block
                open_block = None
    assert [set(kind) - {"signature_delta"} for kind in deltas.values()] == [
        {"thinking_delta"},
        {"text_delta"},
        {"input_json_delta"},
    ]
    assert told_events[-2]["usage"]["output_tokens"] > 0
    assert told_events[-2]["delta"]["stop_reason"] == "tool_use"


@pytest.mark.row(90)
@pytest.mark.parametrize("caller", FORMATS)
@every_upstream
def test_a_schema_is_understood_over_every_pair(running: RunningGateway, caller: str, upstream: str) -> None:
    wanted: dict[str, dict[str, Any]] = {
        "chat": {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}},
        "responses": {"text": {"format": {"type": "json_schema", "name": "answer", "schema": SCHEMA}}},
        "messages": {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
    }
    reply = call(running, caller, f"{upstream}/echo", **wanted[caller])
    assert reply.status == 200, reply.body
    body = reply.json()
    text = {
        "chat": lambda: body["choices"][0]["message"]["content"],
        "responses": lambda: body["output"][0]["content"][0]["text"],
        "messages": lambda: body["content"][0]["text"],
    }
    assert text[caller]() == '{"n": 7}'
