"""Usage as OpenAI counts it, in both directions: overlapping counters on the wire, disjoint classes inside."""

from collections.abc import Mapping

import msgspec

from tollhouse.ir.usage import Usage
from tollhouse.wire.counters import DistrustError, count, details, first_count, usd_number
from tollhouse.wire.scan import join_object

# Top-level spellings: Moonshot, DeepSeek, Mistral, and Anthropic's own name behind compatible endpoints.
_CACHED = ("cached_tokens", "prompt_cache_hit_tokens", "num_cached_tokens", "cache_read_input_tokens")


_members_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Spelling(msgspec.Struct, frozen=True, kw_only=True):
    """How a format names the counters, and whether it tells of tokens written to a cache also where they are 0.
    `prompt_details` is the object that says how much of the prompt was cached, sound or pictures, `completion_details`
    the one that says how much of the output was reasoning, sound or pictures."""

    prompt: str
    prompt_details: str
    completion: str
    completion_details: str
    always_written: bool = False


def decode_usage(usage: Mapping[str, object], names: Spelling) -> Usage | None:
    """The token classes of a provider's `usage`; None when its figures cannot be trusted.

    Not trusted: a counter that is missing, negative, no integer or above 2**40; more cached tokens than prompt; a
    total below the sum. A total above it tells of tokens beside: reasoning beside the output (xAI, recorded 2025) or
    sound beside the prompt (Mistral, recorded 2026) where it is just that much, else they are `unplaced_tokens`.
    """
    try:
        return _decode(usage, names)
    except DistrustError:
        return None


def encode_usage(usage: Usage, names: Spelling, cost_nano_usd: int | None = None) -> dict[str, object]:
    """The `usage` object; `cost` in USD is there when `cost_nano_usd` is given. Rare classes appear when not zero."""
    prompt: dict[str, object] = {"cached_tokens": usage.cache_read_tokens}
    written = usage.cache_write_tokens + usage.cache_write_1h_tokens
    if written or names.always_written:
        prompt["cache_write_tokens"] = written
    if usage.cache_write_1h_tokens:
        prompt["cache_creation_token_details"] = {"ephemeral_1h_input_tokens": usage.cache_write_1h_tokens}
    completion: dict[str, object] = {"reasoning_tokens": usage.reasoning_tokens}
    for counters, name, tokens in (
        (prompt, "audio_tokens", usage.audio_input_tokens),
        (prompt, "image_tokens", usage.image_input_tokens),
        (completion, "audio_tokens", usage.audio_output_tokens),
        (completion, "image_tokens", usage.image_output_tokens),
    ):
        if tokens:
            counters[name] = tokens
    encoded: dict[str, object] = {
        names.prompt: usage.prompt_tokens,
        names.completion: usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        names.prompt_details: prompt,
        names.completion_details: completion,
    }
    if cost_nano_usd is not None:
        encoded["cost"] = usd_number(cost_nano_usd)
    return encoded


def shown_usage(
    told: Mapping[str, object] | None, settled: Usage, names: Spelling, cost_nano_usd: int | None = None
) -> dict[str, object]:
    """The `usage` object for a caller of the provider's own format: what the provider told, in its own figures even
    where they contradict each other, with what the contract requires besides; `settled` where it told none, or what
    are no counts. What the provider asks of the gateway is not the caller's price: members about cost are left out,
    and `cost` in USD is ours, when `cost_nano_usd` is given.
    """
    if told is None or not _are_counts(told, names):
        return encode_usage(settled, names, cost_nano_usd)
    shown = {name: value for name, value in told.items() if "cost" not in name}
    if shown.get("total_tokens") is None:
        shown["total_tokens"] = first_count(told, names.prompt) + first_count(told, names.completion)
    into = ["cache_write_tokens"] if names.always_written else []
    if not first_count(told, *_CACHED):  # A provider with a name of its own for it has told it there.
        into.append("cached_tokens")
    for name, required in ((names.prompt_details, into), (names.completion_details, ["reasoning_tokens"])):
        found = dict(details(told, name))
        found |= {counter: 0 for counter in required if found.get(counter) is None}
        if found:
            shown[name] = found
    if cost_nano_usd is not None:
        shown["cost"] = usd_number(cost_nano_usd)
    return shown


