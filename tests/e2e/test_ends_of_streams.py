"""How a provider's stream may end: with the line kept open, or with an error that says what was used all the same."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from support.formats import CATALOG, FORMATS, LIMIT, call
from support.gateway import RunningGateway
from support.scripted_providers import Answer, Asked, ScriptedProviders, said

each_caller = pytest.mark.parametrize("caller", FORMATS)
each_upstream = pytest.mark.parametrize("upstream", FORMATS)
PROMPT, COMPLETION = 40, 12


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    started = RunningGateway(tmp_path_factory.mktemp("ends"), catalog=CATALOG)
    yield started
    started.stop()


@pytest.mark.fault(38)
@each_caller
@each_upstream
@pytest.mark.parametrize("script", ["text=4", "text=4/usage_at=after_done", "text=0"])
def test_nobody_waits_for_a_provider_that_keeps_the_line_open(
    running: RunningGateway, caller: str, upstream: str, script: str
) -> None:
    if "after_done" in script and upstream != "chat":
        script = "text=4"
    before = len(running.arrivals())
    started_s = time.monotonic()
    # It stalls after more events than it has: when all is said, and the connection stays as it is.
    reply = call(running, caller, f"{upstream}/script/{script}/usage=11:4/stall=1000", stream=True)
    assert time.monotonic() - started_s < 5
    assert reply.status == 200
    assert (b"[DONE]" in reply.body) == (caller == "chat")
    record = running.record(reply.request_id)
    assert (record.status, record.usage_source) == ("ok", "provider")
    assert (record.prompt_tokens, record.completion_tokens) == (11, 4)
    running.eventually(lambda: running.arrivals()[before].outcome == "gone")


def sse(*events: dict[str, Any], named: bool) -> bytes:
    heads = (f"event: {event['type']}\n" if named else "" for event in events)
    return "".join(f"{head}data: {json.dumps(event)}\n\n" for head, event in zip(heads, events, strict=True)).encode()


def responses_failure(*, after_content: bool) -> bytes:
    answer = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "m",
        "status": "in_progress",
        "output": [],
    }
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "in_progress", "content": []}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    content: list[dict[str, Any]] = [
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {
            "type": "response.content_part.added",
            **place,
            "part": {"type": "output_text", "text": "", "annotations": []},
        },
        {"type": "response.output_text.delta", **place, "delta": "Half an answer"},
    ]
    usage = {"input_tokens": PROMPT, "output_tokens": COMPLETION, "total_tokens": PROMPT + COMPLETION}
    error = {"code": "server_error", "message": "It broke."}
    end = {"type": "response.failed", "response": {**answer, "status": "failed", "error": error, "usage": usage}}
    events = [{"type": "response.created", "response": answer}, *(content if after_content else []), end]
    return sse(*({**event, "sequence_number": number} for number, event in enumerate(events)), named=True)


def messages_failure(*, after_content: bool) -> bytes:
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": PROMPT, "output_tokens": 1},
    }
    content: list[dict[str, Any]] = [
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Half an answer"}},
    ]
    end = {"type": "error", "error": {"type": "api_error", "message": "It broke."}}
    events = [{"type": "message_start", "message": message}, *(content if after_content else []), end]
    return sse(*events, named=True)


def chat_failure(*, after_content: bool) -> bytes:
    def chunk(delta: dict[str, Any]) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        return {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}

    usage = {"prompt_tokens": PROMPT, "completion_tokens": COMPLETION, "total_tokens": PROMPT + COMPLETION}
    content = [chunk({"content": "Half an answer"})] if after_content else []
    end = {"error": {"message": "It broke.", "type": "server_error"}, "usage": usage}
    return sse(chunk({"role": "assistant", "content": ""}), *content, end, named=False)


FAILURES = {"chat": chat_failure, "responses": responses_failure, "messages": messages_failure}
# Per token, in nano-USD.
PROMPT_PRICE, COMPLETION_PRICE = 1_000, 10_000
PAIRS = "providers:\n" + "".join(
    f"  - {{id: {name}, format: {form}, base_url: 'URL/{name}/v1', api_key: none}}\n" for name, form in FORMATS.items()
)
PAIRS += "  - {id: spare, format: openai_chat, base_url: 'URL/spare/v1', api_key: none}\nmodels:\n"
PAIRS += "".join(
    f"  - {{slug: {name}/m, max_output_tokens: 1000, "
    f"pricing: {{prompt: 1, completion: 10}}, "
    f"deployments: [{{provider: {name}, model: m}}, {{provider: spare, model: m, order: 1}}]}}\n"
    for name in FORMATS
)


@pytest.fixture(scope="module")
def providers() -> Iterator[ScriptedProviders]:
    scripted = ScriptedProviders(lambda _: said())
    yield scripted
    scripted.stop()


@pytest.fixture(scope="module")
def failing(providers: ScriptedProviders, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    text = PAIRS.replace("URL", providers.url).replace("{", "{{").replace("}", "}}")
    started = RunningGateway(tmp_path_factory.mktemp("failing"), catalog=text)
    yield started
    started.stop()


def spare_stream() -> bytes:
    head = {"id": "y", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    choice = {"index": 0, "delta": {"role": "assistant", "content": "All of it"}, "finish_reason": None}
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13}
    chunks = ({**head, "choices": [choice]}, {**head, "choices": [end]}, {**head, "choices": [], "usage": usage})
    return sse(*chunks, named=False) + b"data: [DONE]\n\n"


def script_of(upstream: str, *, after_content: bool) -> Any:
    def script(asked: Asked) -> Answer:
        body = spare_stream() if asked.provider == "spare" else FAILURES[upstream](after_content=after_content)
        return Answer(200, body, (("Content-Type", "text/event-stream"),))

    return script


@pytest.mark.fault(36, 42)
@each_caller
@each_upstream
def test_an_error_before_the_content_costs_what_it_reports_and_another_answers(
    failing: RunningGateway, providers: ScriptedProviders, caller: str, upstream: str
) -> None:
    providers.script = script_of(upstream, after_content=False)
    reply = call(failing, caller, f"{upstream}/m", stream=True, **{LIMIT[caller]: 100})
    assert reply.status == 200, reply.body
    assert b"All of it" in reply.body
    charged = failing.do(failing.gateway.store.charges(reply.request_id))
    # Messages tell the prompt at the beginning, and an error there ends them without a count of the answer.
    completion = 0 if upstream == "messages" else COMPLETION
    failed_nano_usd = PROMPT * PROMPT_PRICE + completion * COMPLETION_PRICE
    assert charged == (("model", 10 * PROMPT_PRICE + 3 * COMPLETION_PRICE), ("attempt", failed_nano_usd))


@pytest.mark.fault(36, 42)
@each_caller
@each_upstream
def test_an_error_after_the_content_is_told_and_charged_for_what_it_reports(
    failing: RunningGateway, providers: ScriptedProviders, caller: str, upstream: str
) -> None:
    providers.script = script_of(upstream, after_content=True)
    reply = call(failing, caller, f"{upstream}/m", stream=True, **{LIMIT[caller]: 100})
    assert reply.status == 200
    assert b"Half an answer" in reply.body
    assert b"error" in reply.body.split(b"\n\n")[-2]
    assert b"[DONE]" not in reply.body
    record = failing.record(reply.request_id)
    assert (record.status, record.error_code) == ("failed", "provider_unavailable")
    assert record.prompt_tokens == PROMPT
    if upstream == "messages":
        # Its beginning reports the prompt, and its error no end: what came is counted.
        assert record.usage_source == "estimated"
        assert 1 < record.completion_tokens < 20
    else:
        assert (record.usage_source, record.completion_tokens) == ("provider", COMPLETION)
    cost = PROMPT * PROMPT_PRICE + record.completion_tokens * COMPLETION_PRICE
    assert record.cost_nano_usd == cost
