"""Passthrough and Patched: the identity on bytes but for what the policy names, and honest about broken streams."""

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.chat_pipes import (
    DONE,
    ESTIMATE,
    MODEL,
    PLAIN,
    TIDY,
    USAGE,
    chunk,
    events,
    frame,
    opened,
    passed,
    stream,
    words,
)
from tollhouse.ir.events import UsageReport
from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.ir.usage import Usage
from tollhouse.wire.format import AnswerPolicy
from tollhouse.wire.openai_chat.format import OpenAIChat
from tollhouse.wire.pipe import Pipe

USAGE_FRAME = chunk(None, usage=USAGE)


def until_fault(pipe: Pipe, data: bytes, step: int) -> tuple[bytes, FaultKind | None]:
    """What the caller gets before the fault, and which it is."""
    out = b""
    try:
        for at in range(0, len(data), step):
            out += pipe.feed(data[at : at + step])
        out += pipe.close()
    except FaultError as error:
        return out, error.fault.kind
    return out, None


def fault(data: bytes, policy: AnswerPolicy = PLAIN) -> FaultKind:
    with pytest.raises(FaultError) as raised:
        passed(opened(policy), data)
    return raised.value.fault.kind


@pytest.mark.row(15)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("spaced", [False, True])
@pytest.mark.parametrize("step", [1, 3, 50, 1 << 20])
def test_passthrough_is_the_identity(end: str, spaced: bool, step: int) -> None:
    data = b": hello\n\n" + stream(*words(30), USAGE_FRAME, end=end, spaced=spaced)
    assert passed(opened(usage=True), data, step) == data


@given(st.lists(st.text(max_size=8), max_size=12), st.integers(1, 200), st.booleans(), st.sampled_from(["", "x7"]))
@settings(max_examples=60)
def test_whatever_the_text_and_the_split(texts: list[str], step: int, spaced: bool, padding: str) -> None:
    extra = {"obfuscation": padding} if padding else {}
    chunks = [*(chunk({"content": text}, **extra) for text in texts), chunk({}, "stop")]
    data = stream(*chunks, USAGE_FRAME, spaced=spaced)
    assert passed(opened(usage=True), data, step) == data
    patched = events(passed(opened(MODEL, usage=True), data, step))
    assert patched == [{**value, "model": "acme/large"} for value in (*chunks, USAGE_FRAME)]


@pytest.mark.parametrize("field", ["content", "reasoning_content", "reasoning", "arguments"])
def test_growing_texts_of_every_kind(field: str) -> None:
    def delta(text: str) -> dict[str, Any]:
        if field == "arguments":
            return {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}
        return {field: text}

    chunks = [*(chunk(delta(text)) for text in ['{"a', '":', ' "b', "}", "\\", '"']), chunk({}, "stop")]
    pipe = opened(MODEL)
    assert events(passed(pipe, stream(*chunks))) == [{**value, "model": "acme/large"} for value in chunks]
    assert 12 <= pipe.received_bytes <= 18


def test_nested_members_of_the_same_name_stay() -> None:
    odd = {"upstream": {"model": "m-2025", "id": "x"}}
    chunks = [chunk({"content": '"model":"m-2025"'}, **odd), chunk({"content": "y"}, **odd), chunk({}, "stop")]
    got = events(passed(opened(MODEL), stream(*chunks)))
    assert got == [{**value, "model": "acme/large"} for value in chunks]


def test_a_model_that_changes_or_lacks_is_patched_too() -> None:
    bare = chunk({"content": "c"})
    del bare["model"]
    chunks = [chunk({"content": "a"}), {**chunk({"content": "b"}), "model": "other"}, bare, chunk({}, "stop")]
    got = events(passed(opened(AnswerPolicy(model="acme/large", answer_id="id-1")), stream(*chunks)))
    assert got == [{**value, "model": "acme/large", "id": "id-1"} for value in chunks]


@pytest.mark.row(16)
def test_usage_frame_only_when_asked() -> None:
    data = stream(*words(3), USAGE_FRAME)
    asked, other = opened(usage=True), opened()
    assert passed(asked, data) == data
    assert passed(other, data) == stream(*words(3))
    assert asked.usage == other.usage == Usage(input_tokens=5, output_tokens=4)


