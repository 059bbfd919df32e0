"""PostgresLedger, the leases in PostgreSQL: each wish is one statement.

Locks are taken on accounts first, by id, then on leases, by account and id. That order, which the settlement keeps
too, is why no two statements ever wait for each other in a circle. READ COMMITTED is enough: what counts is read from
the locked row itself. `WHERE (SELECT count(*) FROM x) >= 0` makes a part of a statement wait for the locks that its
part `x` takes.

What is lessened is set to a value worked out from the locked row, never to `leased - amount`: an UPDATE first tries its
expressions on the row as the statement's snapshot has it, and checks the constraints of that, before it finds the
row that others have changed since.
"""

import secrets
from collections.abc import Mapping, Sequence

from tollhouse.money.store import Ask, Lease, OpenCall, Shortage
from tollhouse.stores.database import Row
from tollhouse.stores.health import books_unavailable
from tollhouse.stores.owners import Owners
from tollhouse.stores.postgres_monitor import CHANNEL, Monitor
from tollhouse.stores.postgres_opening import NOW_MS, OPEN_ACCOUNT, opening_values
from tollhouse.stores.postgres_pool import Pool
from tollhouse.stores.postgres_settlement import REQUEST_TYPES, recording

TTL_S = 30.0
GRACE_S = 10.0
_TTL_MS = round(TTL_S * 1000)

# As money/lease.py: share. An owner's second grant enlarges its lease.
_ACQUIRE = f"""
WITH ask AS (
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[]) AS t (account_id, need, want, lease_id)
), purse AS (
    SELECT a.id, a.credits - a.debits - a.leased AS available, a.leased
    FROM account a JOIN ask ON ask.account_id = a.id ORDER BY a.id FOR NO KEY UPDATE OF a
), short AS (
    SELECT count(*) AS accounts FROM ask LEFT JOIN purse p ON p.id = ask.account_id
    WHERE p.id IS NULL OR p.available < ask.need
), given AS (
    SELECT p.id, greatest(ask.need, least(ask.want, p.available / 4)) AS amount, ask.lease_id
    FROM purse p JOIN ask ON ask.account_id = p.id WHERE (SELECT accounts FROM short) = 0
), raised AS (
    UPDATE account a SET leased = a.leased + g.amount FROM given g WHERE a.id = g.id
    RETURNING a.id, g.amount, g.lease_id
), leased AS (
    INSERT INTO lease AS l (id, account_id, owner, granted, used, expires_at_ms)
    SELECT lease_id, id, $5, amount, 0, {NOW_MS} + $6::bigint FROM raised ORDER BY id
    ON CONFLICT (account_id, owner) WHERE state = 'active' DO UPDATE
    SET granted = l.granted + EXCLUDED.granted, expires_at_ms = greatest(EXCLUDED.expires_at_ms, l.expires_at_ms + 1)
    RETURNING l.id, l.account_id, l.granted, l.used, l.expires_at_ms
), alive AS (
    INSERT INTO owner (id, expires_at_ms)
    SELECT $5, {NOW_MS} + $6::bigint
    WHERE NOT EXISTS (SELECT 1 FROM owner WHERE id = $5 AND expires_at_ms > {NOW_MS} + $6::bigint / 2)
    ON CONFLICT (id) DO UPDATE SET expires_at_ms = EXCLUDED.expires_at_ms
)
SELECT ask.account_id, ask.need, p.id IS NOT NULL, coalesce(p.available, 0), coalesce(p.leased, 0),
    coalesce((SELECT granted - used FROM lease o
              WHERE o.account_id = ask.account_id AND o.owner = $5 AND o.state = 'active'), 0),
    l.id, l.granted, l.used, l.expires_at_ms
FROM ask LEFT JOIN purse p ON p.id = ask.account_id LEFT JOIN leased l ON l.account_id = ask.account_id
"""  # noqa: S608 -- constants only

