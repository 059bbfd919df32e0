"""The database file of a data folder: how it is made, opened, read and recognised."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import apsw

from tollhouse.ir.fault import FaultError
from tollhouse.stores.health import Health, books_unavailable

FILE_NAME = "tollhouse.db"
SQLITE_VERSION = apsw.sqlite_lib_version()
OPEN_BUSY_TIMEOUT_MS = 30_000
"""At the start: another process may be migrating."""
READ_BUSY_TIMEOUT_MS = 250

Values = Sequence[str | bytes | int | None]
Row = tuple[str | bytes | int | float | None, ...]


class Answer(Protocol):
    """The rows that a statement gave."""

    def __iter__(self) -> Iterator[Row]:
        """Row by row."""
        ...

    def fetchone(self) -> Row | None:
        """The next row."""
        ...

    def fetchall(self) -> list[Row]:
        """The rows that are left."""
        ...


class Connection(Protocol):
    """As much of `apsw.Connection` as is used here; its own annotations are incomplete on Python 3.11."""

    in_transaction: bool

    def execute(self, statements: str, bindings: Values | None = None) -> Answer:
        """Run one or more statements. Raises apsw.Error."""
        ...

    def set_busy_timeout(self, milliseconds: int, /) -> None:
        """How long to wait for a lock."""
        ...

    def set_wal_hook(self, callable: Callable[[object, str, int], int] | None, /) -> None:  # noqa: A002 -- apsw names it so
        """Called after each commit with the number of pages in the write-ahead log."""
        ...

    def wal_checkpoint(self, dbname: str | None = None, mode: int = 0) -> tuple[int, int]:
        """Copy the write-ahead log into the database."""
        ...

    def close(self, force: bool = False) -> None:
        """Free the file."""
        ...


def make_folder(data_dir: Path) -> None:
    """Make the folder (mode 0700) where it is missing. Raises FaultError (books_unavailable)."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(data_dir, error) from error


def prepare_folder(data_dir: Path) -> Path:
    """Make the folder and an empty database file (mode 0600) where they are missing; returns the file.

    The files that SQLite puts beside it inherit its mode. Raises FaultError (books_unavailable).
    """
    path = data_dir / FILE_NAME
    make_folder(data_dir)
    try:
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError as error:
        raise _unwritable(data_dir, error) from error
    return path


def _unwritable(data_dir: Path, error: OSError) -> FaultError:
    return books_unavailable(
        f"the data folder {data_dir} cannot be written to ({error.strerror}); "
        "give the gateway's user write permission or choose another with --data-dir"
    )


def _open(path: Path, flags: int, busy_timeout_ms: int) -> Connection:
    connection = apsw.Connection(str(path), flags=flags)
    connection.set_busy_timeout(busy_timeout_ms)
    return connection


def connect_writer(path: Path) -> Connection:
    """The one connection that writes: WAL, and a power failure loses nothing that was acknowledged.

    Checkpoints are the writer's own business, so that none delays an acknowledgement.
    """
    connection = _open(path, apsw.SQLITE_OPEN_READWRITE, OPEN_BUSY_TIMEOUT_MS)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


class Reader:
    """A read-only connection. In WAL mode a reader never waits for a writer; a look-up by key takes some 20 µs."""

    def __init__(self, path: Path, health: Health) -> None:
        self._health = health
        self._lock = threading.Lock()
        self._connection = _open(path, apsw.SQLITE_OPEN_READONLY, READ_BUSY_TIMEOUT_MS)

    def rows(self, sql: str, values: Values = ()) -> list[Row]:
        """All rows of a query. Raises FaultError (books_unavailable)."""
        with self._lock:
            try:
                return list(self._connection.execute(sql, values))
            except apsw.Error as error:
                raise self._health.failed(error) from error

    def row(self, sql: str, values: Values = ()) -> Row | None:
        """The first row, None when there is none. Raises FaultError (books_unavailable)."""
        found = self.rows(sql, values)
        return found[0] if found else None

    def close(self) -> None:
        """Further reads raise FaultError."""
        with self._lock:
            self._connection.close()


def same_file(path: Path) -> Callable[[], str | None]:
    """A check that the file under `path` is still the one that is there now.

    SQLite goes on writing to a deleted file without a word, and all of it would be lost.
    """
    name = str(path)
    then = os.stat(name)  # noqa: PTH116 -- asked once per commit: Path.stat costs four times as much

    def check() -> str | None:
        try:
            now = os.stat(name)  # noqa: PTH116 -- as above
        except OSError:
            return f"the database file {name} was deleted; stop the gateway, restore a backup and start again"
        if (now.st_ino, now.st_dev) != (then.st_ino, then.st_dev):
            return f"the database file {name} was replaced while it was in use; restart the gateway"
        return None

    return check