@pytest.mark.fault(42)
@pytest.mark.fault(44)
@pytest.mark.parametrize("place", ["a frame of its own", "the last chunk", "every chunk"])
def test_what_a_provider_asks_of_the_gateway_is_not_shown(place: str) -> None:
    told = {**USAGE, "cost": 9, "cost_details": {"upstream": 9}}
    frames = words(40)
    if place == "every chunk":
        frames = [{**frame, "usage": told} for frame in frames]
    elif place == "the last chunk":
        frames[-1] = {**frames[-1], "usage": told}
    else:
        frames.append(chunk(None, usage=told))
    got = events(passed(opened(MODEL, usage=True), stream(*frames)))
    assert [frame["usage"] for frame in got if frame.get("usage")] == [USAGE] * (
        len(frames) if place == "every chunk" else 1
    )
    assert {frame["model"] for frame in got} == {"acme/large"}
    assert not [frame for frame in got if "cost" in json.dumps(frame)]


def test_usage_on_chunks_with_choices_is_removed_never_the_frame() -> None:
    chunks = [
        chunk({"content": "a"}, usage=USAGE),
        chunk({"content": "b"}, usage=USAGE),
        chunk({}, "stop", usage=USAGE),
    ]
    for policy in (PLAIN, MODEL):
        pipe = opened(policy)
        got = events(passed(pipe, stream(*chunks)))
        assert [value["choices"] for value in got] == [value["choices"] for value in chunks]
        assert not any("usage" in value for value in got)
        assert pipe.usage == Usage(input_tokens=5, output_tokens=4)
    assert passed(opened(usage=True), stream(*chunks)) == stream(*chunks)


@pytest.mark.fault(42)
@pytest.mark.parametrize(
    "data",
    [
        stream(USAGE_FRAME, *words(3)),
        stream(*words(3)) + frame(USAGE_FRAME),
        stream(*words(3), chunk(None, usage={**USAGE, "total_tokens": 99}), USAGE_FRAME, USAGE_FRAME),
        stream(*words(3)[:-1], chunk({}, "stop", x_groq={"id": "r", "usage": USAGE})),
        stream(*words(2), chunk({}, "stop"), USAGE_FRAME, chunk(None, usage={**USAGE, "total_tokens": -1})),
    ],
)
def test_usage_is_found_wherever_it_is(data: bytes) -> None:
    pipe = opened()
    passed(pipe, data)
    assert pipe.usage == Usage(input_tokens=5, output_tokens=4)


@pytest.mark.fault(43)
def test_usage_that_cannot_be_trusted_counts_as_none() -> None:
    pipe = opened()
    passed(pipe, stream(*words(3), chunk(None, usage={**USAGE, "prompt_tokens": -5})))
    assert pipe.usage is None


def test_the_estimate_is_shown_where_usage_was_asked_for_and_none_came() -> None:
    got = events(passed(opened(MODEL, usage=True), stream(*words(2))))
    assert got[-1]["choices"] == []
    assert (got[-1]["usage"]["prompt_tokens"], got[-1]["model"]) == (7, "acme/large")


@pytest.mark.fault(38)
def test_a_missing_done_is_added_when_the_answer_had_ended() -> None:
    data = stream(*words(3), done=False)
    assert passed(opened(), data) == data + DONE
    assert passed(opened(), data[:-2]) == data + DONE


@pytest.mark.fault(33, 34, 35)
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b": ping\n\n",
        DONE,
        stream(*words(3)[:-1], done=False),
        stream(*words(3)[:-1], done=False) + b'data: {"id":"chatcmpl-9","choi',
        b"<html>busy</html>\n\n",
        b"data: hello\n\n",
        b"data: [1]\n\n",
    ],
)
def test_streams_that_end_early_or_are_garbled_fail(data: bytes) -> None:
    for policy in (PLAIN, MODEL, TIDY):
        assert fault(data, policy) is FaultKind.PROVIDER_UNAVAILABLE


