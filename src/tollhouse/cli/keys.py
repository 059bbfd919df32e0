"""`tollhouse keys`: make, list, disable, enable and revoke API keys; their limits are in key_limits."""

import argparse
import secrets
import shlex

import msgspec

from tollhouse.accounts import keys
from tollhouse.accounts.store import KeyRow, NewConsumer, NewKey, Workspace
from tollhouse.cli.books import (
    add_folder_options,
    add_json_option,
    found_workspace,
    now_ms,
    settings_of,
    with_books,
)
from tollhouse.cli.changes import add_note_option, change_of
from tollhouse.cli.commands import Commands, usage_error_of, usd
from tollhouse.cli.key_limits import add_key_limits, add_limit_options, limit_wishes
from tollhouse.cli.key_providers import add_key_providers
from tollhouse.cli.moments import parse_moment
from tollhouse.cli.output import moment, money, print_error, print_json, print_table, print_text
from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.money.amount import usd_text
from tollhouse.stores.store import Store

_STATES = {"disable": "disabled", "enable": "active", "revoke": "revoked"}
_HELP = {
    "disable": "refuse calls with a key until it is enabled again",
    "enable": "let a disabled key make calls again",
    "revoke": "refuse calls with a key for good",
}


def add_keys(commands: Commands) -> None:
    """The command and its subcommands."""
    group = commands.add_parser("keys", help="make, list, disable and revoke API keys").add_subparsers(
        required=True, metavar="COMMAND"
    )
    create = group.add_parser("create", help="make a key and print it: it is never shown again")
    create.add_argument("--workspace", required=True, metavar="W", help="its workspace, made when missing")
    create.add_argument("--name", default="", metavar="N", help="a name to know the key by")
    create.add_argument("--credit", type=usd, metavar="USD", help="add this much credit to the workspace")
    create.add_argument("--expires", metavar="WHEN", help="2027-01-31, 2027-01-31T12:00Z, or 30d from now")
    create.add_argument("--allow", action="append", metavar="MODEL", help="a model that it may use (default: all)")
    add_limit_options(create)
    create.add_argument("--plan", metavar="P", help="a plan of the catalogue")
    create.add_argument("--username", metavar="NAME", help="its consumer's, shown in /api/usage")
    create.add_argument("--custom-id", metavar="ID", help="its consumer's, shown in /api/usage")
    create.add_argument("--no-consumer", action="store_true", help="make no consumer: /api/usage answers 404")
    add_note_option(create)
    create.set_defaults(run=_create)
    add_key_limits(group)
    add_key_providers(group)
    listing = group.add_parser("list", help="all keys, without the keys themselves")
    listing.add_argument("--workspace", metavar="W", help="only those of one workspace")
    listing.set_defaults(run=_list)
    parsers = [create, listing]
    for verb, state in _STATES.items():
        parser = group.add_parser(verb, help=_HELP[verb])
        parser.add_argument("key", help="id or hint of the key, as `keys list` shows it")
        parser.set_defaults(run=_set_state, state=state)
        add_note_option(parser)
        parsers.append(parser)
    for parser in parsers:
        add_folder_options(parser)
        add_json_option(parser)


