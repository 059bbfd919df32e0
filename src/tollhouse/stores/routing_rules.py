"""SqliteRules: the RulesStore on SQLite."""

import asyncio
from collections.abc import Sequence

from tollhouse.accounts.change import Change
from tollhouse.ir.fault import invalid_request
from tollhouse.routing.store import Activation, StoredRules
from tollhouse.stores.audit import note
from tollhouse.stores.database import Connection, Reader
from tollhouse.stores.past_calls import PastCall, past_calls_of, past_calls_query
from tollhouse.stores.sqlite_quotas import Changes
from tollhouse.stores.usage import UsageFilter

MAX_AUTHOR_CHARS = 200

RULES = "SELECT version, document, author, created_at_ms FROM routing_rules"
_ACTIVATION = "SELECT number, version, author, at_ms, back_to FROM routing_activation"
NEWEST = f"{_ACTIVATION} ORDER BY number DESC LIMIT 1"
_NEXT_VERSION = "SELECT COALESCE(MAX(version), 0) + 1 FROM routing_rules"
_INSERT_RULES = "INSERT INTO routing_rules (version, document, author, created_at_ms) VALUES (?, ?, ?, ?)"
_INSERT_ACTIVATION = "INSERT INTO routing_activation (number, version, author, at_ms, back_to) VALUES (?, ?, ?, ?, ?)"


class SqliteRules:
    """Implements RulesStore: writes go through the store's writer, look-ups take less than a hop to a thread."""

    def __init__(self, writer: Changes, look_ups: Reader, scans: Reader) -> None:
        """Made by SqliteStore."""
        self._writer = writer
        self._look_ups = look_ups
        self._scans = scans

    async def add(self, document: str, author: str, now_ms: int, *, activate: bool) -> StoredRules:
        """Keep a document under the next version. Raises FaultError (invalid_request) for an author that cannot be
        shown."""
        _check_author(author)

        def work(connection: Connection) -> StoredRules:
            version = _int(connection.execute(_NEXT_VERSION).fetchone(), 0)
            connection.execute(_INSERT_RULES, (version, document, author, now_ms))
            note(connection, Change(at_ms=now_ms, actor=author), "routing.store", f"rules:{version}", {})
            if activate:
                _activate(connection, version, author, now_ms)
            return StoredRules(version=version, document=document, author=author, created_at_ms=now_ms)

        return await self._writer.run(work)

    async def versions(self) -> list[StoredRules]:
        """All, oldest first."""
        rows = await asyncio.to_thread(self._scans.rows, f"{RULES} ORDER BY version")
        return [rules_of(row) for row in rows]

    async def version(self, version: int) -> StoredRules | None:
        """One of them."""
        row = self._look_ups.row(f"{RULES} WHERE version = ?", (version,))
        return None if row is None else rules_of(row)

    async def activation(self) -> Activation | None:
        """The newest."""
        row = self._look_ups.row(NEWEST)
        return None if row is None else activation_of(row)

    async def activate(self, version: int | None, author: str, now_ms: int) -> Activation:
        """Put a version in force, or the configuration's rules."""
        _check_author(author)

        def work(connection: Connection) -> Activation:
            if version is not None:
                known = connection.execute("SELECT 1 FROM routing_rules WHERE version = ?", (version,)).fetchone()
                if known is None:
                    raise invalid_request(
                        f"There are no rules of version {version}. `tollhouse route list` shows the versions.",
                        "version",
                    )
            return _activate(connection, version, author, now_ms)

        return await self._writer.run(work)

    async def roll_back(self, author: str, now_ms: int) -> Activation:
        """Put in force what held before."""
        _check_author(author)

        def work(connection: Connection) -> Activation:
            newest = connection.execute(NEWEST).fetchone()
            if newest is None:
                raise invalid_request("No rules were ever activated here, so there is nothing to go back to.")
            target = _int_or_none(newest[4])
            if target is None and newest[1] is None:
                raise invalid_request("The rules of the configuration are in force, and nothing held before them.")
            before = (
                None if target is None else connection.execute(f"{_ACTIVATION} WHERE number = ?", (target,)).fetchone()
            )
            # What held before the first activation are the rules of the configuration.
            version, back_to = (None, None) if before is None else (_int_or_none(before[1]), _int_or_none(before[4]))
            return _insert(connection, _int(newest, 0) + 1, (version, author, now_ms, back_to))

        return await self._writer.run(work)

    async def past_calls(self, which: UsageFilter, at_most: int, *, routed_only: bool) -> list[PastCall]:
        """The newest calls that ended well and had a prompt, on which rules can be tried."""
        sql, values = past_calls_query(which, at_most, routed_only=routed_only)
        return past_calls_of(await asyncio.to_thread(self._scans.rows, sql, values))


def _activate(connection: Connection, version: int | None, author: str, now_ms: int) -> Activation:
    newest = connection.execute(NEWEST).fetchone()
    if newest is None:
        return _insert(connection, 1, (version, author, now_ms, None))
    number = _int(newest, 0)
    if _int_or_none(newest[1]) == version:
        return activation_of(newest)
    return _insert(connection, number + 1, (version, author, now_ms, number))


def _insert(connection: Connection, number: int, rest: tuple[int | None, str, int, int | None]) -> Activation:
    version, author, at_ms, _ = rest
    connection.execute(_INSERT_ACTIVATION, (number, *rest))
    subject = "rules:configuration" if version is None else f"rules:{version}"
    note(connection, Change(at_ms=at_ms, actor=author), "routing.activate", subject, {"activation": number})
    return Activation(number=number, version=version, author=author, at_ms=at_ms)


def _check_author(author: str) -> None:
    if not author.strip() or len(author) > MAX_AUTHOR_CHARS or not author.isprintable():
        raise invalid_request(f"An author's name has 1 to {MAX_AUTHOR_CHARS} printable characters.", "author")


def rules_of(row: Sequence[object]) -> StoredRules:
    """A row of RULES."""
    return StoredRules(version=_int(row, 0), document=str(row[1]), author=str(row[2]), created_at_ms=_int(row, 3))


def activation_of(row: Sequence[object]) -> Activation:
    """A row of NEWEST."""
    return Activation(number=_int(row, 0), version=_int_or_none(row[1]), author=str(row[2]), at_ms=_int(row, 3))


def _int(row: Sequence[object] | None, column: int) -> int:
    value = None if row is None else row[column]
    return value if isinstance(value, int) else 0


def _int_or_none(value: object) -> int | None:
    return value if isinstance(value, int) else None
