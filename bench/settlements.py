"""Settlements per second: charges with their records, durable one by one, on each database."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop
from tests.support.postgres import PostgresServer, find_postgres

from tollhouse.money.store import Transfer
from tollhouse.observe.record import CallRecord
from tollhouse.server import open_store
from tollhouse.settings import DatabaseUrl, Settings
from tollhouse.stores.sqlite import account_of
from tollhouse.stores.store import Store

CALLERS = 64
"""Calls that wait for their settlement at the same time."""


def settlements_per_second(folder: Path, seconds: float) -> dict[str, float | None]:
    """By database; None for one that is not installed. Both write through to the disk."""
    found: dict[str, float | None] = {
        "sqlite": uvloop.run(_rate(lambda: open_store(Settings(data_dir=folder / "settlements")), seconds))
    }
    programs = find_postgres()
    if programs is None:
        return {**found, "postgresql": None}
    server = PostgresServer(programs)
    try:
        settings = Settings(data_dir=folder / "settlements-2", database_url=DatabaseUrl(server.new_database()))
        return {**found, "postgresql": uvloop.run(_rate(lambda: open_store(settings), seconds))}
    finally:
        server.remove()


async def _rate(opened: Callable[[], Awaitable[Store]], seconds: float) -> float:
    store = await opened()
    try:
        workspace = await store.create_workspace("bench", 1)
        await store.top_up(workspace.id, 10**15, "bench", 1)
        done = 0
        ends_s = time.perf_counter() + seconds

        async def caller() -> None:
            nonlocal done
            while time.perf_counter() < ends_s:
                request = os.urandom(16).hex()
                await store.commit_call((_charge(request, account_of(workspace.id)),), _record(request, workspace.id))
                done += 1

        begun_s = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        return done / (time.perf_counter() - begun_s)
    finally:
        await store.close()


def _charge(request: str, account_id: str) -> Transfer:
    return Transfer(
        request=request,
        line=0,
        debit_account=account_id,
        credit_account="revenue:nano_usd",
        amount=1_000,
        code="model",
        at_ms=1_700_000_000_500,
        price_version="bench",
        usage_source="provider",
    )


def _record(request: str, workspace_id: str) -> CallRecord:
    return CallRecord(
        id=request,
        started_at_ms=1_700_000_000_000,
        finished_at_ms=1_700_000_000_500,
        workspace_id=workspace_id,
        key_id="bench",
        dialect="hpp_router",
        format="openai_chat",
        model="bench/a",
        provider="bench-a",
        upstream_model="a",
        stream=False,
        status="ok",
        error_code=None,
        finish_reason="stop",
        prompt_tokens=250,
        completion_tokens=200,
        usage_source="provider",
        cost_nano_usd=1_000,
    )
