"""Usage of Chat Completions, in both directions: overlapping counters on the wire, disjoint classes inside."""

from collections.abc import Mapping
from typing import cast

from tollhouse.ir.usage import Usage
from tollhouse.wire.json_number import usd_number

_MAX_TOKENS = 2**40


class _DistrustError(Exception):
    """A counter is no count of tokens."""


def decode_usage(usage: Mapping[str, object]) -> Usage | None:
    """The token classes of a provider's `usage`; None when its figures cannot be trusted.

    Not trusted: a counter that is missing, negative, no integer or above 2**40; more cached tokens than prompt; a
    total that is not the sum. Reasoning outside `completion_tokens` (then the total has it on top: xAI, recorded 2025)
    is added to the output.
    """
    try:
        return _decode(usage)
    except _DistrustError:
        return None


def encode_usage(usage: Usage, cost_nano_usd: int | None = None) -> dict[str, object]:
    """The `usage` object; `cost` in USD is there when `cost_nano_usd` is given. Rare classes appear when not zero."""
    prompt: dict[str, object] = {"cached_tokens": usage.cache_read_tokens}
    if written := usage.cache_write_tokens + usage.cache_write_1h_tokens:
        prompt["cache_write_tokens"] = written
    if usage.cache_write_1h_tokens:
        prompt["cache_creation_token_details"] = {"ephemeral_1h_input_tokens": usage.cache_write_1h_tokens}
    completion: dict[str, object] = {"reasoning_tokens": usage.reasoning_tokens}
    for details, name, count in (
        (prompt, "audio_tokens", usage.audio_input_tokens),
        (prompt, "image_tokens", usage.image_input_tokens),
        (completion, "audio_tokens", usage.audio_output_tokens),
        (completion, "image_tokens", usage.image_output_tokens),
    ):
        if count:
            details[name] = count
    encoded: dict[str, object] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": prompt,
        "completion_tokens_details": completion,
    }
    if cost_nano_usd is not None:
        encoded["cost"] = usd_number(cost_nano_usd)
    return encoded


def _decode(usage: Mapping[str, object]) -> Usage:
    prompt, completion, reasoning = _totals(usage)
    into = _details(usage, "prompt_tokens_details")
    # Top-level spellings: Moonshot, DeepSeek, Mistral, and Anthropic's own name behind compatible endpoints.
    cached = _first(into, "cached_tokens") or _first(
        usage, "cached_tokens", "prompt_cache_hit_tokens", "num_cached_tokens", "cache_read_input_tokens"
    )
    written = _first(into, "cache_write_tokens", "cache_creation_tokens") or _first(
        usage, "cache_creation_input_tokens"
    )
    written_1h = min(written, _first(_details(into, "cache_creation_token_details"), "ephemeral_1h_input_tokens"))
    audio, image = _first(into, "audio_tokens"), _first(into, "image_tokens")
    fresh = prompt - cached - written
    if fresh < 0 or max(audio, image) > prompt:
        raise _DistrustError
    # Cached audio and images are counted twice by some; the cached classes come first.
    audio = min(audio, fresh)
    image = min(image, fresh - audio)
    out = _details(usage, "completion_tokens_details")
    audio_out, image_out = _first(out, "audio_tokens"), _first(out, "image_tokens")
    if audio_out + image_out > completion:
        raise _DistrustError
    return Usage(
        input_tokens=fresh - audio - image,
        cache_read_tokens=cached,
        cache_write_tokens=written - written_1h,
        cache_write_1h_tokens=written_1h,
        audio_input_tokens=audio,
        image_input_tokens=image,
        output_tokens=completion - audio_out - image_out,
        reasoning_tokens=min(reasoning, completion - audio_out - image_out),
        audio_output_tokens=audio_out,
        image_output_tokens=image_out,
    )


def _totals(usage: Mapping[str, object]) -> tuple[int, int, int]:
    """Prompt, completion with its reasoning, and reasoning."""
    prompt = _count(usage.get("prompt_tokens"))
    completion = _count(usage.get("completion_tokens"))
    total = _count(usage.get("total_tokens"))
    reasoning = _first(_details(usage, "completion_tokens_details"), "reasoning_tokens")
    if prompt is None or (completion is None and total is None):
        raise _DistrustError
    if completion is None:
        completion = (total or 0) - prompt
    elif total is not None and total != prompt + completion:
        completion += reasoning
        if total != prompt + completion:
            raise _DistrustError
    if completion < 0:
        raise _DistrustError
    return prompt, completion, reasoning


def _details(usage: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = usage.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _DistrustError
    return cast("dict[str, object]", value)


def _first(counters: Mapping[str, object], *names: str) -> int:
    """The first of `names` that holds a count, else 0."""
    for name in names:
        if (count := _count(counters.get(name))) is not None:
            return count
    return 0


def _count(value: object) -> int | None:
    if value is None:
        return None
    if type(value) is not int or not 0 <= value <= _MAX_TOKENS:
        raise _DistrustError
    return value
