"""What every store does, whatever it is made of."""

import asyncio
from typing import Any

import pytest

from support.books import hold, lines, new_id, record, settle
from support.stores import Stores
from tollhouse.accounts.store import NewKey
from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.stores.sqlite import account_of
from tollhouse.stores.store import Store
from tollhouse.stores.usage import UsageFilter


def new_key(workspace_id: str, number: int = 1, **changes: Any) -> NewKey:
    values: dict[str, Any] = {
        "id": f"key_{number}",
        "workspace_id": workspace_id,
        "name": "laptop",
        "digest": bytes([number]) * 32,
        "hint": f"th-...abc{number}",
        "created_at_ms": 1_000 + number,
        "expires_at_ms": None,
    }
    return NewKey(**(values | changes))


def test_a_workspace_is_found_by_name_and_by_id(stores: Stores) -> None:
    async def work(store: Store) -> None:
        made = await store.create_workspace("acme", 5)
        assert made.balance_nano_usd == 0
        assert await store.workspace("acme") == made
        assert await store.workspace(made.id) == made
        assert await store.workspace("other") is None
        second = await store.create_workspace("aardvark", 6)
        assert await store.workspaces() == [second, made]

    stores(work)


@pytest.mark.parametrize("name", ["acme", "", "   ", "x" * 201, "a\nb", "\x1b[31m"])
def test_a_workspace_needs_a_name_of_its_own_that_can_be_shown(stores: Stores, name: str) -> None:
    async def work(store: Store) -> None:
        await store.create_workspace("acme", 5)
        with pytest.raises(FaultError) as caught:
            await store.create_workspace(name, 6)
        assert caught.value.fault.kind is FaultKind.INVALID_REQUEST
        assert len(await store.workspaces()) == 1

    stores(work)


def test_a_key_opens_its_workspace_until_it_is_disabled(stores: Stores) -> None:
    async def work(store: Store) -> None:
        workspace = await store.create_workspace("acme", 5)
        key = new_key(workspace.id, expires_at_ms=99)
        await store.add_key(key)
        principal = await store.principal(key.digest)
        assert principal is not None
        assert (principal.workspace_id, principal.workspace) == (workspace.id, "acme")
        assert (principal.key_id, principal.key_hint) == (key.id, key.hint)
        assert principal.account_id == account_of(workspace.id)
        assert principal.expires_at_ms == 99
        assert (principal.locked, principal.invoicing) == (False, False)
        assert await store.principal(bytes(32)) is None
        disabled = await store.set_key_state(key.hint, "disabled")
        assert disabled is not None
        assert disabled.state == "disabled"
        assert await store.principal(key.digest) is None
        assert await store.set_key_state(key.id, "active") is not None
        assert await store.principal(key.digest) == principal

    stores(work)


def test_a_revoked_key_stays_revoked(stores: Stores) -> None:
    async def work(store: Store) -> None:
        workspace = await store.create_workspace("acme", 5)
        await store.add_key(new_key(workspace.id))
        await store.set_key_state("key_1", "revoked")
        assert (await store.set_key_state("key_1", "revoked")) is not None
        for state in ("active", "disabled"):
            with pytest.raises(FaultError, match="revoked for good"):
                await store.set_key_state("key_1", state)
        assert await store.principal(new_key(workspace.id).digest) is None

    stores(work)


def test_keys_are_listed_newest_last_and_by_workspace(stores: Stores) -> None:
    async def work(store: Store) -> None:
        one = await store.create_workspace("one", 5)
        two = await store.create_workspace("two", 5)
        for number, workspace in ((3, one), (1, two), (2, one)):
            await store.add_key(new_key(workspace.id, number))
        assert [row.id for row in await store.keys()] == ["key_1", "key_2", "key_3"]
        assert [row.id for row in await store.keys("one")] == ["key_2", "key_3"]
        assert [row.id for row in await store.keys(two.id)] == ["key_1"]
        assert await store.keys("three") == []

    stores(work)


