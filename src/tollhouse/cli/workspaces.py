"""`tollhouse workspaces`: make and list workspaces."""

import argparse
import shlex

from tollhouse.accounts.store import Workspace
from tollhouse.cli.books import add_folder_options, add_json_option, now_ms, with_books
from tollhouse.cli.commands import Commands
from tollhouse.cli.output import moment, money, print_json, print_table, print_text
from tollhouse.money.amount import usd_text


def add_workspaces(commands: Commands) -> None:
    """The command and its subcommands."""
    group = commands.add_parser("workspaces", help="who owns keys and pays: make and list workspaces").add_subparsers(
        required=True, metavar="COMMAND"
    )
    create = group.add_parser("create", help="make a workspace with an empty purse")
    create.add_argument("name", help="1 to 200 printable characters")
    create.set_defaults(run=_create)
    listing = group.add_parser("list", help="all workspaces and their balances")
    listing.set_defaults(run=_list)
    for parser in (create, listing):
        add_folder_options(parser)
        add_json_option(parser)


def _create(args: argparse.Namespace) -> int:
    workspace = with_books(args, lambda store: store.create_workspace(args.name, now_ms()), create=True)
    if args.json:
        print_json(_as_json(workspace))
    else:
        print_text(f"Workspace {workspace.name} is there ({workspace.id}).")
        print_text(f"Next: tollhouse keys create --workspace {shlex.quote(workspace.name)} --credit 5")
    return 0


def _list(args: argparse.Namespace) -> int:
    rows = with_books(args, lambda store: store.workspaces())
    if args.json:
        print_json([_as_json(row) for row in rows])
        return 0
    print_table(
        ("ID", "NAME", "BALANCE USD", "LOCKED", "CREATED"),
        [
            (r.id, r.name, money(r.balance_nano_usd), "yes" if r.locked else "no", moment(r.created_at_ms) or "")
            for r in rows
        ],
        right=(2,),
    )
    return 0


def _as_json(workspace: Workspace) -> dict[str, str | bool | None]:
    return {
        "id": workspace.id,
        "name": workspace.name,
        "created_at": moment(workspace.created_at_ms),
        "locked": workspace.locked,
        "balance_usd": usd_text(workspace.balance_nano_usd),
    }
