"""Effort: how much a model may reason, for formats that know words for it and no budget."""

from tollhouse.ir.request import ReasoningSetting
from tollhouse.wire.leftovers import Losses

# (most tokens of budget, the effort that stands for it); above the last one it is "high".
_EFFORT_OF_BUDGET = ((2048, "low"), (8192, "medium"))


def encode_effort(setting: ReasoningSetting, losses: Losses) -> str | None:
    """The effort; a budget is bent to the effort nearest to it."""
    if setting.mode == "disabled":
        why = f"{losses.format_name} has no switch that turns reasoning off for every model"
        losses.note("reasoning.mode", why)
        return None
    budget = setting.budget_tokens
    if budget is None or setting.effort is not None:
        losses.drop("reasoning.budget_tokens", budget)
        return setting.effort
    effort = next((name for limit, name in _EFFORT_OF_BUDGET if budget <= limit), "high")
    losses.note("reasoning.budget_tokens", f"{losses.format_name} knows no budget; sent as the effort {effort}")
    return effort
