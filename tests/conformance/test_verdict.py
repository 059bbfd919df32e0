"""The verdict on a conformance run: known, unknown and stale cases, skips, and the share that has to be clean."""

from pathlib import Path

import msgspec
import pytest
from conformance.verdict import Asked, Cause, judge, read_causes

CHAT, RESPONSES, MESSAGES = "openai_chat-a-1", "openai_responses-a-1", "anthropic_messages-a-1"
LOST = ("diff", "openai_responses->openai_chat: text: 3 chars 'abc' -> 0 chars ''")
SAME = ("diff", "openai_chat->openai_chat: stop None -> end")
SKIP = ("skip", "openai_chat<-anthropic_messages: n>1")
UNREADABLE = ("skip", "SDK cannot read the recording itself")
MANY = [f"openai_chat-a-{number}" for number in range(200)]


def known(recordings, contract="", faults=None):
    return Cause(cause="why", contract=contract, faults=faults, recordings=recordings)


def test_clean_pairs_are_counted_and_skipped_ones_are_not() -> None:
    verdict = judge({CHAT: [SKIP], RESPONSES: [UNREADABLE]}, Asked(recordings=[CHAT, RESPONSES, MESSAGES]), [])
    assert verdict.pairs == {"same": 2, "cross": 3}
    assert verdict.skipped == [RESPONSES]
    assert verdict.problems == []
    assert verdict.share() == 1


def test_a_finding_that_nobody_has_listed_is_a_problem() -> None:
    verdict = judge({MANY[0]: [LOST]}, Asked(recordings=MANY), [])
    assert verdict.bad == {"same": set(), "cross": {("openai_responses", MANY[0])}}
    assert verdict.problems == [f"not among the known cases: openai_responses->{MANY[0]}: {LOST[1]}"]
    listed = judge({MANY[0]: [LOST]}, Asked(recordings=MANY), [known({MANY[0]: ("openai_responses",)})])
    assert listed.problems == []
    assert listed.share() == 399 / 400


def test_what_is_known_for_one_fault_is_unknown_with_another() -> None:
    causes = [known({MANY[0]: ("openai_responses",)}, faults=("~chunk=7",))]
    assert judge({MANY[0]: [LOST]}, Asked(recordings=MANY, fault="~chunk=7"), causes).problems == []
    assert len(judge({MANY[0]: [LOST]}, Asked(recordings=MANY), causes).problems) == 1
    assert judge({}, Asked(recordings=MANY), causes).problems == []


def test_a_listed_pair_that_is_clean_or_was_never_asked_for_is_a_problem() -> None:
    causes = [known({MANY[0]: "cross", MESSAGES: "cross"})]
    findings = {MANY[0]: [LOST, ("skip", "openai_chat<-anthropic_messages: n>1")]}
    problems = judge(findings, Asked(recordings=MANY), causes).problems
    assert problems == [
        f"known, but nobody has asked for it: anthropic_messages->{MANY[0]}",
        f"known, but nobody has asked for it: openai_chat->{MESSAGES}",
        f"known, but nobody has asked for it: openai_responses->{MESSAGES}",
    ]
    sampled = judge({MANY[0]: [LOST]}, Asked(recordings=MANY, whole=False), causes).problems
    assert sampled == [f"known no more, it is clean: anthropic_messages->{MANY[0]}"]


def test_a_crash_of_the_oracle_is_about_every_pair_of_the_recording() -> None:
    verdict = judge({MANY[0]: [("crash", "TypeError: string indices")]}, Asked(recordings=MANY), [])
    assert (len(verdict.bad["same"]), len(verdict.bad["cross"])) == (1, 2)
    assert len(verdict.problems) == 3


def test_too_few_clean_pairs_fail_even_when_all_are_known() -> None:
    findings = {recording: [LOST] for recording in MANY[:5]}
    recordings = dict.fromkeys(MANY[:5], ("openai_responses",))
    verdict = judge(findings, Asked(recordings=MANY), [known(recordings)])
    assert verdict.problems == ["less than 99% of the cross-format pairs are clean"]
    assert "395 of 400 pairs clean (98.75%; 98.75% of the 400 where" in verdict.lines()[1]
    forced = judge(findings, Asked(recordings=MANY), [known(recordings, contract="D10")])
    assert forced.problems == []
    assert "395 of 400 pairs clean (98.75%; 100.00% of the 395 where" in forced.lines()[1]


def write(path: Path, *causes: dict[str, object]) -> Path:
    path.write_bytes(msgspec.yaml.encode(list(causes)))
    return path


def test_the_list_names_each_pair_once_and_the_contract_for_one_format(tmp_path: Path) -> None:
    path = tmp_path / "known.yaml"
    causes = read_causes(write(path, {"cause": "why", "contract": "D10", "recordings": {CHAT: "all"}}))
    assert sorted(causes[0].pairs()) == sorted(
        (caller, CHAT) for caller in ("openai_chat", "openai_responses", "anthropic_messages")
    )
    with pytest.raises(ValueError, match="needs the line of the contract"):
        read_causes(write(path, {"cause": "why", "recordings": {CHAT: "same"}}))
    with pytest.raises(ValueError, match="no such format"):
        read_causes(write(path, {"cause": "why", "recordings": {CHAT: ["gemini"]}}))
    twice = [{"cause": why, "recordings": {CHAT: "cross"}} for why in ("one", "two")]
    with pytest.raises(ValueError, match="listed twice"):
        read_causes(write(path, *twice))
    read_causes(write(path, {**twice[0], "faults": [""]}, {**twice[1], "faults": ["~chunk=7"]}))
    with pytest.raises(ValueError, match="listed twice"):
        read_causes(write(path, {**twice[0], "faults": [""]}, {**twice[1], "faults": ["", "~chunk=7"]}))


def test_the_list_of_known_cases_can_be_read() -> None:
    causes = read_causes(Path(__file__).parents[2] / "conformance" / "known.yaml")
    assert all(cause.cause for cause in causes)
