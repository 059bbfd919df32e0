"""Usage of translated answers: the caller sees what is charged, whatever the provider's figures were."""

import json
from typing import Any

import pytest

from support.chat_pipes import ESTIMATE, chunk, stream, words
from tollhouse.wire.format import Answered, AnswerPolicy, Peek
from tollhouse.wire.registry import FORMATS
from tollhouse.wire.translation import Made, open_translation

FORMAT = {each.name: each for each in FORMATS}
POLICY = AnswerPolicy(answer_id="a1", model="acme/large", usage_always=True, tidy=True)
CONTRADICTORY = {
    "prompt_tokens": 7,
    "completion_tokens": 1,
    "total_tokens": 8,
    "prompt_tokens_details": {"cached_tokens": 163},
}
BODY: dict[str, Any] = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
}
SHOWN = {
    "openai_responses": {
        "input_tokens": 7,
        "output_tokens": 3,
        "total_tokens": 10,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    },
    "anthropic_messages": {
        "input_tokens": 7,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 3,
    },
}


def translated(target: str, data: bytes, *, streamed: bool, answered: Answered = ESTIMATE) -> str:
    made = Made(id="a1", created=1, creator="acme", losses=[])
    pipe = open_translation(FORMAT["openai_chat"], FORMAT[target], POLICY, Peek(model="x", stream=streamed), made)
    return (pipe.feed(data) + pipe.close() + pipe.finish(answered)).decode()


@pytest.mark.fault(42, 43)
@pytest.mark.parametrize("target", SHOWN)
@pytest.mark.parametrize("usage", [None, CONTRADICTORY])
def test_an_answer_in_one_piece(target: str, usage: dict[str, Any] | None) -> None:
    out = translated(target, json.dumps({**BODY, "usage": usage}).encode(), streamed=False)
    assert json.loads(out)["usage"] == SHOWN[target]


@pytest.mark.fault(42, 43)
@pytest.mark.parametrize("target", SHOWN)
@pytest.mark.parametrize("usage", [None, CONTRADICTORY])
def test_a_stream(target: str, usage: dict[str, Any] | None) -> None:
    last = [] if usage is None else [chunk(None, usage=usage)]
    out = translated(target, stream(*words(2), *last), streamed=True)
    told = [json.loads(line[5:]) for line in out.splitlines() if line.startswith("data:")]
    ends = [event for event in told if event["type"] in ("message_delta", "response.completed")]
    assert [end.get("response", end)["usage"] for end in ends] == [SHOWN[target]]