def _create(args: argparse.Namespace) -> int:
    at_ms = now_ms()
    try:
        expires_at_ms = None if args.expires is None else parse_moment(args.expires, at_ms, ahead=True)
    except ValueError as error:
        return usage_error_of("--expires", error)
    if expires_at_ms is not None and expires_at_ms <= at_ms:
        return usage_error_of("--expires", ValueError(f"{args.expires} has passed; choose a later moment"))
    key = keys.new_key(secrets.token_bytes(keys.RANDOM_BYTES), settings_of(args).key_prefix)
    key_id = f"key_{secrets.token_hex(8)}"

    async def work(store: Store) -> Workspace:
        workspace = await _workspace(store, args.workspace, at_ms)
        new = NewKey(
            id=key_id,
            workspace_id=workspace.id,
            name=args.name,
            digest=keys.digest(key),
            hint=keys.hint(key),
            created_at_ms=at_ms,
            expires_at_ms=expires_at_ms,
            consumer=None if args.no_consumer else NewConsumer(username=args.username, custom_id=args.custom_id),
        )
        if args.plan is not None:
            # First, because it may be refused, and then there shall be no key that nobody has seen.
            await store.quotas.set_plan(key_id, args.plan, change_of(args))
        await store.add_key(new, change_of(args))
        await _restrict(store, key_id, args)
        if args.credit is not None:
            await store.top_up(workspace.id, args.credit, f"keys-create:{key_id}", at_ms, change_of(args))
        return await store.workspace(workspace.id) or workspace

    workspace = with_books(args, work, create=True)
    if args.json:
        print_json(
            {
                "key": key,
                "workspace": workspace.name,
                "workspace_id": workspace.id,
                "id": key_id,
                "name": args.name,
                "hint": keys.hint(key),
                "expires_at": moment(expires_at_ms),
                "balance_usd": usd_text(workspace.balance_nano_usd),
            }
        )
        return 0
    print_text(key)
    until = f", valid until {moment(expires_at_ms)}" if expires_at_ms is not None else ""
    print_text(f"This is the only time that the key is shown. Its id is {key_id}{until}.")
    print_text(f"Workspace {workspace.name} has {money(workspace.balance_nano_usd)} USD.")
    if workspace.balance_nano_usd <= 0:
        print_text(f"Next: tollhouse credits add {shlex.quote(workspace.name)} 5")
    return 0


async def _restrict(store: Store, key_id: str, args: argparse.Namespace) -> None:
    change = change_of(args)
    for wish in limit_wishes(args, key_id):
        await store.quotas.set_limit(wish, change)
    if args.allow:
        await store.quotas.allow_models(key_id, tuple(dict.fromkeys(args.allow)), change)


async def _workspace(store: Store, name: str, at_ms: int) -> Workspace:
    found = await store.workspace(name)
    if found is not None:
        return found
    try:
        return await store.create_workspace(name, at_ms)
    except FaultError as error:
        # Another process may have made it in this moment.
        found = await store.workspace(name)
        if error.fault.kind is FaultKind.INVALID_REQUEST and found is not None:
            return found
        raise


def _list(args: argparse.Namespace) -> int:
    async def work(store: Store) -> list[KeyRow]:
        if args.workspace is None:
            return await store.keys(None)
        return await store.keys((await found_workspace(store, args.workspace)).id)

    rows = with_books(args, work)
    if args.json:
        print_json([_as_json(row) for row in rows])
        return 0
    print_table(
        ("ID", "KEY", "WORKSPACE", "NAME", "STATE", "EXPIRES"),
        [(r.id, r.hint, r.workspace, r.name, r.state, moment(r.expires_at_ms) or "never") for r in rows],
    )
    return 0


def _set_state(args: argparse.Namespace) -> int:
    row = with_books(args, lambda store: store.set_key_state(args.key, args.state, change_of(args)))
    if row is None:
        print_error(f"There is no key {args.key!r}. `tollhouse keys list` shows their ids and hints.")
        return 1
    if args.json:
        print_json(_as_json(row))
    else:
        print_text(f"Key {row.hint} of workspace {row.workspace} is {row.state}.")
    return 0


def _as_json(row: KeyRow) -> dict[str, object]:
    return {
        "id": row.id,
        "hint": row.hint,
        "workspace": row.workspace,
        "name": row.name,
        "state": row.state,
        "created_at": moment(row.created_at_ms),
        "expires_at": moment(row.expires_at_ms),
        "allowed_models": None if row.allowed_models is None else list(row.allowed_models),
        "providers": None if row.providers is None else msgspec.json.decode(row.providers),
    }
