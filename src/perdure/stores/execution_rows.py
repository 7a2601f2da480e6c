"""Executions, results and log lines in the SQLite file; a row whose checksum doesn't fit is never believed.

What may happen to an execution is `executions`; this module only reads and writes it.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import apsw
import msgspec

from perdure.errors import CorruptBlob, NotExecuted, RunNotFound
from perdure.run import Execution, LogLine, Run
from perdure.stores import executions
from perdure.stores.checksums import checksum
from perdure.stores.database import row, rows
from perdure.stores.queries import QUERIES

__all__ = [
    "cut_lines",
    "damaged_executions",
    "end_lease",
    "forget_deaths",
    "insert",
    "lines_at",
    "put_result",
    "read",
    "read_by_number",
    "read_lines",
    "read_unfinished",
    "write",
    "write_lines",
]

_SQL = {name: query.sql for name, query in QUERIES.items()}
_COLUMNS = ("timeout", "wanted", "attempt", "seconds", "deaths", "holder", "fence", "lease_until", "progress")


def insert(connection: apsw.Connection, run: Run, execution: Execution) -> None:
    """Keep the execution of a run that was just kept."""
    made = executions.new(run, execution)
    connection.execute(_SQL["insert_execution"], _values(run.number, made))
    connection.execute(_SQL["set_lease"], (run.number, made.fence))


def read(connection: apsw.Connection, run_id: str) -> Execution:
    """Return the execution of a run, with its result."""
    values = row(connection, _SQL["read_execution"], (run_id,))
    if values is None:
        raise RunNotFound(run=run_id)
    return _execution(values)


def read_by_number(connection: apsw.Connection, number: int) -> Execution:
    """Return the execution of the run with this number, which was found in this transaction."""
    values = row(connection, _SQL["read_execution_by_number"], (number,))
    assert values is not None, "the run was found in this transaction"
    return _execution(values)


def read_unfinished(connection: apsw.Connection) -> Iterator[Execution | CorruptBlob]:
    """Yield the executions of unfinished runs, in the order of creation; a damaged one's error instead."""
    for (number,) in rows(connection, _SQL["list_executed"]):
        try:
            yield read_by_number(connection, number)
        except CorruptBlob as error:
            yield error


def write(connection: apsw.Connection, number: int, execution: Execution) -> None:
    """Put an execution in place of the former one; its result is `put_result`'s."""
    connection.execute(_SQL["change_execution"], _values(number, execution))
    connection.execute(_SQL["set_lease"], (number, execution.fence))


def put_result(connection: apsw.Connection, number: int, result: bytes) -> None:
    """Keep what a run came to."""
    connection.execute(_SQL["insert_result"], (number, result, checksum(number, result)))
    connection.execute(_SQL["note_result"], (number,))


def end_lease(connection: apsw.Connection, number: int) -> None:
    """End the lease of a run that has an execution."""
    write(connection, number, executions.given_back(read_by_number(connection, number)))


def forget_deaths(connection: apsw.Connection, number: int) -> None:
    """Put down that a run that has an execution took a savepoint."""
    execution = read_by_number(connection, number)
    if execution.deaths:
        write(connection, number, executions.reported(execution, deaths=0))


def write_lines(
    connection: apsw.Connection, number: int, lines: Sequence[LogLine], keep: int, keep_bytes: int
) -> None:
    """Add lines that a run wrote; the oldest go, those beyond the bytes too, but never the last one."""
    if not lines:
        return
    counted = row(connection, _SQL["count_log_lines"], (number, len(lines)))
    assert counted is not None, "the run was found in this transaction"
    (last,) = counted
    kept = lines[-keep:]
    (size,) = row(connection, _SQL["last_log_line"], (number,)) or (0,)
    added = []
    for at, line in enumerate(kept, last - len(kept) + 1):
        size += len(line.text.encode())
        values = (number, at, float(line.time), line.level, line.text, size)
        added.append((*values, checksum(*values)))
    connection.executemany(_SQL["insert_log_line"], added)
    gone = last - keep
    if size > keep_bytes:
        (beyond,) = row(connection, _SQL["log_line_at_byte"], (number, size - keep_bytes)) or (0,)
        gone = max(gone, min(beyond, last - 1))
    connection.execute(_SQL["prune_log_lines"], (number, gone))


