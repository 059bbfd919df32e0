"""PostgresPictures: the PictureStore in the database that all gateways share."""

from collections.abc import Sequence
from typing import cast

from tollhouse.relay.picture_store import KeptPicture
from tollhouse.stores.postgres_pool import LONG_TIMEOUT_S, Pool

_KEEP = """
INSERT INTO picture (name, data, size_bytes, expires_at_ms) VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO NOTHING
"""
_FIND = "SELECT data, expires_at_ms FROM picture WHERE name = $1 AND expires_at_ms > $2"
_SWEEP = "DELETE FROM picture WHERE expires_at_ms <= $1"
_SIZE = "SELECT COALESCE(SUM(size_bytes), 0)::bigint FROM picture"


class PostgresPictures:
    """`max_bytes` bounds what the table holds, counted at each sweep, with what this gateway has added since."""

    def __init__(self, pool: Pool, max_bytes: int) -> None:
        self._pool = pool
        self._max_bytes = max_bytes
        self._bytes = 0

    async def has_room(self) -> bool:
        """Whether another one may be kept."""
        return self._bytes < self._max_bytes

    async def keep(self, pictures: Sequence[KeptPicture]) -> None:
        """Keep all of them."""
        for each in pictures:
            values = (each.name, each.data, len(each.data), each.expires_at_ms)
            await self._pool.fetch(_KEEP, *values, again=True, timeout_s=LONG_TIMEOUT_S)
            self._bytes += len(each.data)

    async def find(self, name: str, now_ms: int) -> KeptPicture | None:
        """The picture of this name, None for none and for one that has expired."""
        rows = await self._pool.fetch(_FIND, name, now_ms, again=True, timeout_s=LONG_TIMEOUT_S)
        if not rows:
            return None
        data, expires_at_ms = cast("tuple[bytes, int]", rows[0])
        return KeptPicture(name=name, data=data, expires_at_ms=expires_at_ms)

    async def sweep(self, now_ms: int) -> None:
        """Delete those that have expired, and count the others."""
        await self._pool.fetch(_SWEEP, now_ms, again=True, timeout_s=LONG_TIMEOUT_S)
        rows = await self._pool.fetch(_SIZE, again=True, timeout_s=LONG_TIMEOUT_S)
        self._bytes = cast("int", rows[0][0])
