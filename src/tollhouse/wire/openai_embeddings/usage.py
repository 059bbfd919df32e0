"""Usage of Embeddings: a prompt, and nothing that came out."""

from collections.abc import Mapping

from tollhouse.ir.usage import Usage
from tollhouse.wire import openai_usage
from tollhouse.wire.counters import usd_number

_NAMES = openai_usage.Spelling(
    prompt="prompt_tokens",
    prompt_details="prompt_tokens_details",
    completion="completion_tokens",
    completion_details="completion_tokens_details",
)


def decode_usage(usage: Mapping[str, object]) -> Usage | None:
    """The tokens of a provider's `usage`, which may lack the total; None when its figures cannot be trusted."""
    told = {"completion_tokens": 0} | {name: value for name, value in usage.items() if value is not None}
    return openai_usage.decode_usage(told, _NAMES)


def shown_usage(
    told: Mapping[str, object] | None, settled: Usage, cost_nano_usd: int | None = None
) -> dict[str, object]:
    """The `usage` object for a caller: what the provider told besides, with the three counters of what was charged,
    and `cost` in USD when `cost_nano_usd` is given."""
    shown = {name: value for name, value in (told or {}).items() if "cost" not in name}
    shown |= {
        "prompt_tokens": settled.prompt_tokens,
        "completion_tokens": settled.completion_tokens,
        "total_tokens": settled.total_tokens,
    }
    if cost_nano_usd is not None:
        shown["cost"] = usd_number(cost_nano_usd)
    return shown