# Only of a lease that was not granted or renewed since: a statement that the server executes late, after its sender
# gave it up and asked anew, would take what is in use by then.
_GIVE_BACK = """
WITH back AS (
    SELECT * FROM unnest($2::text[], $3::bigint[], $4::bigint[]) AS t (id, amount, expires_at_ms)
), purse AS (
    SELECT a.id, a.leased FROM account a WHERE a.id IN (SELECT l.account_id FROM lease l JOIN back USING (id))
    ORDER BY a.id FOR NO KEY UPDATE OF a
), mine AS (
    SELECT l.id, l.account_id, l.granted, l.used, least(b.amount, l.granted - l.used) AS amount
    FROM lease l JOIN back b ON b.id = l.id
    WHERE (SELECT count(*) FROM purse) >= 0 AND l.owner = $1 AND l.state = 'active'
        AND l.expires_at_ms = b.expires_at_ms
    ORDER BY l.account_id, l.id FOR NO KEY UPDATE OF l
), lessened AS (
    UPDATE lease l SET granted = m.granted - m.amount, used = m.used,
        state = CASE WHEN m.granted - m.amount = m.used THEN 'closed' ELSE 'active' END
    FROM mine m WHERE l.id = m.id
)
UPDATE account a SET leased = p.leased - m.amount
FROM purse p JOIN (SELECT account_id, sum(amount)::bigint AS amount FROM mine GROUP BY account_id) m
    ON m.account_id = p.id
WHERE a.id = p.id
"""

_RENEW = f"""
WITH alive AS (
    INSERT INTO owner (id, expires_at_ms) VALUES ($1, {NOW_MS} + $2::bigint)
    ON CONFLICT (id) DO UPDATE SET expires_at_ms = EXCLUDED.expires_at_ms
), mine AS (
    SELECT id FROM lease WHERE owner = $1 AND state = 'active' ORDER BY account_id, id FOR NO KEY UPDATE
)
UPDATE lease l SET expires_at_ms = greatest({NOW_MS} + $2::bigint, l.expires_at_ms + 1)
FROM mine WHERE l.id = mine.id
RETURNING l.id, l.account_id, l.granted, l.used, l.expires_at_ms
"""  # noqa: S608 -- constants only

_RECALL = f"""
WITH others AS (
    SELECT id FROM lease WHERE account_id = ANY ($2::text[]) AND owner <> $1 AND state = 'active' AND recall = 0
    ORDER BY account_id, id FOR NO KEY UPDATE
), recalled AS (
    UPDATE lease l SET recall = 1 FROM others WHERE l.id = others.id RETURNING l.owner
)
SELECT pg_notify('{CHANNEL}', owner) FROM (SELECT DISTINCT owner FROM recalled) told
"""  # noqa: S608 -- constants only

_RECALLED = """
WITH mine AS (
    SELECT id FROM lease WHERE owner = $1 AND state = 'active' AND recall = 1
    ORDER BY account_id, id FOR NO KEY UPDATE
)
UPDATE lease l SET recall = 0 FROM mine WHERE l.id = mine.id RETURNING l.account_id
"""

_NOTE_OPEN = f"""
WITH alive AS (
    INSERT INTO owner (id, expires_at_ms)
    SELECT DISTINCT o, {NOW_MS} + $8::bigint FROM unnest($2::text[]) AS o ORDER BY o
    ON CONFLICT (id) DO UPDATE SET expires_at_ms = EXCLUDED.expires_at_ms
)
INSERT INTO open_call (request_id, owner, started_at_ms, workspace_id, key_id, model, held_nano_usd)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::bigint[])
    AS t (request_id, owner, started_at_ms, workspace_id, key_id, model, held_nano_usd)
WHERE NOT EXISTS (SELECT 1 FROM request r WHERE r.id = t.request_id)
ORDER BY request_id ON CONFLICT (request_id) DO NOTHING
"""  # noqa: S608 -- constants only

_LEAVE = "DELETE FROM owner WHERE id = ANY ($1::text[])"

# Who has a lease is not dead yet: a gateway that was cut off for a while may have asked for one just now.
_BURY = f"""
DELETE FROM owner WHERE id IN (
    SELECT id FROM owner o WHERE expires_at_ms + $1::bigint < {NOW_MS}
        AND NOT EXISTS (SELECT 1 FROM lease l WHERE l.owner = o.id AND l.state = 'active')
    ORDER BY id FOR UPDATE SKIP LOCKED
)
"""  # noqa: S608 -- constants only

