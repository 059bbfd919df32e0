"""The command line's front door: reads the arguments, runs the command, words what went wrong."""

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version

from tollhouse.catalog.problems import CatalogError
from tollhouse.cli.audit import add_audit
from tollhouse.cli.catalogue import add_catalogue, print_catalog_error
from tollhouse.cli.consumers import add_consumers
from tollhouse.cli.credits import add_credits
from tollhouse.cli.keys import add_keys
from tollhouse.cli.migration import add_migrate
from tollhouse.cli.output import print_error
from tollhouse.cli.route import add_route
from tollhouse.cli.serving import add_serving
from tollhouse.cli.usage import add_usage
from tollhouse.cli.workspaces import add_workspaces
from tollhouse.ir.fault import Fault, FaultError, FaultKind
from tollhouse.settings import SettingsError
from tollhouse.stores.database import SQLITE_VERSION


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code: 0 done, 1 it could not be done, 2 the command line is wrong."""
    try:
        args = _parser().parse_args(argv)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    try:
        return args.run(args)
    except FaultError as error:
        print_error(_for_people(error.fault))
    except SettingsError as error:
        print_error(str(error))
    except CatalogError as error:
        print_catalog_error(error)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has gone; keep Python from complaining about it when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _for_people(fault: Fault) -> str:
    if fault.kind is FaultKind.BOOKS_UNAVAILABLE:
        return f"The books cannot be used: {fault.detail}."
    return f"{fault.message} ({fault.detail})" if fault.detail else fault.message


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tollhouse", description="A self-hosted AI gateway: three published APIs, any model, exact prepaid books."
    )
    about = f"tollhouse {version('tollhouse')} (Python {platform.python_version()}, SQLite {SQLITE_VERSION})"
    parser.add_argument("--version", action="version", version=about)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    accounts = (add_keys, add_workspaces, add_credits, add_consumers)
    for add in (add_serving, add_catalogue, *accounts, add_usage, add_audit, add_route, add_migrate):
        add(commands)
    return parser
