"""`tollhouse keys limit`, `reset-limit`, `allow` and `plan`: what a key may spend, and on which models."""

import argparse
from collections.abc import Mapping

from tollhouse.accounts.limits import Period
from tollhouse.accounts.quotas import LimitStanding, LimitWish
from tollhouse.accounts.store import KeyRow
from tollhouse.cli.books import add_folder_options, add_json_option, now_ms, with_books
from tollhouse.cli.changes import (
    NONE,
    add_note_option,
    change_of,
    found_key,
    plan_begun_anew,
    print_standing,
    print_standing_or,
    print_standings,
    standing_as_json,
)
from tollhouse.cli.commands import Amount, Commands, allowance
from tollhouse.cli.output import print_error, print_json, print_text
from tollhouse.stores.store import Store

PERIODS: Mapping[str, Period] = {"daily": "day", "monthly": "month", "total": "total"}
_HELP = {
    "daily": "USD a day, beginning anew at 00:00 UTC",
    "monthly": "USD a month, beginning anew on the first, 00:00 UTC",
    "total": "USD in all, until it is reset by hand",
}


def add_key_limits(group: Commands) -> None:
    """The subcommands of `keys`."""
    limit = group.add_parser("limit", help="show a key's limits, set them, take them away")
    add_limit_options(limit)
    limit.set_defaults(run=_limit)
    reset = group.add_parser("reset-limit", help="begin a limit's present period anew")
    reset.set_defaults(run=_reset)
    allow = group.add_parser("allow", help="say which models a key may use")
    allow.set_defaults(run=_allow)
    plan = group.add_parser("plan", help="put a key on a plan of the catalogue, or take it off")
    plan.set_defaults(run=_plan)
    reset_plan = group.add_parser("reset-plan", help="begin the present period of a key's own plan anew")
    reset_plan.set_defaults(run=_reset_plan)
    for parser in (limit, reset, allow, plan, reset_plan):
        parser.add_argument("key", help="id or hint of the key, as `keys list` shows it")
        add_note_option(parser)
        add_folder_options(parser)
        add_json_option(parser)
    reset.add_argument("period", choices=list(PERIODS))
    allow.add_argument("models", nargs="*", metavar="MODEL", help="full name, alias, or a pattern such as ollama/*")
    allow.add_argument("--all", action="store_true", help="every model, those to come as well")
    plan.add_argument("plan", help=f"as `tollhouse plans` shows it, or {NONE}")


def add_limit_options(parser: argparse.ArgumentParser) -> None:
    """`--daily`, `--monthly`, `--total`."""
    for name, help_ in _HELP.items():
        parser.add_argument(f"--{name}", type=allowance, metavar="USD", help=f"at most so many {help_}; or {NONE}")


def limit_wishes(args: argparse.Namespace, key_id: str) -> list[LimitWish]:
    """The limits that were given as options."""
    wishes: list[LimitWish] = []
    for name, period in PERIODS.items():
        wanted = getattr(args, name)
        if isinstance(wanted, Amount):
            wishes.append(
                LimitWish(owner_id=key_id, reason="key_limit", unit="nano_usd", period=period, amount=wanted.nano_usd)
            )
    return wishes


def _limit(args: argparse.Namespace) -> int:
    async def work(store: Store) -> tuple[KeyRow, list[LimitStanding]]:
        row = await found_key(store, args.key)
        for wish in limit_wishes(args, row.id):
            await store.quotas.set_limit(wish, change_of(args))
        return row, await store.quotas.limits([row.id, row.workspace_id], now_ms())

    row, standings = with_books(args, work)
    if args.json:
        print_json({"id": row.id, "hint": row.hint, "limits": [standing_as_json(one) for one in standings]})
    elif standings:
        print_standings(standings)
    else:
        print_text(f"Key {row.hint} has no limit; it spends the credit of workspace {row.workspace}.")
        print_text(f"Next: tollhouse keys limit {row.id} --daily 5")
    return 0


def _reset(args: argparse.Namespace) -> int:
    async def work(store: Store) -> LimitStanding:
        row = await found_key(store, args.key)
        return await store.quotas.reset_limit(row.id, "key_limit", PERIODS[args.period], change_of(args))

    return print_standing(args, with_books(args, work))


def _reset_plan(args: argparse.Namespace) -> int:
    async def work(store: Store) -> LimitStanding:
        row = await found_key(store, args.key)
        return await plan_begun_anew(store, row.id, f"Key {row.hint}", change_of(args))

    return print_standing(args, with_books(args, work))


def _allow(args: argparse.Namespace) -> int:
    if args.all == bool(args.models):
        return _say_which()
    models = None if args.all else tuple(dict.fromkeys(args.models))

    async def work(store: Store) -> KeyRow:
        row = await found_key(store, args.key)
        await store.quotas.allow_models(row.id, models, change_of(args))
        return row

    row = with_books(args, work)
    if args.json:
        print_json({"id": row.id, "hint": row.hint, "allowed_models": models})
    else:
        print_text(f"Key {row.hint} may use {'every model' if models is None else ', '.join(models)}.")
    return 0


def _say_which() -> int:
    print_error("keys allow: name the models that the key may use, or give --all for every model.")
    return 2


def _plan(args: argparse.Namespace) -> int:
    async def work(store: Store) -> tuple[KeyRow, LimitStanding | None]:
        row = await found_key(store, args.key)
        plan = None if args.plan == NONE else args.plan
        return row, await store.quotas.set_plan(row.id, plan, change_of(args))

    row, standing = with_books(args, work)
    if args.json:
        print_json({"id": row.id, "plan": None if standing is None else standing_as_json(standing)})
    else:
        print_standing_or(standing, f"Key {row.hint} is on no plan.")
    return 0
