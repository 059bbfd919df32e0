"""Streams of chunks for the tests of pipes, and the way through a pipe that the relay takes."""

import json
from typing import Any

from tollhouse.ir.usage import Usage
from tollhouse.wire.format import Answered, AnswerPolicy, Peek
from tollhouse.wire.openai_chat.format import OpenAIChat
from tollhouse.wire.pipe import Pipe, open_pipe

PLAIN = AnswerPolicy()
MODEL = AnswerPolicy(model="acme/large")
TIDY = AnswerPolicy(answer_id="gen-1", model="acme/large", usage_always=True, cost=True, tidy=True)
ESTIMATE = Answered(usage=Usage(input_tokens=7, output_tokens=3, source="estimated"), cost_nano_usd=1_500_000)
USAGE = {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9}
DONE = b"data: [DONE]\n\n"


def chunk(delta: dict[str, Any] | None, finish: str | None = None, **extra: Any) -> dict[str, Any]:
    """A chunk with one choice, or without any when `delta` is None."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    head = {"id": "chatcmpl-9", "object": "chat.completion.chunk", "created": 1763, "model": "m-2025"}
    return {**head, "choices": choices, **extra}


def frame(value: dict[str, Any], *, spaced: bool = False, end: str = "\n") -> bytes:
    """One event, in compact JSON or with Python's spaces."""
    text = json.dumps(value, ensure_ascii=False, separators=None if spaced else (",", ":"))
    return f"data: {text}{end}{end}".encode()


def stream(*chunks: dict[str, Any], done: bool = True, spaced: bool = False, end: str = "\n") -> bytes:
    """A whole stream."""
    body = b"".join(frame(value, spaced=spaced, end=end) for value in chunks)
    return body + (f"data: [DONE]{end}{end}".encode() if done else b"")


def words(count: int, **extra: Any) -> list[dict[str, Any]]:
    """A role, `count` text deltas of all kinds, and a finish."""
    texts = ["Hi", " there", '"q"', "a\\b", "日本", "line\n", '\\"', "\\", "\u0001", "{}", " "]
    deltas = [chunk({"content": texts[at % len(texts)]}, **extra) for at in range(count)]
    return [chunk({"role": "assistant", "content": ""}, **extra), *deltas, chunk({}, "stop", **extra)]


def opened(policy: AnswerPolicy = PLAIN, *, usage: bool = False, streamed: bool = True, choices: int = 1) -> Pipe:
    """A fresh pipe."""
    return open_pipe(OpenAIChat(), policy, Peek(model="x", stream=streamed, wants_usage=usage, choices=choices))


def passed(pipe: Pipe, data: bytes, step: int = 1 << 20, answered: Answered = ESTIMATE) -> bytes:
    """All that the caller gets of `data`, fed in pieces of `step` bytes."""
    out = [pipe.feed(data[at : at + step]) for at in range(0, len(data), step)]
    out.append(pipe.close())
    if pipe.usage is not None:
        answered = Answered(usage=pipe.usage, cost_nano_usd=answered.cost_nano_usd)
    out.append(pipe.finish(answered))
    return b"".join(out)


def events(data: bytes) -> list[dict[str, Any]]:
    """The chunks of a stream; asserts that it ends with [DONE] and holds it once."""
    frames = data.split(b"\n\n")
    assert frames[-2:] == [b"data: [DONE]", b""]
    assert b"data: [DONE]" not in frames[:-2]
    return [json.loads(text[6:]) for text in frames[:-2] if text.startswith(b"data: ")]
