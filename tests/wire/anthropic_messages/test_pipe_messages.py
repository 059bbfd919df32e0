"""Pipes of Messages: verbatim but for what the policy names, terminal frames last, usage and reasons read on."""

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.hostile import hostile_objects, hostile_streams
from support.messages_grammar import check_messages_stream
from support.messages_streams import CASES, PING, STOP, THINKING, Case, call, end, event, start, words
from support.strategies import cut
from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.ir.fold import fold
from tollhouse.ir.response import ChatResponse
from tollhouse.ir.usage import Usage
from tollhouse.wire.anthropic_messages.body_pipe import MessagesBodyPipe
from tollhouse.wire.anthropic_messages.format import AnthropicMessages
from tollhouse.wire.anthropic_messages.stream_decode import MessagesStreamDecoder
from tollhouse.wire.format import Answered, AnswerPolicy, Peek
from tollhouse.wire.pipe import Pipe, open_pipe

PLAIN = AnswerPolicy()
NAMED = AnswerPolicy(answer_id="msg_gen-1", model="acme/large")
TIDY = AnswerPolicy(answer_id="msg_gen-1", model="acme/large", usage_always=True, cost=True, tidy=True)
ESTIMATE = Answered(usage=Usage(input_tokens=7, output_tokens=3, source="estimated"), cost_nano_usd=1_500_000)
WHOLE = start(stop_sequence=None) + PING + words(0, "Hi", " there") + end() + STOP
ANSWERS = [case for case in CASES if isinstance(case.means, ChatResponse)]


def opened(policy: AnswerPolicy = PLAIN, *, streamed: bool = True) -> Pipe:
    return open_pipe(AnthropicMessages(), policy, Peek(model="x", stream=streamed))


def passed(pipe: Pipe, pieces: list[bytes]) -> bytes:
    """All that the caller gets."""
    out = [pipe.feed(piece) for piece in pieces]
    out.append(pipe.close())
    answered = ESTIMATE if pipe.usage is None else Answered(usage=pipe.usage, cost_nano_usd=ESTIMATE.cost_nano_usd)
    out.append(pipe.finish(answered))
    return b"".join(out)


def events(data: bytes) -> list[dict[str, Any]]:
    lines = data.decode().replace("\r\n", "\n").split("\n")
    return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]


def fault_of(pipe: Pipe, stream: str) -> FaultKind:
    with pytest.raises(FaultError) as raised:
        passed(pipe, [stream.encode()])
    return raised.value.fault.kind


@pytest.mark.parametrize(
    "stream", [WHOLE, WHOLE.replace("\n", "\r\n"), start() + call(0, '{"a":1}') + PING + end("tool_use") + STOP]
)
@given(places=st.lists(st.integers(0, 2**16), max_size=6))
def test_nothing_named_is_the_identity(stream: str, places: list[int]) -> None:
    assert passed(opened(), cut(stream.encode(), places)) == stream.encode()


@pytest.mark.parametrize("case", ANSWERS, ids=lambda case: case.name)
def test_the_tap_reads_what_the_decoder_reads(case: Case) -> None:
    assert isinstance(case.means, ChatResponse)
    pipe = opened()
    passed(pipe, [case.stream.encode()])
    assert pipe.usage == case.means.usage
    finish = case.means.choices[0].finish
    assert finish is not None
    assert pipe.finish_reason == (finish.raw or "end_turn")


@pytest.mark.parametrize("policy", [PLAIN, NAMED, TIDY])
@pytest.mark.parametrize("case", ANSWERS, ids=lambda case: case.name)
def test_the_caller_reads_the_same_answer(case: Case, policy: AnswerPolicy) -> None:
    decoder = MessagesStreamDecoder()
    data = passed(opened(policy), [case.stream.encode()])
    read = fold(decoder.feed(data) + decoder.flush())
    assert isinstance(case.means, ChatResponse)
    assert read.choices[0].parts == case.means.choices[0].parts
    assert events(data)[-1] == {"type": "message_stop"}


def test_terminal_frames_wait_for_the_settlement() -> None:
    pipe = opened()
    given_out = pipe.feed(WHOLE.encode()) + pipe.close()
    assert b"message_delta" not in given_out
    assert b"message_stop" not in given_out
    assert given_out + pipe.finish(ESTIMATE) == WHOLE.encode()


def test_nothing_goes_out_before_there_is_content() -> None:
    pipe = opened()
    opening = event("content_block_start", index=0, content_block=THINKING)
    assert pipe.feed((start() + PING + opening).encode()) == b""
    assert not pipe.has_content
    thought = event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "Hm"})
    assert pipe.feed(thought.encode()) == (start() + PING + opening + thought).encode()
    assert (pipe.has_content, pipe.received_bytes) == (True, 2)


