"""Owners: a lock file for each process that spends from the books, by which the others know whether it still lives."""

import contextlib
import fcntl
import os
from pathlib import Path

from tollhouse.stores.database import make_folder
from tollhouse.stores.health import books_unavailable

_SUFFIX = ".lock"


class Owners:
    """The lock files of a data folder. The system lets go of a lock when its process ends, however it ends.

    An owner's name is used once, so a file that nobody has locked, or that is missing, belongs to one that is gone.
    """

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "owners"
        self._own: dict[str, int] = {}

    def join(self, owner: str) -> None:
        """Lock the owner's file. Raises FaultError (books_unavailable)."""
        # With the books elsewhere, this may be the first thing in the data folder.
        make_folder(self._folder.parent)
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            handle = self._lock_new(self._file(owner))
        except OSError as error:
            raise books_unavailable(f"the lock file of {owner} cannot be made in {self._folder} ({error})") from error
        self._own[owner] = handle

    def is_gone(self, owner: str, *, bury: bool = False) -> bool:
        """Whether the process of that name has ended; then `bury` removes its file. Raises OSError when that cannot
        be told."""
        if owner in self._own:
            return False
        try:
            handle = os.open(self._file(owner), os.O_RDWR)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if bury:
                self._file(owner).unlink(missing_ok=True)
        except BlockingIOError:
            return False
        else:
            return True
        finally:
            os.close(handle)

    def known(self) -> list[str]:
        """The owners that have a file."""
        with contextlib.suppress(FileNotFoundError):
            return [file.name.removesuffix(_SUFFIX) for file in self._folder.iterdir()]
        return []

    def leave(self) -> None:
        """Let go of this process's own."""
        for owner, handle in self._own.items():
            self._file(owner).unlink(missing_ok=True)
            os.close(handle)
        self._own.clear()

    def drop(self) -> None:
        """Let go of this process's own as its death would: the files stay."""
        for handle in self._own.values():
            os.close(handle)
        self._own.clear()

    def _lock_new(self, file: Path) -> int:
        """A handle that has the file's lock. Whoever looks whether we live may have it for a moment, and may take the
        file for one that was left behind and remove it: then there is another try."""
        while True:
            handle = os.open(file, os.O_CREAT | os.O_RDWR, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                if file.exists() and file.stat().st_ino == os.fstat(handle).st_ino:
                    return handle
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)

    def _file(self, owner: str) -> Path:
        return self._folder / f"{owner}{_SUFFIX}"
