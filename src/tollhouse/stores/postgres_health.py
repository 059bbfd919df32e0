"""What a failing PostgreSQL means to operators, and whether its books can be used at present."""

import asyncpg  # pyright: ignore[reportMissingTypeStubs] -- it ships none

from tollhouse.ir.fault import Fault, FaultError, FaultKind
from tollhouse.stores.health import books_unavailable

DATABASE_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
"""All that a connection raises; TimeoutError is one of our own limits."""

# SQLSTATE codes or their beginnings (PostgreSQL 15, appendix A): what it is, and what the operator does about it.
_CAUSES = (
    ("53100", "the database's disk is full; make room on its server"),
    ("53300", "the database takes no more connections; raise its max_connections or put PgBouncer before it"),
    ("53", "the database's server has no resources left; look at its memory and disk"),
    ("57014", "the database took too long; look at its load and locks"),
    ("55P03", "the database took too long; look at its load and locks"),
    ("57P", "the database is stopping or starting; wait until it is up"),
    ("25006", "the database takes no writes: it is a standby, or was set to read-only; give the primary's address"),
    ("28", "the database refused the user or the password; check the database URL"),
    ("3D000", "there is no database of this name; create it, or check the database URL"),
    ("42501", "the database's user may not do this; grant it all rights on its own tables"),
    ("42P01", "a table is missing; run `tollhouse migrate`"),
    ("08", "the connection to the database broke; check that its server is up"),
    ("58", "reading or writing the database's disk failed; check its server"),
    ("XX", "the database is damaged; look at its server's log"),
)
_AGAIN = frozenset({"40001", "40P01"})
# The server gave up one statement, and answers others.
_BUSY = frozenset({"57014", "55P03"})


def _state_of(error: Exception) -> str:
    # What PostgreSQL sent; asyncpg keeps it as a class attribute of each error.
    state: object = getattr(error, "sqlstate", None)
    return state if isinstance(state, str) else ""


def store_wide(error: Exception) -> str | None:
    """What is wrong with the database as a whole; None when the error concerns one statement only."""
    if isinstance(error, asyncpg.PostgresError):
        state = _state_of(error)
        return next((cause for beginning, cause in _CAUSES if state.startswith(beginning)), None)
    if isinstance(error, TimeoutError):
        return "the database does not answer in time; look at its server and the network"
    if isinstance(error, OSError):
        return "the database cannot be reached; check that its server is up and the database URL"
    if isinstance(error, asyncpg.DataError | asyncpg.ClientConfigurationError):
        return None
    return "the connection to the database broke; check that its server is up"


def worth_repeating(error: Exception) -> bool:
    """Whether the same statement may well succeed at once: another one was in its way and won."""
    return _state_of(error) in _AGAIN


def fault_of(error: Exception) -> FaultError:
    """The refusal that a database error stands for. What the driver says goes into the detail: it never holds the
    password."""
    cause = store_wide(error)
    if cause is not None:
        said = str(error)
        return books_unavailable(f"{cause} ({said})" if said else cause)
    message = "The gateway could not write its books because of a fault of its own. Please report it."
    return FaultError(Fault(kind=FaultKind.INTERNAL, message=message, detail=f"{type(error).__name__}: {error}"))


class Health:
    """Whether the books can be used: the last thing that happened to them."""

    def __init__(self) -> None:
        self.fault: FaultError | None = None

    def succeeded(self) -> None:
        """The database answered."""
        self.fault = None

    def failed(self, error: Exception) -> FaultError:
        """Take note of an error; returns what it stands for. Errors of single statements leave the books usable."""
        fault = fault_of(error)
        if store_wide(error) is not None and _state_of(error) not in _BUSY:
            self.fault = fault
        return fault