def without_cost(usage: bytes) -> bytes | None:
    """A provider's usage (JSON) without members about cost, which are what the gateway pays and not its callers; None
    where there are none."""
    if b"cost" not in usage:
        return None
    members = _members_decoder.decode(usage)
    kept = {name: value for name, value in members.items() if "cost" not in name}
    return None if len(kept) == len(members) else join_object(kept)


def _are_counts(told: Mapping[str, object], names: Spelling) -> bool:
    """Whether prompt and completion are there, and every counter is a count or null."""
    try:
        objects = (told, details(told, names.prompt_details), details(told, names.completion_details))
        for counters in objects:
            for name, value in counters.items():
                if value is not None and name.endswith("_tokens"):
                    count(value)
    except DistrustError:
        return False
    return told.get(names.prompt) is not None and told.get(names.completion) is not None


def _decode(usage: Mapping[str, object], names: Spelling) -> Usage:
    into, out = details(usage, names.prompt_details), details(usage, names.completion_details)
    prompt, completion, reasoning, unplaced = _totals(usage, names, into, out)
    cached = (first_count(into, "cached_tokens") if into else 0) or first_count(usage, *_CACHED)
    written = _written(usage, into)
    written_1h = audio = image = 0
    if into:
        written_1h = first_count(details(into, "cache_creation_token_details"), "ephemeral_1h_input_tokens")
        written_1h = min(written, written_1h)
        audio, image = first_count(into, "audio_tokens"), first_count(into, "image_tokens")
    fresh = prompt - cached - written
    if fresh < 0 or audio > prompt or image > prompt:
        raise DistrustError
    # Cached audio and images are counted twice by some; the cached classes come first.
    audio = min(audio, fresh)
    image = min(image, fresh - audio)
    audio_out = image_out = 0
    if out:
        audio_out, image_out = first_count(out, "audio_tokens"), first_count(out, "image_tokens")
    text_out = completion - audio_out - image_out
    if text_out < 0:
        raise DistrustError
    return Usage(
        input_tokens=fresh - audio - image,
        cache_read_tokens=cached,
        cache_write_tokens=written - written_1h,
        cache_write_1h_tokens=written_1h,
        audio_input_tokens=audio,
        image_input_tokens=image,
        output_tokens=text_out,
        reasoning_tokens=min(reasoning, text_out),
        audio_output_tokens=audio_out,
        image_output_tokens=image_out,
        unplaced_tokens=unplaced,
    )


def _written(usage: Mapping[str, object], into: Mapping[str, object]) -> int:
    written = first_count(into, "cache_write_tokens", "cache_creation_tokens") if into else 0
    return written or first_count(usage, "cache_creation_input_tokens")


def _totals(
    usage: Mapping[str, object], names: Spelling, into: Mapping[str, object], out: Mapping[str, object]
) -> tuple[int, int, int, int]:
    """Prompt with its sound, completion with its reasoning, reasoning, and what the total holds on top."""
    prompt = count(usage.get(names.prompt))
    completion = count(usage.get(names.completion))
    total = count(usage.get("total_tokens"))
    reasoning = first_count(out, "reasoning_tokens")
    if prompt is None or (completion is None and total is None):
        raise DistrustError
    if completion is None:
        completion = (total or 0) - prompt
    beside = 0 if total is None else total - prompt - completion
    if completion < 0 or beside < 0:
        raise DistrustError
    if beside:
        sound = first_count(into, "audio_tokens")
        if beside in (reasoning, reasoning + sound):
            completion += reasoning
            beside -= reasoning
        if beside and beside == sound:
            prompt += sound
            beside = 0
    return prompt, completion, reasoning, beside