def test_what_cannot_be_stored_is_refused_in_words(stores: Stores) -> None:
    async def work(store: Store) -> None:
        workspace = await store.create_workspace("acme", 5)
        key = new_key(workspace.id)
        await store.add_key(key)
        twin = new_key(workspace.id, 2, hint=key.hint)
        await store.add_key(twin)
        for refused, words in (
            (store.add_key(new_key(workspace.id, 1, id="key_9")), "stored already"),
            (store.add_key(new_key("ws_none", 3)), "no such workspace"),
            (store.add_key(new_key(workspace.id, 3, name="a\x07b")), "printable"),
            (store.set_key_state(key.hint, "disabled"), "Several keys"),
            (store.set_key_state("key_1", "lost"), "not 'lost'"),
            (store.top_up("ws_none", 5, "r", 1), "no such workspace"),
            (store.top_up(workspace.id, 0, "r", 1), "above 0"),
            (store.top_up(workspace.id, -5, "r", 1), "above 0"),
            (store.top_up(workspace.id, 10**18 + 1, "r", 1), "at most"),
        ):
            with pytest.raises(FaultError, match=words) as caught:
                await refused
            assert caught.value.fault.kind is FaultKind.INVALID_REQUEST
        assert await store.set_key_state("key_none", "disabled") is None
        assert store.ready()

    stores(work)


@pytest.mark.fault(78)
def test_a_top_up_counts_once_per_reference(stores: Stores) -> None:
    async def work(store: Store) -> None:
        workspace = await store.create_workspace("acme", 5)
        other = await store.create_workspace("other", 5)
        assert await store.top_up(workspace.id, 5_000, "invoice 1", 1) == 5_000
        assert await store.top_up(workspace.id, 5_000, "invoice 1", 2) == 5_000
        assert await store.top_up(workspace.id, 1, "invoice 2", 2) == 5_001
        for workspace_id, amount in ((workspace.id, 4_999), (other.id, 5_000)):
            with pytest.raises(FaultError, match="reference"):
                await store.top_up(workspace_id, amount, "invoice 1", 3)
        assert await store.balance(workspace.id) == 5_001
        assert await store.balance(other.id) == 0

    stores(work)
    stores.assert_balanced()


def test_a_call_is_charged_and_recorded_in_one_go(stores: Stores) -> None:
    async def work(store: Store) -> None:
        workspace = await store.create_workspace("acme", 5)
        await store.top_up(workspace.id, 10_000, "r", 1)
        request_id = new_id()
        sent = record(request_id, workspace_id=workspace.id, key_id="key_1", cost_nano_usd=1_503)
        await settle(store, hold(request_id, workspace.id), lines(1_500, 3), sent)
        assert await store.balance(workspace.id) == 10_000 - 1_503
        assert await store.call(request_id) == sent
        assert await store.call("none") is None

    stores(work)
    stores.assert_balanced()
    rows = stores.ask("SELECT line, code, amount, price_version, usage_source FROM transfer")
    assert sorted(rows, key=str) == [
        (0, "model", 1_500, "v1", "provider"),
        (0, "topup", 10_000, "", None),
        (1, "tool:1", 3, "v1", "provider"),
    ]


def test_a_repeated_settlement_changes_nothing(stores: Stores) -> None:
    async def work(store: Store) -> None:
        workspace = await store.create_workspace("acme", 5)
        await store.top_up(workspace.id, 10_000, "r", 1)
        request_id = new_id()
        first = record(request_id, workspace_id=workspace.id, cost_nano_usd=1_500)
        for _ in range(3):
            await settle(store, hold(request_id, workspace.id), lines(1_500), first)
        await asyncio.gather(*(settle(store, hold(request_id, workspace.id), lines(1_500), first) for _ in range(20)))
        assert await store.balance(workspace.id) == 8_500

    stores(work)
    stores.assert_balanced()


@pytest.mark.parametrize("with_hold", [False, True])
def test_a_call_without_a_charge_leaves_only_its_record(stores: Stores, with_hold: bool) -> None:
    async def work(store: Store) -> None:
        workspace = await store.create_workspace("acme", 5)
        request_id = new_id()
        refused = record(request_id, status="refused", error_code="invalid_request", model=None, provider=None)
        permission = hold(request_id, workspace.id) if with_hold else None
        await settle(store, permission, () if with_hold else lines(7), refused)
        assert await store.call(request_id) == refused
        assert await store.balance(workspace.id) == 0

    stores(work)
    assert stores.ask("SELECT COUNT(*) FROM transfer") == [(0,)]


def test_usage_adds_up_by_what_was_asked(stores: Stores) -> None:
    day_ms = 86_400_000

    async def work(store: Store) -> None:
        workspace = await store.create_workspace("acme", 5)
        await store.add_key(new_key(workspace.id))
        for number, model in enumerate(("a", "b", "a")):
            request_id = new_id()
            await settle(
                store,
                hold(request_id, workspace.id),
                lines(10),
                record(
                    request_id,
                    workspace_id=workspace.id,
                    key_id="key_1",
                    model=model,
                    started_at_ms=number * day_ms,
                    status="failed" if number == 2 else "ok",
                ),
            )
        await settle(store, None, (), record(new_id(), model=None, provider=None, status="refused"))
        rows = await store.usage(UsageFilter(workspace_id=workspace.id), ("model", "day"))
        assert [row.group for row in rows] == [("a", "1970-01-01"), ("a", "1970-01-03"), ("b", "1970-01-02")]
        assert [(row.calls, row.failed_calls) for row in rows] == [(1, 0), (1, 1), (1, 0)]
        by_key = await store.usage(UsageFilter(workspace_id=workspace.id), ("workspace", "key", "provider"))
        assert [(row.group, row.calls, row.cost_nano_usd) for row in by_key] == [
            (("acme", "th-...abc1", "openai"), 3, 30)
        ]
        assert by_key[0].prompt_tokens == 33
        assert by_key[0].cached_tokens == 9
        assert by_key[0].completion_tokens == 21
        assert by_key[0].reasoning_tokens == 6
        window = await store.usage(UsageFilter(since_ms=day_ms, until_ms=2 * day_ms), ())
        assert [(row.group, row.calls) for row in window] == [((), 1)]
        nothing = await store.usage(UsageFilter(workspace_id="none"), ())
        assert [(row.calls, row.cost_nano_usd) for row in nothing] == [(0, 0)]
        assert (await store.usage(UsageFilter(), ("model",)))[0].group == (None,)
        with pytest.raises(FaultError, match="cannot be grouped"):
            await store.usage(UsageFilter(), ("model; DROP TABLE request",))

    stores(work)


def test_old_records_go_in_batches_while_charges_and_sums_stay(stores: Stores) -> None:
    async def work(store: Store) -> None:
        workspace = await store.create_workspace("acme", 5)
        ids = [new_id() for _ in range(5)]
        for number, request_id in enumerate(ids):
            kept = record(request_id, workspace_id=workspace.id, started_at_ms=number * 1_000)
            await settle(store, hold(request_id, workspace.id), lines(10, 3), kept)
        before = await store.charges(ids[0])
        assert [amount for _, amount in before] == [10, 3]
        assert await store.delete_calls(3_000, 2) == 2
        assert [await store.call(one) is None for one in ids] == [True, True, False, False, False]
        assert await store.delete_calls(3_000, 2) == 1
        assert await store.delete_calls(3_000, 2) == 0
        assert await store.charges(ids[0]) == before
        assert (await store.usage(UsageFilter(), ()))[0].calls == 5

    stores(work)


def test_everything_is_there_after_a_restart(stores: Stores) -> None:
    async def before(store: Store) -> str:
        workspace = await store.create_workspace("acme", 5)
        await store.top_up(workspace.id, 100, "r", 1)
        await store.add_key(new_key(workspace.id))
        return workspace.id

    workspace_id = stores(before)

    async def after(store: Store) -> None:
        assert store.applied_migrations == ()
        assert await store.balance(workspace_id) == 100
        assert await store.principal(new_key(workspace_id).digest) is not None

    stores(after)


def test_a_closed_store_refuses(stores: Stores) -> None:
    async def work() -> None:
        store = await stores.open()
        await store.close()
        for refused in (
            store.create_workspace("acme", 5),
            settle(store, None, (), record(new_id())),
            store.principal(bytes(32)),
        ):
            with pytest.raises(FaultError) as caught:
                await refused
            assert caught.value.fault.kind is FaultKind.BOOKS_UNAVAILABLE
        await store.close()

    asyncio.run(work())
