"""`tollhouse keys providers`: to which providers the calls of a key may go, and which of them come first."""

import argparse
import math

import msgspec

from tollhouse.accounts.store import KeyRow
from tollhouse.cli.books import add_folder_options, add_json_option, with_books
from tollhouse.cli.changes import add_note_option, change_of, found_key
from tollhouse.cli.commands import Commands
from tollhouse.cli.output import print_error, print_json, print_text
from tollhouse.routing.key_wishes import read_key_wishes
from tollhouse.stores.store import Store

_NAMES = ("order", "only", "ignore")
_PRICES = ("prompt", "completion", "image")


def add_key_providers(group: Commands) -> None:
    """The subcommand of `keys`."""
    parser = group.add_parser("providers", help="show, or say, to which providers a key's calls may go")
    parser.add_argument("key", help="id or hint of the key, as `keys list` shows it")
    parser.add_argument("--order", action="append", metavar="P", help="a provider to ask first; again for the next")
    parser.add_argument("--only", action="append", metavar="P", help="a provider to choose from; again for others")
    parser.add_argument("--ignore", action="append", metavar="P", help="a provider to leave out; again for others")
    parser.add_argument("--sort", choices=("price", "throughput", "latency"), help="which goes first otherwise")
    for name in _PRICES:
        unit = "an image" if name == "image" else f"1M {name} tokens"
        help_ = f"leave out who costs more than so many USD for {unit}"
        parser.add_argument(f"--max-{name}-price", type=_price, metavar="USD", help=help_)
    parser.add_argument("--any", action="store_true", help="take all of it away")
    add_note_option(parser)
    add_folder_options(parser)
    add_json_option(parser)
    parser.set_defaults(run=_providers)


def _price(text: str) -> float:
    price = float(text)
    if not 0 <= price < math.inf:
        raise ValueError(text)
    return price


def _providers(args: argparse.Namespace) -> int:
    wishes = _wishes(args)
    if args.any and wishes:
        print_error("keys providers: give either --any, or what the key shall have.")
        return 2
    document = msgspec.json.encode(wishes).decode() if wishes else None
    if document is not None:
        read_key_wishes(document)

    async def work(store: Store) -> KeyRow:
        row = await found_key(store, args.key)
        if wishes or args.any:
            await store.quotas.prefer_providers(row.id, document, change_of(args))
        return await found_key(store, row.id)

    row = with_books(args, work)
    if args.json:
        providers = None if row.providers is None else msgspec.json.decode(row.providers)
        print_json({"id": row.id, "hint": row.hint, "providers": providers})
    elif row.providers is None:
        print_text(f"Calls with the key {row.hint} may go to any provider.")
    else:
        print_text(f"Calls with the key {row.hint}: {row.providers}")
    return 0


def _wishes(args: argparse.Namespace) -> dict[str, object]:
    """What was given, as the `provider` object of a request; it stands in place of all that there was."""
    given: dict[str, object] = {
        name: list(dict.fromkeys(getattr(args, name))) for name in _NAMES if getattr(args, name)
    }
    if args.sort is not None:
        given["sort"] = args.sort
    bounds = {name: getattr(args, f"max_{name}_price") for name in _PRICES}
    prices = {name: bound for name, bound in bounds.items() if bound is not None}
    return {**given, "max_price": prices} if prices else given
