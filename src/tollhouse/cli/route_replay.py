"""`tollhouse route replay`: a candidate set of rules over recorded calls, cost and model mix of old against new."""

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from tollhouse.catalog.entries import Catalog
from tollhouse.cli.books import settings_of, with_books
from tollhouse.cli.catalogue import load_for
from tollhouse.cli.commands import Commands
from tollhouse.cli.output import money, print_json, print_table, print_text
from tollhouse.cli.route_calls import add_call_options, none_found, past_calls, prompt_tokens
from tollhouse.cli.route_rules import rules_of
from tollhouse.ir.usage import Usage
from tollhouse.money.amount import usd_text
from tollhouse.money.pricing import charge_lines
from tollhouse.relay.choosing import allowed_deployments
from tollhouse.relay.rules_in_force import configured_rules, stored_rules
from tollhouse.routing.replay import Outside, Replayed, replay
from tollhouse.routing.rules import RuleSet
from tollhouse.stores.past_calls import PastCall
from tollhouse.stores.store import Store

_LIMITS = (
    "Records have counts of tokens and models, not prompts.",
    "A changed model is priced by the present catalogue for the same tokens, as many of them from a cache.",
    "Of a call that was not classified it is not known whether it had tools: it is taken for one without.",
    "A call whose tokens no rule counted has the provider's count, which may differ by some per cent.",
    "A keyword can be replayed where the rules of that time looked for it; others are taken not to be there.",
)


class _Mix(msgspec.Struct, kw_only=True):
    """Calls and cost by model."""

    calls: Counter[str]
    cost_nano_usd: Counter[str]

    def add(self, model: str, cost_nano_usd: int) -> None:
        """One call."""
        self.calls[model] += 1
        self.cost_nano_usd[model] += cost_nano_usd


class _Report(msgspec.Struct, kw_only=True):
    """What came of all calls."""

    old: _Mix
    new: _Mix
    refused: Counter[str]
    certain: int = 0
    assumed_no_tools: int = 0
    assumed_no_keyword: int = 0
    assumed_count: int = 0


def add_replay(commands: Commands) -> None:
    """The command."""
    parser = commands.add_parser("replay", help="try rules on recorded calls: cost and model mix, old against new")
    parser.add_argument("rules", type=Path, metavar="FILE", help="the candidate rules in YAML")
    parser.add_argument("--catalog", metavar="FILE", help="catalogue (TOLLHOUSE_CATALOG; default: the shipped one)")
    add_call_options(parser)
    parser.set_defaults(run=_replay)


def _replay(args: argparse.Namespace) -> int:
    rules = rules_of(args, args.rules)
    catalog = load_for(settings_of(args)).catalog
    calls = past_calls(args)
    report = _report(rules, catalog, calls, _keywords(args))
    if args.json:
        print_json(_as_json(report, len(calls)))
    elif calls:
        _print_people(report, len(calls))
    else:
        print_text(none_found(args))
    return 0


def _keywords(args: argparse.Namespace) -> Mapping[str, frozenset[str]]:
    """The keywords, in small letters, of every version that may have routed a call."""
    settings = settings_of(args)

    async def work(store: Store) -> Mapping[str, frozenset[str]]:
        known = [stored_rules(stored) for stored in await store.rules.versions()]
        known.append(configured_rules(settings.routing_rules, demo=settings.demo))
        return {
            rules.version: frozenset(word.casefold() for word in rules.simple.keywords)
            for rules in known
            if isinstance(rules, RuleSet)
        }

    return with_books(args, work)


def _report(
    rules: RuleSet, catalog: Catalog, calls: Sequence[PastCall], looked_for: Mapping[str, frozenset[str]]
) -> _Report:
    report = _Report(
        old=_Mix(calls=Counter(), cost_nano_usd=Counter()),
        new=_Mix(calls=Counter(), cost_nano_usd=Counter()),
        refused=Counter(),
    )
    for call in calls:
        routed = call.routed
        outside = Outside(
            stream=call.stream,
            prompt_tokens=prompt_tokens(call),
            estimated=routed is not None and routed.tokens is not None,
            basket=routed.basket if routed else None,
            rule_id=routed.rule_id if routed else None,
            rules_version=routed.rules_version if routed else None,
        )
        report.old.add(call.model, call.cost_nano_usd)
        _count(report, call, replay(rules, outside, looked_for), catalog, rules)
    return report


def _count(report: _Report, call: PastCall, replayed: Replayed, catalog: Catalog, rules: RuleSet) -> None:
    report.assumed_no_tools += replayed.assumed_no_tools
    report.assumed_no_keyword += replayed.assumed_no_keyword
    report.assumed_count += replayed.assumed_count
    report.certain += replayed.certain
    if replayed.model is None:
        report.refused[replayed.refused or ""] += 1
        return
    resolved = catalog.resolve(replayed.model)
    if resolved is None or not allowed_deployments(resolved.model, rules.providers):
        report.refused[f"The model {replayed.model} cannot be called."] += 1
    elif resolved.slug == call.model:
        report.new.add(call.model, call.cost_nano_usd)
    else:
        lines = charge_lines(resolved.model.price, _usage(call))
        report.new.add(resolved.slug, sum(line.amount_nano_usd for line in lines))


def _usage(call: PastCall) -> Usage:
    cached = min(call.cached_tokens, call.prompt_tokens)
    return Usage(
        input_tokens=call.prompt_tokens - cached,
        cache_read_tokens=cached,
        output_tokens=call.completion_tokens,
        reasoning_tokens=call.reasoning_tokens,
    )


def _as_json(report: _Report, count: int) -> dict[str, object]:
    return {
        "calls": count,
        "certain": report.certain,
        "assumed_no_tools": report.assumed_no_tools,
        "assumed_no_keyword": report.assumed_no_keyword,
        "assumed_count": report.assumed_count,
        "old": _mix_as_json(report.old),
        "new": _mix_as_json(report.new),
        "refused": dict(report.refused),
        "limits": _LIMITS,
    }


def _mix_as_json(mix: _Mix) -> dict[str, object]:
    models = {
        model: {"calls": calls, "cost_usd": usd_text(mix.cost_nano_usd[model])}
        for model, calls in mix.calls.most_common()
    }
    return {"calls": mix.calls.total(), "cost_usd": usd_text(mix.cost_nano_usd.total()), "models": models}


def _print_people(report: _Report, count: int) -> None:
    old, new = report.old, report.new
    models = sorted({*old.calls, *new.calls}, key=lambda model: (-new.calls[model], -old.calls[model], model))
    rows = [
        (
            model,
            str(old.calls[model]),
            money(old.cost_nano_usd[model]),
            str(new.calls[model]),
            money(new.cost_nano_usd[model]),
        )
        for model in models
    ]
    total = ("all", str(count), money(old.cost_nano_usd.total()))
    rows.append((*total, str(new.calls.total()), money(new.cost_nano_usd.total())))
    print_table(("MODEL", "OLD CALLS", "OLD USD", "NEW CALLS", "NEW USD"), rows, right=(1, 2, 3, 4))
    for why, calls in report.refused.most_common():
        print_text(f"Refused ({calls}): {why}")
    print_text(
        f"\n{report.certain} of {count} calls are certain; {report.assumed_no_tools} are taken to have no tools, "
        f"{report.assumed_no_keyword} to have no other keyword, {report.assumed_count} to be as long as the provider "
        "counted."
    )
    for line in _LIMITS:
        print_text(line)
