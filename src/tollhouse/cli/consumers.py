"""`tollhouse consumers`: HPP Router's records of keys, their names and quotas."""

import argparse

from tollhouse.accounts.quotas import Consumer, ConsumerStanding, LimitWish
from tollhouse.cli.books import add_folder_options, add_json_option, found_workspace, with_books
from tollhouse.cli.changes import NONE, add_note_option, change_of, found_key
from tollhouse.cli.commands import Amount, Commands, allowance
from tollhouse.cli.output import money, print_json, print_table, print_text
from tollhouse.ir.fault import invalid_request
from tollhouse.money.amount import usd_text
from tollhouse.stores.store import Store


def add_consumers(commands: Commands) -> None:
    """The command and its subcommands."""
    group = commands.add_parser("consumers", help="records of keys that /api/usage tells of").add_subparsers(
        required=True, metavar="COMMAND"
    )
    listing = group.add_parser("list", help="all consumers")
    listing.add_argument("--workspace", metavar="W", help="only those of one workspace")
    listing.set_defaults(run=_list)
    show = group.add_parser("show", help="what a consumer may spend and has used")
    show.set_defaults(run=_show)
    set_ = group.add_parser("set", help="make a key's consumer, name it, give it a quota of its own")
    set_.add_argument("--username", metavar="NAME", help="shown in /api/usage")
    set_.add_argument("--custom-id", metavar="ID", help="its id in a system of yours, shown in /api/usage")
    set_.add_argument(
        "--quota", type=allowance, metavar="USD", help=f"of its own, until it is reset; {NONE}: its workspace's credit"
    )
    set_.set_defaults(run=_set)
    reset = group.add_parser("reset", help="begin a consumer's own quota anew")
    reset.set_defaults(run=_reset)
    remove = group.add_parser("remove", help="take a key's consumer away, and its quota; the key stays")
    remove.set_defaults(run=_remove)
    for parser in (show, set_, reset, remove):
        parser.add_argument("key", help="id or hint of the key")
    for parser in (set_, reset, remove):
        add_note_option(parser)
    for parser in (listing, show, set_, reset, remove):
        add_folder_options(parser)
        add_json_option(parser)


def _list(args: argparse.Namespace) -> int:
    async def work(store: Store) -> list[Consumer]:
        workspace_id = None if args.workspace is None else (await found_workspace(store, args.workspace)).id
        return await store.quotas.consumers(workspace_id)

    rows = with_books(args, work)
    if args.json:
        print_json([_as_json(row) for row in rows])
        return 0
    print_table(
        ("ID", "KEY", "WORKSPACE", "USERNAME", "CUSTOM ID", "QUOTA USD"),
        [
            (
                r.id,
                r.key_hint,
                r.workspace,
                r.username or "-",
                r.custom_id or "-",
                "the workspace's credit" if r.quota_nano_usd is None else money(r.quota_nano_usd),
            )
            for r in rows
        ],
    )
    return 0


def _show(args: argparse.Namespace) -> int:
    async def work(store: Store) -> ConsumerStanding:
        row = await found_key(store, args.key)
        return await _standing(store, row.id, row.hint)

    return _print(args, with_books(args, work))


def _set(args: argparse.Namespace) -> int:
    async def work(store: Store) -> ConsumerStanding:
        row, change = await found_key(store, args.key), change_of(args)
        known = await store.quotas.consumer(row.id)
        username = args.username if args.username is not None else known and known.username
        custom_id = args.custom_id if args.custom_id is not None else known and known.custom_id
        await store.quotas.set_consumer(row.id, username or None, custom_id or None, change)
        if isinstance(args.quota, Amount):
            quota = args.quota.nano_usd
            wish = LimitWish(owner_id=row.id, reason="consumer_quota", unit="nano_usd", period="total", amount=quota)
            await store.quotas.set_limit(wish, change)
        return await _standing(store, row.id, row.hint)

    return _print(args, with_books(args, work))


def _reset(args: argparse.Namespace) -> int:
    async def work(store: Store) -> ConsumerStanding:
        row = await found_key(store, args.key)
        consumer = await store.quotas.consumer(row.id)
        if consumer is not None and consumer.quota_nano_usd is None:
            raise invalid_request(
                f"The consumer of key {row.hint} has no quota of its own to reset; it spends its workspace's credit. "
                "`tollhouse consumers set --quota` gives it one."
            )
        if consumer is not None:
            await store.quotas.reset_limit(row.id, "consumer_quota", "total", change_of(args))
        return await _standing(store, row.id, row.hint)

    return _print(args, with_books(args, work))


def _remove(args: argparse.Namespace) -> int:
    async def work(store: Store) -> str:
        row = await found_key(store, args.key)
        if not await store.quotas.remove_consumer(row.id, change_of(args)):
            raise _none(row.hint)
        return row.hint

    hint = with_books(args, work)
    if args.json:
        print_json({"key": hint, "consumer": None})
    else:
        print_text(f"Key {hint} has no consumer any more; /api/usage answers it 404.")
    return 0


async def _standing(store: Store, key_id: str, hint: str) -> ConsumerStanding:
    standing = await store.quotas.consumer_standing(key_id)
    if standing is None:
        raise _none(hint)
    return standing


def _none(hint: str) -> Exception:
    return invalid_request(f"The key {hint} has no consumer. `tollhouse consumers set {hint}` makes one.")


def _print(args: argparse.Namespace, standing: ConsumerStanding) -> int:
    if args.json:
        print_json(
            {
                "id": standing.consumer_id,
                "username": standing.username,
                "custom_id": standing.custom_id,
                "quota_usd": usd_text(standing.quota),
                "used_usd": usd_text(standing.used),
                "remaining_usd": usd_text(standing.remaining),
                "has_quota": standing.has_quota,
                "requests": standing.requests,
                "total_tokens": standing.total_tokens,
                "total_cost_usd": usd_text(standing.total_cost),
            }
        )
        return 0
    names = ", ".join(name for name in (standing.username, standing.custom_id) if name)
    print_text(f"Consumer {standing.consumer_id}{f' ({names})' if names else ''}")
    print_text(
        f"Quota {money(standing.quota)} USD, used {money(standing.used)} USD, "
        f"remaining {money(standing.remaining)} USD{' (invoiced)' if standing.invoiced else ''}."
    )
    print_text(
        f"{standing.requests} requests, {standing.total_tokens} tokens, {money(standing.total_cost)} USD with this key."
    )
    return 0


def _as_json(row: Consumer) -> dict[str, str | None]:
    return {
        "id": row.id,
        "key_id": row.key_id,
        "key_hint": row.key_hint,
        "workspace": row.workspace,
        "username": row.username,
        "custom_id": row.custom_id,
        "quota_usd": None if row.quota_nano_usd is None else usd_text(row.quota_nano_usd),
    }
