"""Several calls of a format with one answer per call, as one answer: choices, usage, and what is known of either when
the calls do not all come to their end."""

import json
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.messages_streams import STOP, event, start, words
from tollhouse.ir.fault import FaultError
from tollhouse.ir.usage import Usage
from tollhouse.wire.format import Answered, AnswerPolicy, Peek
from tollhouse.wire.gathering import GatheredBodies, GatheredStreams, open_gathering, piece
from tollhouse.wire.registry import FORMATS
from tollhouse.wire.translation import Made

BY_NAME = {form.name: form for form in FORMATS}
ANSWERED = Answered(usage=Usage(input_tokens=15, output_tokens=6), cost_nano_usd=0)


def gathering(calls: int, *, stream: bool) -> GatheredStreams | GatheredBodies:
    peek = Peek(model="m", stream=stream, choices=calls)
    made = Made(id="x", created=1, creator="c", losses=[])
    return open_gathering(BY_NAME["anthropic_messages"], BY_NAME["openai_chat"], AnswerPolicy(), peek, made)


def said(*texts: str, tokens: int = 2) -> bytes:
    """A stream of Messages."""
    end = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": tokens})
    return (start() + words(0, *texts) + end + STOP).encode()


def body(text: str, **more: Any) -> bytes:
    """A whole answer of Messages."""
    answer = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 5, "output_tokens": 2},
    }
    return json.dumps({**answer, **more}).encode()


def texts_of(data: bytes) -> dict[int, str]:
    """The text of each choice of a stream of chunks."""
    found: dict[int, str] = {}
    for line in data.decode().split("\n"):
        if line.startswith("data: {"):
            for choice in json.loads(line[6:])["choices"]:
                found[choice["index"]] = found.get(choice["index"], "") + (choice["delta"].get("content") or "")
    return found


@given(seed=st.integers(0, 2**32))
def test_any_order_and_any_split_of_the_pieces_gives_each_choice_its_own_text(seed: int) -> None:
    chance = Random(seed)
    streams = [said("one ", "toll"), said("two"), said("three ", "carts ", "wait")]
    pipe = gathering(3, stream=True)
    out = [b""]
    open_calls = [0, 1, 2]
    while open_calls:
        call, size = chance.choice(open_calls), chance.randint(1, 400)
        part, streams[call] = streams[call][:size], streams[call][size:]
        out.append(pipe.feed(piece(call, part)))
        if not part:
            open_calls.remove(call)
    out += [pipe.close(), pipe.finish(ANSWERED)]
    assert texts_of(b"".join(out)) == {0: "one toll", 1: "two", 2: "three carts wait"}
    assert b"".join(out).endswith(b"data: [DONE]\n\n")
    assert pipe.usage == pipe.complete_usage == Usage(input_tokens=15, output_tokens=6)
    assert pipe.reported_at_bytes == pipe.received_bytes
    assert pipe.complete_calls == 3


def test_calls_that_have_not_ended_count_with_their_prompt() -> None:
    pipe = gathering(3, stream=True)
    pipe.feed(piece(0, said("one")))
    pipe.feed(piece(0, b""))
    pipe.feed(piece(1, (start() + words(0, "tw")).encode()))
    # The first has told 2 tokens, the second its prompt, the third nothing yet.
    assert pipe.usage == Usage(input_tokens=15, output_tokens=2)
    assert (pipe.reported_at_bytes, pipe.received_bytes) == (3, 5)
    assert (pipe.complete_usage, pipe.complete_calls) == (Usage(input_tokens=5, output_tokens=2), 1)


def test_a_call_that_is_cut_short_breaks_the_answer() -> None:
    pipe = gathering(2, stream=True)
    pipe.feed(piece(0, said("one")))
    pipe.feed(piece(0, b""))
    pipe.feed(piece(1, (start() + words(0, "tw")).encode()))
    with pytest.raises(FaultError, match="in the middle of the answer"):
        pipe.feed(piece(1, b""))


def test_whole_answers_become_choices_in_the_order_of_the_calls() -> None:
    pipe = gathering(2, stream=False)
    for call, data in ((1, body("two")[:40]), (0, body("one")), (1, body("two")[40:]), (0, b"")):
        assert pipe.feed(piece(call, data)) == b""
    assert (pipe.complete_usage, pipe.complete_calls) == (Usage(input_tokens=5, output_tokens=2), 1)
    pipe.feed(piece(1, b""))
    pipe.close()
    answer = json.loads(pipe.finish(ANSWERED))
    told = [(choice["index"], choice["message"]["content"]) for choice in answer["choices"]]
    assert told == [(0, "one"), (1, "two")]
    assert pipe.usage == Usage(input_tokens=10, output_tokens=4)


def test_one_answer_without_usage_leaves_all_to_an_estimate() -> None:
    pipe = gathering(2, stream=False)
    for call, data in ((0, body("one")), (0, b""), (1, body("two", usage=None)), (1, b"")):
        pipe.feed(piece(call, data))
    pipe.close()
    assert pipe.usage is None


def test_a_body_that_is_no_answer_breaks_it() -> None:
    pipe = gathering(2, stream=False)
    pipe.feed(piece(1, b"<html>"))
    with pytest.raises(FaultError):
        pipe.feed(piece(1, b""))
