"""Output: what a command prints, as a table for people or as JSON for programs."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from tollhouse.money.amount import usd_text


def print_json(value: object) -> None:
    """One JSON document, indented."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def print_text(text: str) -> None:
    """A line for people."""
    sys.stdout.write(text + "\n")


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
    """Columns as wide as they must be; those in `right` hold numbers."""
    shown = [[printable(cell) for cell in row] for row in (headings, *rows)]
    widths = [max(len(row[column]) for row in shown) for column in range(len(headings))]
    for row in shown:
        cells = [
            cell.rjust(widths[column]) if column in right else cell.ljust(widths[column])
            for column, cell in enumerate(row)
        ]
        print_text("  ".join(cells).rstrip())


def print_error(message: str) -> None:
    """What happened, why, and what to do next, on stderr."""
    sys.stderr.write(f"tollhouse: {message}\n")


def printable(text: str) -> str:
    """Without anything that a terminal would obey."""
    return "".join(character if character.isprintable() else "?" for character in text)


def money(amount_nano_usd: int) -> str:
    """USD for people, with at least two places: `5.00`, `0.000125`."""
    whole, _, fraction = usd_text(amount_nano_usd).partition(".")
    return f"{whole}.{fraction.ljust(2, '0')}"


def moment(at_ms: int | None) -> str | None:
    """A time as ISO 8601 in UTC, None for none."""
    if at_ms is None:
        return None
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