def cut_lines(connection: apsw.Connection, number: int, last: int) -> None:
    """Forget what a run wrote after a line, so that the next one has the number after that."""
    connection.execute(_SQL["cut_log_lines"], (number, last))
    connection.execute(_SQL["count_log_lines_anew"], (number, last))


def lines_at(connection: apsw.Connection, number: int, timestamp: int) -> int | None:
    """Return the number of the last line that a run had written at a savepoint, or None."""
    found = row(connection, _SQL["lines_at_savepoint"], (number, timestamp))
    return None if found is None else int(found[0])


def read_lines(connection: apsw.Connection, run_id: str, after: int, limit: int) -> list[LogLine]:
    """Return the lines of a run after a number, ascending; `CorruptBlob` if one is damaged or missing.

    Older ones may be given up, so that a page begins anywhere; from there on each follows the one before, to
    the last one that was written. None may be kept at all: all were given up, and what came later was cut.
    """
    found = rows(connection, _SQL["list_log_lines"], (run_id, after, limit))
    lines: list[LogLine] = []
    last = after
    for run, written, number, time, level, text, size, kept in found:
        if number is None:
            if after < written and row(connection, _SQL["last_log_line"], (run,)) is not None:
                raise _lost(run_id, after + 1)
            return []
        if lines and number != last + 1:
            raise _lost(run_id, last + 1)
        if kept is not None and kept != checksum(run, number, time, level, text, size):
            raise CorruptBlob(reason=f"the checksum of line {number} of the run {run_id!r} is wrong")
        lines.append(LogLine(number=number, time=time, level=level, text=text))
        last = number
    if lines and len(lines) < limit and last != written:
        raise _lost(run_id, last + 1)
    return lines


def _lost(run_id: str, number: int) -> CorruptBlob:
    return CorruptBlob(reason=f"line {number} isn't in the log of the run {run_id!r}")


def damaged_executions(connection: apsw.Connection) -> Iterator[str]:
    """Yield in words every execution and result that can't be trusted; reads them all."""
    for (number,) in rows(connection, _SQL["list_all_executed"]):
        try:
            read_by_number(connection, number)
        except NotExecuted:
            yield f"the run with number {number} has an execution, but no lease"
        except CorruptBlob as error:
            yield str(error)


def _execution(values: tuple[Any, ...]) -> Execution:
    """Make an execution of a row; raise `CorruptBlob` if it can't be trusted."""
    number, run_id, kind, owner, lease, placed, *columns, kept, answered, result, kept_of_result = values
    if lease is None:
        executions.require(None, run_id, kind)
    named = f"the execution of the run {run_id!r}"
    if placed is None:
        raise CorruptBlob(reason=f"{named} isn't there")
    if kept != checksum(number, *columns):
        raise CorruptBlob(reason=f"the checksum of {named} is wrong")
    if result is None and answered:
        raise CorruptBlob(reason=f"the result of the run {run_id!r} isn't there")
    if result is not None and kept_of_result != checksum(number, result):
        raise CorruptBlob(reason=f"the checksum of the result of the run {run_id!r} is wrong")
    given = dict(zip(_COLUMNS, columns, strict=True), run_id=run_id, kind=kind, owner=owner, result=result)
    execution = msgspec.convert(given, Execution)
    if execution.fence != lease:
        raise CorruptBlob(reason=f"{named} has the lease {execution.fence}, its run {lease}")
    return execution


def _values(number: int, execution: Execution) -> tuple[Any, ...]:
    columns = [getattr(execution, name) for name in _COLUMNS]
    columns[_COLUMNS.index("wanted")] = execution.wanted.value
    # As they come back from columns of real numbers, so that the checksum is over the same.
    for name in ("timeout", "seconds", "lease_until"):
        at = _COLUMNS.index(name)
        columns[at] = None if columns[at] is None else float(columns[at])
    return (number, *columns, checksum(number, *columns))