def test_several_choices_must_all_end() -> None:
    def part(index: int, finish: str | None) -> dict[str, Any]:
        return chunk(None, choices=[{"index": index, "delta": {"content": "x"}, "finish_reason": finish}])

    data = stream(part(0, None), part(1, None), part(0, "stop"), done=False)
    with pytest.raises(FaultError):
        passed(opened(choices=2), data)
    whole = data + stream(part(1, "length"))
    assert passed(opened(choices=2), whole) == whole


@pytest.mark.fault(36)
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "overloaded", "type": "overloaded_error"}, FaultKind.PROVIDER_OVERLOADED),
        ({"message": "slow down", "code": 429}, FaultKind.PROVIDER_RATE_LIMIT),
        ({"message": "bad key", "code": "invalid_api_key"}, FaultKind.PROVIDER_AUTH),
        ("something", FaultKind.PROVIDER_UNAVAILABLE),
    ],
)
def test_an_error_object_is_a_fault_before_and_amid_content(error: object, kind: FaultKind) -> None:
    for policy in (PLAIN, MODEL, TIDY):
        for before in ([], words(5)[:-1]):
            pipe = opened(policy)
            pipe.feed(stream(*before, done=False))
            with pytest.raises(FaultError) as raised:
                pipe.feed(frame({"error": error}))
            assert raised.value.fault.kind is kind
            assert pipe.has_content is bool(before)


@pytest.mark.parametrize("policy", [PLAIN, MODEL, TIDY])
@pytest.mark.parametrize("after", [b"", frame(chunk({"content": "late"})), DONE])
def test_what_came_before_an_error_is_given_out_however_it_arrived(policy: AnswerPolicy, after: bytes) -> None:
    data = stream(*words(9)[:-1], done=False) + frame({"error": {"message": "gone", "code": 503}}) + after
    one, some, all_at_once = (until_fault(opened(policy), data, step) for step in (1, 100, len(data)))
    assert one == some == all_at_once
    given, kind = one
    assert kind is FaultKind.PROVIDER_OVERLOADED
    assert b"there" in given
    assert b"late" not in given


def test_an_event_named_error_is_a_fault() -> None:
    data = stream(*words(2)[:-1], done=False) + b'event: error\ndata: {"message":"x","code":529}\n\n'
    assert fault(data) is FaultKind.PROVIDER_OVERLOADED


def test_a_leading_chunk_without_names_is_not_taken_for_the_head() -> None:
    lead = {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": [{"x": 1}]}
    got = events(passed(opened(MODEL, usage=True), stream(lead, *words(40))))
    assert got[:-1] == [{**value, "model": "acme/large"} for value in (lead, *words(40))]
    assert (got[-1]["id"], got[-1]["created"], got[-1]["model"]) == ("chatcmpl-9", 1763, "acme/large")


def test_an_error_beside_choices_is_a_fault() -> None:
    broken = {**chunk({"content": ""}, "error"), "error": {"code": 502, "message": "gone"}}
    assert fault(stream(*words(2)[:-1], broken)) is FaultKind.PROVIDER_UNAVAILABLE
    assert fault(stream(*words(2)[:-1], chunk({}, "error"))) is FaultKind.PROVIDER_UNAVAILABLE


def test_nothing_goes_out_before_the_first_content() -> None:
    pipe = opened()
    first, second, *_ = words(1)
    assert pipe.feed(b": PROCESSING\n\n" + frame(first)) == b""
    assert not pipe.has_content
    assert pipe.feed(frame(second)) == b": PROCESSING\n\n" + frame(first) + frame(second)
    assert pipe.has_content


def test_idle_frames_without_end_are_not_hoarded() -> None:
    pipe = opened()
    sent = sum(len(pipe.feed(b": " + b"x" * 1000 + b"\n\n")) for _ in range(3000))
    assert sent > 1_000_000


@pytest.mark.parametrize("policy", [PLAIN, MODEL, TIDY])
def test_no_terminal_frame_before_finish(policy: AnswerPolicy) -> None:
    pipe = opened(policy, usage=True)
    out = pipe.feed(stream(*words(5), USAGE_FRAME)) + pipe.close()
    assert b"[DONE]" not in out
    assert b"prompt_tokens" not in out
    end = pipe.finish(ESTIMATE)
    assert end.endswith(DONE)
    assert b"prompt_tokens" in end


@pytest.mark.parametrize("policy", [PLAIN, MODEL, TIDY])
def test_a_stream_that_the_gateway_cuts_ends_with_length(policy: AnswerPolicy) -> None:
    pipe = opened(policy)
    out = pipe.feed(stream(*words(9)[:-1], done=False)) + pipe.finish(ESTIMATE)
    ends = [choice["finish_reason"] for value in events(out) for choice in value["choices"]]
    assert ends[-1] == "length"
    assert pipe.finish_reason == "length"


@pytest.mark.parametrize("padding", [False, True])
@pytest.mark.parametrize("policy", [PLAIN, MODEL, TIDY])
def test_received_bytes_are_about_right(policy: AnswerPolicy, padding: bool) -> None:
    pipe = opened(policy)
    chunks = [
        chunk({"content": "x" * (at % 9 + 1)}, **({"obfuscation": "z" * 9} if padding else {})) for at in range(90)
    ]
    passed(pipe, stream(*chunks, chunk({}, "stop")))
    assert pipe.received_bytes == 450


def test_the_tap_reads_what_the_decoder_reads() -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 2}, "completion_tokens_details": {"reasoning_tokens": 3}}
    for usage in (USAGE, USAGE | details, USAGE | {"total_tokens": 1}, {}):
        data = stream(*words(4), chunk(None, usage=usage))
        pipe, decoder = opened(), OpenAIChat().stream_decoder()
        passed(pipe, data)
        reports = [event.usage for event in (*decoder.feed(data), *decoder.flush()) if isinstance(event, UsageReport)]
        assert (reports[-1] if reports else None) == pipe.usage


