"""The simulator's vectors: deterministic, of length one, near each other for texts that are alike."""

import asyncio
import base64
import json
import math
import struct

import aiohttp
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.simulator.serve import start_simulator
from tollhouse.simulator.vectors import vector


def embed(*bodies):
    async def main():
        simulator = await start_simulator()
        answers = []
        async with aiohttp.ClientSession() as session:
            for body in bodies:
                async with session.post(simulator.url + "/v1/embeddings", json=body) as response:
                    answers.append((response.status, json.loads(await response.read())))
        await simulator.stop()
        return answers

    return asyncio.run(main())


def ask(text, model="text-embedding-3-small", **fields):
    return embed({"model": model, "input": text, **fields})[0]


def dot(first, second):
    return sum(a * b for a, b in zip(first, second, strict=True))


@given(text=st.text(max_size=500), dimensions=st.integers(1, 600))
def test_every_vector_has_length_one(text, dimensions):
    values = vector(text, dimensions)
    assert len(values) == dimensions
    assert math.isclose(math.hypot(*values), 1, rel_tol=1e-5)
    assert values == vector(text, dimensions)


def test_texts_that_are_alike_are_near_each_other():
    text = vector("the quick brown fox jumps over the lazy dog", 1536)
    alike = vector("The quick brown foxes jumped over lazy dogs", 1536)
    other = vector("prices are whole numbers of pico-dollars", 1536)
    assert dot(text, alike) > 0.6
    assert abs(dot(text, other)) < 0.2


def test_order_index_size_and_usage():
    status, answer = ask(["first text", "second text", "first text"])
    assert status == 200
    assert [item["index"] for item in answer["data"]] == [0, 1, 2]
    assert {len(item["embedding"]) for item in answer["data"]} == {1536}
    assert answer["data"][0]["embedding"] == answer["data"][2]["embedding"] != answer["data"][1]["embedding"]
    assert answer["usage"] == {"prompt_tokens": 6, "total_tokens": 6}
    assert len(ask("x", model="text-embedding-3-large")[1]["data"][0]["embedding"]) == 3072


def test_dimensions_and_base64():
    _, numbers = ask("some text", dimensions=64)
    _, packed = ask("some text", dimensions=64, encoding_format="base64")
    values = numbers["data"][0]["embedding"]
    assert len(values) == 64
    assert list(struct.unpack("<64f", base64.b64decode(packed["data"][0]["embedding"]))) == values


def test_token_ids_are_an_input_too():
    _, one = ask([15339, 1917])
    _, many = ask([[15339, 1917], [1]])
    assert one["usage"]["prompt_tokens"] == 2
    assert many["usage"]["prompt_tokens"] == 3
    assert one["data"][0]["embedding"] == many["data"][0]["embedding"]


@pytest.mark.parametrize(
    "fields",
    [
        {"input": 5},
        {"input": []},
        {"input": ["a", 1]},
        {"input": [[1], []]},
        {"input": ["x"] * 2049},
        {"input": None},
        {"input": "x", "dimensions": 0},
        {"input": "x", "encoding_format": "hex"},
        {"input": "x", "model": ""},
    ],
)
def test_what_openai_refuses_is_refused(fields):
    ((status, answer),) = embed({"model": "m", **fields})
    assert status == 400
    assert answer["error"]["message"]


def test_scripts_work_on_vectors():
    assert ask("x", model="script/status=429")[0] == 429
    assert len(ask(["a", "b"], model="script/count=1")[1]["data"]) == 1
    assert ask("x", model="script/data=text")[1]["data"][0]["embedding"] == "text"
    assert ask("x", model="script/model=other")[1]["model"] == "other"
    assert "usage" not in ask("x", model="script/usage=none")[1]
    assert ask("x", model="script/usage=9:0")[1]["usage"] == {"prompt_tokens": 9, "total_tokens": 9}


def test_the_official_client_reads_the_vectors():
    async def main():
        simulator = await start_simulator()
        async with openai.AsyncOpenAI(api_key="k", base_url=simulator.url + "/v1") as client:
            made = await client.embeddings.create(model="text-embedding-3-small", input=["a text", "another"])
        await simulator.stop()
        return made

    made = asyncio.run(main())
    assert [len(item.embedding) for item in made.data] == [1536, 1536]
    assert made.data[0].embedding == pytest.approx(vector("a text", 1536))
