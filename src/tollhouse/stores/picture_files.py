"""FilePictures: the PictureStore in a folder, which all processes of a data folder share."""

import asyncio
import contextlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from tollhouse.relay.picture_store import KeptPicture
from tollhouse.stores.health import books_unavailable

FOLDER = "pictures"


class FilePictures:
    """A file's time of change is the time at which it expires. `max_bytes` bounds what the folder holds, counted at
    each sweep, with what this process has added since."""

    def __init__(self, data_dir: Path, max_bytes: int) -> None:
        self._folder = data_dir / FOLDER
        self._max_bytes = max_bytes
        self._bytes = 0

    async def has_room(self) -> bool:
        """Whether another one may be kept."""
        return self._bytes < self._max_bytes

    async def keep(self, pictures: Sequence[KeptPicture]) -> None:
        """Keep all of them. Raises FaultError (books_unavailable) where the folder cannot be written."""
        await asyncio.to_thread(self._write, pictures)
        self._bytes += sum(len(each.data) for each in pictures)

    async def find(self, name: str, now_ms: int) -> KeptPicture | None:
        """The picture of this name, None for none and for one that has expired."""
        return await asyncio.to_thread(self._read, name, now_ms)

    async def sweep(self, now_ms: int) -> None:
        """Delete those that have expired, and count the others."""
        self._bytes = await asyncio.to_thread(self._swept, now_ms)

    def _write(self, pictures: Sequence[KeptPicture]) -> None:
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            for picture in pictures:
                # Under another name first: nobody may read half a file.
                draft = self._folder / f".{secrets.token_hex(8)}"
                draft.write_bytes(picture.data)
                expires_s = picture.expires_at_ms / 1000
                os.utime(draft, (expires_s, expires_s))
                draft.rename(self._folder / picture.name)
        except OSError as error:
            raise books_unavailable(f"a picture cannot be kept ({error.strerror})") from error

    def _read(self, name: str, now_ms: int) -> KeptPicture | None:
        path = self._folder / name
        try:
            expires_at_ms = round(path.stat().st_mtime * 1000)
            if expires_at_ms <= now_ms:
                return None
            return KeptPicture(name=name, data=path.read_bytes(), expires_at_ms=expires_at_ms)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise books_unavailable(f"a picture cannot be read ({error.strerror})") from error

    def _swept(self, now_ms: int) -> int:
        left = 0
        with contextlib.suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            for entry in entries:
                # Another process may sweep at the same time.
                with contextlib.suppress(FileNotFoundError):
                    found = entry.stat()
                    # A draft is of now; the rest of one that was never finished is old in an hour.
                    if found.st_mtime * 1000 <= now_ms - (3_600_000 if entry.name.startswith(".") else 0):
                        Path(entry.path).unlink()
                    else:
                        left += found.st_size
        return left
