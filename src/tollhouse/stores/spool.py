"""Spool: settlements that the books could not take, line by line in a file of the data folder."""

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

_SUFFIX = ".jsonl"


class FileSpool:
    """Implements Spool (relay/settling.py). Each process writes a file of its own; what one that has ended left is
    taken over by the others. `is_gone` tells whether a process has ended."""

    def __init__(self, data_dir: Path, owner: str, is_gone: Callable[[str], bool]) -> None:
        self._folder = data_dir / "spool"
        self._owner = owner
        self._is_gone = is_gone

    async def append(self, entry: bytes) -> None:
        """Write one entry; it is on disk on return."""
        await asyncio.to_thread(self._append, entry)

    async def clear(self) -> None:
        """Forget this process's entries."""
        await asyncio.to_thread(self._clear)

    async def left_behind(self) -> Sequence[tuple[str, Sequence[bytes]]]:
        """The entries of processes that have ended, by file name."""
        return await asyncio.to_thread(self._left_behind)

    async def remove(self, name: str) -> None:
        """Delete the file of a process that has ended."""
        await asyncio.to_thread((self._folder / name).unlink, missing_ok=True)

    def _append(self, entry: bytes) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(self._folder / f"{self._owner}{_SUFFIX}", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        try:
            # The break in front ends whatever a write that failed has left.
            line = b"\n" + entry + b"\n"
            if os.write(handle, line) != len(line):
                raise OSError(f"the disk of {self._folder} took only a part of an entry")
            os.fsync(handle)
        finally:
            os.close(handle)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _clear(self) -> None:
        """The new file is made before the old one goes: a disk that is full, or may not be written to, shows."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        path = self._folder / f"{self._owner}{_SUFFIX}"
        draft = path.with_suffix(".new")
        draft.write_bytes(b"\n" * 4096)
        draft.unlink()
        path.unlink(missing_ok=True)

    def _left_behind(self) -> list[tuple[str, list[bytes]]]:
        found: list[tuple[str, list[bytes]]] = []
        with contextlib.suppress(FileNotFoundError):
            for file in sorted(self._folder.iterdir()):
                owner = file.name.removesuffix(_SUFFIX)
                if owner != file.name and owner != self._owner and self._is_gone(owner):
                    found.append((file.name, [line for line in file.read_bytes().split(b"\n") if line]))
        return found
