"""SqliteStore: accounts, ledger and call records in one SQLite file; the store of a fresh install."""

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import apsw

from tollhouse.accounts.change import Change
from tollhouse.accounts.principal import Principal
from tollhouse.accounts.store import KeyRow, NewKey, Workspace
from tollhouse.ir.fault import FaultError, invalid_request
from tollhouse.money.settlement import REVENUE
from tollhouse.money.store import Transfer
from tollhouse.observe.record import CallRecord
from tollhouse.stores.account_rows import KEYS, PRINCIPAL, WORKSPACES, account_of, key_of, principal_of, workspace_of
from tollhouse.stores.audit import KEY_CREATED, KEY_STATE, TOP_UP, key_detail, note, top_up_detail
from tollhouse.stores.consumers import add_consumer, check_names
from tollhouse.stores.database import FILE_NAME, Connection, Reader, Row, connect_writer, prepare_folder, same_file
from tollhouse.stores.health import Health, books_unavailable, fault_of
from tollhouse.stores.migrate import migrate, shipped
from tollhouse.stores.picture_files import FilePictures
from tollhouse.stores.routing_rules import SqliteRules
from tollhouse.stores.settlement import (
    CHARGES_SQL,
    DELETE_SQL,
    RECORD_SQL,
    Settlement,
    record_of,
    settlement_of,
    write_settlements,
)
from tollhouse.stores.sqlite_ledger import SqliteLedger
from tollhouse.stores.sqlite_quotas import SqliteQuotas
from tollhouse.stores.usage import UsageFilter, UsageRow, usage_query, usage_rows
from tollhouse.stores.writer import Writer

SOURCE = "source:nano_usd"
MAX_TOP_UP_NANO_USD = 10**18
PROBE_EVERY_S = 1.0
KEY_STATES = ("active", "disabled", "revoked")

_NAMED_KEY = f"{KEYS} WHERE k.id = ?1 OR k.hint = ?1"
_BALANCE = "SELECT credits - debits FROM account WHERE id = ?"


