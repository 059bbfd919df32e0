"""Law 11: the official OpenAI and Anthropic SDKs against a running gateway, in every format, over every pair."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from support.gateway import RunningGateway

FORMATS = {"chat": "openai_chat", "responses": "openai_responses", "messages": "anthropic_messages"}
CATALOG = "extends: default\nproviders:\n" + "".join(
    f"  - {{{{id: {name}, format: {form}, base_url: '{{simulator}}/v1', api_key: none}}}}\n"
    for name, form in FORMATS.items()
)
CATALOG += "models:\n" + "".join(
    f"  - {{{{slug: {name}/*, name: {name}, creator: simulator, free: true, max_output_tokens: 1000, "
    f"deployments: [{{{{provider: {name}, model: '*'}}}}]}}}}\n"
    for name in FORMATS
)
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
SAID = "The toll is paid."
SCRIPT = "script/say=The%20toll%20is%20paid."

_token = itertools.count()
every_upstream = pytest.mark.parametrize("upstream", FORMATS)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    gateway = RunningGateway(tmp_path_factory.mktemp("sdk"), catalog=CATALOG)
    yield gateway
    gateway.stop()


@pytest.fixture(scope="module")
def openai_client(running: RunningGateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{running.url}/api/v1", api_key=running.key(), max_retries=0) as client:
        yield client


@pytest.fixture(scope="module", params=["auth token", "api key"])
def anthropic_client(running: RunningGateway, request: pytest.FixtureRequest) -> Iterator[anthropic.Anthropic]:
    how: dict[str, Any] = {"auth_token" if request.param == "auth token" else "api_key": running.key()}
    with anthropic.Anthropic(base_url=f"{running.url}/api", max_retries=0, **how) as client:
        yield client


@pytest.mark.row(118)
@every_upstream
def test_chat_completions(openai_client: openai.OpenAI, upstream: str) -> None:
    asked: Any = {"model": f"{upstream}/{SCRIPT}", "messages": [{"role": "user", "content": "Hi"}]}
    whole = openai_client.chat.completions.create(**asked)
    assert whole.choices[0].message.content == SAID
    with openai_client.chat.completions.stream(**asked) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.content == SAID
    assert final.choices[0].finish_reason == "stop"
    assert final.usage == whole.usage


@pytest.mark.row(118, 81)
@every_upstream
def test_responses(openai_client: openai.OpenAI, upstream: str) -> None:
    asked: Any = {"model": f"{upstream}/{SCRIPT}", "input": "Hi", "instructions": "Be brief."}
    whole = openai_client.responses.create(**asked)
    assert whole.output_text == SAID
    with openai_client.responses.stream(**asked) as stream:
        final = stream.get_final_response()
    assert final.output_text == SAID
    assert final.status == "completed"
    assert final.usage == whole.usage


@pytest.mark.row(118, 89)
@every_upstream
def test_messages(anthropic_client: anthropic.Anthropic, upstream: str) -> None:
    asked: Any = {
        "model": f"{upstream}/{SCRIPT}",
        "max_tokens": 100,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "Hi"}],
    }
    whole = anthropic_client.messages.create(**asked)
    assert [block.text for block in whole.content if block.type == "text"] == [SAID]
    with anthropic_client.messages.stream(**asked) as stream:
        final = stream.get_final_message()
    assert [block.text for block in final.content if block.type == "text"] == [SAID]
    assert final.stop_reason == whole.stop_reason == "end_turn"
    assert final.usage.output_tokens == whole.usage.output_tokens > 0
    counted = anthropic_client.messages.count_tokens(model=asked["model"], messages=asked["messages"])
    assert counted.input_tokens > 0


@pytest.mark.row(66, 78, 84)
@every_upstream
def test_a_round_of_tools_in_every_format(
    openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic, running: RunningGateway, upstream: str
) -> None:
    script = "call=weather/args=%7B%22city%22%3A%22Rome%22%7D/then/say=Sunny."
    model = f"{upstream}/script/{script}/token={upstream}{next(_token)}"
    function: Any = {"name": "weather", "description": "The weather.", "parameters": SCHEMA}
    said: Any = [{"role": "user", "content": "Weather?"}]

    tools: Any = [{"type": "function", "function": function}]
    one = openai_client.chat.completions.create(model=model + "c", messages=said, tools=tools)
    (call,) = one.choices[0].message.tool_calls or []
    assert (one.choices[0].finish_reason, call.type) == ("tool_calls", "function")
    answered = [*said, one.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "sun"}]
    two = openai_client.chat.completions.create(model=model + "c", messages=answered, tools=tools)
    assert two.choices[0].message.content == "Sunny."

    first = openai_client.responses.create(model=model + "r", input=said, tools=[{"type": "function", **function}])
    (item,) = [item for item in first.output if item.type == "function_call"]
    assert (item.name, item.arguments.replace(" ", "")) == ("weather", '{"city":"Rome"}')
    result: Any = {"type": "function_call_output", "call_id": item.call_id, "output": "sun"}
    history: Any = [*said, *first.output, result]
    second = openai_client.responses.create(model=model + "r", input=history, tools=[{"type": "function", **function}])
    assert second.output_text == "Sunny."

    tool: Any = [{"name": "weather", "description": "The weather.", "input_schema": SCHEMA}]
    start = anthropic_client.messages.create(model=model + "m", max_tokens=100, messages=said, tools=tool)
    (block,) = [block for block in start.content if block.type == "tool_use"]
    assert (start.stop_reason, block.name, block.input) == ("tool_use", "weather", {"city": "Rome"})
    back: Any = {"type": "tool_result", "tool_use_id": block.id, "content": "sun", "is_error": False}
    turns: Any = [*said, {"role": "assistant", "content": start.content}, {"role": "user", "content": [back]}]
    end = anthropic_client.messages.create(model=model + "m", max_tokens=100, messages=turns, tools=tool)
    assert [block.text for block in end.content if block.type == "text"] == ["Sunny."]
    sent = running.arrivals()[-1].body
    assert "sun" in sent
    assert "weather" in sent


@pytest.mark.row(91)
@every_upstream
def test_errors_raise_the_right_class(
    openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic, upstream: str
) -> None:
    said: Any = [{"role": "user", "content": "Hi"}]
    limited = f"{upstream}/script/status=429/retry_after=100"
    with pytest.raises(openai.RateLimitError):
        openai_client.chat.completions.create(model=limited, messages=said)
    with pytest.raises(openai.RateLimitError):
        openai_client.responses.create(model=limited, input="Hi")
    with pytest.raises(anthropic.RateLimitError):
        anthropic_client.messages.create(model=limited, max_tokens=9, messages=said)
    broken = f"{upstream}/script/text=30/cut=8"
    with pytest.raises(openai.APIError):
        list(openai_client.chat.completions.create(model=broken, messages=said, stream=True))
    with pytest.raises(openai.APIError):
        list(openai_client.responses.create(model=broken, input="Hi", stream=True))
    with pytest.raises(anthropic.APIError):
        list(anthropic_client.messages.create(model=broken, max_tokens=99, messages=said, stream=True))


@every_upstream
def test_the_tool_loop_of_the_sdk_sends_whole_conversations(
    running: RunningGateway, anthropic_client: anthropic.Anthropic, upstream: str
) -> None:
    asked: list[str] = []

    @anthropic.beta_tool
    def weather(city: str) -> str:
        """The weather in a city."""
        asked.append(city)
        return "Rain."

    script = (
        f"script/once/call=weather/args=%7B%22city%22%3A%22Oslo%22%7D/say=The%20toll%20is%20paid./token=t{next(_token)}"
    )
    runner = anthropic_client.beta.messages.tool_runner(
        model=f"{upstream}/{script}",
        max_tokens=200,
        tools=[weather],
        messages=[{"role": "user", "content": "What is the weather in Oslo?"}],
    )
    final = runner.until_done()
    assert asked == ["Oslo"]
    assert [block.text for block in final.content if block.type == "text"] == [SAID]
    sent = running.last_body()
    assert "in Oslo?" in json.dumps(sent), "the question is missing from the second turn"
    assert sent["tools"]
