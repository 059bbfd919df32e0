"""`tollhouse credits`: add credit to a workspace and show its balance."""

import argparse
import secrets

from tollhouse.cli.books import add_folder_options, add_json_option, found_workspace, now_ms, with_books
from tollhouse.cli.commands import Commands, usd
from tollhouse.cli.output import money, print_json, print_text
from tollhouse.money.amount import usd_text
from tollhouse.stores.store import Store


def add_credits(commands: Commands) -> None:
    """The command and its subcommands."""
    group = commands.add_parser("credits", help="add prepaid credit, show what is left").add_subparsers(
        required=True, metavar="COMMAND"
    )
    add = group.add_parser("add", help="add credit to a workspace")
    add.add_argument("workspace", help="name or id")
    add.add_argument("amount", type=usd, metavar="USD", help="such as 20 or 0.50")
    add.add_argument("--reference", metavar="R", help="the payment's own name: the same one never counts twice")
    add.set_defaults(run=_add)
    show = group.add_parser("show", help="the balance of a workspace")
    show.add_argument("workspace", help="name or id")
    show.set_defaults(run=_show)
    for parser in (add, show):
        add_folder_options(parser)
        add_json_option(parser)


def _add(args: argparse.Namespace) -> int:
    reference = args.reference or f"cli-{secrets.token_hex(8)}"

    async def work(store: Store) -> tuple[str, int]:
        workspace = await found_workspace(store, args.workspace)
        return workspace.name, await store.top_up(workspace.id, args.amount, reference, now_ms())

    name, balance = with_books(args, work)
    if args.json:
        print_json(
            {
                "workspace": name,
                "amount_usd": usd_text(args.amount),
                "reference": reference,
                "balance_usd": usd_text(balance),
            }
        )
    else:
        print_text(
            f"Workspace {name} has {money(balance)} USD. Reference: {reference} (a second time it adds nothing)."
        )
    return 0


def _show(args: argparse.Namespace) -> int:
    workspace = with_books(args, lambda store: found_workspace(store, args.workspace))
    if args.json:
        print_json({"workspace": workspace.name, "balance_usd": usd_text(workspace.balance_nano_usd)})
    else:
        print_text(f"Workspace {workspace.name} has {money(workspace.balance_nano_usd)} USD.")
    return 0
