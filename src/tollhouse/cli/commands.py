"""What the commands share in reading their arguments."""

import argparse
from typing import Protocol

import msgspec

from tollhouse.cli.output import print_error
from tollhouse.money.amount import parse_usd


class Commands(Protocol):
    """Where a command is added: argparse does not name the type itself."""

    def add_parser(self, name: str, /, *, help: str) -> argparse.ArgumentParser:  # noqa: A002 -- argparse's word
        """A parser for the command `name`."""
        ...


def usd(text: str) -> int:
    """An amount above zero on the command line, in nano-USD."""
    try:
        amount = parse_usd(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if amount <= 0:
        raise argparse.ArgumentTypeError(f"an amount of credit must be above 0, not {text}")
    return amount


class Amount(msgspec.Struct, frozen=True):
    """What was given for a limit: so many nano-USD, None for no limit."""

    nano_usd: int | None


def allowance(text: str) -> Amount:
    """An amount of at least 0 on the command line, or `none`."""
    if text == "none":
        return Amount(None)
    try:
        amount = parse_usd(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; `none` takes a limit away") from error
    if amount < 0:
        raise argparse.ArgumentTypeError(f"a limit is at least 0, not {text}")
    return Amount(amount)


def usage_error_of(option: str, error: ValueError) -> int:
    """Tell of an argument that cannot be used; the exit code for that."""
    print_error(f"{option}: {error}.")
    return 2
