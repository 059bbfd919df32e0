"""Reads `creators` and `models`: what callers can name, before providers are joined to it."""

import datetime
import re
from typing import cast, get_args

import msgspec

from tollhouse.catalog.entries import NO_FALLBACKS, Benchmark, Creator, Fallbacks, Model, Price, Strategy
from tollhouse.catalog.fields import Fields
from tollhouse.catalog.prices import read_price
from tollhouse.catalog.problems import did_you_mean
from tollhouse.tokens.encodings import BYTES, NAMES
from tollhouse.wire.format import ModelOperation

FEATURES = ("tools", "vision", "json_mode", "reasoning", "streaming", "prompt_caching")

_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+/-]{0,199}(?<!/)(/\*)?", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+/-]{0,199}", re.ASCII)
_UPSTREAM = re.compile(r"[!-~]{1,256}", re.ASCII)
_CREATOR = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_COLOR = re.compile(r"#[0-9A-Fa-f]{6}", re.ASCII)
_SCORE = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)
_LINK = re.compile(r"https?://[!-~]{1,2000}", re.ASCII)
_RESERVED = "hpprouter/"


class DeploymentDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment that names its provider; `fields` reads the rest once that provider is known."""

    provider: str
    upstream_model: str
    order: int
    weight: int
    demo: bool
    price: Price | None
    fields: Fields


class ModelDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A model whose deployments are not yet joined to their providers, and whose creator is the one it names."""

    model: Model
    deployments: tuple[DeploymentDraft, ...]
    fields: Fields


def read_creator(fields: Fields) -> Creator:
    """One entry of `creators`."""
    hint = "a slug of lower-case letters, digits, dots, dashes and underscores"
    creator = Creator(
        slug=fields.text("slug", required=True, pattern=_CREATOR, hint=hint),
        name=fields.text("name", required=True),
        brand_color=fields.text("brand_color", pattern=_COLOR, hint="a colour such as '#10A37F' (in quotes)") or None,
    )
    fields.done()
    return creator


def read_model(fields: Fields, creators: dict[str, Creator]) -> ModelDraft:
    """One entry of `models`."""
    slug = fields.text("slug", required=True, pattern=_SLUG, hint="a name such as openai/gpt-5 or local/*")
    if slug.startswith(_RESERVED):
        fields.report(f"names that begin with {_RESERVED} belong to the gateway", "slug")
    operations = _read_operations(fields)
    model = Model(
        slug=slug,
        name=fields.text("name") or slug,
        creator=_read_creator_of(fields, slug, creators),
        deployments=(),
        price=read_price(fields, operations),
        aliases=_read_aliases(fields, slug),
        description=fields.text("description"),
        release_date=_read_date(fields),
        context_length=fields.integer("context_length"),
        max_output_tokens=fields.integer("max_output_tokens"),
        features=fields.texts("features", FEATURES),
        datacenter_locations=fields.texts("datacenter_locations"),
        benchmarks=_read_benchmarks(fields),
        hugging_face_id=fields.text("hugging_face_id") or None,
        tokenizer=fields.choice("tokenizer", sorted(NAMES), BYTES),
        operations=operations,
        unpriced_allowed=fields.choice("unpriced", ("refuse", "allow"), "refuse") == "allow",
        strategy=cast("Strategy", fields.choice("strategy", get_args(Strategy), "weighted")),
        sticky=fields.flag("sticky", default=True),
        fallbacks=_read_fallbacks(fields),
    )
    deployments = tuple(_read_deployment(entry, model) for entry in fields.mappings("deployments", "provider"))
    if not fields.has("deployments"):
        fields.report("needs `deployments`: at least one provider that serves it")
    elif not deployments and fields.node("deployments") is not None:
        fields.report("has to name at least one provider", "deployments")
    fields.done()
    return ModelDraft(model=model, deployments=deployments, fields=fields)


