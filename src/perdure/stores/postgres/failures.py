"""The failures of PostgreSQL and of the connection to it, and what each means for a command."""

from enum import Enum

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout

from perdure.errors import CorruptBlob, Invalid, PerdureError, StoreUnavailable

__all__ = ["Meaning", "as_refusal", "in_words", "meaning"]


class Meaning(Enum):
    """What a failure means for the commands of its transaction.

    `AGAIN`: they were rolled back in favour of others; execute them again. `AWAY`: the database can't be
    reached or can't be written at present. `THEIRS`: their own statements failed.
    """

    AGAIN = 1
    AWAY = 2
    THEIRS = 3


_AGAIN = {"40001", "40P01", "55P03"}  # serialization failure, deadlock, lock not available
_OUTDATED = "cached plan must not change result type"  # the connection prepared it before a migration
# Connection exceptions, insufficient resources, an operator's intervention, system errors, an invalid role.
_AWAY = ("08", "53", "57", "58", "28")
_READ_ONLY = {"25006", "55000"}  # of a standby
_CORRUPTED = ("XX",)


def meaning(error: Exception) -> Meaning:
    """Return what a failure means."""
    if isinstance(error, PoolTimeout | PoolClosed | psycopg.InterfaceError | OSError):
        return Meaning.AWAY
    state = getattr(error, "sqlstate", None)
    if state is None:
        return Meaning.AWAY if isinstance(error, psycopg.OperationalError) else Meaning.THEIRS
    if state in _AGAIN or _OUTDATED in str(error):
        return Meaning.AGAIN
    return Meaning.AWAY if state.startswith(_AWAY) or state in _READ_ONLY else Meaning.THEIRS


def in_words(error: BaseException) -> str:
    """Return a failure as one line, with PostgreSQL's own code if it has one."""
    if isinstance(error, PoolTimeout):
        return "no connection is free"
    if getattr(error, "sqlstate", None) in _READ_ONLY:
        return f"PostgreSQL is read-only, as a standby is: {_first_line(error)}"
    code = getattr(error, "sqlstate", None)
    return f"PostgreSQL: {_first_line(error)}" + (f" ({code})" if code else "")


def as_refusal(error: Exception) -> Exception:
    """Return the error that a command is refused with if its own statements fail."""
    state = getattr(error, "sqlstate", None) or ""
    if isinstance(error, PerdureError) or not isinstance(error, psycopg.Error):
        return error
    if state.startswith(_CORRUPTED):
        return CorruptBlob(reason=in_words(error))
    if isinstance(error, psycopg.DataError):
        return Invalid(f"PostgreSQL can't store a value: {_first_line(error)}.")
    return StoreUnavailable(reason=in_words(error))


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__
