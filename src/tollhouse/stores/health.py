"""What a failing database means to callers and operators, and whether the books can be used at present."""

import apsw

from tollhouse.ir.fault import Fault, FaultError, FaultKind

RETRY_AFTER_S = 2.0

_FOR_CALLERS = "The books cannot be used at the moment, so nothing was spent. Please try again shortly."

# What it is, and what the operator does about it.
_CAUSES: tuple[tuple[type[apsw.Error], str], ...] = (
    (apsw.BusyError, "another process holds the database's lock; end it, or wait until it is done"),
    (apsw.LockedError, "another connection holds the database's lock; wait until it is done"),
    (apsw.FullError, "the disk is full; make room in the data folder"),
    (apsw.ReadOnlyError, "the data folder or the database file is read-only; give the gateway's user write permission"),
    (apsw.CantOpenError, "the database cannot be opened; check that the data folder exists and may be written to"),
    (apsw.CorruptError, "the database file is damaged; stop the gateway and restore a backup"),
    (apsw.NotADBError, "the database file is not a database; stop the gateway and restore a backup"),
    (apsw.IOError, "reading or writing the disk failed; check the disk of the data folder"),
    (apsw.PermissionsError, "the database file may not be used; check its owner and mode"),
    (apsw.AuthError, "the database file may not be used; check its owner and mode"),
    (apsw.NoMemError, "the machine has no memory left"),
    (apsw.ConnectionClosedError, "the books were closed because the gateway is ending"),
    (apsw.ProtocolError, "the database's locks are contended; try again"),
)
_LASTING = (apsw.CorruptError, apsw.NotADBError)
STORE_WIDE: tuple[type[apsw.Error], ...] = tuple(kind for kind, _ in _CAUSES)
"""Errors that concern the whole database rather than one statement."""


def books_unavailable(cause: str) -> FaultError:
    """The one refusal for books that cannot be read or written; `cause` is for the log and the command line."""
    return FaultError(
        Fault(kind=FaultKind.BOOKS_UNAVAILABLE, message=_FOR_CALLERS, detail=cause, retry_after_s=RETRY_AFTER_S)
    )


def fault_of(error: Exception) -> FaultError:
    """The refusal that a database error stands for; a FaultError stands for itself."""
    if isinstance(error, FaultError):
        return error
    for kind, cause in _CAUSES:
        if isinstance(error, kind):
            return books_unavailable(f"{cause} ({error})")
    message = "The gateway could not write its books because of a fault of its own. Please report it."
    return FaultError(Fault(kind=FaultKind.INTERNAL, message=message, detail=f"{type(error).__name__}: {error}"))


class Health:
    """Whether the books can be used: the last thing that happened to them. Safe to use from any thread."""

    def __init__(self) -> None:
        self.fault: FaultError | None = None
        self._lasting = False

    def succeeded(self) -> None:
        """A write was committed. Damage stays damage until a restart."""
        if not self._lasting:
            self.fault = None

    def failed(self, error: Exception) -> FaultError:
        """Take note of an error; returns what it stands for. Errors of single statements leave the books usable."""
        fault = fault_of(error)
        if isinstance(error, STORE_WIDE) and not self._lasting:
            self._lasting = isinstance(error, _LASTING)
            self.fault = fault
        return fault

    def lost(self, cause: str) -> FaultError:
        """The database is gone for good: only a restart helps."""
        self._lasting = True
        self.fault = books_unavailable(cause)
        return self.fault
