"""What the commands that change accounts share: who changes it, on which key, and how a limit is shown."""

import argparse
import os

from tollhouse.accounts.change import Change
from tollhouse.accounts.limits import period_adverb
from tollhouse.accounts.quotas import LimitStanding
from tollhouse.accounts.store import KeyRow
from tollhouse.cli.books import now_ms
from tollhouse.cli.output import moment, money, print_json, print_table, print_text
from tollhouse.ir.fault import invalid_request
from tollhouse.money.amount import usd_text
from tollhouse.stores.store import Store

NONE = "none"


def add_note_option(parser: argparse.ArgumentParser) -> None:
    """Why something is changed."""
    parser.add_argument("--note", default="", metavar="TEXT", help="why, for `tollhouse audit`")


def change_of(args: argparse.Namespace) -> Change:
    """The change that this command makes."""
    return Change(at_ms=now_ms(), actor=f"cli:{os.environ.get('USER') or os.getuid()}", note=args.note)


async def found_key(store: Store, name: str) -> KeyRow:
    """By id or hint. Raises FaultError (invalid_request) when there is none."""
    row = await store.key(name)
    if row is None:
        raise invalid_request(f"There is no key {name!r}. `tollhouse keys list` shows their ids and hints.")
    return row


async def plan_begun_anew(store: Store, owner_id: str, name: str, change: Change) -> LimitStanding:
    """Reset the quota of the plan that a workspace or key is on; `name` is what people call it. Raises FaultError
    (invalid_request) when it is on none."""
    for standing in await store.quotas.limits([owner_id], change.at_ms):
        if standing.limit.reason == "plan_quota":
            return await store.quotas.reset_limit(owner_id, "plan_quota", standing.limit.period, change)
    raise invalid_request(f"{name} is on no plan, so there is no quota to reset.", "plan")


def standing_as_json(standing: LimitStanding) -> dict[str, str | int | None]:
    """A limit for programs: USD as decimal text, tokens as numbers."""
    limit = standing.limit
    in_usd = limit.unit == "nano_usd"
    return {
        "owner_id": standing.owner_id,
        "reason": limit.reason,
        "plan": limit.name or None,
        "period": period_adverb(limit.period),
        "unit": "usd" if in_usd else "tokens",
        "limit": usd_text(standing.quota) if in_usd else standing.quota,
        "used": usd_text(standing.used) if in_usd else standing.used,
        "remaining": usd_text(standing.remaining) if in_usd else standing.remaining,
        "resets_at": moment(standing.ends_at_ms),
        "resets_by_hand": limit.resets,
    }


def print_standings(standings: list[LimitStanding]) -> None:
    """Limits for people."""
    print_table(
        ("LIMIT", "OF", "ALLOWED", "USED", "REMAINING", "OPENS AGAIN"),
        [
            (
                period_adverb(one.limit.period),
                {"key_limit": "key", "consumer_quota": "consumer", "plan_quota": f"plan {one.limit.name}"}[
                    one.limit.reason
                ],
                _amount(one, one.quota),
                _amount(one, one.used),
                _amount(one, one.remaining),
                moment(one.ends_at_ms) or "when reset",
            )
            for one in standings
        ],
        right=(2, 3, 4),
    )


def print_standing(args: argparse.Namespace, standing: LimitStanding) -> int:
    """One limit, for programs or for people; the exit code."""
    if args.json:
        print_json(standing_as_json(standing))
    else:
        print_standings([standing])
    return 0


def print_standing_or(standing: LimitStanding | None, otherwise: str) -> None:
    """One limit, or a line that says that there is none."""
    if standing is None:
        print_text(otherwise)
    else:
        print_standings([standing])


def _amount(standing: LimitStanding, amount: int) -> str:
    return f"{money(amount)} USD" if standing.limit.unit == "nano_usd" else f"{amount} tokens"
