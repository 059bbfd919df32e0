"""The books of the kill matrix, seen from behind the store's back, and what must hold of them at any moment."""

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, Protocol

from support.books import ask
from support.postgres import PostgresServer

Rows = list[tuple[Any, ...]]


class KilledBooks(Protocol):
    """Where a gateway that is killed keeps its books: the kind of store, and what tells it so."""

    store: str
    environ: dict[str, str]

    def ask(self, sql: str) -> Rows:
        """Query them."""
        ...

    def ask_as_left(self, sql: str) -> Rows:
        """Query them without mending what the dead one has left: that is for the next one to do."""
        ...


class SqliteBooks:
    """In a data folder."""

    def __init__(self, data_dir: Path) -> None:
        self.store = "sqlite"
        self.environ: dict[str, str] = {}
        self._data_dir = data_dir

    def ask(self, sql: str) -> Rows:
        return ask(self._data_dir, sql)

    def ask_as_left(self, sql: str) -> Rows:
        """Of a copy: opening the file itself would bring its write-ahead log home."""
        with tempfile.TemporaryDirectory() as folder:
            for file in self._data_dir.glob("tollhouse.db*"):
                shutil.copy(file, folder)
            return ask(Path(folder), sql)


class PostgresBooks:
    """In a database that nobody else uses."""

    def __init__(self, url: str) -> None:
        self.store = "postgres"
        self.environ = {"TOLLHOUSE_DATABASE_URL": url}
        self._url = url

    def ask(self, sql: str) -> Rows:
        return PostgresServer.ask(self._url, sql)

    def ask_as_left(self, sql: str) -> Rows:
        """Once the server has noticed the death: what it was told before it still does."""
        deadline_s = time.monotonic() + 20
        while self.ask(_OTHERS) != [(0,)]:
            assert time.monotonic() < deadline_s, "a connection outlives its process"
            time.sleep(0.01)
        return self.ask(sql)


_OTHERS = """
SELECT COUNT(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""

_CREDITED = "COALESCE((SELECT SUM(amount) FROM transfer WHERE credit_account = a.id), 0)"
_DEBITED = "COALESCE((SELECT SUM(amount) FROM transfer WHERE debit_account = a.id), 0)"
_LEASED = "COALESCE((SELECT SUM(granted - used) FROM lease WHERE account_id = a.id AND state = 'active'), 0)"
# A row for each account that is not what its transfers (I2) and its leases (I3) make of it, and for each unit whose
# credits and debits differ (I1).
_UNSOUND = f"""
SELECT id FROM account a WHERE credits <> {_CREDITED} OR debits <> {_DEBITED} OR leased <> {_LEASED}
UNION ALL SELECT unit FROM account GROUP BY unit HAVING SUM(credits) <> SUM(debits)
"""


def unsound(rows: Any) -> Rows:
    """What breaks I1, I2 or I3, asked by `rows`: nothing, when all is well."""
    return rows(_UNSOUND)


def orphans(rows: Any) -> set[str]:
    """The calls that were noted as open."""
    return {row[0] for row in rows("SELECT request_id FROM open_call")}


def active_leases(rows: Any) -> int:
    """How many leases somebody has."""
    return rows("SELECT COUNT(*) FROM lease WHERE state = 'active'")[0][0]
