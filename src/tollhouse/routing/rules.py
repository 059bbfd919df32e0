"""RuleSet: the rules by which `hpprouter/auto` chooses a model, as data."""

from typing import Literal

import msgspec

TierName = Literal["T1", "T2", "T3"]
TIERS: tuple[TierName, ...] = ("T1", "T2", "T3")


class Simple(msgspec.Struct, frozen=True, kw_only=True):
    """Basket B: the model for short or simple prompts. `keywords` are looked for as whole words in what the user
    says, without regard to case; `up_to_tokens` is compared with the bare estimate, None compares nothing."""

    model: str | None = None
    keywords: tuple[str, ...] = ()
    up_to_tokens: int | None = None


class Band(msgspec.Struct, frozen=True, kw_only=True):
    """One tier of basket C: its model, for estimates of at most `up_to_tokens` with the margin; None has no end."""

    tier: TierName
    model: str | None = None
    up_to_tokens: int | None = None


class RuleSet(msgspec.Struct, frozen=True, kw_only=True):
    """One version of the rules. What is missing is no mistake of the set: a request that needs it is refused.

    `margin_percent` is added to the estimate before it is compared with the bands, and nowhere else. `bands` are in
    ascending order. `tokens_per_image` is what each picture adds to the estimate. `tokenizer` names the encoding
    that counts text, whichever model is chosen: a band is one length for all. `classify_streams`: streams go
    through the baskets too instead of to `streaming_model`. `providers`, where not None, are the only ones that an
    automatically chosen model may be served by.
    """

    version: str
    tool_model: str | None = None
    simple: Simple = Simple()
    bands: tuple[Band, ...] = ()
    margin_percent: int = 0
    streaming_model: str | None = None
    classify_streams: bool = False
    tokens_per_image: int = 1_000
    tokenizer: str = "o200k_base"
    providers: tuple[str, ...] | None = None

    def models(self) -> tuple[str, ...]:
        """Every model that the rules can choose, once each, in the order of the rules."""
        named = (self.tool_model, self.simple.model, *(band.model for band in self.bands), self.streaming_model)
        return tuple(dict.fromkeys(name for name in named if name is not None))


class BrokenRules(msgspec.Struct, frozen=True, kw_only=True):
    """Rules that cannot be used, or none at all: every call that needs them is refused. `why` is for the operator."""

    version: str
    why: str


Rules = RuleSet | BrokenRules
