"""Rules as a document: YAML (or JSON, which is YAML too) to a RuleSet, or every mistake at once."""

from tollhouse.catalog.document import DocumentError, parse_document
from tollhouse.catalog.fields import Fields
from tollhouse.catalog.problems import CatalogError, Problem
from tollhouse.routing.rules import TIERS, Band, RuleSet, Simple
from tollhouse.tokens.encodings import NAMES

_MAX_KEYWORDS = 1_000
_MAX_TOKENS = 10**9


def read_rules(text: str, file: str, version: str) -> RuleSet:
    """The rules that `text` spells out; `file` is its name in messages. A piece may be missing (see RuleSet).

    Raises CatalogError with all that is wrong, by line.
    """
    problems: list[Problem] = []
    try:
        node = parse_document(text, file)
    except DocumentError as error:
        raise CatalogError([error.problem]) from error
    fields = Fields(node, file, "", problems)
    streaming = fields.mapping("streaming")
    tool = fields.mapping("tool")
    rules = RuleSet(
        version=version,
        tool_model=_model(tool),
        simple=_simple(fields.mapping("simple")),
        bands=_bands(fields),
        margin_percent=fields.integer("margin_percent", default=0, minimum=0),
        streaming_model=_model(streaming, "classify"),
        classify_streams=streaming is not None and streaming.flag("classify", default=False),
        tokenizer=fields.choice("tokenizer", sorted(NAMES), RuleSet(version="").tokenizer),
        tokens_per_image=fields.integer("tokens_per_image", default=RuleSet(version="").tokens_per_image, minimum=0),
        providers=fields.texts("providers") if fields.has("providers") else None,
    )
    for part in (fields, streaming, tool):
        if part is not None:
            part.done()
    if rules.margin_percent > 1_000:
        fields.report("expected at most 1000", "margin_percent")
    if problems:
        raise CatalogError(problems)
    return rules


def _model(fields: Fields | None, *later: str) -> str | None:
    """The model of a basket. `later` are keys that the caller reads after this."""
    if fields is None:
        return None
    for key in later:
        fields.has(key)
    return fields.text("model") or None


def _simple(fields: Fields | None) -> Simple:
    if fields is None:
        return Simple()
    keywords = fields.texts("keywords")
    if len(keywords) > _MAX_KEYWORDS:
        fields.report(f"has {len(keywords)} entries; at most {_MAX_KEYWORDS} are looked for", "keywords")
    simple = Simple(model=_model(fields), keywords=keywords, up_to_tokens=_up_to(fields))
    fields.done()
    return simple


def _bands(fields: Fields) -> tuple[Band, ...]:
    """T1, T2 and T3 in ascending order; the last that is given may be without an end, no other."""
    tiers = fields.mapping("tiers")
    if tiers is None:
        return ()
    found: list[Band] = []
    for name in TIERS:
        tier = tiers.mapping(name)
        if tier is None:
            continue
        band = Band(tier=name, model=_model(tier), up_to_tokens=_up_to(tier))
        if found:
            _check_order(found[-1], band, tier)
        found.append(band)
        tier.done()
    tiers.done()
    return tuple(found)


def _check_order(before: Band, band: Band, fields: Fields) -> None:
    if before.up_to_tokens is None:
        fields.report(f"can never be reached, because {before.tier} has no `up_to_tokens`")
    elif band.up_to_tokens is not None and band.up_to_tokens <= before.up_to_tokens:
        fields.report(f"has to be above the {before.up_to_tokens} of {before.tier}", "up_to_tokens")


def _up_to(fields: Fields) -> int | None:
    if not fields.has("up_to_tokens"):
        return None
    limit = fields.integer("up_to_tokens", default=0, minimum=0)
    if limit > _MAX_TOKENS:
        fields.report(f"expected at most {_MAX_TOKENS}", "up_to_tokens")
    return limit