def test_multi_line_and_named_events_are_patched() -> None:
    value = chunk({"content": "a"})
    text = json.dumps(value, indent=1)
    data = b"event: delta\n" + "".join(f"data: {line}\n" for line in text.splitlines()).encode() + b"\n"
    got = passed(opened(MODEL), data + stream(chunk({}, "stop")))
    assert got.startswith(b"event: delta\n")
    assert b'"acme/large"' in got.split(b"\n\n")[0]
    assert b"m-2025" not in got


@given(st.binary(max_size=60), st.integers(0, 900))
@settings(max_examples=150)
def test_garbage_anywhere_gives_a_fault_or_bytes_but_no_other_error(garbage: bytes, at: int) -> None:
    data = stream(*words(6), USAGE_FRAME)
    for policy in (PLAIN, MODEL, TIDY):
        with contextlib.suppress(FaultError):
            passed(opened(policy), data[:at] + garbage + data[at:], 64)


def test_values_that_are_oddly_typed_never_break_the_pipe() -> None:
    odd: list[Any] = [None, 1, "x", [], {}, [1], [None], [{}], {"a": 1}]
    for value in odd:
        variants = [
            {**chunk({}), "choices": value},
            chunk(None, choices=[{"index": value, "delta": {"content": "x"}}]),
            chunk(None, choices=[{"index": 0, "delta": value, "finish_reason": value}]),
            chunk({"content": value, "tool_calls": value, "reasoning_content": value}),
            chunk({"content": "x"}, usage=value, x_groq=value),
            {**chunk({"content": "x"}), "id": value, "model": value, "created": value},
        ]
        for policy in (PLAIN, MODEL, TIDY):
            passed(opened(policy, usage=True), stream(*variants, chunk({}, "stop")))


def test_deep_chunks_are_a_fault() -> None:
    deep = b'data: {"choices":' + b"[" * 5000 + b"]" * 5000 + b"}\n\n"
    for policy in (PLAIN, MODEL, TIDY):
        assert fault(deep, policy) is FaultKind.PROVIDER_UNAVAILABLE


def test_numbers_stay_as_they_were_written() -> None:
    data = frame(chunk({"content": "a"}, usage=USAGE)).replace(b"1763", b"1763.50e0") + stream(chunk({}, "stop"))
    assert b"1763.50e0" in passed(opened(MODEL), data)
    assert msgspec.json.decode(passed(opened(MODEL), data).split(b"\n\n")[0][6:])["created"] == 1763.5
