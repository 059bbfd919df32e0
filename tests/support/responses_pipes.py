"""The way through a pipe of Responses that the relay takes."""

import json
from typing import Any

from tollhouse.ir.usage import Usage
from tollhouse.wire.format import Answered, AnswerPolicy, Peek
from tollhouse.wire.openai_responses.format import OpenAIResponses
from tollhouse.wire.pipe import Pipe, open_pipe

PLAIN = AnswerPolicy()
NAMED = AnswerPolicy(answer_id="resp_9", model="acme/large")
TIDY = AnswerPolicy(answer_id="resp_9", model="acme/large", usage_always=True, cost=True, tidy=True)
ESTIMATE = Answered(usage=Usage(input_tokens=7, output_tokens=3, source="estimated"), cost_nano_usd=1_500_000)


def opened(policy: AnswerPolicy = PLAIN, *, streamed: bool = True) -> Pipe:
    """A fresh pipe."""
    return open_pipe(OpenAIResponses(), policy, Peek(model="x", stream=streamed, wants_usage=True))


def passed(pipe: Pipe, data: bytes, step: int = 1 << 20) -> bytes:
    """All that the caller gets of `data`, fed in pieces of `step` bytes."""
    out = [pipe.feed(data[at : at + step]) for at in range(0, len(data), step)]
    out.append(pipe.close())
    answered = ESTIMATE if pipe.usage is None else Answered(usage=pipe.usage, cost_nano_usd=ESTIMATE.cost_nano_usd)
    out.append(pipe.finish(answered))
    return b"".join(out)


def events(data: bytes) -> list[dict[str, Any]]:
    """The events of a stream, without comments."""
    lines = data.decode().replace("\r\n", "\n").split("\n")
    return [json.loads(line[5:]) for line in lines if line.startswith("data:") and "[DONE]" not in line]
