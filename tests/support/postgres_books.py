"""Values and invariants for tests of the books in PostgreSQL."""

import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from support.postgres import PostgresServer
from tollhouse.money.store import Transfer
from tollhouse.stores.postgres import PostgresStore
from tollhouse.stores.postgres_pool import Database


@contextlib.asynccontextmanager
async def opened(url: str, **how: Any) -> AsyncIterator[PostgresStore]:
    """A store, closed in the end, of a machine of its own."""
    with tempfile.TemporaryDirectory() as folder:
        store = await PostgresStore.open(Database(url=url, **how), Path(folder))
        try:
            yield store
        finally:
            await store.close()


def charge(request: str, account_id: str, amount: int, lease: str | None = None, line: int = 0) -> Transfer:
    """A line of a call's price."""
    return Transfer(
        request=request,
        line=line,
        debit_account=account_id,
        credit_account="revenue:nano_usd",
        amount=amount,
        code="model",
        at_ms=1_700_000_000_500,
        lease=lease,
        price_version="v1",
        usage_source="provider",
    )


def assert_postgres_balances(url: str) -> None:
    """I1: credits and debits are equal over all accounts. I2: each account is the sum of its transfers. I3: what is
    leased of it is what its active leases have left."""
    rows = PostgresServer.ask(
        url,
        "SELECT id, unit, credits, debits, leased, "
        "(SELECT coalesce(sum(amount), 0)::bigint FROM transfer WHERE credit_account = a.id), "
        "(SELECT coalesce(sum(amount), 0)::bigint FROM transfer WHERE debit_account = a.id), "
        "(SELECT coalesce(sum(granted - used), 0)::bigint FROM lease WHERE account_id = a.id AND state = 'active') "
        "FROM account a",
    )
    for unit in ("nano_usd", "token"):
        assert sum(row[2] for row in rows if row[1] == unit) == sum(row[3] for row in rows if row[1] == unit)
    assert [row for row in rows if row[2:5] != row[5:8]] == []
