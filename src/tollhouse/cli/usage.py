"""`tollhouse usage`: what was called and what it cost, as a table, JSON or CSV."""

import argparse
import csv
import sys
from collections.abc import Sequence
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tollhouse.cli.books import add_folder_options, add_json_option, found_workspace, now_ms, with_books
from tollhouse.cli.commands import Commands, usage_error_of
from tollhouse.cli.moments import parse_moment
from tollhouse.cli.output import money, print_json, print_table, print_text
from tollhouse.money.amount import usd_text
from tollhouse.stores.store import Store
from tollhouse.stores.usage import DIMENSIONS, UsageFilter, UsageRow

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "＝", "＋", "－", "＠")
_COUNTS = ("calls", "failed_calls", "prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens")


def add_usage(commands: Commands) -> None:
    """The command."""
    parser = commands.add_parser("usage", help="calls, tokens and cost")
    parser.add_argument("--workspace", metavar="W", help="only this workspace")
    parser.add_argument("--since", metavar="WHEN", help="2027-01-31, 2027-01-31T12:00Z, or 7d ago (by whole hours)")
    parser.add_argument("--until", metavar="WHEN", help="up to, but not including, this moment (by whole hours)")
    parser.add_argument(
        "--tz", type=_zone, default=UTC, metavar="ZONE", help="whose days and hours: Europe/Berlin (default: UTC)"
    )
    parser.add_argument(
        "--by",
        type=_dimensions,
        default=("model",),
        metavar="WHAT",
        help=f"any of {','.join(DIMENSIONS)} (default: model)",
    )
    add_folder_options(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print CSV")
    add_json_option(form)
    parser.set_defaults(run=_usage)


def _zone(text: str) -> tzinfo:
    try:
        return UTC if text.upper() == "UTC" else ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no time zone known here; write one as Europe/Berlin") from error


def _dimensions(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in DIMENSIONS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(DIMENSIONS)}")
    return names


def _usage(args: argparse.Namespace) -> int:
    at_ms = now_ms()
    try:
        since_ms = None if args.since is None else parse_moment(args.since, at_ms, ahead=False, zone=args.tz)
        until_ms = None if args.until is None else parse_moment(args.until, at_ms, ahead=False, zone=args.tz)
    except ValueError as error:
        return usage_error_of("--since/--until", error)

    async def work(store: Store) -> list[UsageRow]:
        workspace_id = None
        if args.workspace is not None:
            workspace_id = (await found_workspace(store, args.workspace)).id
        which = UsageFilter(workspace_id=workspace_id, since_ms=since_ms, until_ms=until_ms, zone=args.tz)
        return await store.usage(which, args.by)

    rows = with_books(args, work)
    if args.json:
        print_json([_as_json(row, args.by) for row in rows])
    elif args.csv:
        _print_csv(rows, args.by)
    else:
        _print_people(rows, args.by)
    return 0


def _as_json(row: UsageRow, by: Sequence[str]) -> dict[str, str | int | None]:
    counts = {name: getattr(row, name) for name in _COUNTS}
    return {**dict(zip(by, row.group, strict=True)), **counts, "cost_usd": usd_text(row.cost_nano_usd)}


def _print_csv(rows: Sequence[UsageRow], by: Sequence[str]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow((*by, *_COUNTS, "cost_usd"))
    for row in rows:
        counts = (getattr(row, name) for name in _COUNTS)
        writer.writerow((*(_no_formula(cell or "") for cell in row.group), *counts, usd_text(row.cost_nano_usd)))


def _no_formula(cell: str) -> str:
    """A spreadsheet takes a cell that begins like a formula for one; an apostrophe makes it text (OWASP)."""
    return f"'{cell}" if cell.lstrip(" ").startswith(_FORMULA_STARTS) else cell


def _print_people(rows: Sequence[UsageRow], by: Sequence[str]) -> None:
    if not any(row.calls for row in rows):
        print_text("No calls.")
        return
    headings = (*(name.upper() for name in by), "CALLS", "FAILED", "PROMPT", "CACHED", "COMPLETION", "COST USD")
    table = [
        (
            *(cell or "-" for cell in row.group),
            str(row.calls),
            str(row.failed_calls),
            str(row.prompt_tokens),
            str(row.cached_tokens),
            str(row.completion_tokens),
            money(row.cost_nano_usd),
        )
        for row in rows
    ]
    print_table(headings, table, right=range(len(by), len(headings)))
