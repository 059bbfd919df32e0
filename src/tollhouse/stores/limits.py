"""Limits in SQL: set, lowered, raised, reset, read; the books always say what is left of the present period.

A limit's account is credited with the limit when its period begins. Raising the limit credits it with the difference
(`raised`); lowering withdraws the difference (`lowered`). What was withdrawn is neither quota nor used: the views take
it off both, so that used stays what calls took, and remaining is what the account has.
"""

import secrets
from collections.abc import Callable, Sequence

import msgspec

from tollhouse.accounts.change import Change
from tollhouse.accounts.limits import Period, account_id, period_adverb, period_ends_ms, period_label
from tollhouse.accounts.principal import Limit
from tollhouse.accounts.quotas import LimitStanding, LimitWish, Reason
from tollhouse.ir.fault import invalid_request
from tollhouse.stores.audit import note
from tollhouse.stores.database import Connection, Row, Values

MAX_AMOUNT = 10**18
KNOWN_ELSEWHERE_MS = 5_000
"""So long another process may act on the limit that it remembers, and open the next period's account with it."""

LIMIT_COLUMNS = "l.id, l.unit, l.period, l.amount, l.resets, l.reason, l.name"
_LIMITS = f"SELECT {LIMIT_COLUMNS}, l.owner_id FROM quota_limit l"  # noqa: S608 -- constants only
_ONE = f"{_LIMITS} WHERE l.owner_id = ? AND l.reason = ? AND l.period = ?"
WITHDRAWN = "SELECT SUM(amount) FROM transfer WHERE debit_account = a.id AND code IN ('refund', 'lowered')"
"""What was taken out of the account `a` without being spent."""
ACCOUNT = f"SELECT a.credits, a.debits, COALESCE(({WITHDRAWN}), 0) FROM account a WHERE a.id = ?"  # noqa: S608

Rows = Callable[[str, Values], Sequence[Row]]


def limit_of(row: Row) -> Limit:
    """The limit in a row that begins with LIMIT_COLUMNS."""
    names = ("id", "unit", "period", "amount", "resets", "reason", "name")
    return msgspec.convert(dict(zip(names, row, strict=False)), Limit)


def set_limit(connection: Connection, wish: LimitWish, change: Change) -> Limit | None:
    """Give an owner this limit, in the place of the one for the same reason and period; None when it is gone."""
    if wish.amount is not None and not 0 <= wish.amount <= MAX_AMOUNT:
        raise invalid_request(f"A limit is at most {MAX_AMOUNT}, and not below 0.", "amount")
    found = connection.execute(_ONE, (wish.owner_id, wish.reason, wish.period)).fetchone()
    if found is None:
        limit_id = f"lim_{secrets.token_hex(8)}"
        connection.execute(
            "INSERT INTO quota_limit (id, owner_id, reason, unit, period, amount, name, created_at_ms) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (limit_id, wish.owner_id, wish.reason, wish.unit, wish.period, wish.amount, wish.name, change.at_ms),
        )
    else:
        limit_id = str(found[0])
        connection.execute(
            "UPDATE quota_limit SET amount = ?, name = ? WHERE id = ?", (wish.amount, wish.name, limit_id)
        )
    detail = {"limit": limit_id, "reason": wish.reason, "period": wish.period, "unit": wish.unit, "name": wish.name}
    before = found[3] if found is not None and isinstance(found[3], int) else None
    audit_id = note(connection, change, "limit.set", wish.owner_id, detail | {"amount": wish.amount, "before": before})
    if wish.amount is None:
        return None
    limit = limit_of(connection.execute(_ONE, (wish.owner_id, wish.reason, wish.period)).fetchall()[0])
    _adjust(connection, limit, change.at_ms, audit_id)
    return limit


