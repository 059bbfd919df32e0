"""`tollhouse credits`: add credit to a workspace, refund it and show its balance."""

import argparse
import asyncio
import secrets

from tollhouse.cli.books import add_folder_options, add_json_option, found_workspace, now_ms, with_books
from tollhouse.cli.changes import add_note_option, change_of
from tollhouse.cli.commands import Commands, usd
from tollhouse.cli.output import money, print_json, print_text
from tollhouse.ir.fault import FaultError
from tollhouse.money.amount import usd_text
from tollhouse.stores.account_rows import account_of
from tollhouse.stores.store import Store

_ASK_TIMES = 5
_ASK_AGAIN_S = 0.1


def add_credits(commands: Commands) -> None:
    """The command and its subcommands."""
    group = commands.add_parser("credits", help="add prepaid credit, refund it, show what is left").add_subparsers(
        required=True, metavar="COMMAND"
    )
    add = group.add_parser("add", help="add credit to a workspace")
    add.add_argument("workspace", help="name or id")
    add.add_argument("amount", type=usd, metavar="USD", help="such as 20 or 0.50")
    add.add_argument("--reference", metavar="R", help="the payment's own name: the same one never counts twice")
    add_note_option(add)
    add.set_defaults(run=_add)
    show = group.add_parser("show", help="the balance of a workspace")
    show.add_argument("workspace", help="name or id")
    show.set_defaults(run=_show)
    refund = group.add_parser("refund", help="take credit back that was not spent")
    refund.add_argument("workspace", help="name or id")
    refund.add_argument("amount", type=usd, metavar="USD", help="at most what is available")
    refund.add_argument("--reference", metavar="R", help="the refund's own name: the same one never counts twice")
    add_note_option(refund)
    refund.set_defaults(run=_refund)
    for parser in (add, show, refund):
        add_folder_options(parser)
        add_json_option(parser)


def _add(args: argparse.Namespace) -> int:
    reference = args.reference or f"cli-{secrets.token_hex(8)}"

    async def work(store: Store) -> tuple[str, int]:
        workspace = await found_workspace(store, args.workspace)
        return workspace.name, await store.top_up(workspace.id, args.amount, reference, now_ms(), change_of(args))

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


def _refund(args: argparse.Namespace) -> int:
    reference = args.reference or f"cli-{secrets.token_hex(8)}"

    async def work(store: Store) -> tuple[str, int]:
        workspace = await found_workspace(store, args.workspace)
        return workspace.name, await _refunded(store, workspace.id, args, reference)

    name, balance = with_books(args, work)
    if args.json:
        print_json(
            {
                "workspace": name,
                "refunded_usd": usd_text(args.amount),
                "reference": reference,
                "balance_usd": usd_text(balance),
            }
        )
    else:
        print_text(f"Refunded {money(args.amount)} USD; workspace {name} has {money(balance)} USD left.")
        print_text(f"Reference: {reference} (a second time it takes nothing).")
    return 0


async def _refunded(store: Store, workspace_id: str, args: argparse.Namespace, reference: str) -> int:
    """The balance after the refund. Running gateways have some of the credit leased: they are asked to give back what
    they do not need, which takes them a moment."""
    for _ in range(_ASK_TIMES):
        try:
            return await store.quotas.refund(workspace_id, args.amount, reference, change_of(args))
        except FaultError as error:
            if error.fault.param != "amount":
                raise
        await store.ledger.recall("cli", [account_of(workspace_id)])
        await asyncio.sleep(_ASK_AGAIN_S)
    return await store.quotas.refund(workspace_id, args.amount, reference, change_of(args))


def _show(args: argparse.Namespace) -> int:
    workspace = with_books(args, lambda store: found_workspace(store, args.workspace))
    if args.json:
        print_json({"workspace": workspace.name, "balance_usd": usd_text(workspace.balance_nano_usd)})
    else:
        print_text(f"Workspace {workspace.name} has {money(workspace.balance_nano_usd)} USD.")
    return 0
