"""Loads a catalogue: YAML in, one checked and immutable snapshot out, or every mistake at once."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from tollhouse.catalog.document import DocumentError, parse_document
from tollhouse.catalog.entries import Catalog, Creator, Deployment, Model, TokenPlan
from tollhouse.catalog.fields import Fields
from tollhouse.catalog.models import DeploymentDraft, ModelDraft, read_creator, read_defaults, read_model
from tollhouse.catalog.plans import read_plan
from tollhouse.catalog.problems import CatalogError, Problem, did_you_mean
from tollhouse.catalog.providers import ProviderDraft, Surroundings, read_provider, read_quirks, read_timeouts
from tollhouse.wire.format import ModelOperation

DEFAULT_PATH = Path(__file__).with_name("data") / "providers.yaml"
DEFAULT_NAME = "default/providers.yaml"


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """A model that nobody can be asked for, the provider it waits for, and why: `OPENAI_API_KEY is not set`."""

    model: str
    provider: str
    why: str


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """A catalogue, what is not in it, and what its author should know."""

    catalog: Catalog
    left_out: tuple[LeftOut, ...] = ()
    warnings: tuple[str, ...] = ()


def load_catalog(
    path: Path | None,
    environ: Mapping[str, str],
    formats: Mapping[str, ModelOperation],
    simulator_url: str | None = None,
) -> Loaded:
    """The catalogue in the file at `path`, the default one for None.

    `formats` are the wire formats that a provider may name, and what a model is asked for in each. `simulator_url` is
    the base URL for providers that say `base_url: simulator`; None leaves them out. Raises CatalogError with all that
    is wrong. Reads, never logs.
    """
    around = Surroundings(environ=environ, formats=formats, simulator_url=simulator_url)
    drafts = _Drafts(around)
    drafts.read(path)
    if drafts.problems:
        raise CatalogError(drafts.problems)
    loaded = drafts.link()
    if drafts.problems:
        raise CatalogError(drafts.problems)
    return loaded


def count_left_out(left_out: Iterable[LeftOut]) -> Mapping[tuple[str, str], int]:
    """How many models wait, by provider and why."""
    return Counter((entry.provider, entry.why) for entry in left_out)


def summarise_left_out(left_out: Iterable[LeftOut]) -> str:
    """One line for the log: which providers keep how many models out of the lists, and why; "" for none."""
    waiting = count_left_out(left_out)
    if not waiting:
        return ""
    parts = [f"{provider} ({why}): {count}" for (provider, why), count in waiting.items()]
    count = sum(waiting.values())
    return f"{count} model{' is' if count == 1 else 's are'} left out: {', '.join(parts)}"


class _Drafts:
    """All entries by name, those of an extending file in place of the default ones."""

    def __init__(self, around: Surroundings) -> None:
        self.problems: list[Problem] = []
        self._around = around
        self._creators: dict[str, Creator] = {}
        self._providers: dict[str, ProviderDraft] = {}
        self._models: dict[str, ModelDraft] = {}
        self._enabled: set[str] = set()
        self._plans: dict[str, TokenPlan] = {}
        self._defaults: dict[ModelOperation, str] = {}

    def read(self, path: Path | None) -> None:
        """Read the file, and the one that it extends first."""
        top = self._top(path)
        if top is None:
            return
        if path is not None and top.choice("extends", ("default",), ""):
            self.read(None)
        creators = [(entry, read_creator(entry)) for entry in top.mappings("creators", "slug")]
        self._unique((entry, creator.slug) for entry, creator in creators)
        self._creators.update((creator.slug, creator) for _, creator in creators)
        providers = [(entry, read_provider(entry, self._around)) for entry in top.mappings("providers", "id")]
        self._unique(((entry, draft.provider.id) for entry, draft in providers), "id")
        self._providers.update((draft.provider.id, draft) for _, draft in providers)
        self._add_models([read_model(entry, self._creators) for entry in top.mappings("models", "slug")])
        plans = [(entry, read_plan(entry)) for entry in top.mappings("plans", "name")]
        self._unique(((entry, plan.name) for entry, plan in plans), "name")
        self._plans.update((plan.name, plan) for _, plan in plans)
        for provider_id in top.texts("enable", self._providers):
            self._enabled.add(provider_id)
        self._defaults |= read_defaults(top)
        top.done()

    def _top(self, path: Path | None) -> Fields | None:
        name = DEFAULT_NAME if path is None else str(path)
        try:
            node = parse_document((path or DEFAULT_PATH).read_text(encoding="utf-8-sig"), name)
        except DocumentError as error:
            self.problems.append(error.problem)
        except UnicodeDecodeError:
            self.problems.append(Problem(name, 1, "", "the file is not UTF-8 text"))
        except OSError as error:
            self.problems.append(
                Problem(
                    name, 1, "", f"the file cannot be read ({error.strerror}); check --catalog or TOLLHOUSE_CATALOG"
                )
            )
        else:
            return Fields(node, name, "", self.problems)
        return None

    def _unique(self, named: Iterable[tuple[Fields, str]], key: str = "slug") -> None:
        first: dict[str, int] = {}
        for entry, name in named:
            if name and name in first:
                entry.report(f"`{name}` is already defined in line {first[name]}", key)
            first.setdefault(name, entry.line)

    def _add_models(self, drafts: list[ModelDraft]) -> None:
        """Every name belongs to one model; names that this file uses are taken from the file it extends."""
        owners: dict[str, ModelDraft] = {}
        for draft in drafts:
            for key, names in (("slug", (draft.model.slug,)), ("aliases", draft.model.aliases)):
                for name in names:
                    owner = owners.setdefault(name, draft)
                    if owner is not draft and name:
                        draft.fields.report(f"`{name}` is already a name of {owner.fields.path}", key)
        own = {draft.model.slug: draft for draft in drafts}
        for slug, draft in self._models.items():
            if slug in own or slug not in owners:
                aliases = tuple(alias for alias in draft.model.aliases if alias not in owners)
                model = msgspec.structs.replace(draft.model, aliases=aliases)
                own.setdefault(slug, msgspec.structs.replace(draft, model=model))
        order = {slug: None for slug in (*self._models, *own) if slug in own}
        self._models = {slug: own[slug] for slug in order}

    def link(self) -> Loaded:
        """Join models to providers; what cannot be called is left out."""
        self._check_fallbacks()
        models: list[Model] = []
        left_out: list[LeftOut] = []
        for draft in self._models.values():
            found, missing = self._link_model(draft)
            if found is not None:
                models.append(found)
            elif missing is not None:
                left_out.append(missing)
        wildcards = [model.slug[:-1] for model in models if model.is_wildcard and not model.demo]
        kept = [model for model in models if not (model.demo and model.slug.startswith(tuple(wildcards)))]
        usable = {key: draft.provider for key, draft in self._providers.items() if self._why_not(key) is None}
        warnings = [text for key in usable for text in self._providers[key].warnings]
        if not kept:
            warnings.append("no model can be called: set the key of a provider, or add a model")
        return Loaded(
            catalog=Catalog(usable, tuple(kept), tuple(self._plans.values()), self._defaults),
            left_out=tuple(left_out),
            warnings=tuple(warnings),
        )

    def _check_fallbacks(self) -> None:
        """Every fallback is a model of the catalogue, whether its provider is set up or not."""
        names = {name: slug for slug, draft in self._models.items() for name in (slug, *draft.model.aliases)}
        prefixes = tuple(slug[:-1] for slug in self._models if slug.endswith("*"))
        for draft in self._models.values():
            fallbacks = draft.model.fallbacks
            for slug in fallbacks.slugs:
                if names.get(slug) == draft.model.slug:
                    draft.fields.report(f"`{slug}` cannot stand in for itself", "fallbacks")
                elif slug not in names and not slug.startswith(prefixes):
                    hint = did_you_mean(slug, names)
                    draft.fields.report(f"the model `{slug}` is not among `models`{hint}", "fallbacks")

    def _why_not(self, provider_id: str) -> str | None:
        draft = self._providers[provider_id]
        if draft.switched_off and provider_id not in self._enabled:
            return "not enabled"
        return draft.unusable

    def _link_model(self, draft: ModelDraft) -> tuple[Model | None, LeftOut | None]:
        real: list[Deployment] = []
        demo: list[Deployment] = []
        missing: LeftOut | None = None
        for entry in draft.deployments:
            served = self._link_deployment(entry, draft.model.operations)
            if entry.provider not in self._providers:
                continue
            why = self._why_not(entry.provider)
            if why is None and not served:
                why = f"speaks no format for {' or '.join(draft.model.operations)}"
            if why is None:
                (demo if entry.demo else real).extend(served)
            elif missing is None and not entry.demo:
                missing = LeftOut(model=draft.model.slug, provider=entry.provider, why=why)
        chosen = real or demo
        if not chosen:
            return None, missing
        in_order = tuple(sorted(chosen, key=lambda deployment: deployment.order))
        served = {deployment.operation for deployment in in_order}
        operations = tuple(one for one in draft.model.operations if one in served)
        return msgspec.structs.replace(draft.model, deployments=in_order, operations=operations, demo=not real), None

    def _link_deployment(self, entry: DeploymentDraft, operations: Iterable[ModelOperation]) -> list[Deployment]:
        """The deployment once for each of the operations that its provider speaks a format for."""
        draft = self._providers.get(entry.provider)
        if draft is None:
            hint = did_you_mean(entry.provider, self._providers)
            entry.fields.report(f"the provider `{entry.provider}` is not among `providers`{hint}", "provider")
            return []
        provider = draft.provider
        quirks = read_quirks(entry.fields, provider.quirks)
        timeouts = read_timeouts(entry.fields, provider.timeouts)
        entry.fields.done()
        spoken = {self._around.formats.get(name): name for name in (provider.format, *provider.more_formats)}
        found: list[Deployment] = []
        for operation in operations:
            if operation not in spoken:
                continue
            found.append(
                Deployment(
                    provider=provider,
                    upstream_model=entry.upstream_model,
                    order=entry.order,
                    weight=entry.weight,
                    quirks=quirks,
                    timeouts=timeouts,
                    price=entry.price,
                    operation=operation,
                    spoken=None if spoken[operation] == provider.format else spoken[operation],
                )
            )
        return found
