"""Monitor: one connection of its own that finds out whether PostgreSQL answers, and hears when leases are recalled."""

import asyncio

from tollhouse.stores.postgres_health import DATABASE_ERRORS, Health
from tollhouse.stores.postgres_pool import Connection, Database

CHANNEL = "tollhouse_recall"
PROBE_EVERY_S = 0.5
_RECONNECT_S = 0.2
_PROBE_TIMEOUT_S = 1.5

# It changes nothing, yet a standby refuses it.
_PROBE = "UPDATE schema_version SET name = name WHERE version = 1"


class Monitor:
    """Keeps the health up to date: false within some two seconds of a stop or a freeze, true soon after its end."""

    def __init__(self, database: Database, health: Health) -> None:
        self._database = database
        self._health = health
        self._listening = False
        self._asked: set[str] = set()
        self._recalled: set[str] = set()
        self._task = asyncio.create_task(self._watch())

    def may_be_recalled(self, owner: str) -> bool:
        """Whether leases of the owner may have been recalled since this was asked last.

        Behind a pooler, and while the connection is down, nothing can be heard: then the answer is always yes.
        """
        if not self._listening or owner not in self._asked or owner in self._recalled:
            self._recalled.discard(owner)
            self._asked.add(owner)
            return True
        return False

    async def close(self) -> None:
        """Stop watching."""
        while not self._task.done():
            # The driver may take a cancellation for the end of a wait of its own.
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=1.0)

    async def _watch(self) -> None:
        while True:
            connection: Connection | None = None
            try:
                connection = await self._database.connect()
                await self._watch_over(connection)
            except DATABASE_ERRORS as error:
                self._health.failed(error)
            finally:
                self._listening = False
                if connection is not None:
                    connection.terminate()
            await asyncio.sleep(_RECONNECT_S)

    async def _watch_over(self, connection: Connection) -> None:
        if not self._database.pooled:
            async with asyncio.timeout(_PROBE_TIMEOUT_S):
                await connection.add_listener(CHANNEL, self._hear)
            self._asked.clear()
            self._listening = True
        while True:
            # One simple statement: behind a pooler it need not be prepared.
            await connection.execute(_PROBE, timeout=_PROBE_TIMEOUT_S)
            self._health.succeeded()
            await asyncio.sleep(PROBE_EVERY_S)

    def _hear(self, _connection: object, _process: int, _channel: str, owner: object) -> None:
        self._recalled.add(str(owner))
