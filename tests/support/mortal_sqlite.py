"""The steps inside of SQLite's transactions at which support/mortal.py lets a gateway die."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tollhouse.stores import leasing, sqlite
from tollhouse.stores.migrate import Migration

# What a release may do that moves data: half of it done must not be seen by the next start.
_MOVING = "CREATE TABLE moved (id TEXT); DELETE FROM open_call; DELETE FROM lease; SELECT reached();"


def mid_group_commit(reached: Callable[[], None]) -> None:
    """All rows of a batch are written, and not committed."""
    write = sqlite.write_settlements

    def written(connection: Any, settlements: Sequence[Any]) -> None:
        write(connection, settlements)
        reached()

    sqlite.write_settlements = written


def during_sweep(reached: Callable[[], None]) -> None:
    """The leases of a process that is gone are closed, its calls are not, and nothing is committed."""
    close = leasing.close_leases

    def closed(connection: Any, condition: str, value: str) -> None:
        close(connection, condition, value)
        reached()

    leasing.close_leases = closed


def during_migration(reached: Callable[[], None]) -> None:
    """A step of the schema has done its work, and is not committed."""
    shipped, connect = sqlite.shipped, sqlite.connect_writer

    def more(*dialect: str) -> tuple[Migration, ...]:
        return (*shipped(*dialect), Migration(version=9999, name="9999_moving", sql=_MOVING, checksum="moving"))

    def connected(path: Path) -> Any:
        connection = connect(path)
        connection.create_scalar_function("reached", reached)
        return connection

    sqlite.shipped = more
    sqlite.connect_writer = connected