def test_the_start_of_a_tool_call_is_content() -> None:
    pipe = opened()
    assert pipe.feed((start() + call(0)[: call(0).index("event: content_block_stop")]).encode())


def test_id_and_model_are_patched_in_the_first_frame_only() -> None:
    data = passed(opened(NAMED), [WHOLE.encode()])
    first, *rest = events(data)
    before, *others = events(WHOLE.encode())
    assert first["message"] == {**before["message"], "id": "msg_gen-1", "model": "acme/large"}
    assert rest == others


def test_the_tidy_stream_begins_with_usage_though_the_provider_tells_none() -> None:
    message = {
        name: value for name, value in json.loads(start().split("data: ")[1])["message"].items() if name != "usage"
    }
    stream = event("message_start", message=message) + words(0, "Hi") + end("end_turn")
    first = events(passed(opened(TIDY), [stream.encode()]))[0]["message"]
    assert first["usage"] == {"input_tokens": 0, "output_tokens": 0}
    assert "usage" not in events(passed(opened(), [stream.encode()]))[0]["message"]


def test_the_tidy_stream_has_cost_and_the_words_of_the_contract() -> None:
    stream = start() + words(0, "Hi") + end("model_context_window_exceeded") + end("stop_sequence", stop_sequence="X")
    data = passed(opened(TIDY), [stream.encode()])
    (last,) = [each for each in events(data) if each["type"] == "message_delta"]
    assert last["delta"] == {"stop_reason": "end_turn", "stop_sequence": "X"}
    assert last["usage"] == {"output_tokens": 9, "cost": 0.0015}
    assert data.endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')


@pytest.mark.fault(44)
def test_what_the_provider_asks_of_the_gateway_is_not_shown() -> None:
    stream = start() + words(0, "Hi") + end(usage={"output_tokens": 9, "cost": 5, "cost_details": {}}) + STOP
    assert events(passed(opened(TIDY), [stream.encode()]))[-2]["usage"] == {"output_tokens": 9, "cost": 0.0015}
    free = msgspec.structs.replace(TIDY, cost=False)
    assert events(passed(opened(free), [stream.encode()]))[-2]["usage"] == {"output_tokens": 9}


@pytest.mark.parametrize("usage", [{}, {"output_tokens": "many"}])
def test_usage_that_is_missing_is_the_settled_one(usage: dict[str, Any]) -> None:
    stream = start(usage=usage) + words(0, "Hi") + end(usage=usage) + STOP
    told = {"input_tokens": 7, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 3}
    assert events(passed(opened(TIDY), [stream.encode()]))[-2]["usage"] == {**told, "cost": 0.0015}
    assert events(passed(opened(NAMED), [stream.encode()]))[-2]["usage"] == usage


def test_a_stream_that_the_gateway_cuts_is_closed_well() -> None:
    pipe = opened()
    begun = start(stop_sequence=None) + call(0, '{"a')[: -len(event("content_block_stop", index=0))]
    data = pipe.feed(begun.encode()) + pipe.finish(ESTIMATE)
    assert events(data)[-2]["delta"] == {"stop_reason": "max_tokens", "stop_sequence": None}
    check_messages_stream(data)
    assert pipe.finish_reason == "max_tokens"


def test_a_missing_end_is_made_up() -> None:
    bare = start(stop_sequence=None) + words(0, "Hi") + call(1, "{}")
    for stream in (bare + end("tool_use"), bare + STOP):
        data = passed(opened(), [stream.encode()])
        assert [each["type"] for each in events(data)][-2:] == ["message_delta", "message_stop"]
        assert events(data)[-2]["delta"]["stop_reason"] == "tool_use"


