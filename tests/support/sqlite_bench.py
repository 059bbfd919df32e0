"""Fresh SQLite books for each example of the ledger's state machine, in memory where the system offers that."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import apsw

from support.money_machine import START_CREDIT
from tollhouse.stores.sqlite import SqliteStore

SHM = Path("/dev/shm")


def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="tollhouse-books-", dir=SHM if os.access(SHM, os.W_OK) else None))


@cache
def _template() -> bytes:
    """A database with one workspace and its credit."""

    async def fill(folder: Path) -> None:
        store = SqliteStore.open(folder)
        made = await store.create_workspace("machine", 1)
        await store.close()
        connection = apsw.Connection(str(folder / "tollhouse.db"))
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("UPDATE workspace SET id = 'ws_machine'")
        connection.execute(
            "UPDATE account SET id = 'credit:ws_machine', scope = 'ws_machine' WHERE scope = ?", (made.id,)
        )
        connection.close()
        store = SqliteStore.open(folder)
        await store.top_up("ws_machine", START_CREDIT, "start", 1)
        await store.close()

    folder = _folder()
    try:
        asyncio.run(fill(folder))
        return (folder / "tollhouse.db").read_bytes()
    finally:
        shutil.rmtree(folder)


class SqliteBench:
    """Implements Bench."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.folder = _folder()
        (self.folder / "tollhouse.db").write_bytes(_template())
        self._look: Any = apsw.Connection(str(self.folder / "tollhouse.db"))

    async def open(self, clock_s: Callable[[], float]) -> SqliteStore:
        return SqliteStore.open(self.folder, clock_s=clock_s)

    async def kill(self, store: Any) -> None:
        store.ledger.owners.drop()
        await store.close()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self._look.execute(sql).fetchall()

    def remove(self) -> None:
        self._look.close()
        self.loop.close()
        shutil.rmtree(self.folder)
