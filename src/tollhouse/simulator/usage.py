"""Usage reports as OpenAI's formats have them, honest ones and odd ones."""

import math
from collections.abc import Callable
from typing import Any, Final

import msgspec

from tollhouse.simulator.answer import Usage
from tollhouse.simulator.reading import Json, JsonObject
from tollhouse.simulator.script import Script


class Counters(msgspec.Struct, frozen=True):
    """What a format calls the two counts; the objects with details are called after them."""

    prompt: str
    completion: str


def usage_report(usage: Usage, script: Script, names: Counters) -> Json:
    """The `usage` of an answer, as the script wants it."""
    report: JsonObject = {
        names.prompt: usage.prompt,
        names.completion: usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        f"{names.prompt}_details": {"cached_tokens": usage.cached, "audio_tokens": 0},
        f"{names.completion}_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    if script.cost is not None:
        report["cost"] = _number_or_text(script.cost)
    return changed_usage(report, script, (names.prompt, names.completion))


def changed_usage(report: JsonObject, script: Script, counters: tuple[str, ...]) -> Json:
    """`report` as an odd `usage` of the script has it; `counters` names its counts but `total_tokens`, prompt first."""
    change = _ODD_USAGE.get(script.usage)
    return report if change is None else change(report, counters)


def _number_or_text(text: str) -> Json:
    try:
        return float(text)
    except ValueError:
        return text


_Change = Callable[[JsonObject, tuple[str, ...]], Any]


def _counts(change: Callable[[int], Json]) -> _Change:
    def changed(report: JsonObject, counters: tuple[str, ...]) -> JsonObject:
        return {**report, **{name: change(report[name]) for name in (*counters, "total_tokens")}}

    return changed


def _cached_over(report: JsonObject, counters: tuple[str, ...]) -> JsonObject:
    return {**report, f"{counters[0]}_details": {"cached_tokens": report[counters[0]] + 1000}}


# The odd reports of `usage=…`, each from the honest one.
_ODD_USAGE: Final[dict[str, _Change]] = {
    "null": lambda _, __: None,
    "negative": _counts(lambda count: -count - 1),
    "huge": _counts(lambda _: 2**63),
    "string": _counts(str),
    "float": _counts(lambda count: count + 0.5),
    "nan": _counts(lambda _: math.nan),
    "zero": _counts(lambda _: 0),
    "cached_over": _cached_over,
    "total_mismatch": lambda report, _: {**report, "total_tokens": report["total_tokens"] + 7},
    "partial": lambda report, counters: {counters[0]: report[counters[0]]},
}
