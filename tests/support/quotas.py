"""A workspace with a key, and what tests of quotas do with them."""

from typing import Any

from tollhouse.accounts.change import Change
from tollhouse.accounts.limits import Period, limit_account
from tollhouse.accounts.principal import Limit
from tollhouse.accounts.quotas import LimitStanding, LimitWish
from tollhouse.accounts.store import NewKey
from tollhouse.money.store import Ask, Lease, Opening, Transfer
from tollhouse.stores.store import Store

NOON_MS = 1_795_262_400_000
"""2026-11-21 12:00 UTC."""
DAY_MS = 86_400_000
USD = 10**9
DIGEST = bytes(32)


def change(at_ms: int = NOON_MS, note: str = "") -> Change:
    """By a tester."""
    return Change(at_ms=at_ms, actor="tests", note=note)


async def workspace_with_key(store: Store, usd: int = 10, **more: Any) -> tuple[str, str]:
    """The ids of a workspace with so much credit and of its key, whose digest is DIGEST."""
    workspace = await store.create_workspace("acme", NOON_MS)
    if usd:
        await store.top_up(workspace.id, usd * USD, "first", NOON_MS)
    values: dict[str, Any] = {"name": "laptop", "digest": DIGEST, "hint": "th-...1234", "expires_at_ms": None, **more}
    await store.add_key(NewKey(id="key_1", workspace_id=workspace.id, created_at_ms=NOON_MS, **values))
    return workspace.id, "key_1"


def wish(owner_id: str, amount: int | None, period: Period = "day") -> LimitWish:
    """A key's limit in nano-USD."""
    return LimitWish(owner_id=owner_id, reason="key_limit", unit="nano_usd", period=period, amount=amount)


def figures(standing: LimitStanding | None) -> tuple[int, int, int] | None:
    """Quota, used, remaining."""
    return None if standing is None else (standing.quota, standing.used, standing.remaining)


async def lease(store: Store, limit: Limit, amount: int, now_ms: int = NOON_MS) -> Lease:
    """So much of a limit's present period, as a process gets it; the account is opened by it."""
    account, source = limit_account(limit, now_ms), f"limits-source:{limit.unit}"
    period = account.rpartition(":")[2]
    opening = Opening(unit=limit.unit, scope=limit.id, period=period, amount=limit.amount, source_account=source)
    answer = await store.ledger.acquire("node#1", [Ask(account_id=account, need=amount, want=amount, opening=opening)])
    assert isinstance(answer[0], Lease), answer
    return answer[0]


async def spend(store: Store, limit: Limit, amount: int, record: Any, now_ms: int = NOON_MS) -> None:
    """Take so much out of a limit in one call."""
    granted = await lease(store, limit, amount, now_ms)
    transfer = Transfer(
        request=record.id,
        line=0,
        debit_account=granted.account_id,
        credit_account=f"limits-spent:{limit.unit}",
        amount=amount,
        code="limit",
        at_ms=now_ms,
        lease=granted.id,
    )
    await store.commit_call((transfer,), record)
    await store.ledger.give_back("node#1", {granted.id: granted.granted})