# An owner that left in good order has no row any more; one that crashed has one until it is buried.
_GONE = f"(expires_at_ms + $1::bigint < {NOW_MS} OR owner NOT IN (SELECT id FROM owner)) AND state = 'active'"  # noqa: S608 -- constants only

_CLOSE_LEASES = f"""
WITH purse AS (
    SELECT id, leased FROM account WHERE id IN (SELECT account_id FROM lease WHERE {_GONE})
    ORDER BY id FOR NO KEY UPDATE
), gone AS (
    SELECT id, account_id, granted - used AS rest FROM lease
    WHERE account_id IN (SELECT id FROM purse) AND {_GONE} ORDER BY account_id, id FOR NO KEY UPDATE
), closed AS (
    UPDATE lease l SET state = 'closed' FROM gone g WHERE l.id = g.id
)
UPDATE account a SET leased = p.leased - g.rest
FROM purse p JOIN (SELECT account_id, sum(rest)::bigint AS rest FROM gone GROUP BY account_id) g ON g.account_id = p.id
WHERE a.id = p.id
"""  # noqa: S608 -- constants only

# What a record says that is not known of a call whose process died.
_LOST = {
    "id": "request_id",
    "started_at_ms": "started_at_ms",
    "finished_at_ms": "started_at_ms",
    "workspace_id": "workspace_id",
    "key_id": "key_id",
    "dialect": "''",
    "format": "''",
    "model": "model",
    "stream": "0",
    "status": "'lost_on_crash'",
    "prompt_tokens": "0",
    "cached_tokens": "0",
    "completion_tokens": "0",
    "reasoning_tokens": "0",
    "cost_nano_usd": "0",
    "attempts": "'[]'",
    "losses": "'[]'",
}

_CLOSE_CALLS = f"""
WITH dead AS (
    SELECT * FROM open_call WHERE owner NOT IN (SELECT id FROM owner) ORDER BY request_id FOR UPDATE SKIP LOCKED
), call AS (
    SELECT {", ".join(f"{_LOST.get(name, 'NULL')}::{kind} AS {name}" for name, kind in REQUEST_TYPES.items())} FROM dead
), {recording("dead")}, struck AS (
    DELETE FROM open_call WHERE request_id IN (SELECT request_id FROM dead)
)
SELECT d.request_id, d.owner, d.started_at_ms, d.workspace_id, d.key_id, d.model, d.held_nano_usd
FROM dead d JOIN recorded ON recorded.id = d.request_id
"""  # noqa: S608 -- constants only


