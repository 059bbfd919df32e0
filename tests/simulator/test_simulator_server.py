"""The simulator over HTTP: whole and streamed answers, broken ones, and the record of what arrived."""

import asyncio
import json

import aiohttp
import pytest

from tollhouse.simulator.serve import start_simulator

HELLO = [{"role": "user", "content": "Hello, world!"}]


def ask(model, times=1, headers=None, **fields):
    """(status, headers, body bytes or the error's name) of each call, and the arrivals."""

    async def main():
        simulator = await start_simulator(record=True)
        results = []
        async with aiohttp.ClientSession(headers=headers) as session:
            for _ in range(times):
                body = {"model": model, "messages": HELLO, **fields}
                results.append(await _call(session, simulator.url + "/any/v1/chat/completions", body))
        await simulator.settled()
        arrivals = simulator.requests
        await simulator.stop()
        return results, arrivals

    return asyncio.run(main())


async def _call(session, url, body):
    received = b""
    status, answer_headers = 0, {}
    try:
        async with session.post(url, json=body, allow_redirects=False) as response:
            status, answer_headers = response.status, response.headers
            async for chunk in response.content.iter_any():
                received += chunk
    except aiohttp.ClientError as error:
        return status, answer_headers, received, type(error).__name__
    return status, answer_headers, received, None


def stream(model, **fields):
    """The data of each event, decoded but for [DONE]."""
    ((status, headers, body, error),), _ = ask(model, stream=True, **fields)
    assert (status, error) == (200, None)
    assert headers["content-type"] == "text/event-stream"
    data = [line[6:] for line in body.decode().splitlines() if line.startswith("data: ")]
    return [item if item == "[DONE]" else json.loads(item) for item in data]


def test_whole_and_streamed_say_and_count_the_same():
    fields = {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}], "n": 2}
    model = "script/reasoning=2/text=5/tools=1"
    ((_, _, body, _),), _ = ask(model, **fields)
    whole = json.loads(body)
    *chunks, done = stream(model, stream_options={"include_usage": True}, **fields)
    assert done == "[DONE]"
    assert chunks[-1]["usage"] == whole["usage"]
    assert chunks[-1]["choices"] == []
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    for index in (0, 1):
        deltas = [choice["delta"] for c in chunks for choice in c["choices"] if choice["index"] == index]
        message = whole["choices"][index]["message"]
        assert "".join(d.get("content") or "" for d in deltas) == message["content"]
        assert "".join(d.get("reasoning_content", "") for d in deltas) == message["reasoning_content"]
        arguments = "".join(c["function"]["arguments"] for d in deltas for c in d.get("tool_calls", []))
        assert arguments == message["tool_calls"][0]["function"]["arguments"]


def test_usage_comes_in_a_stream_only_when_asked_for():
    assert all("usage" not in chunk for chunk in stream("script/text=3")[:-1])


@pytest.mark.parametrize(
    ("place", "chunks_with_usage"),
    [("first", 1), ("every", 5), ("choices", 1), ("twice", 2), ("after_done", 1), ("groq", 1)],
)
def test_usage_stands_where_the_script_says(place, chunks_with_usage):
    events = stream(f"script/text=3/usage=7:3/usage_at={place}")
    reports = [e.get("usage") or e.get("x_groq", {}).get("usage") for e in events if e != "[DONE]"]
    assert [r["prompt_tokens"] for r in reports if r] == [7] * chunks_with_usage
    assert (events[-1] == "[DONE]") == (place != "after_done")


@pytest.mark.parametrize(
    ("kind", "prompt"),
    [("negative", -8), ("huge", 2**63), ("string", "7"), ("float", 7.5), ("zero", 0), ("total_mismatch", 7)],
)
def test_odd_usage(kind, prompt):
    ((_, _, body, _),), _ = ask(f"script/usage={kind}")
    assert json.loads(body)["usage"]["prompt_tokens"] == prompt


def test_quirks_of_a_stream():
    events = stream("script/text=1/leading/finish_twice/no_done/no_role/parts")
    assert events[0]["choices"] == []
    assert events[1]["choices"][0]["delta"] == {"content": [{"type": "text", "text": "a"}]}
    assert [e["choices"][0]["finish_reason"] for e in events[2:]] == ["stop", "stop"]


def test_an_error_in_the_middle_ends_the_stream():
    events = stream("script/text=5/error_at=2")
    assert len(events) == 3
    assert "error" in events[-1]


def test_slices_and_framing_leave_the_data_alone():
    plain = stream("script/text=4/model=m")
    for words in ("slice=3", "burst", "burst/slice=7", "crlf", "comments", "fields"):
        changed = stream(f"script/text=4/model=m/{words}")
        assert [e if e == "[DONE]" else e["choices"] for e in changed] == [
            e if e == "[DONE]" else e["choices"] for e in plain
        ]


