"""Usage of Responses, in both directions."""

from collections.abc import Mapping

from tollhouse.ir.usage import Usage
from tollhouse.wire import openai_usage

# The official SDK (3.52) requires both objects of details, and the count of tokens written to a cache.
_NAMES = openai_usage.Spelling(
    prompt="input_tokens",
    prompt_details="input_tokens_details",
    completion="output_tokens",
    completion_details="output_tokens_details",
    always_written=True,
)


def decode_usage(usage: Mapping[str, object]) -> Usage | None:
    """The token classes of a provider's `usage`; None when its figures cannot be trusted."""
    return openai_usage.decode_usage(usage, _NAMES)


def encode_usage(usage: Usage, cost_nano_usd: int | None = None) -> dict[str, object]:
    """The `usage` object; `cost` in USD is there when `cost_nano_usd` is given."""
    return openai_usage.encode_usage(usage, _NAMES, cost_nano_usd)


def shown_usage(
    told: Mapping[str, object] | None, settled: Usage, cost_nano_usd: int | None = None
) -> dict[str, object]:
    """What a caller sees of the usage that a provider of his format told; `settled` where it told none."""
    return openai_usage.shown_usage(told, settled, _NAMES, cost_nano_usd)
