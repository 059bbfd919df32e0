"""The facts of a request that are needed before it is forwarded, the forwarded body, and the error event."""

import json
from typing import Any

import msgspec
import pytest

from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.wire.format import Peek
from tollhouse.wire.openai_responses.format import OpenAIResponses
from tollhouse.wire.quirks import Quirks

FORMAT = OpenAIResponses()


def peek(**fields: Any) -> Peek:
    return FORMAT.scan(json.dumps({"model": "m", "input": "Hi", **fields}).encode()).peek


def test_peek() -> None:
    assert peek() == Peek(model="m", wants_usage=True)
    assert peek(stream=None, tools=None, service_tier=None, max_output_tokens=None) == peek()
    tools = [{"type": "function", "name": "f"}, {"type": "namespace", "name": "n", "tools": []}]
    assert peek(stream=True, max_output_tokens=9, tools=tools, service_tier="default") == Peek(
        model="m", stream=True, output_limit=9, wants_usage=True, has_tools=True
    )


def test_what_costs_extra() -> None:
    sound = {"type": "input_audio", "input_audio": {}}
    searches = [{"type": "web_search"}, {"type": "web_search"}, {"type": "custom"}]
    assert peek(tools=searches).paid == (("tools", "tool:web_search"),)
    assert peek(service_tier="priority").paid == (("service_tier", "service_tier:priority"),)
    for item in ({"role": "user", "content": [sound]}, {"type": "function_call_output", "output": [sound]}):
        assert peek(input=[item]).paid == (("input", "audio_input"),)
    assert peek(input=[{"role": "user", "content": '"input_audio"'}]).paid == ()
    asked = json.dumps({"model": "m", "input": [{"role": "user", "content": [sound]}]})
    escaped = asked.replace('"input_audio", "i', '"input_\\u0061udio", "i')
    assert FORMAT.scan(escaped.encode()).peek.paid == (("input", "audio_input"),)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 5}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_output_tokens": 2**31}, "max_output_tokens"),
        ({"tools": {}}, "tools"),
        ({"service_tier": 1}, "service_tier"),
    ],
)
def test_facts_of_the_wrong_type_are_refused(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(FaultError) as raised:
        peek(**fields)
    assert (raised.value.fault.kind, raised.value.fault.param) == (FaultKind.INVALID_REQUEST, param)


def test_what_is_not_changed_is_forwarded_as_it_came() -> None:
    scan = FORMAT.scan(b'{"model":"m", "input" : [ {"role":"user","content":"\\u00e9"} ],"model":"n","x":1.50}')
    body = FORMAT.rewrite(scan, {"model": msgspec.Raw(b'"up"'), "store": msgspec.Raw(b"false")}, Quirks())
    assert body == b'{"model":"up","input":[ {"role":"user","content":"\\u00e9"} ],"x":1.50,"store":false}'


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"error":{"message":"m","type":"t","code":"c","param":null}}',
         {"message": "m", "type": "t", "code": "c", "param": None}),
        (b"no JSON", {"message": "no JSON"}),
        (b"[]", {"message": "[]"}),
    ],
)  # fmt: skip
def test_the_error_event_tells_it_twice(body: bytes, error: dict[str, Any]) -> None:
    frame = FORMAT.error_frame(body)
    assert frame.startswith(b"event: error\ndata: {")
    event = json.loads(frame.decode().split("data: ")[1])
    assert (event["type"], event["message"], event["error"]) == ("error", error["message"], error)
    with pytest.raises(FaultError):
        FORMAT.stream_decoder().feed(frame)


def test_faults_are_those_of_the_vendor() -> None:
    fault = FORMAT.decode_fault(400, (), b'{"error":{"message":"Too long","code":"context_length_exceeded"}}')
    assert fault.kind is FaultKind.CONTEXT_LENGTH
    # The vendor has said this with status 400 as well (recorded 2025); it is no fault of the caller's.
    quota = FORMAT.decode_fault(400, (), b'{"error":{"message":"Pay us","type":"insufficient_quota"}}')
    assert quota.kind is FaultKind.PROVIDER_UNAVAILABLE
    assert "Pay us" not in quota.message
