"""Tidy: role, deltas, one finish per choice, usage with cost, [DONE], whatever the vendor's own order was."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.chat_pipes import TIDY, USAGE, chunk, events, opened, passed, stream, words
from tollhouse.ir.usage import Usage
from tollhouse.wire.format import Answered

HEAD = {"id": "gen-1", "object": "chat.completion.chunk", "created": 1763, "model": "acme/large"}
ROLE = {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}


def tidied(*chunks: dict[str, Any], step: int = 1 << 20, **options: Any) -> list[dict[str, Any]]:
    return events(passed(opened(TIDY), stream(*chunks, **options), step))


def finish(reason: str, index: int = 0) -> dict[str, Any]:
    return {**HEAD, "choices": [{"index": index, "delta": {}, "logprobs": None, "finish_reason": reason}]}


def deltas(got: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [choice["delta"] for value in got for choice in value["choices"] if choice["finish_reason"] is None]


@pytest.mark.row(71, 72)
@pytest.mark.parametrize("step", [1, 40, 1 << 20])
@pytest.mark.parametrize("padding", [{}, {"obfuscation": "abc"}])
def test_the_order_of_frames(step: int, padding: dict[str, Any]) -> None:
    chunks = words(30, **padding)
    got = tidied(*chunks, chunk(None, usage=USAGE), step=step)
    assert got[0] == {**HEAD, "choices": [ROLE]}
    sent = [{**value, **HEAD} for value in chunks[1:-1]]
    assert got[1:-2] == sent
    assert got[-2] == finish("stop")
    assert got[-1]["choices"] == []
    assert got[-1]["usage"] == {
        **USAGE,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
        "cost": 0.0015,
    }


@pytest.mark.row(72)
def test_usage_comes_as_an_estimate_where_the_provider_gives_none() -> None:
    pipe = opened(TIDY)
    got = events(passed(pipe, stream(*words(2))))
    assert pipe.usage is None
    assert (got[-1]["usage"]["prompt_tokens"], got[-1]["usage"]["completion_tokens"]) == (7, 3)


@given(
    st.lists(st.tuples(st.sampled_from(["content", "reasoning"]), st.text(max_size=6)), max_size=20),
    st.integers(1, 300),
    st.booleans(),
    st.sampled_from(["\n", "\r\n"]),
)
@settings(max_examples=80)
def test_every_text_arrives_whatever_the_split(texts: list[tuple[str, str]], step: int, spaced: bool, end: str) -> None:
    data = stream(*(chunk({name: text}) for name, text in texts), chunk({}, "stop"), spaced=spaced, end=end)
    got = events(passed(opened(TIDY), data, step))
    assert deltas(got) == [ROLE["delta"], *({name: text} for name, text in texts if text)]
    assert all(value["id"] == "gen-1" and value["model"] == "acme/large" for value in got)


def test_usage_comes_once_at_the_end_wherever_it_was() -> None:
    got = tidied(*[{**value, "usage": USAGE} for value in words(3)])
    assert ["usage" in value for value in got] == [False] * (len(got) - 1) + [True]


def test_finish_beside_content_repeated_or_early_is_said_once_at_the_end() -> None:
    got = tidied(
        chunk({"role": "assistant", "content": "a"}),
        chunk({"content": "b"}, "stop"),
        chunk({}, "stop"),
        chunk({"content": "c"}),
    )
    assert deltas(got) == [ROLE["delta"], {"content": "a"}, {"content": "b"}, {"content": "c"}]
    assert got[-2] == finish("stop")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("stop", "stop"),
        ("eos", "stop"),
        ("", "stop"),
        ("weird", "stop"),
        ("max_tokens", "length"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("SAFETY", "content_filter"),
        ("tool_calls", "stop"),
    ],
)
@pytest.mark.row(70)
def test_finish_reasons_are_of_the_closed_list(raw: str, reason: str) -> None:
    pipe = opened(TIDY)
    got = events(passed(pipe, stream(chunk({"content": "a"}), chunk({}, raw))))
    assert got[-2] == finish(reason)
    assert pipe.finish_reason == reason


@pytest.mark.row(73)
def test_tool_calls_decide_the_finish_reason() -> None:
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}
    parts = [
        {"tool_calls": [{"index": 0, "function": {"arguments": text}}]} for text in ('{"a', '": "', "\\", '"}', "x" * 9)
    ]
    chunks = [
        chunk({"role": "assistant", "content": None, "tool_calls": [call]}),
        *map(chunk, parts),
        chunk({}, "stop"),
    ]
    got = tidied(*chunks)
    assert deltas(got) == [ROLE["delta"], {"tool_calls": [call]}, *parts]
    assert got[-2] == finish("tool_calls")


def test_whole_tool_calls_without_index_are_numbered() -> None:
    def call(number: int) -> dict[str, Any]:
        return {"id": f"c{number}", "function": {"name": "f", "arguments": "{}"}}

    got = tidied(chunk({"tool_calls": [call(1), call(2)]}), chunk({"tool_calls": [call(3)]}), chunk({}, "tool_calls"))
    calls = [each for delta in deltas(got) for each in delta.get("tool_calls", [])]
    assert calls == [{**call(number), "index": number - 1, "type": "function"} for number in (1, 2, 3)]


@pytest.mark.row(68)
def test_reasoning_has_the_contracts_name() -> None:
    got = tidied(*[chunk({"reasoning_content": text, "content": None}) for text in "abc"], *words(2)[1:])
    assert deltas(got)[1:4] == [{"reasoning": text} for text in "abc"]
    both = tidied(chunk({"reasoning": "r", "reasoning_content": "r"}), chunk({}, "stop"))
    assert deltas(both)[1] == {"reasoning": "r"}


def test_content_in_parts_becomes_text_and_reasoning() -> None:
    thinking = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]
    got = tidied(
        chunk({"content": thinking}), chunk({"content": [*thinking, {"type": "text", "text": "ok"}]}), chunk({}, "stop")
    )
    assert deltas(got)[1:] == [{"reasoning": "hm"}, {"content": "ok", "reasoning": "hm"}]


def test_leading_chunks_without_choices_and_empty_deltas_are_left_out() -> None:
    got = tidied(chunk(None, prompt_filter_results=[]), chunk({"role": "assistant"}), chunk({}), *words(1))
    assert deltas(got) == [ROLE["delta"], {"content": "Hi"}]


def test_an_empty_answer_has_its_frames_too() -> None:
    got = tidied(chunk({}, "stop"))
    assert got[:2] == [{**HEAD, "choices": [ROLE]}, finish("stop")]
    assert len(got) == 3


def test_required_members_are_added() -> None:
    bare = {"choices": [{"delta": {"content": "a"}}]}
    got = tidied(bare, {"choices": [{"delta": {}, "finish_reason": "stop"}]})
    assert all(value["created"] == 0 and value["object"] == "chat.completion.chunk" for value in got)
    assert [value["id"] for value in got] == ["gen-1"] * 4
    assert got[1]["choices"] == [{"index": 0, "delta": {"content": "a"}, "logprobs": None, "finish_reason": None}]


def test_several_choices_each_have_role_and_finish() -> None:
    def part(index: int, text: str, reason: str | None = None) -> dict[str, Any]:
        delta = {"content": text} if text else {}
        return {**HEAD, "choices": [{"index": index, "delta": delta, "finish_reason": reason}]}

    data = stream(part(1, "b"), part(0, "a"), part(1, "", "length"), part(0, "", "stop"))
    got = events(passed(opened(TIDY, choices=2), data))
    assert [value["choices"][0]["index"] for value in got[:-1]] == [1, 1, 0, 0, 0, 1]
    assert got[-3:-1] == [finish("stop"), finish("length", 1)]


def test_vendor_members_survive() -> None:
    got = tidied(chunk({"content": "a"}, citations=["u"], service_tier="x"), chunk({}, "stop"))
    assert got[1]["citations"] == ["u"]
    assert got[1]["service_tier"] == "x"


@pytest.mark.fault(43)
def test_the_figures_of_the_provider_are_shown_as_they_came() -> None:
    reasoning = {"completion_tokens_details": {"reasoning_tokens": 290}}
    told = {"prompt_tokens": 12, "completion_tokens": 1, "total_tokens": 303, **reasoning}
    pipe = opened(TIDY)
    got = events(passed(pipe, stream(*words(2), chunk(None, usage={**told, "prompt_tokens_details": None}))))
    assert got[-1]["usage"] == {**told, "prompt_tokens_details": {"cached_tokens": 0}, "cost": 0.0015}
    assert pipe.usage == Usage(input_tokens=12, output_tokens=291, reasoning_tokens=290)


def test_cost_is_the_one_that_was_settled() -> None:
    answered = Answered(usage=Usage(), cost_nano_usd=123)
    usage = Usage(input_tokens=5, output_tokens=4)
    pipe = opened(TIDY)
    got = events(passed(pipe, stream(*words(2), chunk(None, usage={**USAGE, "cost": 99})), answered=answered))
    assert pipe.usage == usage
    assert got[-1]["usage"]["cost"] == 1.23e-07
