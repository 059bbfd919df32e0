"""What a pipe notes for the bill: the service tier that the provider says it gave, and how far its report reaches."""

import json
from typing import Any

import pytest

from tollhouse.wire.format import AnswerPolicy, Peek
from tollhouse.wire.pipe import Pipe
from tollhouse.wire.registry import FORMATS
from tollhouse.wire.translation import Made, open_translation

BY_NAME = {form.name: form for form in FORMATS}
PLAIN = AnswerPolicy()
STREAM, BODY = Peek(model="m", stream=True, wants_usage=True), Peek(model="m")


def frame(value: dict[str, Any]) -> bytes:
    name = f"event: {value['type']}\n" if "type" in value else ""
    return f"{name}data: {json.dumps(value)}\n\n".encode()


def chunk(text: str = "", usage: dict[str, int] | None = None, **more: Any) -> bytes:
    delta = {"content": text} if text else {}
    choice = {"index": 0, "delta": delta, "finish_reason": None if text else "stop"}
    told = {} if usage is None else {"usage": usage}
    return frame(
        {"id": "a", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]} | told | more
    )


def counts(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def translated(source: str, target: str, peek: Peek) -> Pipe:
    made = Made(id="x", created=1, creator="c", losses=[])
    return open_translation(BY_NAME[source], BY_NAME[target], PLAIN, peek, made)


def chat_pipes() -> list[Pipe]:
    return [BY_NAME["openai_chat"].pipe(PLAIN, STREAM), translated("openai_chat", "anthropic_messages", STREAM)]


@pytest.mark.fault(42)
@pytest.mark.parametrize("which", [0, 1], ids=["same format", "translated"])
def test_how_far_a_report_reaches_in_a_stream_of_chunks(which: int) -> None:
    pipe = chat_pipes()[which]
    pipe.feed(chunk("one ") + chunk("two ", counts(9, 2)) + chunk("three"))
    assert pipe.usage is not None
    assert (pipe.usage.completion_tokens, pipe.reported_at_bytes, pipe.received_bytes) == (2, 8, 13)
    pipe.feed(chunk(usage=counts(9, 3)) + b"data: [DONE]\n\n")
    assert (pipe.usage.completion_tokens, pipe.reported_at_bytes) == (3, 13)


@pytest.mark.fault(42)
def test_noughts_at_the_end_and_garbage_do_not_undo_a_report() -> None:
    pipe = chat_pipes()[0]
    pipe.feed(chunk("one ", counts(9, 1)) + chunk("two", {"prompt_tokens": -1, "completion_tokens": 2}))
    pipe.feed(chunk(usage=counts(0, 0)))
    assert pipe.usage is not None
    assert (pipe.usage.completion_tokens, pipe.reported_at_bytes, pipe.received_bytes) == (1, 4, 7)


def message_start(**usage: Any) -> bytes:
    message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": usage}
    return frame({"type": "message_start", "message": message})


def text_delta(text: str) -> bytes:
    return frame({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})


@pytest.mark.fault(42)
@pytest.mark.parametrize("target", ["anthropic_messages", "openai_chat"])
def test_the_beginning_of_a_message_tells_nothing_of_its_end(target: str) -> None:
    same = target == "anthropic_messages"
    pipe = BY_NAME[target].pipe(PLAIN, STREAM) if same else translated("anthropic_messages", target, STREAM)
    block = {"type": "text", "text": ""}
    pipe.feed(
        message_start(input_tokens=9, output_tokens=1, service_tier="priority")
        + frame({"type": "content_block_start", "index": 0, "content_block": block})
        + text_delta("hello, world")
    )
    assert pipe.usage is not None
    assert (pipe.usage.completion_tokens, pipe.reported_at_bytes, pipe.received_bytes) == (0, 0, 12)
    assert pipe.service_tier == "priority"
    pipe.feed(
        frame({"type": "content_block_stop", "index": 0})
        + frame({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}})
        + frame({"type": "message_stop"})
    )
    pipe.close()
    assert (pipe.usage.completion_tokens, pipe.reported_at_bytes) == (4, 12)


@pytest.mark.parametrize(
    ("usage", "tier"),
    [
        ({}, None),
        ({"service_tier": "standard"}, None),
        ({"service_tier": "priority"}, "priority"),
        ({"service_tier": "standard", "speed": "standard"}, "standard"),
        ({"service_tier": "standard", "speed": "fast"}, "fast"),
        ({"service_tier": 7, "speed": ["fast"]}, None),
    ],
)
def test_a_message_tells_its_tier_and_its_speed(usage: dict[str, Any], tier: str | None) -> None:
    pipe = BY_NAME["anthropic_messages"].pipe(PLAIN, BODY)
    counters = {"input_tokens": 9, "output_tokens": 4} | usage
    content = [{"type": "text", "text": "hello"}]
    pipe.feed(json.dumps({"type": "message", "role": "assistant", "content": content, "usage": counters}).encode())
    pipe.close()
    assert (pipe.service_tier, pipe.reported_at_bytes, pipe.received_bytes) == (tier, 5, 5)


@pytest.mark.parametrize("target", ["openai_chat", "openai_responses", "anthropic_messages"])
@pytest.mark.parametrize("tier", ["priority", "default", None])
def test_an_answer_tells_its_tier_whoever_it_is_for(target: str, tier: str | None) -> None:
    same = target == "openai_chat"
    pipe = BY_NAME[target].pipe(PLAIN, BODY) if same else translated("openai_chat", target, BODY)
    message = {"role": "assistant", "content": "hello"}
    answer = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "service_tier": tier}
    pipe.feed(json.dumps({"id": "a", "created": 1, "model": "m", "usage": counts(9, 4)} | answer).encode())
    pipe.close()
    assert (pipe.service_tier, pipe.reported_at_bytes, pipe.received_bytes) == (tier, 5, 5)


@pytest.mark.parametrize("stream", [False, True])
def test_responses_tell_the_tier_at_their_end(stream: bool) -> None:
    pipe = BY_NAME["openai_responses"].pipe(PLAIN, STREAM if stream else BODY)
    content = [{"type": "output_text", "text": "hello", "annotations": []}]
    item = {"type": "message", "id": "i", "role": "assistant", "status": "completed", "content": content}
    usage = {"input_tokens": 9, "output_tokens": 4, "total_tokens": 13}
    answer = {"id": "r", "object": "response", "status": "completed", "output": [item], "usage": usage}
    answer["service_tier"] = "flex"
    if stream:
        began = {"type": "response.created", "response": answer | {"service_tier": "auto", "output": []}}
        delta = {"type": "response.output_text.delta", "output_index": 0, "delta": "hello"}
        pipe.feed(frame(began) + frame(delta) + frame({"type": "response.completed", "response": answer}))
    else:
        pipe.feed(json.dumps(answer).encode())
    pipe.close()
    assert (pipe.service_tier, pipe.reported_at_bytes, pipe.received_bytes) == ("flex", 5, 5)
