"""Verdict: what the findings of one run mean, pair by pair, against the list of known cases."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

APIS = ("openai_chat", "openai_responses", "anthropic_messages")
CROSS_WANTED = 0.99
UNREADABLE = "SDK cannot read"
_ABOUT = re.compile(r"(\w+)(?:->|<-)(\w+)")
_SHOWN = 60

Finding = tuple[str, str]
"""Kind (diff, lint, request, crash, skip) and text, as the oracle tells it."""
Findings = Mapping[str, Sequence[Finding]]
"""By the id of the recording; one without findings may be missing."""
Pair = tuple[str, str]
"""The caller's format and the id of a recording."""


class Cause(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why some pairs differ from what the SDK reads directly.

    contract: the line of the contract that forces it; without one the cause may only stand for cross-format pairs.
    faults: the faults with which it shows ("" for none); nothing means all. recordings: which callers see it: all,
    same, cross, or formats by name.
    """

    cause: str
    contract: str = ""
    faults: tuple[str, ...] | None = None
    recordings: dict[str, Literal["all", "same", "cross"] | tuple[str, ...]]

    def pairs(self) -> Iterable[Pair]:
        """Every pair that the cause stands for."""
        for recording, callers in self.recordings.items():
            own = api_of(recording)
            others = tuple(api for api in APIS if api != own)
            named = {"all": APIS, "same": (own,), "cross": others}.get(callers) if isinstance(callers, str) else callers
            for caller in named or ():
                yield caller, recording


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a run was asked to do: the recordings that the oracle takes, and whether those are all there are."""

    recordings: Sequence[str]
    fault: str = ""
    whole: bool = True


class Verdict(msgspec.Struct, kw_only=True):
    """The figures of a run, and everything that is wrong with it."""

    pairs: dict[str, int]
    """Pairs that were not skipped, by `same` and `cross`."""
    bad: dict[str, set[Pair]]
    """Those with findings."""
    free: int
    """Cross-format pairs in which the contract leaves a choice."""
    skipped: list[str]
    """Recordings that the oracle said the SDK cannot read."""
    problems: list[str]

    def share(self) -> float:
        """How much of the cross-format pairs is clean, where the contract leaves a choice."""
        dirty = len(self.bad["cross"]) - (self.pairs["cross"] - self.free)
        return 1 - dirty / max(1, self.free)

    def lines(self) -> list[str]:
        """The figures and the first problems, for people."""
        same, cross = (self.pairs[kind] - len(self.bad[kind]) for kind in ("same", "cross"))
        shares = f"{cross / max(1, self.pairs['cross']):.2%}; {self.share():.2%} of the {self.free}"
        more = len(self.problems) - _SHOWN
        return [
            f"same format:  {same} of {self.pairs['same']} pairs clean",
            f"cross format: {cross} of {self.pairs['cross']} pairs clean ({shares} where the contract leaves a choice)",
            *self.problems[:_SHOWN],
            *([f"... and {more} more"] if more > 0 else []),
        ]


def api_of(recording: str) -> str:
    """The format of a recording, which its id begins with."""
    return recording.partition("-")[0]


def read_causes(path: Path) -> list[Cause]:
    """The list of known cases. Raises msgspec.ValidationError where it is not one, ValueError where a pair stands in
    it twice, names no format, or is of one format without a line of the contract."""
    causes = msgspec.yaml.decode(path.read_bytes(), type=list[Cause])
    seen: dict[Pair, list[tuple[str, ...] | None]] = {}
    for cause in causes:
        for pair in cause.pairs():
            own = api_of(pair[1])
            if pair[0] not in APIS or own not in APIS:
                raise ValueError(f"{name(pair)}: no such format")
            if pair[0] == own and not cause.contract:
                raise ValueError(f"{name(pair)}: a pair of one format needs the line of the contract that forces it")
            before = seen.setdefault(pair, [])
            if any(other is None or cause.faults is None or set(other) & set(cause.faults) for other in before):
                raise ValueError(f"{name(pair)}: listed twice")
            before.append(cause.faults)
    return causes


def name(pair: Pair) -> str:
    """A pair as people read it."""
    return f"{pair[0]}->{pair[1]}"


def judge(findings: Findings, asked: Asked, causes: Sequence[Cause]) -> Verdict:
    """What the findings of a run mean."""
    verdict = Verdict(
        pairs={"same": 0, "cross": 0}, bad={"same": set(), "cross": set()}, free=0, skipped=[], problems=[]
    )
    known = {
        pair: cause for cause in causes if cause.faults is None or asked.fault in cause.faults for pair in cause.pairs()
    }
    judged: set[Pair] = set()
    for recording in asked.recordings:
        found = findings.get(recording, ())
        if any(kind == "skip" and UNREADABLE in text for kind, text in found):
            verdict.skipped.append(recording)
            continue
        for caller in APIS:
            if not _is_skipped(found, caller, recording):
                judged.add((caller, recording))
                _count(verdict, (caller, recording), found, known)
    _find_stale(verdict, asked, known, judged)
    if verdict.share() < CROSS_WANTED:
        verdict.problems.append(f"less than {CROSS_WANTED:.0%} of the cross-format pairs are clean")
    return verdict


def _count(verdict: Verdict, pair: Pair, found: Sequence[Finding], known: Mapping[Pair, Cause]) -> None:
    caller, recording = pair
    kind = "same" if caller == api_of(recording) else "cross"
    verdict.pairs[kind] += 1
    cause = known.get(pair)
    told = [text for one, text in found if one != "skip" and _is_about(text, caller, recording)]
    if told:
        verdict.bad[kind].add(pair)
    if kind == "cross" and not (told and cause is not None and cause.contract):
        verdict.free += 1
    if told and cause is None:
        verdict.problems.append(f"not among the known cases: {name(pair)}: {told[0].splitlines()[0][:200]}")


def _find_stale(verdict: Verdict, asked: Asked, known: Mapping[Pair, Cause], judged: set[Pair]) -> None:
    there = set(asked.recordings)
    for pair in sorted(known):
        if pair in judged and pair not in verdict.bad["same"] | verdict.bad["cross"]:
            verdict.problems.append(f"known no more, it is clean: {name(pair)}")
        elif pair not in judged and (pair[1] in there or asked.whole):
            verdict.problems.append(f"known, but nobody has asked for it: {name(pair)}")


def _is_skipped(found: Sequence[Finding], caller: str, recording: str) -> bool:
    """Whether the oracle could not render the request in the caller's format."""
    own = api_of(recording)
    return caller != own and any(kind == "skip" and _is_about(text, caller, recording) for kind, text in found)


def _is_about(text: str, caller: str, recording: str) -> bool:
    """Whether a finding is about this pair: `caller->api: ...`, and for skips `api<-caller: ...`; what names no pair,
    such as a crash of the oracle's, is about all."""
    found = _ABOUT.match(text)
    return found is None or set(found.groups()) == {caller, api_of(recording)}
