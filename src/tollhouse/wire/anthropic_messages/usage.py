"""Usage of Messages, in both directions: `input_tokens` is what was neither read from a cache nor written to one."""

from collections.abc import Mapping

from tollhouse.ir.plain import is_object
from tollhouse.ir.usage import Usage
from tollhouse.wire.json_number import usd_number

COUNTERS = (
    "input_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "cache_creation",
    "output_tokens",
    "output_tokens_details",
)

_MAX_TOKENS = 2**40
_MOST_USES = 1_000
_STANDARD = "standard"
_PROMPT = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


class _DistrustError(Exception):
    """A counter is no count of tokens."""


def decode_usage(usage: Mapping[str, object]) -> Usage | None:
    """The token classes of a provider's `usage`; None when its figures cannot be trusted: a counter that is negative,
    no integer or above 2**40, or no input or output at all."""
    try:
        return _decode(usage)
    except _DistrustError:
        return None


def begun_usage(usage: Mapping[str, object]) -> dict[str, object]:
    """The counters of message_start, without its output: that is what had been written by then, not the answer's. An
    answer that is cut off later is charged by what was received."""
    return {**usage, "output_tokens": 0} if "output_tokens" in usage else dict(usage)


def grown_usage(old: Mapping[str, object], new: Mapping[str, object]) -> dict[str, object]:
    """The counters of a stream so far, `old`, with a later report. Counters are cumulative; a later report may leave
    out the prompt, or say 0 for what it does not repeat (recorded 2025)."""
    grown = dict(old)
    silent = all(new.get(name) in (None, 0) for name in _PROMPT)
    for key, value in new.items():
        if value is None or (silent and key in _PROMPT and old.get(key) is not None):
            continue
        grown[key] = value
    return grown


def priced_tier(usage: Mapping[str, object]) -> str | None:
    """Which of the prices the provider says it worked at: another speed than the usual one, else the service tier.
    None where it says no more than that nothing special was promised: a speed that was asked for may have been given.
    """
    speed, tier = usage.get("speed"), usage.get("service_tier")
    if isinstance(speed, str) and speed not in ("", _STANDARD):
        return speed
    if not isinstance(tier, str) or not tier:
        return None
    return tier if tier != _STANDARD or speed == _STANDARD else None


def told_uses(blocks: Mapping[str, int], usage: Mapping[str, object]) -> dict[str, int]:
    """How often the provider has used each of its tools: as its usage says (searches that failed are not billed), else
    as often as `blocks` of the answer call it."""
    uses = dict(blocks)
    told = usage.get("server_tool_use")
    for name, value in told.items() if is_object(told) else ():
        if name.endswith("_requests") and type(value) is int and 0 <= value <= _MOST_USES:
            uses[name.removesuffix("_requests")] = value
    return uses


def left_usage(usage: Mapping[str, object]) -> dict[str, object]:
    """What `usage` says besides the counters and the service tier."""
    left = {key: value for key, value in usage.items() if key not in COUNTERS and key != "service_tier"}
    for key, known in (("output_tokens_details", "thinking_tokens"), ("cache_creation", None)):
        details = usage.get(key)
        if is_object(details):
            names = {known} if known else {"ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"}
            if more := {name: value for name, value in details.items() if name not in names}:
                left[key] = more
    return left


def encode_usage(usage: Usage, cost_nano_usd: int | None = None) -> dict[str, object]:
    """The `usage` object; `cost` in USD is there when `cost_nano_usd` is given. The format has no classes for sound
    and pictures: they count as input and output."""
    written = usage.cache_write_tokens + usage.cache_write_1h_tokens
    encoded: dict[str, object] = {
        "input_tokens": usage.prompt_tokens - usage.cache_read_tokens - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "output_tokens": usage.completion_tokens,
    }
    if written:
        encoded["cache_creation"] = {
            "ephemeral_5m_input_tokens": usage.cache_write_tokens,
            "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
        }
    if usage.reasoning_tokens:
        encoded["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    if cost_nano_usd is not None:
        encoded["cost"] = usd_number(cost_nano_usd)
    return encoded


def _decode(usage: Mapping[str, object]) -> Usage:
    fresh, output = _count(usage.get("input_tokens")), _count(usage.get("output_tokens"))
    if fresh is None or output is None:
        raise _DistrustError
    split = usage.get("cache_creation")
    five_minutes = one_hour = 0
    if is_object(split):
        five_minutes = _count(split.get("ephemeral_5m_input_tokens")) or 0
        one_hour = _count(split.get("ephemeral_1h_input_tokens")) or 0
    written = _count(usage.get("cache_creation_input_tokens"))
    if written is None:
        written = five_minutes + one_hour
    one_hour = min(one_hour, written)
    details = usage.get("output_tokens_details")
    thinking = _count(details.get("thinking_tokens")) if is_object(details) else None
    return Usage(
        input_tokens=fresh,
        cache_read_tokens=_count(usage.get("cache_read_input_tokens")) or 0,
        cache_write_tokens=written - one_hour,
        cache_write_1h_tokens=one_hour,
        output_tokens=output,
        reasoning_tokens=min(thinking or 0, output),
    )


def _count(value: object) -> int | None:
    if value is None:
        return None
    if type(value) is not int or not 0 <= value <= _MAX_TOKENS:
        raise _DistrustError
    return value