def reset_limit(connection: Connection, owner_id: str, reason: Reason, period: Period, change: Change) -> Limit:
    """Begin the present period anew: the next account, which is credited in full. Raises FaultError
    (invalid_request)."""
    found = connection.execute(_ONE, (owner_id, reason, period)).fetchone()
    if found is None or found[3] is None:
        raise invalid_request(f"There is no {period_adverb(period)} limit to reset.", "period")
    connection.execute("UPDATE quota_limit SET resets = resets + 1 WHERE id = ?", (str(found[0]),))
    limit = limit_of(connection.execute(_ONE, (owner_id, reason, period)).fetchall()[0])
    detail = {"limit": limit.id, "reason": reason, "period": period, "resets": limit.resets}
    audit_id = note(connection, change, "limit.reset", owner_id, detail)
    _adjust(connection, limit, change.at_ms, audit_id)
    return limit


def standings(rows: Rows, owner_ids: Sequence[str], now_ms: int) -> list[LimitStanding]:
    """The limits in force of these owners, with what was used of each in the present period."""
    places = ", ".join("?" * len(owner_ids))
    found = rows(
        f"{_LIMITS} WHERE l.owner_id IN ({places}) AND l.amount IS NOT NULL ORDER BY l.reason DESC, l.period, l.id",
        list(owner_ids),
    )
    return [standing(rows, limit_of(row), str(row[7]), now_ms) for row in found]


def standing(rows: Rows, limit: Limit, owner_id: str, now_ms: int) -> LimitStanding:
    """Where one limit stands."""
    label = period_label(limit.period, limit.resets, now_ms)
    credited, debited, withdrawn = _account(rows, account_id(limit.id, label)) or (limit.amount, 0, 0)
    return LimitStanding(
        limit=limit,
        owner_id=owner_id,
        quota=credited - withdrawn,
        used=debited - withdrawn,
        remaining=credited - debited,
        ends_at_ms=period_ends_ms(limit.period, now_ms),
    )


def accounts_of(limit: Limit, now_ms: int) -> tuple[str, ...]:
    """The accounts that a change of the limit is about: of the present period, and of one that is about to begin."""
    return tuple(account_id(limit.id, label) for label in _labels(limit, now_ms))


def rows_of(connection: Connection) -> Rows:
    """Queries on a connection that is in a transaction."""
    return lambda sql, values: connection.execute(sql, values).fetchall()


def _adjust(connection: Connection, limit: Limit, now_ms: int, audit_id: str) -> None:
    """Make the account of the present period say what the limit is now.

    It is opened if it is not, lest a process that remembers the limit of before opens it with that; for the same
    reason the next period's account is opened when that is about to begin.
    """
    source = f"limits-source:{limit.unit}"
    for line, label in enumerate(_labels(limit, now_ms)):
        account = account_id(limit.id, label)
        known = _account(rows_of(connection), account)
        if known is None:
            connection.execute(
                "INSERT INTO account (id, kind, unit, scope, period) VALUES (?, 'limit', ?, ?, ?)",
                (account, limit.unit, limit.id, label),
            )
            _post(connection, (f"open:{account}", 0, source, account, limit.amount, "opening", now_ms))
            continue
        more = limit.amount - (known[0] - known[2])
        if more > 0:
            _post(connection, (f"limit:{audit_id}", line, source, account, more, "raised", now_ms))
        elif more < 0:
            _post(connection, (f"limit:{audit_id}", line, account, source, -more, "lowered", now_ms))
            # What processes have leased of it would let them spend the limit of before.
            connection.execute("UPDATE lease SET recall = 1 WHERE account_id = ? AND state = 'active'", (account,))


def _labels(limit: Limit, now_ms: int) -> list[str]:
    moments = (now_ms, now_ms + KNOWN_ELSEWHERE_MS)
    return sorted({period_label(limit.period, limit.resets, at_ms) for at_ms in moments})


def _post(connection: Connection, values: Values) -> None:
    connection.execute(
        "INSERT INTO transfer (request, line, debit_account, credit_account, amount, code, at_ms) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        values,
    )


def _account(rows: Rows, account: str) -> tuple[int, int, int] | None:
    """Credits, debits, and what was withdrawn; None for an account that is not open yet."""
    found = rows(ACCOUNT, (account,))
    return msgspec.convert(found[0], tuple[int, int, int]) if found else None
