"""The recorded calls that `route replay` and `route calibrate` work on, and the options that choose them."""

import argparse

from tollhouse.cli.books import add_folder_options, add_json_option, found_workspace, now_ms, with_books
from tollhouse.cli.moments import parse_moment
from tollhouse.stores.past_calls import PastCall
from tollhouse.stores.store import Store
from tollhouse.stores.usage import UsageFilter

_MOST_CALLS = 100_000


def add_call_options(parser: argparse.ArgumentParser) -> None:
    """Which calls."""
    parser.add_argument("--workspace", metavar="W", help="only this workspace")
    parser.add_argument("--since", type=_moment, metavar="WHEN", help="2027-01-31, 2027-01-31T12:00Z, or 7d ago")
    parser.add_argument("--until", type=_moment, metavar="WHEN", help="up to, but not including, this moment")
    parser.add_argument(
        "--all", action="store_true", help="also calls that named a model, as if they had left it to the rules"
    )
    parser.add_argument(
        "--limit", type=_count, default=_MOST_CALLS, metavar="N", help=f"the newest N calls (default: {_MOST_CALLS})"
    )
    add_folder_options(parser)
    add_json_option(parser)


def past_calls(args: argparse.Namespace) -> list[PastCall]:
    """The calls that the options choose, newest first. Raises FaultError and SettingsError."""

    async def work(store: Store) -> list[PastCall]:
        workspace_id = None
        if args.workspace is not None:
            workspace_id = (await found_workspace(store, args.workspace)).id
        which = UsageFilter(workspace_id=workspace_id, since_ms=args.since, until_ms=args.until)
        return await store.rules.past_calls(which, args.limit, routed_only=not args.all)

    return with_books(args, work)


def prompt_tokens(call: PastCall) -> int:
    """The rules' own estimate, or the provider's count where they made none."""
    if call.routed is not None and call.routed.tokens is not None:
        return call.routed.tokens
    return call.prompt_tokens


def none_found(args: argparse.Namespace) -> str:
    """What to say where there is no call."""
    more = "" if args.all else "; --all takes those that named a model, too"
    return f"There are no recorded calls to hpprouter/auto in this choice{more}."


def _moment(text: str) -> int:
    try:
        return parse_moment(text, now_ms(), ahead=False)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 10_000_000):
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number from 1 to 10000000")
    return int(text)