@pytest.mark.parametrize(
    ("stream", "kind"),
    [
        (start() + words(0, "Hi"), FaultKind.PROVIDER_UNAVAILABLE),
        ("", FaultKind.PROVIDER_UNAVAILABLE),
        (STOP, FaultKind.PROVIDER_UNAVAILABLE),
        (words(0, "Hi"), FaultKind.PROVIDER_UNAVAILABLE),
        (start() + start(), FaultKind.PROVIDER_UNAVAILABLE),
        (start() + "data: {oops\n\n", FaultKind.PROVIDER_UNAVAILABLE),
        (start() + "data: [1]\n\n", FaultKind.PROVIDER_UNAVAILABLE),
        (start() + 'data: {"type": []}\n\n', FaultKind.PROVIDER_UNAVAILABLE),
        (start() + 'data: {"type":"message_delta","delta":{"stop_reason":1}', FaultKind.PROVIDER_UNAVAILABLE),
        (start() + event("content_block_start", index=None, content_block={}), FaultKind.PROVIDER_UNAVAILABLE),
        (start() + event("content_block_start", index=0, content_block=7), FaultKind.PROVIDER_UNAVAILABLE),
        (event("error", error={"type": "overloaded_error", "message": "x"}), FaultKind.PROVIDER_OVERLOADED),
        (start() + 'data: {"error":{"type":"rate_limit_error"}}\n\n', FaultKind.PROVIDER_RATE_LIMIT),
        (
            start() + 'event: content_block_delta\ndata: {"type":"error","error":{"type":"api_error"}}\n\n',
            FaultKind.PROVIDER_UNAVAILABLE,
        ),
    ],
)
@pytest.mark.parametrize("policy", [PLAIN, TIDY])
def test_what_is_broken_is_a_fault(policy: AnswerPolicy, stream: str, kind: FaultKind) -> None:
    assert fault_of(opened(policy), stream) is kind


@given(data=st.data())
def test_a_damaged_stream_is_a_fault_or_an_answer(data: st.DataObject) -> None:
    stream = WHOLE.encode()
    at = data.draw(st.integers(0, len(stream)))
    piece = data.draw(st.sampled_from([b"", b"\x00", b"\xff", b"}", b'"', b"\n\n", b"[DONE]"]))
    with contextlib.suppress(FaultError):
        passed(opened(TIDY), [stream[:at] + piece + stream[at + data.draw(st.integers(0, 30)) :]])


@given(stream=hostile_streams("anthropic_messages"), body=hostile_objects("anthropic_messages"))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_hostile_events_are_a_fault_or_an_answer(stream: bytes, body: bytes) -> None:
    for policy in (PLAIN, TIDY):
        with contextlib.suppress(FaultError):
            passed(opened(policy), [stream])
        with contextlib.suppress(FaultError):
            passed(opened(policy, streamed=False), [body])


MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [
        {"type": "thinking", "thinking": "Hm", "signature": "S"},
        {"type": "text", "text": "Hi"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 5, "output_tokens": 9},
    "x_new": 1,
}


def test_a_body_is_verbatim_or_patched() -> None:
    body = json.dumps(MESSAGE, indent=1).encode()
    pipe = opened(streamed=False)
    assert pipe.feed(body[:20]) + pipe.feed(body[20:]) == b""
    assert pipe.close() == b""
    assert pipe.finish(ESTIMATE) == body
    assert (pipe.usage, pipe.finish_reason) == (Usage(input_tokens=5, output_tokens=9), "tool_use")
    assert pipe.received_bytes == len("HmHif") + len('{"a":1}')
    tidy = json.loads(passed(opened(TIDY, streamed=False), [body]))
    usage = {**MESSAGE["usage"], "cost": 0.0015}
    assert tidy == {**MESSAGE, "id": "msg_gen-1", "model": "acme/large", "usage": usage}
    assert list(tidy) == list(MESSAGE)


def test_a_body_gets_what_it_lacks() -> None:
    body = {**MESSAGE, "stop_reason": "stop_sequence", "stop_sequence": "X", "usage": None}
    tidy = json.loads(passed(opened(TIDY, streamed=False), [json.dumps(body).encode()]))
    assert (tidy["stop_reason"], tidy["stop_sequence"]) == ("end_turn", "X")
    assert (tidy["usage"]["input_tokens"], tidy["usage"]["cost"]) == (7, 0.0015)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", FaultKind.PROVIDER_UNAVAILABLE),
        (b"[]", FaultKind.PROVIDER_UNAVAILABLE),
        (b'{"content": "Hi"}', FaultKind.PROVIDER_UNAVAILABLE),
        (b'{"type":"error","error":{"type":"overloaded_error","message":"x"}}', FaultKind.PROVIDER_OVERLOADED),
    ],
)
def test_a_body_that_is_no_message(body: bytes, kind: FaultKind) -> None:
    pipe = opened(streamed=False)
    pipe.feed(body)
    with pytest.raises(FaultError) as raised:
        pipe.close()
    assert raised.value.fault.kind is kind


def test_a_body_above_the_cap() -> None:
    with pytest.raises(FaultError):
        MessagesBodyPipe(PLAIN, max_body_bytes=10).feed(b"x" * 11)
