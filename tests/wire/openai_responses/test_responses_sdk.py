"""What is emitted is read by the official OpenAI SDK as it was meant."""

import httpx2
import openai
import pytest
from openai.types.responses import Response

from support.responses_streams import BEGIN, CASES, HI, Case, body, event
from tollhouse.ir.fault import FaultKind
from tollhouse.ir.fold import unfold
from tollhouse.ir.parts import ReasoningPart, RefusalPart, TextPart, ToolCallPart
from tollhouse.ir.response import ChatResponse
from tollhouse.wire.openai_responses.format import OpenAIResponses

FORMAT = OpenAIResponses()
UNREADABLE = {"a kind of content that nobody knows"}
READABLE = [case for case in CASES if not isinstance(case.means, FaultKind) and case.name not in UNREADABLE]


def _client(content: bytes, content_type: str) -> openai.OpenAI:
    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": content_type}, content=content)

    transport = httpx2.Client(transport=httpx2.MockTransport(answer))
    return openai.OpenAI(api_key="k", base_url="http://localhost/v1", http_client=transport, max_retries=0)


def _streamed(data: bytes) -> Response:
    with _client(data, "text/event-stream").responses.stream(model="m", input="x") as stream:
        for _ in stream:
            pass
        return stream.get_final_response()


def _check(got: Response, meant: ChatResponse) -> None:
    parts = meant.choices[0].parts
    content = [part for item in got.output if item.type == "message" for part in item.content]
    assert got.output_text == "".join(part.text for part in parts if isinstance(part, TextPart))
    refusals = [part.refusal for part in content if part.type == "refusal"]
    assert refusals == [part.text for part in parts if isinstance(part, RefusalPart)]
    calls = [
        (item.call_id, item.name, item.arguments if item.type == "function_call" else item.input)
        for item in got.output
        if item.type in ("function_call", "custom_tool_call")
    ]
    assert calls == [(part.id, part.name, part.arguments) for part in parts if isinstance(part, ToolCallPart)]
    reasoning = [item for item in got.output if item.type == "reasoning"]
    assert [[each.text for each in item.summary] for item in reasoning] == [
        list(part.summary) for part in parts if isinstance(part, ReasoningPart)
    ]
    if meant.usage is not None:
        assert got.usage is not None
        assert got.usage.total_tokens == meant.usage.total_tokens
        assert got.usage.input_tokens_details.cached_tokens == meant.usage.cache_read_tokens


@pytest.mark.row(118)
@pytest.mark.parametrize("case", READABLE, ids=lambda case: case.name)
def test_the_sdk_reads_what_was_meant(case: Case) -> None:
    assert isinstance(case.means, ChatResponse)
    encoder = FORMAT.stream_encoder()
    data = b"".join(encoder.feed(each) for each in unfold(case.means)) + encoder.flush()
    _check(_streamed(data), case.means)
    whole = FORMAT.encode_response(case.means, [])
    _check(_client(whole, "application/json").responses.create(model="m", input="x"), case.means)


def test_the_sdk_raises_on_an_error_event() -> None:
    frame = FORMAT.error_frame(b'{"error":{"message":"It broke","type":"server_error","code":"c","param":null}}')
    with pytest.raises(openai.APIError, match="It broke"):
        _streamed((BEGIN + HI).encode() + frame)


def test_why_an_incomplete_answer_is_completed() -> None:
    incomplete = event("incomplete", response=body("incomplete", incomplete_details={"reason": "max_output_tokens"}))
    with pytest.raises(RuntimeError, match=r"response\.completed"):
        _streamed((BEGIN + HI + incomplete).encode())
