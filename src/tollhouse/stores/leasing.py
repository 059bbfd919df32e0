"""Leasing: the ledger's statements on SQLite, each a piece of work inside of one transaction."""

import secrets
from collections.abc import Callable, Mapping, Sequence

from tollhouse.money.lease import share
from tollhouse.money.store import Ask, Lease, OpenCall, Opening, Shortage
from tollhouse.stores.database import Connection, Row

LEASE_S = 30.0
GRACE_S = 10.0

_LEASE = "SELECT id, account_id, granted, used FROM lease"
RECALLED_SQL = "SELECT account_id FROM lease WHERE owner = ? AND state = 'active' AND recall = 1"
OWNERS_SQL = "SELECT owner FROM lease WHERE state = 'active' UNION SELECT owner FROM open_call"
RENEWALS_SQL = "SELECT id, expires_at_ms FROM lease WHERE state = 'active'"


def acquire(
    connection: Connection, owner: str, asks: Sequence[Ask], now_ms: int
) -> tuple[Lease, ...] | tuple[Shortage, ...]:
    """Grant all asks or none; see LedgerStore."""
    shares: list[int] = []
    short: list[Shortage] = []
    for ask in asks:
        if ask.opening is not None:
            open_account(connection, ask.account_id, ask.opening, now_ms)
        available = _int(connection, "SELECT credits - debits - leased FROM account WHERE id = ?", ask.account_id)
        shares.append(share(available, ask.need, ask.want))
        if available < ask.need:
            elsewhere = _int(
                connection,
                "SELECT SUM(granted - used) FROM lease WHERE account_id = ? AND state = 'active' AND owner <> ?",
                ask.account_id,
                owner,
            )
            short.append(Shortage(account_id=ask.account_id, available=available, leased_elsewhere=elsewhere))
    if short:
        return tuple(short)
    return tuple(
        _grant(connection, owner, ask.account_id, amount, now_ms) for ask, amount in zip(asks, shares, strict=True)
    )


def give_back(connection: Connection, owner: str, unused: Mapping[str, int]) -> None:
    """Return parts of leases; those that are used up are closed."""
    for lease_id, amount in unused.items():
        row = connection.execute(
            "SELECT account_id, MIN(?2, granted - used) FROM lease WHERE id = ?1 AND owner = ?3 AND state = 'active'",
            (lease_id, amount, owner),
        ).fetchone()
        if row is None or row[0] is None:
            continue
        account_id, returned = str(row[0]), _number(row[1])
        connection.execute("UPDATE account SET leased = leased - ? WHERE id = ?", (returned, account_id))
        connection.execute(
            "UPDATE lease SET granted = granted - ?1, "
            "state = CASE WHEN granted - ?1 = used THEN 'closed' ELSE state END WHERE id = ?2",
            (returned, lease_id),
        )


def renew(connection: Connection, owner: str, now_ms: int) -> tuple[Lease, ...]:
    """Extend the owner's leases. Each renewal changes the moment of their end, whatever the clock does."""
    connection.execute(
        "UPDATE lease SET expires_at_ms = MAX(?, expires_at_ms + 1) WHERE owner = ? AND state = 'active'",
        (now_ms + round(LEASE_S * 1000), owner),
    )
    rows = connection.execute(f"{_LEASE} WHERE owner = ? AND state = 'active'", (owner,))
    return tuple(_lease(row) for row in rows)


def recall(connection: Connection, owner: str, account_ids: Sequence[str]) -> None:
    """Mark the others' leases of these accounts."""
    for account_id in account_ids:
        connection.execute(
            "UPDATE lease SET recall = 1 WHERE account_id = ? AND state = 'active' AND owner <> ? AND recall = 0",
            (account_id, owner),
        )


def clear_recalls(connection: Connection, owner: str) -> None:
    """The owner has seen what it is asked to give back."""
    connection.execute("UPDATE lease SET recall = 0 WHERE owner = ? AND recall = 1", (owner,))


def close_leases(connection: Connection, condition: str, value: str) -> None:
    """Close the active leases with `condition` (SQL with one place) and give back what is left of them."""
    rows = connection.execute(
        f"SELECT id, account_id, granted - used FROM lease WHERE state = 'active' AND {condition}",  # noqa: S608 -- the module's own words
        (value,),
    ).fetchall()
    for lease_id, account_id, left in rows:
        connection.execute("UPDATE account SET leased = leased - ? WHERE id = ?", (_number(left), str(account_id)))
        connection.execute("UPDATE lease SET state = 'closed' WHERE id = ?", (str(lease_id),))


