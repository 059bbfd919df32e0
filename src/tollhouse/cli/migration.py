"""`tollhouse migrate`: bring the database of a data folder up to date."""

import argparse

from tollhouse.cli.books import add_folder_options, add_json_option, with_books
from tollhouse.cli.commands import Commands
from tollhouse.cli.output import print_json, print_text
from tollhouse.stores.migrate import shipped
from tollhouse.stores.store import Store


def add_migrate(commands: Commands) -> None:
    """The command."""
    parser = commands.add_parser("migrate", help="bring the database up to date (`serve` does it too)")
    add_folder_options(parser)
    add_json_option(parser)
    parser.set_defaults(run=_migrate)


def _migrate(args: argparse.Namespace) -> int:
    async def work(store: Store) -> tuple[str, ...]:
        return store.applied_migrations

    applied = with_books(args, work, create=True)
    version = shipped()[-1].version
    if args.json:
        print_json({"version": version, "applied": applied})
    elif applied:
        print_text(f"Applied {', '.join(applied)}; the schema is at version {version}.")
    else:
        print_text(f"Nothing to do: the schema is at version {version}.")
    return 0
