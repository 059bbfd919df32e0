"""`tollhouse route explain`: which rule a request meets, why, and what each alternative would cost."""

import argparse
import sys
from pathlib import Path

import msgspec

from tollhouse.catalog.entries import Catalog
from tollhouse.cli.books import add_folder_options, add_json_option, settings_of
from tollhouse.cli.catalogue import load_for
from tollhouse.cli.commands import Commands
from tollhouse.cli.output import money, print_json, print_table, print_text
from tollhouse.cli.route_rules import rules_of
from tollhouse.ir.fault import FaultError, invalid_request
from tollhouse.ir.usage import Usage
from tollhouse.money.amount import usd_text
from tollhouse.money.pricing import charge_lines
from tollhouse.relay.choosing import allowed_deployments, check_target, facts_before_reading
from tollhouse.routing.auto import Decision, decide, estimate, facts_of
from tollhouse.routing.rules import RuleSet
from tollhouse.routing.steps import Step, steps
from tollhouse.tokens.encodings import encoding
from tollhouse.wire.openai_chat.format import OpenAIChat
from tollhouse.wire.scan import join_object, scan_object

_AUTO = msgspec.Raw(b'"hpprouter/auto"')
_OUTPUT_TOKENS = 500


class _Alternative(msgspec.Struct, frozen=True, kw_only=True):
    """A model that the rules name, and what the request would cost there; `why_not` where it cannot be called."""

    model: str
    chosen: bool
    cost_nano_usd: int | None
    why_not: str | None = None


class _Explained(msgspec.Struct, frozen=True, kw_only=True):
    steps: tuple[Step, ...]
    decision: Decision | None
    refused: str | None
    tokens: int
    images: int
    output_tokens: int
    alternatives: tuple[_Alternative, ...]


def add_explain(commands: Commands) -> None:
    """The command."""
    parser = commands.add_parser("explain", help="which rule a request meets, why, and what the others would cost")
    parser.add_argument("file", metavar="FILE", help="the body of a chat request in JSON; - reads it from stdin")
    parser.add_argument("--rules", type=Path, metavar="FILE", help="these rules (default: those in force)")
    parser.add_argument("--catalog", metavar="FILE", help="catalogue (TOLLHOUSE_CATALOG; default: the shipped one)")
    parser.add_argument(
        "--output-tokens",
        type=_tokens,
        metavar="N",
        help=f"tokens of the answer (default: the request's limit, else {_OUTPUT_TOKENS})",
    )
    add_folder_options(parser)
    add_json_option(parser)
    parser.set_defaults(run=_explain)


def _tokens(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number of tokens")
    return int(text)


def _explain(args: argparse.Namespace) -> int:
    rules = rules_of(args, args.rules)
    explained = _explained(rules, load_for(settings_of(args)).catalog, _read(args.file), args.output_tokens)
    if args.json:
        print_json(_as_json(rules, explained))
    else:
        _print_people(rules, explained)
    return 0


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise invalid_request(f"{file} cannot be read ({error.strerror}).") from error


def _explained(rules: RuleSet, catalog: Catalog, body: bytes, output_tokens: int | None) -> _Explained:
    form = OpenAIChat()
    # Whatever model the request names: it is asked what the rules would make of it.
    scan = form.scan(join_object(scan_object(body) | {"model": _AUTO}))
    facts = facts_of(form.decode_request(scan), has_tool_choice=facts_before_reading(scan).has_tools)
    count = encoding(rules.tokenizer).count_text
    decision: Decision | None = None
    refused: str | None = None
    try:
        decision = decide(rules, facts, count)
        check_target(rules, decision, catalog)
    except FaultError as error:
        refused = error.fault.message
    tokens = estimate(rules, facts, count)
    output = scan.peek.output_limit or _OUTPUT_TOKENS if output_tokens is None else output_tokens
    usage = Usage(input_tokens=tokens, output_tokens=output)
    return _Explained(
        steps=steps(rules, facts, count),
        decision=decision,
        refused=refused,
        tokens=tokens,
        images=facts.images,
        output_tokens=output,
        alternatives=_alternatives(rules, catalog, usage, decision),
    )


def _alternatives(
    rules: RuleSet, catalog: Catalog, usage: Usage, decision: Decision | None
) -> tuple[_Alternative, ...]:
    """Each model of the rules, the cheapest first, those that cannot be called last."""
    found: list[_Alternative] = []
    for name in rules.models():
        resolved = catalog.resolve(name)
        cost: int | None = None
        why_not: str | None = None
        if resolved is None:
            why_not = "not in the catalogue, or its provider is not set up"
        elif not allowed_deployments(resolved.model, rules.providers):
            why_not = "the rules allow none of its providers"
        else:
            cost = sum(line.amount_nano_usd for line in charge_lines(resolved.model.price, usage))
        chosen = decision is not None and decision.model == name
        found.append(_Alternative(model=name, chosen=chosen, cost_nano_usd=cost, why_not=why_not))
    return tuple(sorted(found, key=lambda one: (one.cost_nano_usd is None, one.cost_nano_usd or 0)))


def _as_json(rules: RuleSet, explained: _Explained) -> dict[str, object]:
    return {
        "rules_version": rules.version,
        "decision": explained.decision,
        "refused": explained.refused,
        "steps": explained.steps,
        "prompt_tokens": explained.tokens,
        "images": explained.images,
        "output_tokens": explained.output_tokens,
        "tokenizer": rules.tokenizer,
        "alternatives": [
            {
                "model": one.model,
                "chosen": one.chosen,
                "cost_usd": None if one.cost_nano_usd is None else usd_text(one.cost_nano_usd),
                "why_not": one.why_not,
            }
            for one in explained.alternatives
        ],
    }


def _print_people(rules: RuleSet, explained: _Explained) -> None:
    print_text(f"Rules of version {rules.version}, looked at in this order:")
    rows = [("->" if step.matched else "", step.rule, step.why) for step in explained.steps]
    print_table(("", "RULE", "WHY"), rows)
    decision = explained.decision
    if decision is not None:
        print_text(f"\nModel: {decision.model} (rule {decision.rule_id})")
    if explained.refused is not None:
        print_text(f"\nRefused: {explained.refused}")
    print_text(
        f"\nWhat each model of the rules would cost, for {explained.tokens} tokens of prompt "
        f"({explained.images} pictures; {rules.tokenizer}) and {explained.output_tokens} of answer:"
    )
    table = [
        (
            "->" if one.chosen else "",
            one.model,
            one.why_not or "" if one.cost_nano_usd is None else f"{money(one.cost_nano_usd)} USD",
        )
        for one in explained.alternatives
    ]
    print_table(("", "MODEL", "COST"), table)
