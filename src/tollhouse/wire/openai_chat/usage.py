"""Usage of Chat Completions, in both directions."""

from collections.abc import Mapping

from tollhouse.ir.usage import Usage
from tollhouse.wire import openai_usage

_NAMES = openai_usage.Spelling(
    prompt="prompt_tokens",
    prompt_details="prompt_tokens_details",
    completion="completion_tokens",
    completion_details="completion_tokens_details",
)


def decode_usage(usage: Mapping[str, object]) -> Usage | None:
    """The token classes of a provider's `usage`; None when its figures cannot be trusted."""
    return openai_usage.decode_usage(usage, _NAMES)


def encode_usage(usage: Usage, cost_nano_usd: int | None = None) -> dict[str, object]:
    """The `usage` object; `cost` in USD is there when `cost_nano_usd` is given. Rare classes appear when not zero."""
    return openai_usage.encode_usage(usage, _NAMES, cost_nano_usd)


def shown_usage(
    told: Mapping[str, object] | None, settled: Usage, cost_nano_usd: int | None = None
) -> dict[str, object]:
    """What a caller sees of the usage that a provider of his format told; `settled` where it told none."""
    return openai_usage.shown_usage(told, settled, _NAMES, cost_nano_usd)
