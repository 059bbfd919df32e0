"""The official OpenAI SDK on all three dialects."""

import json
from collections.abc import Callable

import openai
import pytest

from support.callers import FACES, HPP, HYPERINFER, VOLTAGE, Face
from support.gateway import RunningGateway

MODEL = "simulator/script/text=5"
TEXT = "a quick coin rolls down"
TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Looks up.",
        "parameters": {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]},
    },
}


def client(gateway: RunningGateway, face: Face, key: str, own_header: bool = False) -> openai.OpenAI:
    headers = face.auth(key) if own_header else None
    api_key = "unused" if own_header else key
    return openai.OpenAI(base_url=gateway.url + face.base, api_key=api_key, default_headers=headers, max_retries=0)


@pytest.mark.row(46, 118, 135)
@pytest.mark.parametrize("face", FACES, ids=lambda f: f.name)
@pytest.mark.parametrize("own_header", [False, True])
def test_create_stream_and_list(gateway: RunningGateway, face: Face, own_header: bool) -> None:
    with client(gateway, face, gateway.key(), own_header) as sdk:
        answer = sdk.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hello"}])
        assert answer.choices[0].message.content == TEXT
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage is not None
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + 5
        chunks = list(
            sdk.chat.completions.create(
                model=MODEL,
                messages=[{"role": "user", "content": "hello"}],
                stream=True,
                stream_options={"include_usage": True},
            )
        )
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == TEXT
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.completion_tokens == 5
        names = [model.id for model in sdk.models.list()]
        assert "openai/gpt-5" in names
        if face is HPP:
            assert names[0] == "hpprouter/auto"


@pytest.mark.parametrize("face", [HPP, HYPERINFER], ids=lambda f: f.name)
def test_the_stream_helper_collects_tool_calls(gateway: RunningGateway, face: Face) -> None:
    with (
        client(gateway, face, gateway.key()) as sdk,
        sdk.chat.completions.stream(
            model="simulator/script/tools=1",
            messages=[{"role": "user", "content": "look it up"}],
            tools=[TOOL],  # type: ignore[list-item]
        ) as stream,
    ):
        final = stream.get_final_completion()
    (call,) = final.choices[0].message.tool_calls or ()
    assert call.function.name == "look_up"
    assert set(json.loads(call.function.arguments)) == {"q"}


@pytest.mark.row(46)
def test_hpps_header_is_there_for_the_sdk(gateway: RunningGateway) -> None:
    with client(gateway, HPP, gateway.key()) as sdk:
        raw = sdk.chat.completions.with_raw_response.create(
            model="gpt-4", messages=[{"role": "user", "content": "hello"}]
        )
        assert raw.headers["x-hpp-router-resolved-model"] == "openai/gpt-4"
        assert raw.request_id == raw.headers["x-request-id"]


@pytest.mark.parametrize("face", FACES, ids=lambda f: f.name)
@pytest.mark.parametrize(
    ("model", "make_key", "wanted"),
    [
        (MODEL, lambda gateway: "th-nonsense", openai.AuthenticationError),
        ("no/such", lambda gateway: gateway.key(), openai.BadRequestError),
        ("simulator/script/status=429/retry_after=3000", lambda gateway: gateway.key(), openai.RateLimitError),
        ("simulator/script/status=500/retry_after=3000", lambda gateway: gateway.key(), openai.InternalServerError),
    ],
)
def test_each_refusal_raises_the_right_class(
    gateway: RunningGateway,
    face: Face,
    model: str,
    make_key: Callable[[RunningGateway], str],
    wanted: type[openai.APIStatusError],
) -> None:
    with client(gateway, face, make_key(gateway)) as sdk, pytest.raises(wanted) as raised:
        sdk.chat.completions.create(model=model, messages=[{"role": "user", "content": "hello"}])
    assert raised.value.request_id


@pytest.mark.parametrize("face", [HPP, HYPERINFER, VOLTAGE], ids=lambda f: f.name)
def test_a_failure_in_mid_stream_raises(gateway: RunningGateway, face: Face) -> None:
    with client(gateway, face, gateway.key()) as sdk:
        stream = sdk.chat.completions.create(
            model="simulator/script/text=9/error_at=4", messages=[{"role": "user", "content": "hello"}], stream=True
        )
        with pytest.raises(openai.APIError):
            list(stream)
