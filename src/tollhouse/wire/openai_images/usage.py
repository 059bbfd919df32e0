"""Usage of Images: the prompt's text and pictures in, pictures' tokens out."""

from collections.abc import Mapping

import msgspec

from tollhouse.ir.usage import Usage
from tollhouse.wire import openai_usage
from tollhouse.wire.counters import DistrustError, details

_NAMES = openai_usage.Spelling(
    prompt="input_tokens",
    prompt_details="input_tokens_details",
    completion="output_tokens",
    completion_details="output_tokens_details",
)
_OUT = _NAMES.completion_details


def decode_usage(usage: Mapping[str, object]) -> Usage | None:
    """The token classes of a provider's `usage`; None when its figures cannot be trusted. Where it does not say what
    came out, it was pictures: the first models of the kind told no more."""
    decoded = openai_usage.decode_usage(usage, _NAMES)
    try:
        told_apart = bool(details(usage, _OUT))
    except DistrustError:
        return None
    if decoded is None or told_apart:
        return decoded
    return msgspec.structs.replace(decoded, output_tokens=0, image_output_tokens=decoded.completion_tokens)


def shown_usage(told: Mapping[str, object] | None, settled: Usage) -> dict[str, object]:
    """The `usage` object for a caller: what the provider told besides, with the tokens that are charged."""
    shown = {name: value for name, value in (told or {}).items() if "cost" not in name}
    shown |= {
        "input_tokens": settled.prompt_tokens,
        "output_tokens": settled.completion_tokens,
        "total_tokens": settled.total_tokens,
    }
    into = {
        "text_tokens": settled.prompt_tokens - settled.image_input_tokens,
        "image_tokens": settled.image_input_tokens,
    }
    out = {"text_tokens": settled.output_tokens, "image_tokens": settled.image_output_tokens}
    return {_NAMES.prompt_details: into, _OUT: out} | shown
