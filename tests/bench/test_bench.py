"""The bench: its loads check themselves, a wrong answer stops it, and its report says what was missed."""

import asyncio
import json
import socket

import pytest
from bench.__main__ import read_options
from bench.client import Tally, Target, call_once
from bench.decisions import SIZES_KB, Decided, decisions
from bench.loads import CHUNKS, LOADS, WrongAnswerError
from bench.measure import Cost, median_latency_ms
from bench.report import Report, missed
from bench.upstream import serve


def through_upstream(work):
    """Run `work(port)` beside a bench upstream."""

    async def main():
        listener = socket.create_server(("127.0.0.1", 0))
        serving = asyncio.create_task(serve(listener))
        try:
            return await work(listener.getsockname()[1])
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    return asyncio.run(main())


def target(port, load):
    return Target("direct", port, f"/{LOADS[load].plain or load}/v1/chat/completions", load)


@pytest.mark.parametrize(("name", "low", "high"), [("a", 900, 1200), ("b", 98_000, 105_000), ("c", 900, 1200)])
def test_requests_have_the_size_of_their_load(name, low, high):
    assert low <= len(LOADS[name].request("m")) <= high


def test_answers_have_the_size_of_their_load():
    assert 950 <= len(LOADS["a"].answer()) <= 1100
    assert 1900 <= len(LOADS["b"].answer()) <= 2100
    # Role, finish reason, usage and [DONE] beside the content.
    assert len(LOADS["c"].events()) == CHUNKS + 4
    assert len(json.loads(LOADS["b"].request("m"))["messages"]) == 110


@pytest.mark.parametrize("name", sorted(LOADS))
def test_the_upstream_answers_every_load(name):
    async def work(port):
        await call_once(target(port, name), LOADS[name])

    through_upstream(work)


def test_load_d_is_load_c_in_another_format():
    told = [json.loads(event.split(b"data: ")[1]) for event in LOADS["d"].upstream_events()]
    deltas = [event["delta"]["text"] for event in told if event["type"] == "content_block_delta"]
    assert ("".join(deltas), len(deltas)) == (LOADS["c"].text, CHUNKS)
    assert (told[0]["type"], told[-1]["type"]) == ("message_start", "message_stop")
    assert LOADS["d"].request("c") == LOADS["c"].request("c")


def test_an_answer_to_another_load_is_noticed():
    async def work(port):
        await call_once(target(port, "a"), LOADS["b"])

    with pytest.raises(WrongAnswerError):
        through_upstream(work)


@pytest.mark.parametrize("change", ["shorter", "no_end", "error", "lost"])
def test_a_broken_stream_is_noticed(change):
    load = LOADS["c"]
    events = load.events()
    broken = {
        "shorter": events[:50] + events[51:],
        "no_end": events[:-1],
        "error": [*events[:9], b'data: {"error": {"message": "no"}}\n\n', events[-1]],
        "lost": [],
    }[change]
    load.check(b"".join(events))
    with pytest.raises(WrongAnswerError):
        load.check(b"".join(broken))


def test_later_answers_must_be_like_the_first():
    load = LOADS["a"]
    tally = Tally(load)
    tally.count(200, [load.answer()], 1000, 0)
    tally.count(200, [b""], 1010, 0)
    with pytest.raises(WrongAnswerError):
        tally.count(200, [b"x"], 300, 0)
    with pytest.raises(WrongAnswerError, match="status 429"):
        tally.count(429, [b"slow down"], 1000, 0)
    assert tally.answers == 2


def test_latency_is_measured_of_each_target():
    async def work(port):
        return await median_latency_ms([target(port, "a"), target(port, "a")], LOADS["a"], 2)

    assert all(median > 0 for median in through_upstream(work))


def test_the_report_compares_within_a_round_and_names_what_was_missed(tmp_path):
    report = Report(seconds=1, rounds=2)
    report.add("a", {"nginx": [Cost(10, 1), Cost(20, 1)], "tollhouse hpp": [Cost(50, 1), Cost(300, 1)]})
    report.latency_ms = {"direct": 0.2, "nginx": 0.3, "tollhouse hpp": 2.7}
    report.idle_mb, report.after_mb, report.start_s = 80.0, 95.0, 0.5
    assert [row.ratio for row in report.rows] == [1.0, 10.0]
    assert missed(report) == ["2.50 ms of latency added instead of 2.0"]
    saved = json.loads(report.save(tmp_path).read_text())
    assert saved["summary"][1]["ratio"] == 10.0
    lines = report.table().splitlines()
    assert [line.split()[:2] for line in lines[1:3]] == [["a", "nginx"], ["a", "tollhouse"]]


def test_without_nginx_there_are_no_ratios():
    report = Report(seconds=1, rounds=1)
    report.add("b", {"tollhouse hpp": [Cost(100, 1)]})
    assert report.rows[0].ratio is None
    assert missed(report) == []


def test_a_routing_decision_that_takes_long_is_named():
    assert [one.size_kb for one in decisions()] == list(SIZES_KB)
    report = Report(seconds=1, rounds=1, decisions=[Decided(1, 900.0, 900.0), Decided(4, 299.0, 400.0)])
    assert missed(report) == []
    assert "a prompt of 4 KB" in report.table()
    report.decisions = [Decided(4, 301.0, 400.0)]
    assert missed(report) == ["a routing decision on 4 KB took 301 µs instead of 300"]


def test_options():
    assert read_options(["--loads", "a,c", "--rounds", "2"]).loads == ["a", "c"]
    assert read_options(["--quick"]).rounds == 1
    with pytest.raises(SystemExit):
        read_options(["--loads", "z"])
