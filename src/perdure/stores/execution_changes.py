"""What the SQLite store writes of executions: one function a change, as in `changes`."""

from collections.abc import Sequence

import apsw

from perdure.clock import steady
from perdure.errors import SavepointNotFound
from perdure.lifecycle import RunState, Wanted
from perdure.run import Change, Execution, LogLine, Run
from perdure.stores import executions
from perdure.stores.base import Committed
from perdure.stores.changes import Found, change_record, find, read_back
from perdure.stores.database import row
from perdure.stores.execution_rows import (
    cut_lines,
    lines_at,
    put_result,
    read_by_number,
    write,
    write_lines,
)
from perdure.stores.queries import QUERIES

__all__ = ["cut", "finish", "lease", "release", "renew", "report", "want"]

_NEXT_FENCE = QUERIES["next_fence"].sql


def lease(
    connection: apsw.Connection, run_id: str, opening: int, holder: str, seconds: float
) -> tuple[Execution, Committed | None]:
    """Take a run to work on it."""
    found = find(connection, run_id)
    former = read_by_number(connection, found.number)
    made = row(connection, _NEXT_FENCE)
    assert made is not None, "the first migration makes it"
    begun = executions.begun(
        former,
        found.state,
        holder=holder,
        seconds=seconds,
        fence=made[0],
        opening=opening,
        now=steady(),
    )
    write(connection, found.number, begun)
    if begun.wanted is not Wanted.STARTED:
        return begun, Committed(run_id, found.state, found.position)
    change_record(connection, found.number, Change(state=RunState.STARTED))
    return begun, Committed(run_id, RunState.STARTED, found.position)


def renew(
    connection: apsw.Connection, run_id: str, fence: int, opening: int, seconds: float
) -> tuple[Execution, Committed | None]:
    """Let a lease run for so many seconds from now."""
    found, held = _held(connection, run_id, fence, opening)
    renewed = executions.renewed(held, seconds, steady())
    write(connection, found.number, renewed)
    return renewed, None


def report(
    connection: apsw.Connection,
    run_id: str,
    fence: int,
    opening: int,
    progress: bytes | None,
    seconds: float | None,
    deaths: int | None,
    lines: Sequence[LogLine],
    keep: int,
    keep_bytes: int,
) -> tuple[None, Committed | None]:
    """Put down how far a run got, and the lines it wrote."""
    found, held = _held(connection, run_id, fence, opening)
    reported = executions.reported(held, progress=progress, seconds=seconds, deaths=deaths)
    if reported != held:
        write(connection, found.number, reported)
    write_lines(connection, found.number, lines, keep, keep_bytes)
    return None, Committed(run_id, found.state, found.position)


def cut(
    connection: apsw.Connection, run_id: str, fence: int, opening: int, savepoint: int | None
) -> tuple[None, Committed | None]:
    """Forget the lines that a run wrote after a savepoint, or all."""
    found, _ = _held(connection, run_id, fence, opening)
    last = 0 if savepoint is None else lines_at(connection, found.number, savepoint)
    if last is None:
        raise SavepointNotFound(run=run_id, savepoint=savepoint)
    cut_lines(connection, found.number, last)
    return None, Committed(run_id, found.state, found.position)


def finish(
    connection: apsw.Connection,
    run_id: str,
    fence: int,
    opening: int,
    change: Change,
    result: bytes | None,
    seconds: float | None,
) -> tuple[Run, Committed | None]:
    """Bring a run to a final state with its result, and end its lease."""
    found = find(connection, run_id)
    ended = executions.ended(
        read_by_number(connection, found.number),
        found.state,
        fence,
        opening,
        change,
        result=result,
        seconds=seconds,
    )
    write(connection, found.number, ended)
    if result is not None:
        put_result(connection, found.number, result)
    change_record(connection, found.number, change)
    run = read_back(connection, found.number)
    return run, Committed(run_id, run.state, run.position)


def release(
    connection: apsw.Connection,
    run_id: str,
    fence: int,
    opening: int,
    seconds: float | None,
    deaths: int | None,
) -> tuple[None, Committed | None]:
    """Give a lease back."""
    found, held = _held(connection, run_id, fence, opening)
    write(
        connection,
        found.number,
        executions.given_back(executions.reported(held, seconds=seconds, deaths=deaths)),
    )
    return None, Committed(run_id, found.state, found.position)


def want(connection: apsw.Connection, run_id: str, wanted: Wanted) -> tuple[Execution, Committed | None]:
    """Put down which state a run's owner wants it in."""
    found = find(connection, run_id)
    wanting = executions.wanting(read_by_number(connection, found.number), found.state, wanted)
    write(connection, found.number, wanting)
    return wanting, Committed(run_id, found.state, found.position)


def _held(connection: apsw.Connection, run_id: str, fence: int, opening: int) -> tuple[Found, Execution]:
    found = find(connection, run_id)
    return found, executions.held(read_by_number(connection, found.number), fence, opening)
