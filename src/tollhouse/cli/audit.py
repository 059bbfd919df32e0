"""`tollhouse plans` and `tollhouse audit`: the plans that can be used, and who changed what."""

import argparse

import msgspec

from tollhouse.accounts.limits import period_adverb
from tollhouse.accounts.quotas import AuditRow
from tollhouse.cli.books import add_folder_options, add_json_option, found_workspace, with_books
from tollhouse.cli.changes import found_key
from tollhouse.cli.commands import Commands
from tollhouse.cli.output import moment, print_json, print_table, print_text
from tollhouse.stores.store import Store


def add_audit(commands: Commands) -> None:
    """The commands."""
    plans = commands.add_parser("plans", help="the plans of the catalogue, as the gateway read them at its start")
    plans.set_defaults(run=_plans)
    audit = commands.add_parser("audit", help="who changed limits, plans, consumers and credit")
    audit.add_argument("--workspace", metavar="W", help="only changes of this workspace")
    audit.add_argument("--key", metavar="K", help="only changes of this key")
    audit.add_argument("--last", type=int, default=50, metavar="N", help="how many (default: 50)")
    audit.set_defaults(run=_audit)
    for parser in (plans, audit):
        add_folder_options(parser)
        add_json_option(parser)


def _plans(args: argparse.Namespace) -> int:
    plans = with_books(args, lambda store: store.quotas.plans())
    if args.json:
        print_json([{"name": p.name, "tokens": p.tokens, "period": p.period, "retired": p.retired} for p in plans])
    elif plans:
        print_table(
            ("PLAN", "TOKENS", "PERIOD", ""),
            [(p.name, str(p.tokens), period_adverb(p.period), "retired" if p.retired else "") for p in plans],
            right=(1,),
        )
    else:
        print_text("No plans. They stand in the catalogue under `plans`, and are read when the gateway starts.")
    return 0


def _audit(args: argparse.Namespace) -> int:
    async def work(store: Store) -> list[AuditRow]:
        subjects: list[str] = []
        if args.workspace is not None:
            subjects.append((await found_workspace(store, args.workspace)).id)
        if args.key is not None:
            subjects.append((await found_key(store, args.key)).id)
        return await store.quotas.audit(subjects, max(1, args.last))

    rows = with_books(args, work)
    if args.json:
        print_json(
            [
                {
                    "at": moment(row.at_ms),
                    "actor": row.actor,
                    "action": row.action,
                    "subject": row.subject,
                    "detail": msgspec.json.decode(row.detail),
                    "note": row.note,
                }
                for row in rows
            ]
        )
        return 0
    print_table(
        ("AT", "BY", "ACTION", "OF", "DETAIL", "NOTE"),
        [(moment(r.at_ms) or "", r.actor, r.action, r.subject, r.detail, r.note) for r in rows],
    )
    return 0
