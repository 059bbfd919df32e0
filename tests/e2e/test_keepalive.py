"""Silence in a stream: comments in every format and from every provider, and what a failure after one looks like."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from support.callers import HPP, HYPERINFER, VOLTAGE, Face, Reply, ask, chat
from support.gateway import RunningGateway

FORMATS = {"chat": "openai_chat", "responses": "openai_responses", "messages": "anthropic_messages"}
CATALOG = "extends: default\nproviders:\n" + "".join(
    f"  - {{{{id: {name}, format: {form}, base_url: '{{simulator}}/v1', api_key: none}}}}\n"
    for name, form in FORMATS.items()
)
CATALOG += "models:\n" + "".join(
    f"  - {{{{slug: {name}/*, name: {name}, creator: simulator, max_output_tokens: 1000, "
    f"pricing: {{{{prompt: 1, completion: 10}}}}, deployments: [{{{{provider: {name}, model: '*'}}}}]}}}}\n"
    for name in FORMATS
)
PATHS = {"chat": HYPERINFER.chat, "responses": "/api/v1/responses", "messages": "/api/v1/messages"}
COMMENT = b": keep-alive\n\n"
# Silence that is long beside the 50 ms after which a comment is due.
SILENT = "250ms"

every_caller = pytest.mark.parametrize("caller", FORMATS)
every_upstream = pytest.mark.parametrize("upstream", FORMATS)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    gateway = RunningGateway(tmp_path_factory.mktemp("quiet"), catalog=CATALOG, stream_comment_s=0.05)
    yield gateway
    gateway.stop()


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    gateway = RunningGateway(tmp_path_factory.mktemp("patient"), catalog=CATALOG)
    yield gateway
    gateway.stop()


def stream(running: RunningGateway, caller: str, model: str) -> Reply:
    said = [{"role": "user", "content": "Hello!"}]
    own: dict[str, Any] = {"input": said} if caller == "responses" else {"messages": said}
    body = {"model": model, "max_tokens": 500, "stream": True, **own}
    return ask(running, "POST", PATHS[caller], HYPERINFER.auth(running.key()), body)


def frames(reply: Reply) -> list[bytes]:
    """The blocks of a stream; each must be whole: a comment, or an event with JSON in it."""
    blocks = reply.body.split(b"\n\n")
    assert blocks.pop() == b""
    for block in blocks:
        data = [line[6:] for line in block.split(b"\n") if line.startswith(b"data: ")]
        assert block == COMMENT.strip() or len(data) == 1
        assert not data or data[0] == b"[DONE]" or json.loads(data[0])
    return blocks


@pytest.mark.row(74)
@every_caller
@every_upstream
def test_silence_before_the_answer_and_in_it(running: RunningGateway, caller: str, upstream: str) -> None:
    for script in (f"first={SILENT}", f"wait={SILENT}"):
        reply = stream(running, caller, f"{upstream}/script/{script}/say=Toll%20paid.")
        assert reply.status == 200
        assert frames(reply)[0] == COMMENT.strip()
        assert reply.headers["content-type"].startswith("text/event-stream")
        assert running.record(reply.request_id).status == "ok"


@pytest.mark.row(74)
@every_caller
def test_silence_between_two_words(running: RunningGateway, caller: str) -> None:
    paced = frames(stream(running, caller, f"chat/script/delay={SILENT}/text=2"))
    said = [number for number, block in enumerate(paced) if b'"a"' in block or b'" quick"' in block]
    assert COMMENT.strip() in paced[said[0] : said[1]]


@pytest.mark.row(74)
@every_caller
def test_a_stream_that_speaks_has_none(running: RunningGateway, caller: str) -> None:
    assert b"keep-alive" not in stream(running, caller, f"{caller}/script/text=20/burst").body


@pytest.mark.row(74)
def test_the_other_apis_and_the_sdks(running: RunningGateway) -> None:
    model = f"chat/script/first={SILENT}/say=Hi"
    for face in (HPP, VOLTAGE):
        reply = chat(running, face, running.key(), model, stream=True)
        assert reply.body.startswith(COMMENT)
        assert ("x-hpp-router-resolved-model" in reply.headers) == (face is HPP)
    said: Any = [{"role": "user", "content": "Hi"}]
    key = running.key()
    with openai.OpenAI(base_url=f"{running.url}/api/v1", api_key=key, max_retries=0) as client:
        with client.chat.completions.stream(model=model, messages=said) as events:
            assert events.get_final_completion().choices[0].message.content == "Hi"
        with client.responses.stream(model=model, input="Hi") as events:
            assert events.get_final_response().output_text == "Hi"
    with (
        anthropic.Anthropic(base_url=f"{running.url}/api", api_key=key, max_retries=0) as client,
        client.messages.stream(model=model, max_tokens=9, messages=said) as events,
    ):
        assert events.get_final_text() == "Hi"


@pytest.mark.row(93)
@every_caller
@every_upstream
def test_a_failure_before_any_byte_is_an_http_error(patient: RunningGateway, caller: str, upstream: str) -> None:
    reply = stream(patient, caller, f"{upstream}/script/status=500")
    assert reply.status == 502
    assert reply.headers["content-type"] == "application/json"
    assert reply.json()["error"]["code"] == "provider_unavailable"


@pytest.mark.row(93)
@every_caller
@every_upstream
def test_a_failure_after_a_keep_alive_is_an_event(running: RunningGateway, caller: str, upstream: str) -> None:
    reply = stream(running, caller, f"{upstream}/script/status=500/first={SILENT}")
    assert reply.status == 200
    *comments, last = frames(reply)
    assert comments
    assert set(comments) == {COMMENT.strip()}
    assert_error(caller, last)
    record = running.record(reply.request_id)
    assert (record.status, record.error_code, record.cost_nano_usd) == ("failed", "provider_unavailable", 0)


@pytest.mark.row(93)
@every_caller
def test_another_deployment_may_answer_after_a_keep_alive(running: RunningGateway, caller: str) -> None:
    token = f"again-{caller}"
    script = f"script/first={SILENT}/status=500/then/text=5/token={token}"
    reply = stream(running, caller, f"chat/{script}")
    assert reply.status == 200
    assert frames(reply)[0] == COMMENT.strip()
    assert b'"error":{' not in reply.body
    assert [attempt.outcome for attempt in running.record(reply.request_id).attempts] == ["provider_unavailable", "ok"]
    assert sum(b'" rolls"' in block for block in frames(reply)) == 1


@pytest.mark.row(93)
@every_caller
@every_upstream
def test_a_failure_after_content_is_an_event_and_no_text_comes_twice(
    running: RunningGateway, caller: str, upstream: str
) -> None:
    reply = stream(running, caller, f"{upstream}/script/text=9/cut=7/wait={SILENT}")
    blocks = frames(reply)
    assert_error(caller, blocks[-1])
    assert len(running.record(reply.request_id).attempts) == 1
    for word in (b'"a"', b'" quick"', b'" coin"'):
        assert sum(word in block for block in blocks) <= 1
    assert sum(b'" quick"' in block for block in blocks) == 1


def assert_error(caller: str, block: bytes) -> None:
    lines = block.split(b"\n")
    body = json.loads(lines[-1].removeprefix(b"data: "))
    assert body["error"]["code"] == "provider_unavailable"
    named = {"chat": 1, "responses": 2, "messages": 2}[caller]
    assert len(lines) == named
    if named == 2:
        assert lines[0] == b"event: error"
        assert body["type"] == "error"


def test_no_comment_where_the_answer_comes_in_one_piece(running: RunningGateway) -> None:
    face: Face = HYPERINFER
    reply = chat(running, face, running.key(), f"chat/script/first={SILENT}/say=Hi")
    assert reply.text() == "Hi"
    assert b"keep-alive" not in reply.body
