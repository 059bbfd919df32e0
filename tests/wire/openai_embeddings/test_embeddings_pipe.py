"""The pipe of embeddings: order, numbers, usage, and answers that are none."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.embedding_provider import encoded
from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.ir.usage import Usage
from tollhouse.wire.format import Answered, AnswerPolicy
from tollhouse.wire.openai_embeddings.body_pipe import EmbeddingsPipe
from tollhouse.wire.openai_embeddings.format import OpenAIEmbeddings

FORMAT = OpenAIEmbeddings()
SETTLED = Answered(usage=Usage(input_tokens=7), cost_nano_usd=140)
NUMBERS = AnswerPolicy(model="sent", numbers=True)


def entry(index: int | None, embedding: Any, **more: Any) -> dict[str, Any]:
    return {"object": "embedding", "embedding": embedding} | ({} if index is None else {"index": index}) | more


def answer(*entries: dict[str, Any], **more: Any) -> bytes:
    usage = {"prompt_tokens": 7, "total_tokens": 7}
    return json.dumps({"object": "list", "data": entries, "model": "theirs", "usage": usage} | more).encode()


def through(body: bytes, wanted: int, policy: AnswerPolicy = NUMBERS) -> dict[str, Any]:
    pipe = EmbeddingsPipe(policy, wanted)
    assert pipe.feed(body[:10]) == pipe.feed(body[10:]) == pipe.release() == pipe.close() == b""
    return json.loads(pipe.finish(SETTLED))


def test_what_the_provider_said_besides_is_kept() -> None:
    body = answer(entry(0, [1, 2.5], note="kept"), extra={"kept": True})
    assert through(body, 1) == {
        "object": "list",
        "data": [{"object": "embedding", "embedding": [1, 2.5], "index": 0, "note": "kept"}],
        "model": "sent",
        "usage": {"prompt_tokens": 7, "completion_tokens": 0, "total_tokens": 7},
        "extra": {"kept": True},
    }


@pytest.mark.row(126)
@given(st.permutations(range(5)))
def test_vectors_stand_in_the_order_of_the_texts(order: list[int]) -> None:
    data = through(answer(*(entry(index, [index]) for index in order)), 5)["data"]
    assert [(one["index"], one["embedding"]) for one in data] == [(index, [index]) for index in range(5)]


@pytest.mark.parametrize("indexes", [(None, None), (0, 0), (1, 2), (None, 0)])
def test_indexes_that_cannot_be_are_counted_anew(indexes: tuple[int | None, int | None]) -> None:
    data = through(answer(entry(indexes[0], ["first"]), entry(indexes[1], ["second"])), 2)["data"]
    assert [(one["index"], one["embedding"]) for one in data] == [(0, ["first"]), (1, ["second"])]


@pytest.mark.row(126)
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_base64_becomes_numbers_exactly_where_numbers_have_to_be(numbers: list[float]) -> None:
    body = answer(entry(0, encoded(numbers)))
    assert through(body, 1)["data"][0]["embedding"] == numbers
    assert through(body, 1, AnswerPolicy())["data"][0]["embedding"] == encoded(numbers)


def test_usage_is_what_was_charged_and_has_a_cost_where_the_dialect_tells_it() -> None:
    told = {"prompt_tokens": 7, "total_tokens": 7, "cost": 99, "kind": "text"}
    usage = through(answer(entry(0, [1]), usage=told), 1, AnswerPolicy(cost=True))["usage"]
    assert usage == {
        "prompt_tokens": 7,
        "completion_tokens": 0,
        "total_tokens": 7,
        "cost": 0.00000014,
        "kind": "text",
    }


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 7, "total_tokens": 7}, 7),
        ({"prompt_tokens": 3}, 3),
        ({"prompt_tokens": -1}, None),
        (None, None),
    ],
)
def test_which_usage_is_trusted(usage: object, tokens: int | None) -> None:
    pipe = EmbeddingsPipe(NUMBERS, 1)
    pipe.feed(answer(entry(0, [1]), usage=usage))
    pipe.close()
    assert (pipe.usage and pipe.usage.total_tokens) == tokens


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"data": null}',
        b'{"data": [7]}',
        b'{"data": [{}]}',
        b'{"data": [{"embedding": null}]}',
        b'{"data": [{"embedding": "no base64"}]}',
        b'{"data": [{"embedding": "YWI="}]}',
        b'{"data": [{"embedding": [1], "index": "x"}]}',
        b'{"data": [{"embedding": [1]}, {"embedding": [2]}]}',
        b'{"data": []}',
        b'{"data": [{"embedding": [1], "index": 0}], "usage"',
        b"\xff\xfe",
    ],
)
def test_what_is_no_answer_is_a_fault_of_the_provider(body: bytes) -> None:
    pipe = EmbeddingsPipe(NUMBERS, 1)
    pipe.feed(body)
    with pytest.raises(FaultError) as raised:
        pipe.close()
    assert raised.value.fault.kind is FaultKind.PROVIDER_UNAVAILABLE


def test_an_error_in_disguise_is_that_error() -> None:
    pipe = EmbeddingsPipe(NUMBERS, 1)
    pipe.feed(b'{"error": {"message": "slow down", "code": "rate_limit_exceeded"}}')
    with pytest.raises(FaultError) as raised:
        pipe.close()
    assert raised.value.fault.kind is FaultKind.PROVIDER_RATE_LIMIT


def test_an_answer_above_the_bound_is_refused() -> None:
    pipe = EmbeddingsPipe(NUMBERS, 1, max_body_bytes=10)
    with pytest.raises(FaultError):
        pipe.feed(b"x" * 11)


@pytest.mark.parametrize(
    ("given", "count"),
    [('"text"', 1), ('["a"]', 1), ('["a", "b"]', 2), ("[1, 2, 3]", 1), ("[[1, 2], [3]]", 2), ("[]", 1), ("7", 1)],
)
def test_how_many_vectors_are_asked_for(given: str, count: int) -> None:
    peek = FORMAT.scan(f'{{"model": "m", "input": {given}}}'.encode()).peek
    assert (peek.model, peek.choices, peek.output_limit, peek.stream) == ("m", count, 0, False)


@pytest.mark.parametrize(("body", "param"), [(b'{"input": "x"}', "model"), (b'{"model": "m"}', "input")])
def test_what_must_be_there(body: bytes, param: str) -> None:
    with pytest.raises(FaultError) as raised:
        FORMAT.scan(body)
    assert raised.value.fault.param == param


def test_what_a_failed_call_used_is_read_beside_its_error() -> None:
    told = b'{"error": {"message": "no"}, "usage": {"prompt_tokens": 4, "total_tokens": 4}}'
    usage = FORMAT.failed_usage(told)
    assert usage is not None
    assert usage.prompt_tokens == 4
    assert FORMAT.failed_usage(b'{"error": {"message": "no"}}') is None
    assert FORMAT.decode_fault(429, (), b"").kind is FaultKind.PROVIDER_RATE_LIMIT
