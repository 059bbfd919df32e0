"""Plans in SQL: the catalogue's list, who is on which, and what a change of the list does to them."""

from collections.abc import Sequence

import msgspec

from tollhouse.accounts.change import Change
from tollhouse.accounts.principal import Limit
from tollhouse.accounts.quotas import LimitWish, Plan
from tollhouse.ir.fault import invalid_request
from tollhouse.stores.database import Connection, Row
from tollhouse.stores.limits import set_limit

PLANS = "SELECT name, period, tokens, retired FROM plan"
_ON_PLANS = "SELECT owner_id, period, name, amount FROM quota_limit WHERE reason = 'plan_quota' AND amount IS NOT NULL"


def plan_of(row: Row) -> Plan:
    """A row of PLANS as a value."""
    return msgspec.convert(dict(zip(("name", "period", "tokens", "retired"), row, strict=True)), Plan, strict=False)


def set_plan(connection: Connection, owner_id: str, name: str | None, change: Change) -> Limit | None:
    """Put an owner on a plan, None for none. Raises FaultError (invalid_request)."""
    plan = None
    if name is not None:
        known = {plan.name: plan for plan in map(plan_of, connection.execute(PLANS).fetchall()) if not plan.retired}
        plan = known.get(name)
        if plan is None:
            names = ", ".join(sorted(known)) or "none"
            raise invalid_request(
                f"There is no plan {name!r}; there is: {names}. Plans stand in the catalogue under `plans`, and are "
                "read when the gateway starts.",
                "plan",
            )
    return _move(connection, owner_id, plan, change)


def sync_plans(connection: Connection, plans: Sequence[Plan], change: Change) -> tuple[Plan, ...]:
    """Make the list what the catalogue says, and the quotas of who is on a plan what the plan says."""
    for plan in plans:
        connection.execute(
            "INSERT INTO plan (name, period, tokens) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
            "period = excluded.period, tokens = excluded.tokens, retired = 0",
            (plan.name, plan.period, plan.tokens),
        )
    listed = {plan.name: plan for plan in plans}
    for plan in map(plan_of, connection.execute(PLANS).fetchall()):
        if plan.name not in listed and not plan.retired:
            connection.execute("UPDATE plan SET retired = 1 WHERE name = ?", (plan.name,))
    left: set[str] = set()
    for owner_id, period, name, amount in connection.execute(_ON_PLANS).fetchall():
        plan = listed.get(str(name))
        if plan is None:
            left.add(str(name))
        elif (plan.period, plan.tokens) != (period, amount):
            _move(connection, str(owner_id), plan, change)
    return tuple(plan for plan in map(plan_of, connection.execute(PLANS).fetchall()) if plan.name in left)


def _move(connection: Connection, owner_id: str, plan: Plan | None, change: Change) -> Limit | None:
    """End what the owner has of plans with another period, then set the one of this plan's."""
    for owner, period, name, _ in connection.execute(f"{_ON_PLANS} AND owner_id = ?", (owner_id,)).fetchall():
        if plan is None or period != plan.period:
            ended = {"owner_id": owner, "reason": "plan_quota", "unit": "token", "period": period, "amount": None}
            set_limit(connection, msgspec.convert(ended | {"name": name}, LimitWish), change)
    if plan is None:
        return None
    wish = LimitWish(
        owner_id=owner_id, reason="plan_quota", unit="token", period=plan.period, amount=plan.tokens, name=plan.name
    )
    return set_limit(connection, wish, change)
