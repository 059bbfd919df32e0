"""The stores of each kind, opened again and again on the same data, for tests of what every store does."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from support.books import ask, assert_books_balance
from support.postgres import PostgresServer
from support.postgres_books import assert_postgres_balances
from tollhouse.stores.postgres import open_postgres
from tollhouse.stores.sqlite import SqliteStore
from tollhouse.stores.store import Store

KINDS = ("sqlite", "postgres")


class Stores:
    """One set of books. `url` is that of an empty PostgreSQL; without it they are in SQLite."""

    def __init__(self, folder: Path, url: str | None = None) -> None:
        self.folder = folder
        self.url = url

    async def open(self) -> Store:
        if self.url is None:
            return SqliteStore.open(self.folder / "data")
        return await open_postgres(self.url, False, self.folder / "data")

    def __call__(self, work: Callable[[Store], Awaitable[Any]]) -> Any:
        """Open the store, run `work` in an event loop, close it."""

        async def run() -> Any:
            store = await self.open()
            try:
                return await work(store)
            finally:
                await store.close()

        return asyncio.run(run())

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Query behind the store's back."""
        if self.url is None:
            return ask(self.folder / "data", sql)
        return PostgresServer.ask(self.url, sql)

    def assert_balanced(self) -> None:
        """I1, I2 and I3 hold, and no lease is left."""
        if self.url is None:
            assert_books_balance(self.folder / "data")
        else:
            assert_postgres_balances(self.url)
            assert self.ask("SELECT id FROM account WHERE leased <> 0") == []


async def recalled(store: Store, owner: str) -> frozenset[str]:
    """What the owner is asked to give back; waits for a notification that is on its way."""
    found: frozenset[str] = frozenset()
    async with asyncio.timeout(10):
        while not found:
            found = await store.ledger.recalled(owner)
            await asyncio.sleep(0)
    return found
