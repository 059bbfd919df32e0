"""SqliteQuotas: the QuotaStore on SQLite."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

import msgspec

from tollhouse.accounts.change import Change
from tollhouse.accounts.limits import Period
from tollhouse.accounts.principal import Limit
from tollhouse.accounts.quotas import (
    AuditRow,
    Consumer,
    ConsumerStanding,
    LimitStanding,
    LimitWish,
    Plan,
    Reason,
)
from tollhouse.accounts.store import Workspace
from tollhouse.ir.fault import FaultError, invalid_request
from tollhouse.stores import consumers, limits, plans, workspace_state
from tollhouse.stores.account_rows import WORKSPACES, workspace_of
from tollhouse.stores.audit import audit_query, audit_row, note
from tollhouse.stores.database import Connection, Reader

MAX_ALLOWED_MODELS = 1_000

T = TypeVar("T")


class Changes(Protocol):
    """Who makes changes: a Writer, for one."""

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Run `work` inside of one transaction; its result when that is durable. Raises FaultError."""
        ...


class SqliteQuotas:
    """Implements QuotaStore: reads by key there and then, lists in a thread, changes through the store's writer."""

    def __init__(
        self,
        writer: Changes,
        look_ups: Reader,
        scans: Reader,
        blocked: Callable[[], FaultError | None],
    ) -> None:
        """Made by SqliteStore. `blocked` says why the books cannot be used, None when they can."""
        self._writer = writer
        self._look_ups = look_ups
        self._scans = scans
        self._blocked = blocked
        self._callbacks: list[Callable[[tuple[str, ...]], Awaitable[None]]] = []

    def on_change(self, callback: Callable[[tuple[str, ...]], Awaitable[None]]) -> None:
        """Call back after each change that this process makes."""
        self._callbacks.append(callback)

    async def changed(self, accounts: tuple[str, ...] = ()) -> None:
        """Something was changed in this process: tell those who remember it."""
        for callback in self._callbacks:
            await callback(accounts)

    async def set_limit(self, wish: LimitWish, change: Change) -> LimitStanding | None:
        """Set, change or take away a limit."""

        def work(connection: Connection) -> LimitStanding | None:
            limit = limits.set_limit(connection, wish, change)
            return None if limit is None else _standing(connection, limit, wish.owner_id, change)

        return await self._change(change, work)

    async def reset_limit(self, owner_id: str, reason: Reason, period: Period, change: Change) -> LimitStanding:
        """Begin a limit's present period anew."""

        def work(connection: Connection) -> LimitStanding:
            return _standing(
                connection, limits.reset_limit(connection, owner_id, reason, period, change), owner_id, change
            )

        return await self._change(change, work)

    async def limits(self, owner_ids: Sequence[str], now_ms: int) -> list[LimitStanding]:
        """The limits in force of these keys and workspaces."""
        return limits.standings(self._look_ups.rows, owner_ids, now_ms) if owner_ids else []

    async def allow_models(self, key_id: str, models: tuple[str, ...] | None, change: Change) -> None:
        """The models that a key may use, None for all."""
        if models is not None and len(models) > MAX_ALLOWED_MODELS:
            raise invalid_request(f"A key's list has at most {MAX_ALLOWED_MODELS} models.", "models")
        text = None if models is None else msgspec.json.encode(models).decode()

        def work(connection: Connection) -> None:
            _check_key(connection, key_id)
            connection.execute("UPDATE api_key SET allowed_models = ? WHERE id = ?", (text, key_id))
            note(connection, change, "key.models", key_id, {"models": None if models is None else ", ".join(models)})

        await self._change(change, work)

    async def prefer_providers(self, key_id: str, wishes: str | None, change: Change) -> None:
        """Which providers a key's calls may go to, None for any."""

        def work(connection: Connection) -> None:
            _check_key(connection, key_id)
            connection.execute("UPDATE api_key SET providers = ? WHERE id = ?", (wishes, key_id))
            note(connection, change, "key.providers", key_id, {"providers": wishes})

        await self._change(change, work)

    async def set_plan(self, owner_id: str, plan: str | None, change: Change) -> LimitStanding | None:
        """Put a workspace or a key on a plan, or take it off."""

        def work(connection: Connection) -> LimitStanding | None:
            limit = plans.set_plan(connection, owner_id, plan, change)
            return None if limit is None else _standing(connection, limit, owner_id, change)

        return await self._change(change, work)

    async def sync_plans(self, listed: Sequence[Plan], change: Change) -> tuple[Plan, ...]:
        """Take over the catalogue's plans; returns plans in use that are not among them."""
        return await self._change(change, lambda connection: plans.sync_plans(connection, listed, change))

    async def plans(self) -> list[Plan]:
        """All that are known, by name."""
        return [plans.plan_of(row) for row in self._look_ups.rows(f"{plans.PLANS} ORDER BY name")]

    async def lock_workspace(self, workspace_id: str, *, locked: bool, change: Change) -> Workspace:
        """Refuse all calls of a workspace, or no longer."""
        return await self._set_flag(workspace_id, "locked", locked, change)

    async def invoice_workspace(self, workspace_id: str, *, invoicing: bool, change: Change) -> Workspace:
        """Let a workspace call whatever its balance is, or no longer."""
        return await self._set_flag(workspace_id, "invoicing", invoicing, change)

    async def refund(self, workspace_id: str, amount_nano_usd: int, reference: str, change: Change) -> int:
        """Take credit back out of the books, once per `reference`; the balance after it."""
        return await self._change(
            change,
            lambda connection: workspace_state.refund(connection, workspace_id, amount_nano_usd, reference, change),
        )

    async def set_consumer(self, key_id: str, username: str | None, custom_id: str | None, change: Change) -> Consumer:
        """Make a key's consumer, or name it anew."""

        def work(connection: Connection) -> Consumer:
            consumers.set_consumer(connection, key_id, username, custom_id, change)
            return consumers.consumer_of(
                connection.execute(f"{consumers.CONSUMERS} WHERE c.key_id = ?", (key_id,)).fetchall()[0]
            )

        return await self._change(change, work)

    async def remove_consumer(self, key_id: str, change: Change) -> bool:
        """Take a key's consumer away, with its quota."""
        return await self._change(change, lambda connection: consumers.remove_consumer(connection, key_id, change))

    async def consumers(self, workspace_id: str | None = None) -> list[Consumer]:
        """All, or those of one workspace."""
        sql = f"{consumers.CONSUMERS} WHERE ?1 IS NULL OR w.id = ?1 ORDER BY w.name, c.created_at_ms, c.id"
        return [consumers.consumer_of(row) for row in await asyncio.to_thread(self._scans.rows, sql, (workspace_id,))]

    async def consumer(self, key_id: str) -> Consumer | None:
        """The consumer of a key."""
        row = self._look_ups.row(f"{consumers.CONSUMERS} WHERE c.key_id = ?", (key_id,))
        return None if row is None else consumers.consumer_of(row)

    async def consumer_standing(self, key_id: str) -> ConsumerStanding | None:
        """Where a key's consumer stands. What cannot be verified is not told: the file may be readable long after it
        was deleted."""
        fault = self._blocked()
        if fault is not None:
            raise FaultError(fault.fault)
        row = self._look_ups.row(consumers.STANDING, (key_id,))
        return None if row is None else consumers.standing_of(row)

    async def audit(self, subjects: Sequence[str] = (), limit: int = 100) -> list[AuditRow]:
        """The latest changes, newest first."""
        sql, values = audit_query(subjects, limit)
        return [audit_row(row) for row in await asyncio.to_thread(self._scans.rows, sql, values)]

    async def _set_flag(
        self,
        workspace_id: str,
        flag: workspace_state.Flag,
        value: bool,
        change: Change,
    ) -> Workspace:
        def work(connection: Connection) -> Workspace:
            workspace_state.set_flag(connection, workspace_id, flag, value=value, change=change)
            return workspace_of(connection.execute(f"{WORKSPACES} WHERE w.id = ?", (workspace_id,)).fetchall()[0])

        return await self._change(change, work)

    async def _change(self, change: Change, work: Callable[[Connection], T]) -> T:
        result = await self._writer.run(work)
        changed = result.limit if isinstance(result, LimitStanding) else None
        accounts = limits.accounts_of(changed, change.at_ms) if changed is not None else ()
        await self.changed(accounts)
        return result


def _check_key(connection: Connection, key_id: str) -> None:
    if connection.execute("SELECT 1 FROM api_key WHERE id = ?", (key_id,)).fetchone() is None:
        raise invalid_request("There is no such key.", "key")


def _standing(connection: Connection, limit: Limit, owner_id: str, change: Change) -> LimitStanding:
    return limits.standing(limits.rows_of(connection), limit, owner_id, change.at_ms)