class SqliteStore:
    """Implements AccountStore and CallStore; its `ledger` is the LedgerStore, its `quotas` the QuotaStore, its `rules`
    the RulesStore. Several processes may open one data folder.

    Methods raise FaultError (books_unavailable) when the database cannot be used, with the cause in `detail`. They
    are called in an event loop. Look-ups by key run there and then, since they take less than a hop to a thread;
    lists and sums run in a thread; all writes go through the writer.
    """

    def __init__(
        self, path: Path, connection: Connection, applied: tuple[str, ...], clock_s: Callable[[], float]
    ) -> None:
        """Use `SqliteStore.open`, which makes what is missing."""
        self.path = path
        self.applied_migrations = applied
        self._health = Health()
        self._missing = same_file(path)
        self._look_ups = Reader(path, self._health)
        self._scans = Reader(path, self._health)
        self._writer: Writer[Settlement] = Writer(connection, write_settlements, self._missing, self._health)
        self.ledger = SqliteLedger(path.parent, self._writer, self._look_ups, clock_s)
        self.quotas = SqliteQuotas(self._writer, self._look_ups, self._scans, self.blocked)
        self.rules = SqliteRules(self._writer, self._look_ups, self._scans)
        self._clock_s = clock_s
        self._probed_s = clock_s()

    @classmethod
    def open(
        cls, data_dir: Path, *, create: bool = True, clock_s: Callable[[], float] = time.monotonic
    ) -> "SqliteStore":
        """Open the database of a data folder, brought up to date first. Blocks; call it before serving.

        `create` makes a missing folder and file. Raises FaultError (books_unavailable).
        """
        try:
            missing = not create and not (data_dir / FILE_NAME).exists()
        except OSError as error:
            why = f"the data folder {data_dir} cannot be read ({error.strerror}); run this as the gateway's user"
            raise books_unavailable(why) from error
        if missing:
            raise books_unavailable(
                f"there are no books in {data_dir}; check --data-dir, or begin with `tollhouse serve`"
            )
        path = prepare_folder(data_dir)
        try:
            connection = connect_writer(path)
            try:
                applied = migrate(connection, shipped(), time.time_ns() // 1_000_000)
                return cls(path, connection, applied, clock_s)
            except BaseException:
                connection.close()
                raise
        except (apsw.Error, OSError) as error:
            raise fault_of(error) from error

    async def close(self) -> None:
        """Write what waits and close the file; later calls raise FaultError."""
        # The writer's connection goes last: it may tidy the write-ahead log away, which a reader may not.
        self._look_ups.close()
        self._scans.close()
        await asyncio.to_thread(self._writer.close)
        self.ledger.owners.leave()

    def pictures(self, max_bytes: int) -> FilePictures:
        """Pictures that are kept for a while, in a folder beside the database."""
        return FilePictures(self.path.parent, max_bytes)

    def ready(self) -> bool:
        """Whether the books can be used. While they cannot, or nothing was asked of them lately, this also has the
        writer try them (at most once a second), so that the next answer is fresh."""
        now_s = self._clock_s()
        if now_s - self._probed_s >= PROBE_EVERY_S:
            self._probed_s = now_s
            self._writer.probe(_probe).add_done_callback(_ignore_outcome)
        return self.fault() is None

    def blocked(self) -> FaultError | None:
        """Why nothing may be spent at present, None when all is well, which costs a look at the file's name. Where the
        last thing that was asked of the books failed, they are tried again in passing."""
        fault = self.fault()
        return None if fault is None or self.ready() else fault

    def fault(self) -> FaultError | None:
        """Why the books cannot be used, None when they can."""
        cause = self._missing()
        return self._health.fault if cause is None else self._health.lost(cause)

    # Calls and money

    def commit_call(self, transfers: tuple[Transfer, ...], record: CallRecord) -> asyncio.Future[object]:
        """Post the transfers and keep the record in one commit: durable when the future is done, once however often
        it is repeated. It is queued at once and happens even when the future is cancelled."""
        return self._writer.settle(settlement_of(transfers, record))

    async def top_up(
        self, workspace_id: str, amount_nano_usd: int, reference: str, now_ms: int, change: Change | None = None
    ) -> int:
        """Add credit once per `reference`; the balance after it in nano-USD. Raises FaultError (invalid_request) for
        an amount that is not positive or absurd, an unknown workspace, or a reference used for something else."""
        if not 0 < amount_nano_usd <= MAX_TOP_UP_NANO_USD:
            raise invalid_request("An amount of credit must be above 0 and at most 1,000,000,000 USD.", "amount")
        account_id = account_of(workspace_id)

        def work(connection: Connection) -> int:
            request = f"topup:{reference}"
            asked = (SOURCE, account_id, amount_nano_usd)
            if connection.execute(_BALANCE, (account_id,)).fetchone() is None:
                raise invalid_request("There is no such workspace.", "workspace")
            known = connection.execute(
                "SELECT debit_account, credit_account, amount FROM transfer WHERE request = ?", (request,)
            ).fetchone()
            if known is None:
                connection.execute(
                    "INSERT INTO transfer (request, line, debit_account, credit_account, amount, code, at_ms) "
                    "VALUES (?, 0, ?, ?, ?, 'topup', ?)",
                    (request, *asked, now_ms),
                )
                if change is not None:
                    note(connection, change, TOP_UP, workspace_id, top_up_detail(amount_nano_usd, reference))
            elif known != asked:
                raise invalid_request(
                    f"The reference {reference!r} was used for another amount or workspace. Choose another.",
                    "reference",
                )
            return _first_int(connection.execute(_BALANCE, (account_id,)).fetchone())

        return await self._writer.run(work)

    async def balance(self, workspace_id: str) -> int:
        """Credits less debits in nano-USD; 0 for an unknown workspace."""
        return self._balance_of(account_of(workspace_id))

    def _balance_of(self, account_id: str) -> int:
        return _first_int(self._look_ups.row(_BALANCE, (account_id,)))

    async def call(self, request_id: str) -> CallRecord | None:
        """The record of one call."""
        row = self._look_ups.row(RECORD_SQL, (request_id,))
        return None if row is None else record_of(row)

    async def charges(self, request_id: str) -> tuple[tuple[str, int], ...]:
        """The lines that one call was charged: what was bought, and nano-USD."""
        rows = self._look_ups.rows(CHARGES_SQL, (request_id, REVENUE))
        return tuple((str(row[0]), _first_int(row[1:])) for row in rows)

    async def usage(self, which: UsageFilter, by: Sequence[str]) -> list[UsageRow]:
        """Sums of calls, tokens and cost out of the roll-ups, grouped by any of DIMENSIONS."""
        sql, values = usage_query(which, by)
        return usage_rows(await asyncio.to_thread(self._scans.rows, sql, values), which, by)

    async def delete_calls(self, before_ms: int, at_most: int) -> int:
        """Delete the records of the oldest calls that began before `before_ms` (Unix time), `at_most` so many, in one
        transaction; how many there were. Their charges and sums stay."""

        def work(connection: Connection) -> int:
            return len(connection.execute(DELETE_SQL, (before_ms, at_most)).fetchall())

        return await self._writer.run(work)

    # Accounts

    async def principal(self, digest: bytes) -> Principal | None:
        """The active key with this digest."""
        return principal_of(self._look_ups.rows(PRINCIPAL, (digest,)))

    async def create_workspace(self, name: str, now_ms: int) -> Workspace:
        """A new workspace with an empty purse; raises FaultError (invalid_request) when the name is taken or blank."""
        if not name.strip() or len(name) > 200 or not name.isprintable():
            raise invalid_request("A workspace's name has 1 to 200 printable characters.", "name")
        workspace_id = f"ws_{secrets.token_hex(8)}"

        def work(connection: Connection) -> None:
            taken = connection.execute("SELECT 1 FROM workspace WHERE name = ? OR id = ?", (name, name)).fetchone()
            if taken is not None:
                raise invalid_request(f"There is a workspace {name!r} already. Use it, or choose another name.", "name")
            connection.execute(
                "INSERT INTO workspace (id, name, created_at_ms) VALUES (?, ?, ?)", (workspace_id, name, now_ms)
            )
            connection.execute(
                "INSERT INTO account (id, kind, unit, scope) VALUES (?, 'credit', 'nano_usd', ?)",
                (account_of(workspace_id), workspace_id),
            )

        await self._writer.run(work)
        return Workspace(id=workspace_id, name=name, created_at_ms=now_ms, locked=False, balance_nano_usd=0)

    async def workspace(self, name: str) -> Workspace | None:
        """By name or id."""
        row = self._look_ups.row(f"{WORKSPACES} WHERE w.name = ?1 OR w.id = ?1", (name,))
        return None if row is None else workspace_of(row)

    async def workspaces(self) -> list[Workspace]:
        """All, by name."""
        rows = await asyncio.to_thread(self._scans.rows, f"{WORKSPACES} ORDER BY w.name")
        return [workspace_of(row) for row in rows]

    async def add_key(self, key: NewKey, change: Change | None = None) -> None:
        """Store a key's digest. Raises FaultError (invalid_request) for an unknown workspace, a name that cannot be
        shown, and a key that is stored already."""
        if len(key.name) > 200 or not key.name.isprintable():
            raise invalid_request("A key's name has at most 200 printable characters.", "name")
        if key.consumer is not None:
            check_names(key.consumer.username, key.consumer.custom_id)
        values = (key.id, key.workspace_id, key.name, key.digest, key.hint, key.created_at_ms, key.expires_at_ms)

        def work(connection: Connection) -> None:
            if connection.execute("SELECT 1 FROM workspace WHERE id = ?", (key.workspace_id,)).fetchone() is None:
                raise invalid_request("There is no such workspace.", "workspace")
            if connection.execute("SELECT 1 FROM api_key WHERE digest = ?", (key.digest,)).fetchone() is not None:
                raise invalid_request("This key is stored already.", "key")
            connection.execute(
                "INSERT INTO api_key (id, workspace_id, name, digest, hint, created_at_ms, expires_at_ms) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                values,
            )
            if key.consumer is not None:
                add_consumer(connection, key.id, key.consumer.username, key.consumer.custom_id, key.created_at_ms)
            if change is not None:
                note(connection, change, KEY_CREATED, key.id, key_detail(key))

        await self._writer.run(work)

    async def key(self, key: str) -> KeyRow | None:
        """By id or hint; None when there is none such. Raises FaultError (invalid_request) for a hint that fits
        several keys."""
        return _one_key(key, self._look_ups.rows(_NAMED_KEY, (key,)))

    async def keys(self, workspace: str | None = None) -> list[KeyRow]:
        """All keys, or those of one workspace (name or id), newest last."""
        sql = f"{KEYS} WHERE ?1 IS NULL OR w.name = ?1 OR w.id = ?1 ORDER BY k.created_at_ms, k.rowid"
        return [key_of(row) for row in await asyncio.to_thread(self._scans.rows, sql, (workspace,))]

    async def set_key_state(self, key: str, state: str, change: Change | None = None) -> KeyRow | None:
        """Disable, enable or revoke by id or hint; None when there is none such. A revoked key stays revoked: any
        other state, and a hint that fits several keys, raises FaultError (invalid_request)."""
        if state not in KEY_STATES:
            raise invalid_request(f"A key is {', '.join(KEY_STATES)}, not {state!r}.", "state")

        def work(connection: Connection) -> KeyRow | None:
            found = _one_key(key, connection.execute(_NAMED_KEY, (key,)).fetchall())
            if found is None:
                return None
            if found.state == "revoked" and state != "revoked":
                raise invalid_request(f"The key {found.hint} was revoked for good. Make a new one.", "key")
            connection.execute("UPDATE api_key SET state = ? WHERE id = ?", (state, found.id))
            if change is not None and found.state != state:
                note(connection, change, KEY_STATE, found.id, {"state": state, "before": found.state})
            return key_of(connection.execute(f"{KEYS} WHERE k.id = ?", (found.id,)).fetchall()[0])

        row = await self._writer.run(work)
        await self.quotas.changed()
        return row


def _probe(connection: Connection) -> None:
    # Changes nothing, yet writes a page: a full disk shows.
    connection.execute("UPDATE schema_version SET name = name WHERE version = 1")


def _one_key(key: str, rows: Sequence[Row]) -> KeyRow | None:
    if len(rows) > 1:
        ids = ", ".join(str(row[0]) for row in rows)
        raise invalid_request(f"Several keys look like {key}: say which by its id ({ids}).", "key")
    return key_of(rows[0]) if rows else None


def _ignore_outcome(future: asyncio.Future[object]) -> None:
    if not future.cancelled():
        future.exception()


def _first_int(row: object) -> int:
    return row[0] if isinstance(row, tuple) and row and isinstance(row[0], int) else 0
