"""Plans in a catalogue: so many tokens in each period, under a name."""

import re

from tollhouse.catalog.entries import PLAN_PERIODS, TokenPlan
from tollhouse.catalog.fields import Fields

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


def read_plan(entry: Fields) -> TokenPlan:
    """One entry of `plans`: `{name: free, tokens: 1000, period: month}`."""
    name = entry.text(
        "name", required=True, pattern=_NAME, hint="up to 64 letters, digits, dots, hyphens and underscores"
    )
    if not entry.has("tokens"):
        entry.report("needs `tokens`")
    tokens = entry.integer("tokens")
    period = entry.choice("period", PLAN_PERIODS, "month")
    entry.done()
    return TokenPlan(name=name, tokens=tokens, period=PLAN_PERIODS[period])
