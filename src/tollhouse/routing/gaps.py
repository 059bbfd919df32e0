"""Gaps: what a set of rules lacks, or names although it cannot be called; no mistake, but its author should know."""

from collections.abc import Iterable

from tollhouse.catalog.entries import Catalog
from tollhouse.routing.rules import TIERS, RuleSet


def gaps(rules: RuleSet, catalog: Catalog) -> tuple[str, ...]:
    """A line for each request that the rules would have to refuse, by what is missing for it."""
    return (*_missing(rules), *_uncallable(rules, catalog))


def _missing(rules: RuleSet) -> Iterable[str]:
    if rules.tool_model is None:
        yield "`tool.model` is missing: requests with tools are refused"
    simple = rules.simple
    if simple.model is None and (simple.keywords or simple.up_to_tokens is not None):
        yield "`simple.model` is missing: simple prompts are refused"
    for band in rules.bands:
        if band.model is None:
            yield f"`tiers.{band.tier}.model` is missing: prompts of that length are refused"
    last = rules.bands[-1] if rules.bands else None
    if last is None:
        yield f"`tiers` is missing ({', '.join(TIERS)}): prompts that are not simple are refused"
    elif last.up_to_tokens is not None:
        yield f"no tier takes prompts above {last.up_to_tokens} tokens: they are refused"
    if rules.streaming_model is None and not rules.classify_streams:
        yield "`streaming.model` is missing: streams are refused"


def _uncallable(rules: RuleSet, catalog: Catalog) -> Iterable[str]:
    for name in rules.models():
        resolved = catalog.resolve(name)
        if resolved is None:
            yield f"{name} cannot be called: it is not in the catalogue, or its provider is not set up"
        elif rules.providers is not None:
            served = [one.provider.id for one in resolved.model.deployments]
            if not set(served) & set(rules.providers):
                yield f"{name} is served by {', '.join(dict.fromkeys(served))} only, which `providers` does not allow"