class PostgresLedger:
    """Implements LedgerStore."""

    def __init__(self, pool: Pool, monitor: Monitor, owners: Owners) -> None:
        """`owners` are the processes of this machine that use the same data folder."""
        self.owners = owners
        self._pool = pool
        self._monitor = monitor
        self._own: set[str] = set()
        # When each lease ends, by owner, as the database said last: its state, for those who want to change it.
        self._ends: dict[str, dict[str, int]] = {}

    async def join(self, owner: str) -> None:
        """See LedgerStore."""
        self.owners.join(owner)
        self._own.add(owner)
        await self.renew(owner)

    async def leave(self) -> None:
        """The owners of this process end: whatever is left of them may be swept at once. Raises FaultError; then the
        others wait until their time is over."""
        own, self._own = sorted(self._own), set()
        try:
            if own:
                await self._pool.fetch(_LEAVE, own, again=True)
        finally:
            self.owners.leave()

    async def acquire(self, owner: str, asks: Sequence[Ask]) -> tuple[Lease, ...] | tuple[Shortage, ...]:
        """See LedgerStore. Repeating it after a broken connection may grant twice; the answer says the sum."""
        rows = await self._ask(owner, asks)
        missing = {str(row[0]) for row in rows if not row[2]}
        openings = [(ask.account_id, ask.opening) for ask in asks if ask.opening and ask.account_id in missing]
        if openings:
            for account_id, opening in sorted(openings, key=lambda pair: pair[0]):
                await self._pool.fetch(OPEN_ACCOUNT, *opening_values(account_id, opening), again=True)
            rows = await self._ask(owner, asks)
        found = {str(row[0]): row for row in rows}
        if all(row[6] is not None for row in rows):
            granted = [found[ask.account_id] for ask in asks]
            self._ends.setdefault(owner, {}).update({str(row[6]): _int(row[9]) for row in granted})
            return tuple(_lease((row[6], row[0], row[7], row[8])) for row in granted)
        return tuple(_shortage(row) for _, row in sorted(found.items()) if not row[2] or _int(row[3]) < _int(row[1]))

    async def give_back(self, owner: str, unused: Mapping[str, int]) -> None:
        """See LedgerStore. Never repeated by itself: done twice it would take what is in use."""
        if unused:
            known = self._ends.get(owner, {})
            ends = [known.get(lease_id, 0) for lease_id in unused]
            await self._pool.fetch(_GIVE_BACK, owner, list(unused), list(unused.values()), ends)

    async def renew(self, owner: str) -> tuple[Lease, ...]:
        """See LedgerStore; also a sign of life of the owner."""
        rows = await self._pool.fetch(_RENEW, owner, _TTL_MS, again=True)
        self._ends[owner] = {str(row[0]): _int(row[4]) for row in rows}
        return tuple(_lease(row[:4]) for row in rows)

    async def recall(self, owner: str, account_ids: Sequence[str]) -> None:
        """See LedgerStore."""
        await self._pool.fetch(_RECALL, owner, list(account_ids), again=True)

    async def recalled(self, owner: str) -> frozenset[str]:
        """See LedgerStore. Asks the database only when there may be something."""
        if not self._monitor.may_be_recalled(owner):
            return frozenset()
        return frozenset(str(row[0]) for row in await self._pool.fetch(_RECALLED, owner))

    async def note_open(self, calls: Sequence[OpenCall]) -> None:
        """See LedgerStore; also a sign of life of the owner."""
        if not calls:
            return
        await self._pool.fetch(
            _NOTE_OPEN,
            [call.request_id for call in calls],
            [call.owner for call in calls],
            [call.started_at_ms for call in calls],
            [call.workspace_id for call in calls],
            [call.key_id for call in calls],
            [call.model for call in calls],
            [call.held_nano_usd for call in calls],
            _TTL_MS,
            again=True,
        )

    async def sweep(self) -> tuple[OpenCall, ...]:
        """See LedgerStore. Of another machine nobody can tell a crashed process from one that is cut off: both are
        given TTL_S + GRACE_S. A call is returned to one sweeper only."""
        grace_ms = round(GRACE_S * 1000)
        ended = self._ended_here()
        if ended:
            await self._pool.fetch(_LEAVE, ended, again=True)
        await self._pool.fetch(_CLOSE_LEASES, grace_ms, again=True)
        await self._pool.fetch(_BURY, grace_ms, again=True)
        rows = await self._pool.fetch(_CLOSE_CALLS)
        return tuple(
            OpenCall(
                request_id=str(row[0]),
                owner=str(row[1]),
                started_at_ms=_int(row[2]),
                workspace_id=str(row[3]),
                key_id=str(row[4]),
                model=str(row[5]),
                held_nano_usd=_int(row[6]),
            )
            for row in rows
        )

    def _ended_here(self) -> list[str]:
        """Owners of this data folder whose process has ended, however it did."""
        try:
            return [owner for owner in self.owners.known() if self.owners.is_gone(owner, bury=True)]
        except OSError as error:
            raise books_unavailable(f"the lock files of the data folder cannot be used ({error})") from error

    async def _ask(self, owner: str, asks: Sequence[Ask]) -> list[Row]:
        return await self._pool.fetch(
            _ACQUIRE,
            [ask.account_id for ask in asks],
            [ask.need for ask in asks],
            [ask.want for ask in asks],
            [f"lease_{secrets.token_hex(8)}" for _ in asks],
            owner,
            _TTL_MS,
            again=True,
        )


def _lease(row: Sequence[object]) -> Lease:
    lease_id, account_id, granted, used = row
    return Lease(id=str(lease_id), account_id=str(account_id), granted=_int(granted), used=_int(used), valid_s=TTL_S)


def _shortage(row: Row) -> Shortage:
    available, leased, own = _int(row[3]), _int(row[4]), _int(row[5])
    return Shortage(account_id=str(row[0]), available=available, leased_elsewhere=max(0, leased - own))


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0
