"""Usage: the tokens of one call in disjoint classes, as priced."""

from typing import Literal

import msgspec

UsageSource = Literal["provider", "estimated"]


class GeneratedImages(msgspec.Struct, frozen=True, kw_only=True):
    """Pictures that were made: how many, of which size (`1024x1024`) and quality, None where nobody says."""

    count: int
    size: str | None = None
    quality: str | None = None


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Token counts of one answer; every class but `reasoning_tokens` is disjoint from the others.

    input_tokens: prompt text neither read from nor written to a cache (text, and what a provider counts as text).
    output_tokens: generated text with its reasoning inside; reasoning_tokens says how much of it was reasoning.
    Total prompt = input + cache_read + cache_write + cache_write_1h + audio_input + image_input.
    images: pictures that were made, where the call was for pictures; they may cost something beside the tokens.
    unplaced_tokens: what the provider's total holds on top of all these. Of which class they are has to be known of
    the provider; until they have been placed, such a usage must not be priced.
    """

    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    audio_input_tokens: int = 0
    image_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    audio_output_tokens: int = 0
    image_output_tokens: int = 0
    unplaced_tokens: int = 0
    images: GeneratedImages | None = None
    source: UsageSource = "provider"

    @property
    def prompt_tokens(self) -> int:
        """All that went in, cached or not."""
        return (
            self.input_tokens
            + self.cache_read_tokens
            + self.cache_write_tokens
            + self.cache_write_1h_tokens
            + self.audio_input_tokens
            + self.image_input_tokens
        )

    @property
    def completion_tokens(self) -> int:
        """All that came out, reasoning included."""
        return self.output_tokens + self.audio_output_tokens + self.image_output_tokens

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens
