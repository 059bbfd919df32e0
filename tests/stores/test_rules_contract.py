"""What every store does with routing rules: versions, activations, rollbacks, and calls to try rules on."""

import asyncio

import pytest

from support.books import new_id, record
from support.stores import Stores
from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.observe.record import Routed
from tollhouse.routing.store import Activation
from tollhouse.stores.store import Store
from tollhouse.stores.usage import UsageFilter


def test_versions_stay_and_the_last_activation_holds(stores: Stores) -> None:
    async def work(store: Store) -> None:
        rules = store.rules
        assert await rules.activation() is None
        assert await rules.versions() == []
        first = await rules.add("one", "ada", 1, activate=True)
        second = await rules.add("two", "bob", 2, activate=False)
        assert (first.version, second.version) == (1, 2)
        assert await rules.versions() == [first, second]
        assert await rules.version(2) == second
        assert await rules.version(3) is None
        assert await rules.activation() == Activation(number=1, version=1, author="ada", at_ms=1)
        assert (await rules.activate(2, "bob", 3)).number == 2
        assert (await rules.activate(2, "bob", 4)).at_ms == 3, "nothing changes"
        assert (await rules.roll_back("ada", 5)).version == 1
        assert (await rules.roll_back("ada", 6)).version is None
        with pytest.raises(FaultError) as refused:
            await rules.roll_back("ada", 7)
        assert refused.value.fault.kind is FaultKind.INVALID_REQUEST
        with pytest.raises(FaultError, match="no rules of version 9"):
            await rules.activate(9, "ada", 8)
        newest = await rules.activation()
        assert newest == Activation(number=4, version=None, author="ada", at_ms=6)
        audited = {(row.action, row.subject, row.actor) for row in await store.quotas.audit()}
        assert ("routing.activate", "rules:configuration", "ada") in audited
        assert ("routing.store", "rules:2", "bob") in audited

    stores(work)


def test_two_that_store_at_once_get_versions_of_their_own(stores: Stores) -> None:
    async def work(store: Store) -> None:
        stored = await asyncio.gather(*(store.rules.add(f"v{n}", "ada", n, activate=True) for n in range(6)))
        assert sorted(one.version for one in stored) == list(range(1, 7))
        newest = await store.rules.activation()
        assert newest is not None
        assert newest.number == 6

    stores(work)


def test_a_decision_is_kept_with_its_call_and_found_again(stores: Stores) -> None:
    routed = Routed(rules_version="7", rule_id="keyword:Ü", basket="B")

    async def work(store: Store) -> None:
        chosen, named, failed = new_id(), new_id(), new_id()
        await store.commit_call((), record(chosen, routed=routed, started_at_ms=2))
        await store.commit_call((), record(named, started_at_ms=3))
        await store.commit_call((), record(failed, routed=routed, status="failed"))
        kept = await store.call(chosen)
        assert kept is not None
        assert kept.routed == routed
        unrouted = await store.call(named)
        assert unrouted is not None
        assert unrouted.routed is None
        (found,) = await store.rules.past_calls(UsageFilter(), 10, routed_only=True)
        assert (found.routed, found.prompt_tokens, found.completion_tokens) == (routed, 11, 7)
        newest = await store.rules.past_calls(UsageFilter(since_ms=1, until_ms=4), 1, routed_only=False)
        assert [call.routed for call in newest] == [None]

    stores(work)
