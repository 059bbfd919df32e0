"""PostgreSQL's migrations: each release's steps in one transaction, safe when replicas start together."""

from tollhouse.stores.migrate import Migration, verified
from tollhouse.stores.postgres_pool import LONG_TIMEOUT_S, Connection

# The first eight bytes of SHA-256("tollhouse migrations"), as the signed number that a lock takes.
_LOCK = -6_787_990_242_750_324_291

_VERSIONS = """
CREATE TABLE IF NOT EXISTS schema_version (
    version       BIGINT PRIMARY KEY,
    name          TEXT NOT NULL,
    checksum      TEXT NOT NULL,
    applied_at_ms BIGINT NOT NULL
)
"""


async def migrate(connection: Connection, migrations: tuple[Migration, ...], now_ms: int) -> tuple[str, ...]:
    """Bring the database up to date; returns the names of the steps that were applied, none when it was.

    One replica migrates while the others wait; the lock ends with the transaction, however that ends. Raises
    FaultError (books_unavailable) when the database was made by a newer release or by a changed migration, and one
    of DATABASE_ERRORS. After an error the connection's transaction is open: end the connection.
    """
    wait_ms = round(LONG_TIMEOUT_S * 1000)
    await connection.execute("BEGIN", timeout=LONG_TIMEOUT_S)
    await connection.execute(f"SET LOCAL lock_timeout = {wait_ms}", timeout=LONG_TIMEOUT_S)
    await connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})", timeout=LONG_TIMEOUT_S)
    await connection.execute(_VERSIONS, timeout=LONG_TIMEOUT_S)
    known = {migration.version: migration for migration in migrations}
    rows = await connection.fetch("SELECT version, checksum FROM schema_version", timeout=LONG_TIMEOUT_S)
    there = {verified(row[0], row[1], known) for row in rows}
    fresh = [migration for migration in migrations if migration.version not in there]
    for migration in fresh:
        await connection.execute(migration.sql, timeout=LONG_TIMEOUT_S)
        await connection.fetch(
            "INSERT INTO schema_version VALUES ($1, $2, $3, $4)",
            migration.version,
            migration.name,
            migration.checksum,
            now_ms,
            timeout=LONG_TIMEOUT_S,
        )
    await connection.execute("COMMIT", timeout=LONG_TIMEOUT_S)
    return tuple(migration.name for migration in fresh)
