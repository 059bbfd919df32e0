"""Quirks: documented facts about a deployment that differ from its format's standard, as data."""

from typing import Literal

import msgspec


class Quirks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a deployment differs from its format; the defaults describe the format's own vendor.

    stream_usage: `stream_options.include_usage` is understood; otherwise it is not sent and usage is taken from
    where it comes, or estimated. output_limit_field: the only field in which the deployment takes the output limit;
    None leaves it where the caller put it. hidden_reasoning: what `total_tokens` holds on top of prompt and completion
    is reasoning, which is counted nowhere else; otherwise such a total makes no sense, and usage is estimated.
    custom_tools: tools that take free text are understood, in formats that have them; otherwise callers of other
    formats have theirs sent as functions of one text.

    For requests that are translated to Messages: thinking: the only way in which the model thinks, by a budget (Claude
    up to 4.5) or adaptively with an effort (from 4.7 on); None takes both. sampling: temperature, top_p and top_k are
    understood (Claude up to 4.6). system_turns: system text may stand in the middle (from Claude Opus 4.8 on).

    For pictures asked for in OpenAI's format: diffusion: guidance_scale, num_inference_steps, negative_prompt and seed
    are understood. image_response_format: response_format is understood, which OpenAI's own models refuse; base64 is
    asked for then.
    """

    stream_usage: bool = True
    output_limit_field: Literal["max_tokens", "max_completion_tokens"] | None = None
    thinking: Literal["budget", "adaptive"] | None = None
    sampling: bool = True
    system_turns: bool = False
    custom_tools: bool = True
    hidden_reasoning: bool = False
    diffusion: bool = False
    image_response_format: bool = False


STANDARD = Quirks()
"""A deployment that differs in nothing."""
