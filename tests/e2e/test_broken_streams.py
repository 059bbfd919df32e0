"""Streams that are cut off, or that end without their last frame, over all nine pairs with the official SDKs."""

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import msgspec
import openai
import pytest

from support.gateway import RunningGateway
from tollhouse.observe.record import CallRecord
from tollhouse.tokens.bounds import likely_prompt_tokens, likely_tokens

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
PROMPT_NANO_USD, COMPLETION_NANO_USD = 1000, 10_000
TERMINATORS = (b"[DONE]", b"message_stop", b"message_delta", b"response.completed", b"response.incomplete")
USAGE = "usage=50:7"

every_pair = [pytest.mark.parametrize(name, FORMATS) for name in ("upstream", "caller")]


def over_every_pair(test: Any) -> Any:
    for mark in every_pair:
        test = mark(test)
    return test


class Tap(httpx2.BaseTransport):
    """Hands requests on, and keeps what the SDK sent and the bytes that it read."""

    def __init__(self) -> None:
        self._inner = httpx2.HTTPTransport()
        self.sent = b""
        self.read = bytearray()
        self.request_id = ""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.sent = request.read()
        self.read.clear()
        answer = self._inner.handle_request(request)
        self.request_id = answer.headers["x-request-id"]
        return httpx2.Response(answer.status_code, headers=answer.headers, stream=_Kept(answer, self.read))

    def close(self) -> None:
        self._inner.close()


class _Kept(httpx2.SyncByteStream):
    def __init__(self, answer: httpx2.Response, read: bytearray) -> None:
        self._answer = answer
        self._read = read

    def __iter__(self) -> Iterator[bytes]:
        for data in self._answer.iter_raw():
            self._read.extend(data)
            yield data

    def close(self) -> None:
        self._answer.close()


class Outcome(msgspec.Struct, kw_only=True):
    """What a caller saw of one stream, and what was recorded of it."""

    text: str
    raised: Exception | None
    finish: str | None
    sent: bytes
    read: bytes
    record: CallRecord


class Callers:
    """The official SDKs as callers of one gateway."""

    def __init__(self, running: RunningGateway) -> None:
        self._running = running
        self._tap = Tap()
        client = httpx2.Client(transport=self._tap)
        key = running.key()
        self._openai = openai.OpenAI(base_url=f"{running.url}/api/v1", api_key=key, max_retries=0, http_client=client)
        self._anthropic = anthropic.Anthropic(
            base_url=f"{running.url}/api", api_key=key, max_retries=0, http_client=client
        )

    def ask(self, caller: str, model: str) -> Outcome:
        """One streamed call, read to its end or to the exception that the SDK raises."""
        texts: list[str] = []
        finish: list[str] = []
        raised: Exception | None = None
        read = {"chat": self._chat, "responses": self._responses, "messages": self._messages}[caller]
        try:
            for kind, said in read(model):
                (texts if kind == "text" else finish).append(said)
        except (openai.APIError, anthropic.APIError) as error:
            raised = error
        return Outcome(
            text="".join(texts),
            raised=raised,
            finish=finish[-1] if finish else None,
            sent=self._tap.sent,
            read=bytes(self._tap.read),
            record=self._running.record(self._tap.request_id),
        )

    def _chat(self, model: str) -> Iterator[tuple[str, str]]:
        said: Any = [{"role": "user", "content": "Hi"}]
        for chunk in self._openai.chat.completions.create(model=model, messages=said, stream=True):
            for choice in chunk.choices:
                yield "text", choice.delta.content or ""
                if choice.finish_reason:
                    yield "finish", choice.finish_reason

    def _responses(self, model: str) -> Iterator[tuple[str, str]]:
        for event in self._openai.responses.create(model=model, input="Hi", stream=True):
            if event.type == "response.output_text.delta":
                yield "text", event.delta
            elif event.type == "response.completed":
                yield "finish", event.response.status or ""

    def _messages(self, model: str) -> Iterator[tuple[str, str]]:
        said: Any = [{"role": "user", "content": "Hi"}]
        with self._anthropic.messages.stream(model=model, messages=said, max_tokens=500) as stream:
            for event in stream:
                if event.type == "text":
                    yield "text", event.text
            yield "finish", stream.get_final_message().stop_reason or ""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    gateway = RunningGateway(tmp_path_factory.mktemp("broken"), catalog=CATALOG)
    yield gateway
    gateway.stop()


