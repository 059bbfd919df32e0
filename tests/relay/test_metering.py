"""Metering: the provider's report where it can be true, else a count, and an estimate never above the hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.catalog.entries import Price, Rates
from tollhouse.ir.usage import Usage
from tollhouse.money.pricing import charge_lines, upper_bound
from tollhouse.relay.metering import Received, Sent, meter

BODY = b"x" * 300
REPORT = Usage(input_tokens=90, cache_read_tokens=10, output_tokens=40, reasoning_tokens=5)


def metered(report: Usage | None, at: int = 120, size: int = 120, **sent: int | None) -> Usage:
    return meter(
        Sent(body=BODY, **sent),  # type: ignore[arg-type]
        Received(report=report, reported_at_bytes=at, size_bytes=size),
    )


def figures(usage: Usage) -> tuple[int, int, str]:
    return usage.prompt_tokens, usage.completion_tokens, usage.source


@pytest.mark.fault(42)
@pytest.mark.parametrize(
    ("report", "at", "size", "expected"),
    [
        pytest.param(REPORT, 120, 120, (100, 40, "provider"), id="the last word"),
        pytest.param(None, 0, 900, (100, 300, "estimated"), id="missing"),
        pytest.param(None, 0, 0, (100, 0, "estimated"), id="missing, and nothing came"),
        pytest.param(REPORT, 120, 420, (100, 140, "estimated"), id="so far: the rest is counted"),
        pytest.param(REPORT, 0, 120, (100, 40, "provider"), id="all of it in advance"),
        pytest.param(Usage(input_tokens=100, output_tokens=1), 0, 900, (100, 300, "estimated"), id="a beginning"),
        pytest.param(Usage(input_tokens=100), 0, 900, (100, 300, "estimated"), id="the prompt's only"),
        pytest.param(Usage(input_tokens=100), 900, 900, (100, 300, "estimated"), id="no output, though some came"),
        pytest.param(Usage(input_tokens=100), 0, 0, (100, 0, "provider"), id="no output, and none came"),
        pytest.param(Usage(), 900, 900, (100, 300, "estimated"), id="noughts"),
        pytest.param(Usage(output_tokens=7), 21, 21, (100, 7, "estimated"), id="no prompt"),
    ],
)
def test_what_a_report_is_worth(report: Usage | None, at: int, size: int, expected: tuple[int, int, str]) -> None:
    assert figures(metered(report, at, size)) == expected


@pytest.mark.fault(43)
@pytest.mark.parametrize(
    ("report", "size", "sent"),
    [
        pytest.param(Usage(input_tokens=2**40, output_tokens=40), 120, {}, id="prompt without bound"),
        pytest.param(Usage(input_tokens=100, output_tokens=2**40), 120, {}, id="output without bound"),
        pytest.param(Usage(input_tokens=50_000, output_tokens=40), 120, {"context_length": 8192}, id="window"),
        pytest.param(
            Usage(input_tokens=100, output_tokens=50_000), 120, {"max_output_tokens": 4096}, id="longest answer"
        ),
        pytest.param(Usage(input_tokens=100, output_tokens=1), 90_000, {}, id="90 KB of text in one token"),
    ],
)
def test_a_report_that_cannot_be_true_is_replaced(report: Usage, size: int, sent: dict[str, int]) -> None:
    usage = metered(report, size, size, **sent)
    assert usage.source == "estimated"
    assert (usage.prompt_tokens, usage.completion_tokens) == (100, min(size // 3, sent.get("max_output_tokens", size)))


@pytest.mark.parametrize(
    ("report", "size", "sent"),
    [
        pytest.param(
            Usage(input_tokens=30_000, output_tokens=4), 9, {"context_length": 8192}, id="the provider's tools"
        ),
        pytest.param(
            Usage(input_tokens=9, output_tokens=9_000), 60, {"max_output_tokens": 8192}, id="hidden reasoning"
        ),
        pytest.param(Usage(input_tokens=9, output_tokens=3000), 60, {"output_limit": 10}, id="above the limit sent"),
        pytest.param(Usage(input_tokens=9, output_tokens=2), 200, {}, id="few tokens for long blanks"),
        pytest.param(Usage(input_tokens=9, audio_output_tokens=200), 900_000, {}, id="sound is not counted by bytes"),
        pytest.param(Usage(cache_read_tokens=9, output_tokens=3), 9, {}, id="all of it cached"),
    ],
)
def test_a_report_that_can_be_true_is_what_is_charged(report: Usage, size: int, sent: dict[str, int]) -> None:
    assert metered(report, size, size, **sent) == report


def test_an_estimate_keeps_the_limit_that_was_sent() -> None:
    assert metered(None, 0, 30_000, output_limit=50).completion_tokens == 50
    assert metered(None, 0, 30_000, output_limit=50, choices=3).completion_tokens == 150
    assert metered(None, 0, 30_000, max_output_tokens=4000).completion_tokens == 4000
    # What the provider has told stays told.
    assert metered(REPORT, 120, 30_000, output_limit=20).completion_tokens == 40


@given(
    body=st.binary(max_size=3000),
    size=st.integers(0, 10**7),
    limit=st.integers(1, 10**6),
    choices=st.integers(1, 4),
    prompt=st.integers(0, 10**8),
    completion=st.integers(0, 10**8),
)
def test_a_count_of_our_own_never_costs_more_than_the_hold(
    body: bytes, size: int, limit: int, choices: int, prompt: int, completion: int
) -> None:
    price = Price(rates=Rates(prompt=prompt, completion=completion))
    usage = meter(Sent(body=body, output_limit=limit, choices=choices), Received(size_bytes=size))
    assert usage.source == "estimated"
    charged = sum(line.amount_nano_usd for line in charge_lines(price, usage))
    assert charged <= upper_bound(price, len(body), limit, choices)


counts = st.integers(0, 2**40)


@given(prompt=counts, output=counts, at=st.integers(0, 10**6), rest=st.integers(0, 10**6), body=st.binary(max_size=99))
def test_whatever_is_reported_the_count_is_sound(prompt: int, output: int, at: int, rest: int, body: bytes) -> None:
    report = Usage(input_tokens=prompt, output_tokens=output)
    usage = meter(Sent(body=body), Received(report=report, reported_at_bytes=at, size_bytes=at + rest))
    assert usage == report if usage.source == "provider" else usage.prompt_tokens >= 0
    assert 0 <= usage.reasoning_tokens <= usage.output_tokens
    assert usage.completion_tokens > 0 or at + rest == 0
