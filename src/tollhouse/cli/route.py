"""`tollhouse route`: the rules of `hpprouter/auto`, their versions, and what they do."""

import argparse
import getpass
from pathlib import Path

from tollhouse.catalog.problems import CatalogError
from tollhouse.cli.books import add_folder_options, add_json_option, now_ms, settings_of, with_books
from tollhouse.cli.catalogue import load_for
from tollhouse.cli.commands import Commands
from tollhouse.cli.output import moment, print_json, print_table, print_text
from tollhouse.cli.route_calibrate import add_calibrate
from tollhouse.cli.route_explain import add_explain
from tollhouse.cli.route_replay import add_replay
from tollhouse.cli.route_rules import checked_rules, read_text
from tollhouse.ir.fault import invalid_request
from tollhouse.relay.rules_in_force import configured_rules
from tollhouse.routing.gaps import gaps
from tollhouse.routing.store import Activation, StoredRules
from tollhouse.stores.store import Store

_CONFIGURATION = "configuration"


def add_route(commands: Commands) -> None:
    """The command and its subcommands."""
    group = commands.add_parser("route", help="the rules of hpprouter/auto").add_subparsers(
        required=True, metavar="COMMAND"
    )
    set_ = group.add_parser("set", help="store a new version of the rules and put it in force")
    set_.add_argument("file", type=Path, metavar="FILE", help="the rules in YAML")
    set_.add_argument("--no-activate", action="store_true", help="only store it")
    set_.set_defaults(run=_set)
    list_ = group.add_parser("list", help="all versions, and which is in force")
    list_.set_defaults(run=_list)
    show = group.add_parser("show", help="one version as it was handed in")
    show.add_argument("version", type=_version, nargs="?", metavar="VERSION", help="default: the one in force")
    show.set_defaults(run=_show)
    activate = group.add_parser("activate", help="put a stored version in force")
    activate.add_argument(
        "version",
        type=_version,
        metavar="VERSION",
        help=f"a number, or `{_CONFIGURATION}` for the configuration's rules",
    )
    activate.set_defaults(run=_activate)
    rollback = group.add_parser("rollback", help="put in force what held before")
    rollback.set_defaults(run=_rollback)
    for parser in (set_, activate, rollback):
        parser.add_argument("--author", metavar="NAME", help="who does it (default: the system's user name)")
    for parser in (set_, list_, show, activate, rollback):
        add_folder_options(parser)
        add_json_option(parser)
    add_explain(group)
    add_replay(group)
    add_calibrate(group)


def _version(text: str) -> int | None:
    """A stored version's number, None for the configuration's."""
    if text == _CONFIGURATION:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"{text!r} is no version: give a number, or `{_CONFIGURATION}`")
    return int(text)


def _author(args: argparse.Namespace) -> str:
    if args.author is not None:
        return args.author
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        # A container's user need not have a name.
        return "unknown"


def _named(version: int | None) -> str:
    return _CONFIGURATION if version is None else str(version)


def _set(args: argparse.Namespace) -> int:
    document = read_text(args.file)
    rules = checked_rules(document, str(args.file), "new")
    try:
        lacking = gaps(rules, load_for(settings_of(args)).catalog)
    except CatalogError:
        lacking = ("the catalogue cannot be used (see `tollhouse check`), so the rules' models were not looked up",)
    stored = with_books(
        args,
        lambda store: store.rules.add(document, _author(args), now_ms(), activate=not args.no_activate),
        create=True,
    )
    if args.json:
        print_json(_as_json(stored) | {"in_force": not args.no_activate, "warnings": lacking})
        return 0
    for line in lacking:
        print_text(f"Warning: {line}")
    if args.no_activate:
        print_text(f"Stored as version {stored.version}. `tollhouse route activate {stored.version}` puts it in force.")
    else:
        print_text(f"Version {stored.version} is in force; a running gateway takes it over within a second.")
    return 0


def _list(args: argparse.Namespace) -> int:
    async def work(store: Store) -> tuple[list[StoredRules], Activation | None]:
        return await store.rules.versions(), await store.rules.activation()

    versions, newest = with_books(args, work)
    holds = None if newest is None else newest.version
    if args.json:
        print_json(
            {
                "in_force": _named(holds),
                "since": None if newest is None else moment(newest.at_ms),
                "activated_by": None if newest is None else newest.author,
                "versions": [_as_json(one) for one in versions],
            }
        )
        return 0
    rows = [
        (str(one.version), one.author, moment(one.created_at_ms) or "", "in force" if one.version == holds else "")
        for one in versions
    ]
    if rows:
        print_table(("VERSION", "AUTHOR", "STORED", ""), rows, right=(0,))
    if holds is None:
        print_text("The rules of the configuration are in force.")
    elif newest is not None:
        print_text(f"Version {holds} is in force since {moment(newest.at_ms)}, by {newest.author}.")
    return 0


def _show(args: argparse.Namespace) -> int:
    async def work(store: Store) -> tuple[int | None, StoredRules | None]:
        newest = await store.rules.activation()
        version = args.version if args.version is not None or newest is None else newest.version
        return version, None if version is None else await store.rules.version(version)

    version, stored = with_books(args, work)
    if version is None:
        return _show_configured(args)
    if stored is None:
        raise invalid_request(f"There are no rules of version {version}. `tollhouse route list` shows the versions.")
    if args.json:
        print_json(_as_json(stored) | {"document": stored.document})
    else:
        print_text(stored.document.rstrip("\n"))
    return 0


def _show_configured(args: argparse.Namespace) -> int:
    settings = settings_of(args)
    rules = configured_rules(settings.routing_rules, demo=settings.demo)
    if args.json:
        print_json({"version": rules.version, "rules": rules})
    else:
        where = settings.routing_rules or ("the shipped ones for a demo" if settings.demo else "none")
        print_text(f"The rules of the configuration are in force: {where} (version {rules.version}).")
    return 0


def _activate(args: argparse.Namespace) -> int:
    return _tell(
        args, with_books(args, lambda store: store.rules.activate(args.version, _author(args), now_ms()), create=True)
    )


def _rollback(args: argparse.Namespace) -> int:
    return _tell(args, with_books(args, lambda store: store.rules.roll_back(_author(args), now_ms())))


def _tell(args: argparse.Namespace, newest: Activation) -> int:
    if args.json:
        print_json({"in_force": _named(newest.version), "since": moment(newest.at_ms), "activated_by": newest.author})
    elif newest.version is None:
        print_text("The rules of the configuration are in force again; a running gateway takes them over in a second.")
    else:
        print_text(f"Version {newest.version} is in force; a running gateway takes it over within a second.")
    return 0


def _as_json(stored: StoredRules) -> dict[str, object]:
    return {"version": stored.version, "author": stored.author, "stored_at": moment(stored.created_at_ms)}