def read_defaults(top: Fields) -> dict[ModelOperation, str]:
    """`default_models`: which model answers calls that name none, by what they ask for."""
    found = top.mapping("default_models")
    if found is None:
        return {}
    named: dict[ModelOperation, str] = {}
    known: tuple[ModelOperation, ...] = get_args(ModelOperation)
    for operation in known:
        name = found.text(operation, pattern=_NAME, hint="a model's name")
        if name:
            named[operation] = name
    found.done()
    return named


def _read_operations(fields: Fields) -> tuple[ModelOperation, ...]:
    """`operations`: what the model can be asked for, chat where nothing is said."""
    known: tuple[ModelOperation, ...] = get_args(ModelOperation)
    named = fields.texts("operations", known)
    return tuple(one for one in known if one in named) or ("chat",)


def _read_deployment(fields: Fields, model: Model) -> DeploymentDraft:
    upstream = fields.text("model", required=True, pattern=_UPSTREAM, hint="the provider's own name for the model")
    if model.is_wildcard and upstream and upstream.count("*") != 1:
        fields.report("a wildcard's model has one `*`, where the rest of the name goes", "model")
    if not model.is_wildcard and "*" in upstream:
        fields.report("only a wildcard (`slug` ends in /*) hands names on with `*`", "model")
    return DeploymentDraft(
        provider=fields.text("provider", required=True),
        upstream_model=upstream,
        order=fields.integer("order", minimum=0),
        weight=fields.integer("weight", default=1),
        demo=fields.flag("demo", default=False),
        price=read_price(fields, model.operations) if fields.has("pricing") or fields.has("free") else None,
        fields=fields,
    )


def _read_fallbacks(fields: Fields) -> Fallbacks:
    """`fallbacks`: a list of models for all reasons, or a list for each."""
    found = fields.mapping_or_texts("fallbacks")
    if isinstance(found, tuple):
        return Fallbacks(unavailable=found, context_length=found, content_filter=found)
    if found is None:
        return NO_FALLBACKS
    fallbacks = Fallbacks(
        unavailable=found.texts("unavailable"),
        context_length=found.texts("context_length"),
        content_filter=found.texts("content_filter"),
    )
    found.done()
    return fallbacks


def _read_creator_of(fields: Fields, slug: str, creators: dict[str, Creator]) -> Creator:
    named = fields.text("creator")
    if named and named not in creators:
        fields.report(f"the creator `{named}` is not among `creators`{did_you_mean(named, creators)}", "creator")
    prefix = named or slug.partition("/")[0]
    return creators.get(prefix) or Creator(slug=prefix, name=prefix)


def _read_aliases(fields: Fields, slug: str) -> tuple[str, ...]:
    aliases = fields.texts("aliases")
    if aliases and slug.endswith("*"):
        fields.report("a wildcard has no aliases", "aliases")
        return ()
    for alias in aliases:
        if _NAME.fullmatch(alias) is None or alias.startswith(_RESERVED):
            fields.report(f"`{alias}` cannot be the name of a model", "aliases")
    return aliases


def _read_date(fields: Fields) -> str:
    text = fields.text("release_date")
    if not text:
        return ""
    try:
        parsed = datetime.date.fromisoformat(text)
    except ValueError:
        parsed = None
    if parsed is None or parsed.isoformat() != text:
        fields.report(f"expected a date such as 2026-03-31, not `{text}`", "release_date")
        return ""
    return text


def _read_benchmarks(fields: Fields) -> tuple[Benchmark, ...]:
    found: list[Benchmark] = []
    for entry in fields.mappings("benchmarks", "label"):
        found.append(
            Benchmark(
                label=entry.text("label", required=True),
                score=entry.text("score", required=True, pattern=_SCORE, hint="a number such as 88.4"),
                source_url=entry.text("source_url", required=True, pattern=_LINK, hint="an http or https link"),
                tier=entry.choice("tier", ("primary", "extra"), "extra"),
                unit=entry.choice("unit", ("%", "elo", "pass@1"), "") or None,
                mode=entry.text("mode") or None,
            )
        )
        entry.done()
    return tuple(sorted(found, key=lambda benchmark: benchmark.tier != "primary"))