def close_calls(connection: Connection, owner: str) -> tuple[OpenCall, ...]:
    """End the open calls of an owner that is gone: each leaves a record that says so, and costs nothing."""
    rows = connection.execute(
        "SELECT request_id, started_at_ms, workspace_id, key_id, model, held_nano_usd FROM open_call WHERE owner = ?",
        (owner,),
    ).fetchall()
    connection.execute(
        "INSERT INTO request (id, started_at_ms, finished_at_ms, workspace_id, key_id, dialect, format, model, stream, "
        "status, prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens, cost_nano_usd, attempts) "
        "SELECT request_id, started_at_ms, started_at_ms, workspace_id, key_id, '', '', model, 0, "
        "'lost_on_crash', 0, 0, 0, 0, 0, '[]' FROM open_call WHERE owner = ? ON CONFLICT (id) DO NOTHING",
        (owner,),
    )
    connection.execute("DELETE FROM open_call WHERE owner = ?", (owner,))
    return tuple(
        OpenCall(
            request_id=str(row[0]),
            owner=owner,
            started_at_ms=_number(row[1]),
            workspace_id=str(row[2]),
            key_id=str(row[3]),
            model=str(row[4]),
            held_nano_usd=_number(row[5]),
        )
        for row in rows
    )


def note_open(connection: Connection, calls: Sequence[OpenCall]) -> None:
    """Keep note of calls, but for those that have ended meanwhile."""
    for call in calls:
        connection.execute(
            "INSERT INTO open_call SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 "
            "WHERE NOT EXISTS (SELECT 1 FROM request WHERE id = ?1) ON CONFLICT (request_id) DO NOTHING",
            (
                call.request_id,
                call.owner,
                call.started_at_ms,
                call.workspace_id,
                call.key_id,
                call.model,
                call.held_nano_usd,
            ),
        )


class Renewals:
    """Notices leases that are not renewed any more, by this process's own clock: the wall clock may jump.

    A lease counts as abandoned when it was seen unchanged for as long as it is valid, and the grace.
    """

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._seen: dict[str, tuple[int, float]] = {}

    def abandoned(self, rows: Sequence[Row]) -> list[str]:
        """Ids of abandoned leases, given all active ones (RENEWALS_SQL)."""
        now_s = self._clock_s()
        before = self._seen
        self._seen = {}
        for lease_id, expires_at_ms in rows:
            seen = before.get(str(lease_id))
            expires = _number(expires_at_ms)
            self._seen[str(lease_id)] = seen if seen is not None and seen[0] == expires else (expires, now_s)
        return [lease_id for lease_id, (_, since_s) in self._seen.items() if now_s - since_s >= LEASE_S + GRACE_S]


def open_account(connection: Connection, account_id: str, opening: Opening, now_ms: int) -> None:
    """Make the account of a period at its first use; its credit comes once, whoever is first."""
    there = connection.execute("SELECT 1 FROM account WHERE id = ?", (account_id,)).fetchone()
    if there is not None:
        return
    connection.execute(
        "INSERT INTO account (id, kind, unit, scope, period) VALUES (?, 'limit', ?, ?, ?)",
        (account_id, opening.unit, opening.scope, opening.period),
    )
    connection.execute(
        "INSERT INTO transfer (request, line, debit_account, credit_account, amount, code, at_ms) "
        "VALUES (?, 0, ?, ?, ?, 'opening', ?)",
        (f"open:{account_id}", opening.source_account, account_id, opening.amount, now_ms),
    )


def _grant(connection: Connection, owner: str, account_id: str, amount: int, now_ms: int) -> Lease:
    connection.execute("UPDATE account SET leased = leased + ? WHERE id = ?", (amount, account_id))
    connection.execute(
        "INSERT INTO lease (id, account_id, owner, granted, expires_at_ms) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (owner, account_id) WHERE state = 'active' DO UPDATE SET "
        "granted = granted + excluded.granted, expires_at_ms = MAX(excluded.expires_at_ms, expires_at_ms + 1)",
        (secrets.token_hex(8), account_id, owner, amount, now_ms + round(LEASE_S * 1000)),
    )
    row = connection.execute(
        f"{_LEASE} WHERE owner = ? AND account_id = ? AND state = 'active'", (owner, account_id)
    ).fetchall()[0]
    return _lease(row)


def _lease(row: Row) -> Lease:
    return Lease(id=str(row[0]), account_id=str(row[1]), granted=_number(row[2]), used=_number(row[3]), valid_s=LEASE_S)


def _int(connection: Connection, sql: str, *values: str) -> int:
    row = connection.execute(sql, values).fetchone()
    return 0 if row is None else _number(row[0])


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
