"""The simulator as a Messages provider: whole and streamed answers, tools, counts, and what breaks."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from support.messages_grammar import check_messages_stream
from tollhouse.simulator.serve import start_simulator
from tollhouse.wire.anthropic_messages.format import AnthropicMessages

FORMAT = AnthropicMessages()
HELLO = [{"role": "user", "content": "Hello, world!"}]
WEATHER = {
    "name": "weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def ask(model: str, path: str = "/v1/messages", **fields: Any) -> tuple[int, bytes]:
    async def main() -> tuple[int, bytes]:
        simulator = await start_simulator()
        body = {"model": model, "max_tokens": 1000, "messages": HELLO, **fields}
        body = {key: value for key, value in body.items() if value is not None}
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.post(simulator.url + path, json=body, headers={"x-api-key": "sk-secret"}) as response,
            ):
                return response.status, await response.read()
        finally:
            await simulator.stop()

    return asyncio.run(main())


def whole(model: str, **fields: Any) -> dict[str, Any]:
    status, body = ask(model, **fields)
    assert status == 200
    return json.loads(body)


def stream(model: str, **fields: Any) -> list[dict[str, Any]]:
    status, body = ask(model, stream=True, **fields)
    assert status == 200
    return check_messages_stream(body)


def test_whole_and_streamed_say_and_count_the_same() -> None:
    model = "script/reasoning=3/text=5/tools=2"
    one = whole(model, tools=[WEATHER])
    assert [block["type"] for block in one["content"]] == ["thinking", "text", "tool_use", "tool_use"]
    assert one["stop_reason"] == "tool_use"
    events = stream(model, tools=[WEATHER])
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    for block, kind, key in ((0, "thinking_delta", "thinking"), (1, "text_delta", "text")):
        told = "".join(delta[key] for delta in deltas if delta["type"] == kind)
        assert told == one["content"][block][key]
    arguments = "".join(delta["partial_json"] for delta in deltas if delta["type"] == "input_json_delta")
    assert json.loads(arguments[: len(arguments) // 2]) == one["content"][2]["input"] == {"city": "text"}
    assert events[-2]["usage"] == one["usage"]
    assert events[0]["message"]["usage"]["output_tokens"] == 1


def test_the_default_answer_sums_up_the_question() -> None:
    image = {"type": "image", "source": {"type": "url", "url": "u"}}
    results = [{"type": "tool_result", "tool_use_id": "t", "content": "22 degrees"}]
    asked = [
        {"role": "user", "content": [image, {"type": "text", "text": "Look."}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "weather", "input": {}}]},
        {"role": "user", "content": results},
    ]
    (block,) = whole("echo", messages=asked, system="Be brief.", tools=[WEATHER])["content"]
    assert block["text"] == (
        'Simulator: I got 4 messages (1 system, 2 user, 1 assistant), 1 image, 1 tool. The tool answered: "22 degrees".'
    )


def test_a_required_tool_is_called_and_the_limit_is_kept() -> None:
    asked = whole("echo", tools=[WEATHER], tool_choice={"type": "tool", "name": "weather"})
    assert [block["name"] for block in asked["content"]] == ["weather"]
    asked = whole("script/tools=3", tools=[WEATHER], tool_choice={"type": "any", "disable_parallel_tool_use": True})
    assert len(asked["content"]) == 1
    short = whole("script/text=9", max_tokens=4)
    assert (short["stop_reason"], short["usage"]["output_tokens"]) == ("max_tokens", 4)
    assert whole("script/refusal=No")["stop_reason"] == "refusal"
    shaped = whole("echo", output_config={"format": {"type": "json_schema", "schema": WEATHER["input_schema"]}})
    assert json.loads(shaped["content"][0]["text"]) == {"city": "text"}


def test_a_count_of_tokens_is_that_of_the_answer() -> None:
    fields: dict[str, Any] = {"system": "Be brief.", "tools": [WEATHER]}
    status, body = ask("echo", "/v1/messages/count_tokens", max_tokens=None, **fields)
    assert (status, json.loads(body)) == (200, {"input_tokens": whole("echo", **fields)["usage"]["input_tokens"]})


def test_usage_as_the_script_says() -> None:
    assert "usage" not in whole("script/usage=none")
    figures = whole("script/usage=20:5:8:2")["usage"]
    assert (figures["input_tokens"], figures["cache_read_input_tokens"], figures["output_tokens"]) == (12, 8, 5)
    assert figures["output_tokens_details"] == {"thinking_tokens": 2}
    assert whole("script/usage=negative")["usage"]["output_tokens"] < 0
    assert whole("script/usage=null")["usage"] is None
    status, body = ask("script/text=2/usage_at=first", stream=True)
    assert status == 200
    assert b'"usage":{"output_tokens":2}' in body


def test_errors_have_the_format_s_own_shape() -> None:
    status, body = ask("echo", max_tokens=None)
    assert (status, json.loads(body)["error"]["type"]) == (400, "invalid_request_error")
    status, body = ask("script/status=529")
    assert (status, json.loads(body)["error"]["type"]) == (529, "overloaded_error")
    assert FORMAT.decode_fault(status, (), body).kind == "provider_overloaded"
    _, body = ask("script/status=401/body=echo_auth")
    assert b"sk-secret" in body


@pytest.mark.parametrize(
    ("model", "missing"),
    [
        ("script/text=3/no_role", b"message_start"),
        ("script/text=3/no_done", b"message_stop"),
        ("script/text=3/error_at=2", b"message_delta"),
        ("script/text=3/no_finish", b"end_turn"),
    ],
)
def test_streams_that_lack_something(model: str, missing: bytes) -> None:
    _, body = ask(model, stream=True)
    assert missing not in body
    assert (b"event: error" in body) == ("error_at" in model)
