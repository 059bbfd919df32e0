"""Who changed what, as every store keeps it: one row for each change that happened, none for one that did not."""

import json
from typing import Any

import pytest

from support.quotas import DIGEST, NOON_MS, USD, change, wish, workspace_with_key
from support.stores import Stores
from tollhouse.accounts.change import Change
from tollhouse.accounts.store import NewKey
from tollhouse.ir.fault import FaultError
from tollhouse.stores.store import Store

ADA = Change(at_ms=NOON_MS, actor="cli:ada", note="by phone")


async def told(store: Store, action: str) -> list[tuple[str, dict[str, Any], str, str]]:
    """Subject, detail, actor and note of the rows about one kind of change, oldest first."""
    rows = [row for row in await store.quotas.audit() if row.action == action]
    return [(row.subject, json.loads(row.detail), row.actor, row.note) for row in reversed(rows)]


def test_a_top_up_is_written_down_once(stores: Stores) -> None:
    async def work(store: Store) -> None:
        workspace_id, _ = await workspace_with_key(store)
        for _ in range(2):
            assert await store.top_up(workspace_id, 5 * USD, "invoice-7", NOON_MS, ADA) == 15 * USD
        with pytest.raises(FaultError):
            await store.top_up(workspace_id, 6 * USD, "invoice-7", NOON_MS, ADA)
        with pytest.raises(FaultError):
            await store.top_up("ws_none", 5 * USD, "invoice-8", NOON_MS, ADA)
        detail = {"amount_nano_usd": 5 * USD, "reference": "invoice-7"}
        assert await told(store, "credit.topup") == [(workspace_id, detail, "cli:ada", "by phone")]

    stores(work)
    stores.assert_balanced()


def test_keys_that_are_made_disabled_and_revoked_are_written_down(stores: Stores) -> None:
    async def work(store: Store) -> None:
        workspace_id, key_id = await workspace_with_key(store)
        made = NewKey(
            id="key_2",
            workspace_id=workspace_id,
            name="ci",
            digest=bytes(31) + b"2",
            hint="th-...2222",
            created_at_ms=NOON_MS,
            expires_at_ms=None,
        )
        await store.add_key(made, ADA)
        with pytest.raises(FaultError, match="stored already"):
            await store.add_key(made, ADA)
        for at, state in enumerate(("disabled", "disabled", "active", "revoked", "revoked")):
            row = await store.set_key_state(key_id, state, change(NOON_MS + at))
            assert row is not None
            assert (row.id, row.state, row.workspace, row.providers) == (key_id, state, "acme", None)
        with pytest.raises(FaultError, match="for good"):
            await store.set_key_state(key_id, "active", ADA)
        assert await store.set_key_state("key_none", "active", ADA) is None
        assert await store.principal(DIGEST) is None
        named = {"workspace": workspace_id, "name": "ci", "hint": "th-...2222"}
        assert await told(store, "key.create") == [("key_2", named, "cli:ada", "by phone")]
        assert [(subject, detail) for subject, detail, _, _ in await told(store, "key.state")] == [
            (key_id, {"state": "disabled", "before": "active"}),
            (key_id, {"state": "active", "before": "disabled"}),
            (key_id, {"state": "revoked", "before": "active"}),
        ]

    stores(work)


def test_limits_plans_refunds_and_locks_are_written_down(stores: Stores) -> None:
    async def work(store: Store) -> None:
        workspace_id, key_id = await workspace_with_key(store)
        await store.quotas.set_limit(wish(key_id, 5), change())
        await store.quotas.set_limit(wish(key_id, 7), change(NOON_MS + 1))
        await store.quotas.reset_limit(key_id, "key_limit", "day", change(note="paid"))
        await store.quotas.refund(workspace_id, USD, "r", change())
        await store.quotas.lock_workspace(workspace_id, locked=True, change=change())
        assert [(detail["before"], detail["amount"]) for _, detail, _, _ in await told(store, "limit.set")] == [
            (None, 5),
            (5, 7),
        ]
        assert [note for _, _, _, note in await told(store, "limit.reset")] == ["paid"]
        assert [detail["reference"] for _, detail, _, _ in await told(store, "credit.refund")] == ["r"]
        assert [detail for _, detail, _, _ in await told(store, "workspace.locked")] == [{"locked": True}]

    stores(work)
