"""Values for tests of the stores, and the invariants of the books."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import apsw
import msgspec

from tollhouse.money.lease import Hold, Part
from tollhouse.money.settlement import Spending, postings
from tollhouse.money.store import ChargeLine
from tollhouse.observe.record import Attempt, CallRecord
from tollhouse.relay.settling import CallStore
from tollhouse.stores.sqlite import SqliteStore, account_of


def new_id() -> str:
    """A request id."""
    return os.urandom(16).hex()


def record(request_id: str, **changes: Any) -> CallRecord:
    """A good call, but for `changes`."""
    values: dict[str, Any] = {
        "id": request_id,
        "started_at_ms": 1_700_000_000_000,
        "finished_at_ms": 1_700_000_000_500,
        "workspace_id": None,
        "key_id": None,
        "dialect": "hyperinfer",
        "format": "openai_chat",
        "model": "openai/gpt-5",
        "provider": "openai",
        "upstream_model": "gpt-5",
        "stream": True,
        "status": "ok",
        "error_code": None,
        "finish_reason": "stop",
        "prompt_tokens": 11,
        "cached_tokens": 3,
        "completion_tokens": 7,
        "reasoning_tokens": 2,
        "usage_source": "provider",
        "first_byte_ms": 120,
        "attempts": (
            Attempt(
                deployment="openai:gpt-5", provider="openai", url="https://x/v1", outcome="ok", status=200, elapsed_ms=9
            ),
        ),
    }
    return CallRecord(**(values | changes))


def hold(request_id: str, workspace_id: str, amount: int = 1_000) -> Hold:
    """Permission for a call of this workspace, without a lease."""
    part = Part(account_of(workspace_id), "nano_usd", amount)
    return Hold(request_id=request_id, parts=(part,), price_version="v1")


async def settle(store: CallStore, held: Hold | None, charged: tuple[ChargeLine, ...], kept: CallRecord) -> None:
    """Commit the charge of a call together with its record."""
    spending = Spending(charged if held else (), kept.prompt_tokens + kept.completion_tokens)
    transfers = postings(held, spending, kept.finished_at_ms, kept.usage_source) if held else ()
    await store.commit_call(transfers, msgspec.structs.replace(kept, cost_nano_usd=spending.cost_nano_usd))


def lines(*amounts: int) -> tuple[ChargeLine, ...]:
    """Charge lines 0, 1, … of these amounts."""
    return tuple(
        ChargeLine(line=number, code="model" if number == 0 else f"tool:{number}", amount_nano_usd=amount)
        for number, amount in enumerate(amounts)
    )


def with_store(data_dir: Path, work: Callable[[SqliteStore], Awaitable[Any]], **how: Any) -> Any:
    """Open a store, run `work` in an event loop, close it."""

    async def run() -> Any:
        store = SqliteStore.open(data_dir, **how)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


def connect(data_dir: Path) -> Any:
    """A connection behind the store's back. Never the standard library's SQLite: two libraries in one process do not
    see each other's locks."""
    return apsw.Connection(str(data_dir / "tollhouse.db"))


def ask(data_dir: Path, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """Query the file behind the store's back."""
    connection = connect(data_dir)
    try:
        return connection.execute(sql, values).fetchall()
    finally:
        connection.close()


def assert_books_balance(data_dir: Path) -> None:
    """I1: credits and debits are equal over all accounts. I2: each account is the sum of its transfers. I6: no
    lease is left, for nobody is spending."""
    accounts = ask(data_dir, "SELECT id, credits, debits, leased, unit FROM account")
    transfers = ask(data_dir, "SELECT debit_account, credit_account, amount FROM transfer")
    for unit in ("nano_usd", "token"):
        assert sum(row[1] - row[2] for row in accounts if row[4] == unit) == 0
    for account, credit, debit, leased, _ in accounts:
        assert credit == sum(amount for _, credited, amount in transfers if credited == account)
        assert debit == sum(amount for debited, _, amount in transfers if debited == account)
        assert leased == 0
