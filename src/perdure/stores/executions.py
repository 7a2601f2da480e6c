"""The executions as rows: reads the intact ones, and ends the leases in an SQLite file.

A row with a wrong checksum is never used.
"""

from collections.abc import Iterator
from contextlib import suppress

import apsw
import structlog

from perdure.errors import CorruptBlob, NotExecuted
from perdure.run import Execution
from perdure.stores.ask import Ask
from perdure.stores.commands.base import Write, write
from perdure.stores.commands.execution_rows import changed_execution, find_execution
from perdure.stores.commands.found import find_run, found
from perdure.stores.database import intact
from perdure.stores.transaction import answer, apply
from perdure.stores.values import to_execution

__all__ = ["damaged_executions", "end_leases", "is_damaged", "unfinished"]

log = structlog.get_logger(__name__)


def unfinished(ask: Ask) -> list[Execution]:
    """Return the intact executions of unfinished runs, in the order of creation."""
    found = []
    for (number,) in ask("list_executed"):
        with suppress(CorruptBlob):
            found.append(_read(ask, number))
    return found


def is_damaged(ask: Ask, number: int) -> bool:
    """Return whether the execution of the run with this number is damaged."""
    try:
        _read(ask, number)
    except NotExecuted:
        return False
    except CorruptBlob:
        return True
    return False


def damaged_executions(ask: Ask) -> Iterator[str]:
    """Yield a sentence for every damaged execution and result; reads all of them."""
    for (number,) in ask("list_all_executed"):
        try:
            _read(ask, number)
        except NotExecuted:
            yield f"the run with number {number} has an execution, but no lease"
        except CorruptBlob as error:
            yield str(error)


def end_leases(connection: apsw.Connection) -> None:
    """End all leases: the process that held them had the file open, and has ended.

    A damaged execution isn't changed: its readers get an error, its lease stays, and it leaves the queue,
    since nothing works on it. Everything is read first, since a transaction that meets damage can't write any
    more.
    """
    writes = list(intact(connection, "list_leased", lambda run_id: _end_of_lease(connection, run_id)))
    try:
        with connection:
            for each in (*writes, write("forget_leased")):
                apply(connection, each)
    except apsw.CorruptError as error:
        log.error("leases_not_ended", reason=str(error))


def _end_of_lease(connection: apsw.Connection, run_id: str) -> Iterator[Write]:
    run = found(run_id, answer(connection, find_run(run_id)))
    yield from changed_execution(run, answer(connection, find_execution(run_id)), ended=True)


def _read(ask: Ask, number: int) -> Execution:
    found = ask("read_execution_by_number", number)
    if not found:
        raise CorruptBlob(reason=f"the run with number {number} isn't there")
    return to_execution(found[0])
