"""What every store does with pictures that callers fetch by address: found by all, while they live, in bounds."""

import asyncio
import os
import stat
import time
from pathlib import Path

import pytest

from support.stores import Stores
from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.relay.picture_store import KeptPicture, is_name, new_name
from tollhouse.stores.picture_files import FOLDER, FilePictures
from tollhouse.stores.store import Store

HOUR_MS = 3_600_000
# Files that are being written have the time of day.
NOW_MS = time.time_ns() // 1_000_000
ROOM = 10_000


def picture(data: bytes = b"picture", expires_at_ms: int = NOW_MS + HOUR_MS, kind: str = "image/png") -> KeptPicture:
    return KeptPicture(name=new_name(kind), data=data, expires_at_ms=expires_at_ms)


@pytest.mark.row(128)
def test_a_picture_is_found_until_it_expires_by_whoever_shares_the_store(stores: Stores) -> None:
    one, two = picture(), picture(b"\x00\xff" * 100, kind="image/jpeg")

    async def work(store: Store) -> None:
        await store.pictures(ROOM).keep([one, two])
        other = store.pictures(ROOM)
        assert await other.find(one.name, NOW_MS) == one
        found = await other.find(two.name, one.expires_at_ms - 1)
        assert found == two
        assert found.media_type == "image/jpeg"
        assert await other.find(one.name, one.expires_at_ms) is None
        assert await other.find(new_name("image/png"), NOW_MS) is None

    stores(work)

    async def later(store: Store) -> None:
        assert await store.pictures(ROOM).find(one.name, NOW_MS) == one

    stores(later)


def test_what_has_expired_is_deleted_and_makes_room(stores: Stores) -> None:
    async def work(store: Store) -> None:
        pictures = store.pictures(300)
        await pictures.sweep(NOW_MS)
        assert await pictures.has_room()
        old, young = picture(b"x" * 200), picture(b"y" * 200, NOW_MS + 2 * HOUR_MS)
        await pictures.keep([old, young])
        assert not await pictures.has_room()
        # Another process sees what is there at its next sweep.
        other = store.pictures(300)
        assert await other.has_room()
        await other.sweep(NOW_MS)
        assert not await other.has_room()
        await asyncio.gather(*(each.sweep(old.expires_at_ms) for each in (pictures, other)))
        assert await pictures.has_room()
        assert await other.has_room()
        # Time is an argument: it would be found again, were it still there.
        assert await pictures.find(old.name, NOW_MS) is None
        assert await pictures.find(young.name, NOW_MS) == young

    stores(work)


def test_many_keep_and_sweep_at_once(stores: Stores) -> None:
    async def work(store: Store) -> None:
        several = [store.pictures(10**9) for _ in range(4)]
        kept = [picture(bytes([number]) * 1000) for number in range(40)]

        async def one(number: int) -> None:
            await several[number % 4].keep([kept[number]])
            await several[(number + 1) % 4].sweep(NOW_MS)

        await asyncio.gather(*(one(number) for number in range(40)))
        assert [await several[0].find(each.name, NOW_MS) for each in kept] == kept

    stores(work)


def test_the_files_are_the_gateways_own_and_whole(tmp_path: Path) -> None:
    async def work() -> None:
        pictures = FilePictures(tmp_path, ROOM)
        await pictures.sweep(NOW_MS)
        assert not (tmp_path / FOLDER).exists()
        one = picture()
        await pictures.keep([one])
        folder = tmp_path / FOLDER
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert [path.name for path in folder.iterdir()] == [one.name]
        # What a process that died has left of a picture goes with its hour.
        draft = folder / ".0123456789abcdef"
        draft.write_bytes(b"half")
        os.utime(draft, (NOW_MS / 1000, NOW_MS / 1000))
        await pictures.sweep(NOW_MS + HOUR_MS - 1)
        assert draft.exists()
        await pictures.sweep(NOW_MS + HOUR_MS)
        assert list(folder.iterdir()) == []

    asyncio.run(work())


def test_a_folder_that_cannot_be_used_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("in the way")

    async def work() -> None:
        with pytest.raises(FaultError) as raised:
            await FilePictures(tmp_path, ROOM).keep([picture()])
        assert raised.value.fault.kind is FaultKind.BOOKS_UNAVAILABLE
        with pytest.raises(FaultError):
            await FilePictures(tmp_path, ROOM).find(new_name("image/png"), NOW_MS)

    asyncio.run(work())


def test_names() -> None:
    names = {new_name("image/webp") for _ in range(100)}
    assert len(names) == 100
    assert all(is_name(name) for name in names)
    for other in ("", "x.png", "../../books.db", f"{'A' * 43}.html", f"{'A' * 43}.png\n", f"{'A' * 42}/.png"):
        assert not is_name(other)