@pytest.fixture(scope="module")
def callers(running: RunningGateway) -> Callers:
    return Callers(running)


@pytest.mark.parametrize("how", ["cut", "eof", "end"])
@over_every_pair
def test_after_a_cut_the_sdk_raises_with_the_text_so_far(
    running: RunningGateway, callers: Callers, caller: str, upstream: str, how: str
) -> None:
    whole = callers.ask(caller, f"{upstream}/script/text=40")
    before = running.balance()
    short, longer = (callers.ask(caller, f"{upstream}/script/text=40/{how}={events}") for events in (12, 24))
    assert 0 < len(short.text) < len(longer.text) < len(whole.text)
    for cut in (short, longer):
        assert whole.text.startswith(cut.text)
        assert cut.raised is not None
        assert cut.finish is None
        assert not [name for name in TERMINATORS if name in cut.read]
        assert cut.record.status == "failed"
        assert cut.record.error_code == "provider_unavailable"
        assert cut.record.usage_source == "estimated"
        # What was received is charged: the text by its bytes, and the prompt as the provider told it, or by its own.
        assert cut.record.completion_tokens == likely_tokens(len(cut.text.encode()))
        if upstream != "messages":
            assert cut.record.prompt_tokens == likely_prompt_tokens(cut.sent)
        assert cut.record.cost_nano_usd == _price(cut.record)
    assert before - running.balance() == short.record.cost_nano_usd + longer.record.cost_nano_usd


@over_every_pair
def test_a_stream_without_its_last_frame_finishes_cleanly(callers: Callers, caller: str, upstream: str) -> None:
    whole, open_ended = (callers.ask(caller, f"{upstream}/script/text=20/{USAGE}{more}") for more in ("", "/no_done"))
    assert open_ended.raised is None
    assert open_ended.text == whole.text != ""
    assert open_ended.finish == whole.finish == {"chat": "stop", "responses": "completed"}.get(caller, "end_turn")
    terminator = {"chat": b"data: [DONE]\n\n", "responses": b"response.completed", "messages": b"message_stop"}[caller]
    assert open_ended.read.count(terminator) == whole.read.count(terminator) > 0
    assert open_ended.record.status == "ok"
    assert open_ended.record.error_code is None
    if upstream == "responses":
        # The frame that is missing is the one that holds the usage.
        assert open_ended.record.usage_source == "estimated"
        assert open_ended.record.completion_tokens == likely_tokens(len(whole.text.encode()))
    else:
        assert (open_ended.record.prompt_tokens, open_ended.record.completion_tokens) == (50, 7)
        assert open_ended.record.usage_source == "provider"
    assert open_ended.record.cost_nano_usd == _price(open_ended.record)


@over_every_pair
def test_an_error_in_the_middle_is_a_cut_too(callers: Callers, caller: str, upstream: str) -> None:
    failed = callers.ask(caller, f"{upstream}/script/text=40/error_at=12")
    assert failed.raised is not None
    assert failed.text
    assert failed.finish is None
    assert not [name for name in TERMINATORS if name in failed.read]
    assert failed.record.status == "failed"
    assert failed.record.completion_tokens == likely_tokens(len(failed.text.encode()))
    assert failed.record.cost_nano_usd == _price(failed.record)


def _price(record: CallRecord) -> int:
    return record.prompt_tokens * PROMPT_NANO_USD + record.completion_tokens * COMPLETION_NANO_USD
