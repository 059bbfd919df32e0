"""How much the model may think, in both directions: `thinking` and `output_config.effort`."""

from typing import Literal

import msgspec

from tollhouse.ir.plain import is_object
from tollhouse.ir.request import ReasoningSetting
from tollhouse.wire.anthropic_messages.names import NAME
from tollhouse.wire.effort import encode_effort
from tollhouse.wire.fields import Fields
from tollhouse.wire.leftovers import Losses

MIN_BUDGET_TOKENS = 1024

_EFFORTS = frozenset({"low", "medium", "high", "xhigh", "max"})
_NEAREST = {"minimal": "low"}
# What an effort stands for where a model knows budgets only, in tokens.
_BUDGET_OF_EFFORT = {"low": 2048, "medium": 8192, "high": 16384, "xhigh": 32768, "max": 49152}
_MODES = frozenset({"enabled", "disabled", "adaptive"})


class Thinking(msgspec.Struct, frozen=True):
    """The `thinking` object and the effort of a request, either may be missing."""

    thinking: dict[str, object] | None = None
    effort: str | None = None

    @property
    def thinks(self) -> bool:
        """Whether the model is told to think."""
        return self.thinking is not None and self.thinking["type"] != "disabled"

    @property
    def budget(self) -> int:
        """The budget in tokens, 0 without one."""
        budget = None if self.thinking is None else self.thinking.get("budget_tokens")
        return budget if isinstance(budget, int) else 0


def decode_thinking_setting(fields: Fields, effort: str | None) -> ReasoningSetting | None:
    """The setting, taken out of the request; a mode that is not known stays where it is."""
    value = fields.get("thinking")
    mode = value.get("type") if is_object(value) else None
    if value is None:
        fields.drop("thinking")
    if value is None or (isinstance(mode, str) and mode not in _MODES):
        return None if effort is None else ReasoningSetting(effort=effort)
    thinking = fields.child("thinking") or Fields({})
    kind = thinking.text("type")
    if kind is None:
        raise thinking.missing("type", "enabled, disabled or adaptive")
    summary = None
    if thinking.get("display") == "summarized":
        thinking.drop("display")
        summary = "auto"
    return ReasoningSetting(
        mode="enabled" if kind == "enabled" else "disabled" if kind == "disabled" else "adaptive",
        effort=effort,
        budget_tokens=thinking.integer("budget_tokens"),
        summary=summary,
    )


def encode_thinking_setting(
    setting: ReasoningSetting | None,
    output_limit: int | None,
    losses: Losses,
    *,
    only: Literal["budget", "adaptive"] | None,
) -> Thinking:
    """What says `setting`. An effort alone asks for adaptive thinking, a budget for that budget; `only` names the one
    way that the model knows, and then the other is bent to it."""
    if setting is None:
        return Thinking()
    if setting.mode == "disabled" or setting.effort == "none":
        losses.drop("reasoning.budget_tokens", setting.budget_tokens)
        losses.drop("reasoning.summary", setting.summary)
        effort = None if setting.effort == "none" else _known_effort(setting.effort, losses)
        return Thinking({"type": "disabled"}, effort)
    effort = _known_effort(setting.effort, losses)
    budget = None if setting.mode == "adaptive" else setting.budget_tokens
    if setting.mode == "adaptive":
        losses.drop("reasoning.budget_tokens", setting.budget_tokens)
    if only == "budget":
        budget, effort = _as_budget(setting, budget, effort), None
    elif only == "adaptive" and budget is not None:
        budget, effort = None, effort or encode_effort(setting, losses)
    if budget is None and effort is None and setting.mode is None:
        losses.drop("reasoning.summary", setting.summary)
        return Thinking()
    if budget is None:
        thinking: dict[str, object] | None = {"type": "adaptive"}
    else:
        thinking = _with_budget(budget, output_limit, losses)
    if thinking is not None and setting.summary is not None:
        thinking["display"] = "summarized"
    elif thinking is None:
        losses.drop("reasoning.summary", setting.summary)
        losses.drop("reasoning.effort", effort)
        effort = None
    return Thinking(thinking, effort)


def _as_budget(setting: ReasoningSetting, budget: int | None, effort: str | None) -> int | None:
    """The budget for a model that knows nothing else; None when nothing asks it to think."""
    if budget is None and effort is None and setting.mode is None:
        return None
    return _BUDGET_OF_EFFORT[effort or "high"] if budget is None else budget


def _known_effort(effort: str | None, losses: Losses) -> str | None:
    """The effort in the format's own words."""
    if effort is None or effort in _EFFORTS:
        return effort
    nearest = _NEAREST.get(effort)
    bent = "it is left out" if nearest is None else f"sent as {nearest}"
    losses.note("reasoning.effort", f"{NAME} does not know this effort; {bent}")
    return nearest


def _with_budget(budget: int, output_limit: int | None, losses: Losses) -> dict[str, object] | None:
    """Thinking with a budget that fits: at least 1024 tokens, and less than the output limit, which includes it."""
    fitting = max(budget, MIN_BUDGET_TOKENS)
    if output_limit is not None:
        fitting = min(fitting, output_limit - 1)
    if fitting < MIN_BUDGET_TOKENS:
        losses.note("reasoning.budget_tokens", f"{NAME} does not think below {MIN_BUDGET_TOKENS} tokens of output")
        return None
    if fitting != budget:
        losses.note("reasoning.budget_tokens", f"sent as {fitting}")
    return {"type": "enabled", "budget_tokens": fitting}
