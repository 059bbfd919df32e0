"""Numbered SQL migrations, each in one transaction with its checksum, safe when several processes start together."""

import hashlib
import time
from collections.abc import Callable
from importlib import resources

import apsw
import msgspec

from tollhouse.stores.database import OPEN_BUSY_TIMEOUT_MS, Connection
from tollhouse.stores.health import books_unavailable

_RETRY_S = 0.02

_VERSIONS = """
CREATE TABLE IF NOT EXISTS schema_version (
    version       INTEGER PRIMARY KEY,
    name          TEXT NOT NULL,
    checksum      TEXT NOT NULL,
    applied_at_ms INTEGER NOT NULL
) STRICT
"""


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """One numbered step of the schema; `checksum` is the SHA-256 of its SQL."""

    version: int
    name: str
    sql: str
    checksum: str


def shipped(dialect: str = "") -> tuple[Migration, ...]:
    """The migrations of this release, in order: SQLite's, or those in the folder of another dialect."""
    folder = resources.files("tollhouse.stores") / "migrations" / dialect
    found: list[Migration] = []
    for file in folder.iterdir():
        if file.name.endswith(".sql"):
            sql = file.read_text(encoding="utf-8")
            name = file.name.removesuffix(".sql")
            checksum = hashlib.sha256(sql.encode()).hexdigest()
            found.append(Migration(version=int(name.partition("_")[0]), name=name, sql=sql, checksum=checksum))
    return tuple(sorted(found, key=lambda migration: migration.version))


def migrate(connection: Connection, migrations: tuple[Migration, ...], now_ms: int) -> tuple[str, ...]:
    """Bring the database up to date; returns the names of the steps that were applied, none when it was.

    One process migrates while the others wait. Raises FaultError (books_unavailable) when the database was made by
    a newer release or by a changed migration, and apsw.Error when it cannot be written.
    """
    _patiently(lambda: connection.execute("PRAGMA journal_mode = WAL"))
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(_VERSIONS)
        known = {migration.version: migration for migration in migrations}
        there: set[int] = set()
        for version, checksum in connection.execute("SELECT version, checksum FROM schema_version"):
            there.add(verified(version, checksum, known))
        fresh = [migration for migration in migrations if migration.version not in there]
        for migration in fresh:
            connection.execute(migration.sql).fetchall()  # to the last of its statements
            connection.execute(
                "INSERT INTO schema_version VALUES (?, ?, ?, ?)",
                (migration.version, migration.name, migration.checksum, now_ms),
            )
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return tuple(migration.name for migration in fresh)


def verified(version: object, checksum: object, known: dict[int, Migration]) -> int:
    """The version of a step that was applied. Raises FaultError (books_unavailable) for one that is not among the
    `known`, or that had another checksum."""
    if not isinstance(version, int) or version not in known:
        raise books_unavailable(
            f"the database has schema version {version}, which this release does not know; "
            "it was used by a newer Tollhouse: upgrade, or restore a backup from before"
        )
    if known[version].checksum != checksum:
        raise books_unavailable(
            f"migration {known[version].name} is not the one that made this database; "
            "install an unchanged release of Tollhouse"
        )
    return version


def _patiently(action: Callable[[], object]) -> None:
    """Changing the journal mode needs the file alone and does not heed SQLite's own busy timeout."""
    give_up_s = time.monotonic() + OPEN_BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            action()
        except apsw.BusyError:
            if time.monotonic() > give_up_s:
                raise
            time.sleep(_RETRY_S)
        else:
            return
