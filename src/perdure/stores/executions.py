"""The executions in the SQLite file: those of unfinished runs, damaged ones, and the leases that end.

A row whose checksum doesn't fit is never believed.
"""

from collections.abc import Iterator
from contextlib import suppress

import apsw
import structlog

from perdure.errors import CorruptBlob, NotExecuted, RunNotFound
from perdure.run import Execution
from perdure.stores.commands.base import Write
from perdure.stores.commands.executions import changed_execution, find_execution
from perdure.stores.commands.found import find_run, found
from perdure.stores.database import row, rows
from perdure.stores.queries import QUERIES
from perdure.stores.transaction import answer, apply
from perdure.stores.values import to_execution

__all__ = ["damaged_executions", "end_leases", "read_unfinished"]

log = structlog.get_logger(__name__)

_SQL = {name: query.sql for name, query in QUERIES.items()}


def read_unfinished(connection: apsw.Connection) -> Iterator[Execution | CorruptBlob]:
    """Yield the executions of unfinished runs, in the order of creation; a damaged one's error instead."""
    for (number,) in rows(connection, _SQL["list_executed"]):
        try:
            yield _read(connection, number)
        except CorruptBlob as error:
            yield error


def damaged_executions(connection: apsw.Connection) -> Iterator[str]:
    """Yield in words every execution and result that can't be trusted; reads them all."""
    for (number,) in rows(connection, _SQL["list_all_executed"]):
        try:
            _read(connection, number)
        except NotExecuted:
            yield f"the run with number {number} has an execution, but no lease"
        except CorruptBlob as error:
            yield str(error)


def end_leases(connection: apsw.Connection) -> None:
    """End all leases: the process that held them had the file open, and is gone.

    What can't be read stays as it is: whoever asks for it hears that it is damaged. All is read first, since
    a transaction that met damage takes nothing more.
    """
    writes = list(_ends_of_leases(connection))
    try:
        with connection:
            for write in writes:
                apply(connection, write)
    except apsw.CorruptError as error:
        log.error("leases_not_ended", reason=str(error))


def _ends_of_leases(connection: apsw.Connection) -> Iterator[Write]:
    try:
        leased = rows(connection, _SQL["list_leased"])
    except (CorruptBlob, apsw.CorruptError):
        return
    for (run_id,) in leased:
        # An id may be damaged in the row and not in its index, or the other way round.
        with suppress(CorruptBlob, RunNotFound, apsw.CorruptError):
            run = found(run_id, answer(connection, find_run(run_id)))
            yield from changed_execution(run, answer(connection, find_execution(run_id)), ended=True)


def _read(connection: apsw.Connection, number: int) -> Execution:
    values = row(connection, _SQL["read_execution_by_number"], (number,))
    if values is None:
        raise CorruptBlob(reason=f"the run with number {number} isn't there")
    return to_execution(values)
