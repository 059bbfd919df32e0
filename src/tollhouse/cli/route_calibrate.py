"""`tollhouse route calibrate`: a threshold and bands from the prompts that were recorded."""

import argparse

from tollhouse.cli.commands import Commands
from tollhouse.cli.output import print_json, print_table, print_text
from tollhouse.cli.route_calls import add_call_options, none_found, past_calls, prompt_tokens
from tollhouse.routing.calibrate import Proposal, Shares, propose, quantile

_SHARES = Shares(simple=40, t1=30, t2=20, t3=10)
_PERCENTS = (10, 25, 50, 75, 90, 95, 99, 100)
_FEW = 100


def add_calibrate(commands: Commands) -> None:
    """The command."""
    parser = commands.add_parser("calibrate", help="propose a threshold and bands from recorded calls")
    parser.add_argument(
        "--shares",
        type=_shares,
        default=_SHARES,
        metavar="B,T1,T2,T3",
        help="per cent of the calls for the simple model and each tier (default: 40,30,20,10)",
    )
    parser.add_argument(
        "--margin", type=_percent, default=0, metavar="P", help="the rules' margin_percent (default: 0)"
    )
    add_call_options(parser)
    parser.set_defaults(run=_calibrate)


def _shares(text: str) -> Shares:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 4 or not all(part.isascii() and part.isdigit() and len(part) < 4 for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r}: give four whole numbers such as 40,30,20,10")
    shares = Shares(*map(int, parts))
    if shares.simple + shares.t1 + shares.t2 + shares.t3 != 100:
        raise argparse.ArgumentTypeError(f"{text!r}: the shares have to add up to 100")
    return shares


def _percent(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 1_000):
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number from 0 to 1000")
    return int(text)


def _calibrate(args: argparse.Namespace) -> int:
    # With tools, the length decides nothing.
    calls = [call for call in past_calls(args) if call.routed is None or call.routed.basket != "A"]
    tokens = sorted(map(prompt_tokens, calls))
    if not tokens:
        if args.json:
            print_json({"calls": 0, "quantiles": {}, "proposal": None})
        else:
            print_text(none_found(args))
        return 0
    proposal = propose(tokens, args.shares, args.margin)
    quantiles = {str(percent): quantile(tokens, percent) for percent in _PERCENTS}
    if args.json:
        print_json({"calls": len(tokens), "quantiles": quantiles, "proposal": proposal, "margin_percent": args.margin})
        return 0
    print_table(("PER CENT OF CALLS", "UP TO TOKENS"), [*((k, str(v)) for k, v in quantiles.items())], right=(0, 1))
    _print_proposal(proposal, args.margin, len(tokens))
    return 0


def _print_proposal(proposal: Proposal, margin_percent: int, calls: int) -> None:
    simple, t1, t2, t3 = proposal.reached
    print_text(
        f"\nFor your rules, from {calls} calls:\n"
        f"simple:\n  up_to_tokens: {proposal.simple}  # {simple} % of these calls\n"
        f"tiers:\n  T1: {{up_to_tokens: {proposal.t1}}}  # {t1} %\n"
        f"  T2: {{up_to_tokens: {proposal.t2}}}  # {t2} %\n"
        f"  T3: {{}}  # {t3} %\n"
        f"margin_percent: {margin_percent}\n"
    )
    print_text("Each tier needs its `model` besides. Keywords may send more calls to the simple model.")
    if calls < _FEW:
        print_text(f"Fewer than {_FEW} calls say little: look again when there are more.")
