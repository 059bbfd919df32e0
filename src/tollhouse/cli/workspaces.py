"""`tollhouse workspaces`: make and list workspaces, lock them, invoice them, put them on plans."""

import argparse
import shlex

from tollhouse.accounts.quotas import LimitStanding
from tollhouse.accounts.store import Workspace
from tollhouse.cli.books import add_folder_options, add_json_option, found_workspace, now_ms, with_books
from tollhouse.cli.changes import (
    NONE,
    add_note_option,
    change_of,
    plan_begun_anew,
    print_standing,
    print_standing_or,
    standing_as_json,
)
from tollhouse.cli.commands import Commands
from tollhouse.cli.output import moment, money, print_json, print_table, print_text
from tollhouse.money.amount import usd_text
from tollhouse.stores.store import Store


def add_workspaces(commands: Commands) -> None:
    """The command and its subcommands."""
    group = commands.add_parser("workspaces", help="who owns keys and pays: make, list, lock, invoice").add_subparsers(
        required=True, metavar="COMMAND"
    )
    create = group.add_parser("create", help="make a workspace with an empty purse")
    create.add_argument("name", help="1 to 200 printable characters")
    create.set_defaults(run=_create)
    listing = group.add_parser("list", help="all workspaces and their balances")
    listing.set_defaults(run=_list)
    lock = group.add_parser("lock", help="refuse all calls of a workspace")
    lock.set_defaults(run=_lock, locked=True)
    unlock = group.add_parser("unlock", help="let a locked workspace call again")
    unlock.set_defaults(run=_lock, locked=False)
    invoicing = group.add_parser("invoicing", help="let a workspace call whatever its balance is, or no longer")
    invoicing.set_defaults(run=_invoicing)
    plan = group.add_parser("plan", help="put a workspace on a plan of the catalogue, or take it off")
    plan.set_defaults(run=_plan)
    reset_plan = group.add_parser("reset-plan", help="begin the present period of a workspace's plan anew")
    reset_plan.set_defaults(run=_reset_plan)
    for parser in (lock, unlock, invoicing, plan, reset_plan):
        parser.add_argument("workspace", help="name or id")
        add_note_option(parser)
    invoicing.add_argument("state", choices=["on", "off"])
    plan.add_argument("plan", help=f"as `tollhouse plans` shows it, or {NONE}")
    for parser in (create, listing, lock, unlock, invoicing, plan, reset_plan):
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
        ("ID", "NAME", "BALANCE USD", "LOCKED", "INVOICED", "CREATED"),
        [
            (
                r.id,
                r.name,
                money(r.balance_nano_usd),
                "yes" if r.locked else "no",
                "yes" if r.invoicing else "no",
                moment(r.created_at_ms) or "",
            )
            for r in rows
        ],
        right=(2,),
    )
    return 0


def _lock(args: argparse.Namespace) -> int:
    async def work(store: Store) -> Workspace:
        found = await found_workspace(store, args.workspace)
        return await store.quotas.lock_workspace(found.id, locked=args.locked, change=change_of(args))

    workspace = with_books(args, work)
    does = "is locked: its calls are refused" if workspace.locked else "is not locked"
    return _print(args, workspace, does)


def _invoicing(args: argparse.Namespace) -> int:
    async def work(store: Store) -> Workspace:
        found = await found_workspace(store, args.workspace)
        on = args.state == "on"
        return await store.quotas.invoice_workspace(found.id, invoicing=on, change=change_of(args))

    workspace = with_books(args, work)
    does = "is invoiced: its balance refuses no call" if workspace.invoicing else "pays from its balance"
    return _print(args, workspace, does)


def _plan(args: argparse.Namespace) -> int:
    async def work(store: Store) -> tuple[Workspace, LimitStanding | None]:
        found = await found_workspace(store, args.workspace)
        plan = None if args.plan == NONE else args.plan
        return found, await store.quotas.set_plan(found.id, plan, change_of(args))

    workspace, standing = with_books(args, work)
    if args.json:
        print_json({"id": workspace.id, "plan": None if standing is None else standing_as_json(standing)})
    else:
        print_standing_or(standing, f"Workspace {workspace.name} is on no plan.")
    return 0


def _reset_plan(args: argparse.Namespace) -> int:
    async def work(store: Store) -> LimitStanding:
        found = await found_workspace(store, args.workspace)
        return await plan_begun_anew(store, found.id, f"Workspace {found.name}", change_of(args))

    return print_standing(args, with_books(args, work))


def _print(args: argparse.Namespace, workspace: Workspace, does: str) -> int:
    if args.json:
        print_json(_as_json(workspace))
    else:
        print_text(f"Workspace {workspace.name} {does}.")
    return 0


def _as_json(workspace: Workspace) -> dict[str, str | bool | None]:
    return {
        "id": workspace.id,
        "name": workspace.name,
        "created_at": moment(workspace.created_at_ms),
        "locked": workspace.locked,
        "invoicing": workspace.invoicing,
        "balance_usd": usd_text(workspace.balance_nano_usd),
    }