@pytest.mark.parametrize(
    ("script", "error", "outcome"),
    [
        ("text=9/cut=3", "ClientPayloadError", "cut"),
        ("text=9/eof=3", "ClientPayloadError", "cut"),
        ("text=9/end=3", None, "done"),
        ("text=9/trailers", None, "cut"),
        ("reset", "ClientOSError", "cut"),
        ("garbage", "ClientResponseError", "cut"),
        ("plain/length_off=10", "ClientPayloadError", "cut"),
        ("plain/cut=10", "ClientPayloadError", "cut"),
        ("plain/eof=10", "ClientPayloadError", "cut"),
    ],
)
def test_broken_ends(script, error, outcome):
    ((_, _, body, seen),), (arrival,) = ask(f"script/{script}", stream=True)
    assert (seen, arrival.outcome) == (error, outcome)
    if "=3" in script:
        assert (body.count(b"\n\n"), arrival.events_sent) == (3, 3)


def test_attempts_are_counted_by_their_token():
    results, _ = ask("script/fail=1:503/then/status=429/retry_after=2/then/text=1/token=t", times=5)
    assert [status for status, *_ in results] == [503, 200, 429, 200, 200]
    assert results[2][1]["retry-after"] == "2"


@pytest.mark.parametrize("shape", ["openai", "list", "string", "nested", "anthropic", "null", '{"my":1}'])
def test_error_bodies_are_json_of_many_shapes(shape):
    ((status, _, body, _),), _ = ask(f"script/status=500/body={shape}")
    assert status == 500
    json.loads(body)


def test_the_credential_comes_back_only_when_told():
    ((_, _, body, _),), _ = ask("script/status=401/body=echo_auth", headers={"authorization": "Bearer canary"})
    assert b"Bearer canary" in body


@pytest.mark.parametrize(
    ("script", "content_type", "start"),
    [("html", "text/html", b"<html"), ("empty", "text/plain", b""), ("plain", "application/json", b'{"id"')],
)
def test_a_stream_request_may_get_something_else(script, content_type, start):
    ((status, headers, body, _),), _ = ask(f"script/{script}", stream=True)
    assert (status, headers["content-type"]) == (200, content_type)
    assert body.startswith(start)


def test_compressed_answers():
    for words in ("encoding=gzip", "encoding=gzip/sse"):
        ((_, headers, body, error),), _ = ask(f"script/text=3/{words}")
        assert (headers["content-encoding"], error) == ("gzip", None)
        assert b"quick" in body
    ((_, headers, body, _),), _ = ask("script/encoding=bomb")
    assert int(headers["content-length"]) < 1_000_000 < len(body)


def test_informational_answers_come_first():
    ((status, _, body, _),), _ = ask("script/informational=20/text=1")
    assert status == 200
    assert json.loads(body)["choices"][0]["message"]["content"] == "a"


def test_structured_output_satisfies_the_schema():
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
    ((_, _, body, _),), _ = ask("echo", response_format=wanted)
    assert json.loads(json.loads(body)["choices"][0]["message"]["content"]) == {"n": 1}


@pytest.mark.parametrize("fields", [{"messages": []}, {"messages": "x"}, {"n": 0}, {"max_tokens": 0}, {"model": ""}])
def test_bad_requests_are_refused(fields):
    ((status, _, body, _),), _ = ask(**{"model": "echo", **fields})
    assert status == 400
    assert json.loads(body)["error"]["type"] == "invalid_request_error"


def test_the_control_header_wins_over_the_model():
    ((_, _, body, _),), _ = ask("echo", headers={"x-simulator-script": '{"text": 1}'})
    assert json.loads(body)["choices"][0]["message"]["content"] == "a"


def test_what_arrived_is_recorded_and_a_caller_that_hangs_up_is_seen():
    async def main():
        simulator = await start_simulator(record=True)
        async with aiohttp.ClientSession() as session:
            body = {"model": "script/infinite", "stream": True, "messages": HELLO}
            response = await session.post(simulator.url + "/v1/chat/completions?a=b", json=body)
            await response.content.readany()
            response.close()
            await simulator.settled()
            async with session.get(simulator.url + "/_simulator/requests") as recorded:
                (first,) = (await recorded.json())["requests"]
            async with session.delete(simulator.url + "/_simulator/requests") as cleared:
                assert (await cleared.json())["requests"] == []
            async with session.get(simulator.url + "/v1/models") as models:
                assert (await models.json())["data"][0]["id"] == "echo"
            async with session.get(simulator.url + "/other") as other:
                assert other.status == 404
        await simulator.stop()
        return first

    first = asyncio.run(main())
    assert (first["method"], first["path"], first["query"], first["outcome"]) == (
        "POST",
        "/v1/chat/completions",
        "a=b",
        "gone",
    )
    assert first["events_sent"] > 0
    assert json.loads(first["body"])["messages"] == HELLO


def test_stopping_ends_calls_that_hang():
    async def main():
        simulator = await start_simulator()
        async with aiohttp.ClientSession() as session:
            body = {"model": "script/wait=forever", "stream": True, "messages": HELLO}
            response = await session.post(simulator.url + "/v1/chat/completions", json=body)
            await simulator.stop()
            with pytest.raises(aiohttp.ClientError):
                await response.read()

    asyncio.run(main())
