"""Converts rows into values, and values into rows.

A row with a wrong content raises an error that names its run.
"""

from collections.abc import Sequence
from operator import eq
from typing import Any

import msgspec

from perdure.errors import CorruptBlob, NotExecuted
from perdure.lifecycle import FINAL, RunStatus
from perdure.run import Execution, LogLine, Run
from perdure.state.savepoint import SavepointInfo
from perdure.stores.checksums import checksum
from perdure.stores.queue import QueueGroup

__all__ = [
    "check_page",
    "execution_values",
    "group_values",
    "line_values",
    "run_values",
    "to_execution",
    "to_info",
    "to_run",
    "to_state",
    "to_tags",
]

_RUN = (
    "id",
    "kind",
    "owner",
    "spec",
    "state",
    "outcome",
    "reason",
    "position",
    "version",
    "created",
    "updated",
    "parent",
    "parent_position",
    "number",
    "generation",
    "name",
    "tags",
)
_STATES = {state.value: state for state in RunStatus}  # a lookup is faster than a call of the class
_IDENTITY = ("id", "kind", "owner", "created", "parent", "parent_position")  # fmt: skip
_EXECUTION = (
    "timeout",
    "desired",
    "attempt",
    "seconds",
    "crashes",
    "holder",
    "fence",
    "lease_until",
    "progress",
)


def to_run(values: tuple[Any, ...]) -> Run:
    """Convert a row of a query for runs into a run; raise `CorruptBlob` if it is damaged."""
    *columns, tags, kept = values
    try:
        run = msgspec.convert(dict(zip(_RUN, [*columns, msgspec.json.decode(tags)], strict=True)), Run)
    except msgspec.DecodeError as error:  # the base class of ValidationError
        raise CorruptBlob(reason=f"the record of the run {values[0]!r}: {error}") from error
    if kept is not None and kept != _identity(run):
        raise CorruptBlob(reason=f"the checksum of the record of the run {run.id!r} is wrong")
    return run


def to_tags(tags: tuple[str, ...]) -> str:
    """Convert tags into the value of their column."""
    return msgspec.json.encode(tags).decode()


def run_values(run: Run) -> tuple[Any, ...]:
    """Return the row of a new run, without its spec."""
    return (
        run.number,
        run.id,
        run.kind,
        run.owner,
        run.state.value,
        run.state in FINAL,
        None if run.outcome is None else run.outcome.value,
        run.reason,
        run.position,
        run.version,
        run.created,
        run.updated,
        run.parent,
        run.parent_position,
        _identity(run),
    )


def _identity(run: Run) -> bytes:
    """Return the checksum of the fields of a run that never change."""
    values = msgspec.structs.asdict(run)
    return checksum(*(float(values[name]) if name == "created" else values[name] for name in _IDENTITY))


def to_execution(values: tuple[Any, ...]) -> Execution:
    """Convert a row of a query for executions into an execution.

    Raises
    ------
    NotExecuted
        If the run has none.
    CorruptBlob
        If it is damaged.
    """
    number, run_id, kind, owner, lease, placed, *columns = values[:-7]
    needs, computed_by, stored, kept, answered, result, kept_of_result = values[-7:]
    needs, computed_by = needs or "", computed_by or ""
    if lease is None:
        raise NotExecuted(run=run_id, kind=kind)
    named = f"the execution of the run {run_id!r}"
    if placed is None:
        raise CorruptBlob(reason=f"{named} isn't there")
    if kept != _execution_checksum(number, columns, needs, computed_by):
        raise CorruptBlob(reason=f"the checksum of {named} is wrong")
    if result is None and answered:
        raise CorruptBlob(reason=f"the result of the run {run_id!r} isn't there")
    if result is not None and kept_of_result != checksum(number, result):
        raise CorruptBlob(reason=f"the checksum of the result of the run {run_id!r} is wrong")
    given = dict(zip(_EXECUTION, columns, strict=True), run_id=run_id, kind=kind, owner=owner, result=result)
    given |= {"needs": needs, "computed_by": computed_by, "stored": None if stored < 0 else stored}
    execution = msgspec.convert(given, Execution)
    if execution.fence != lease:
        raise CorruptBlob(reason=f"{named} has the lease {execution.fence}, its run {lease}")
    return execution


def execution_values(number: int, execution: Execution) -> tuple[Any, ...]:
    """Return the row of the execution of the run with this number, without its result and its needs."""
    columns = (
        # Floats, as the columns return them, so that the checksum covers the same values.
        None if execution.timeout is None else float(execution.timeout),
        execution.desired.value,
        execution.attempt,
        float(execution.seconds),
        execution.crashes,
        execution.holder,
        execution.fence,
        float(execution.lease_until),
        execution.progress,
    )
    return (number, *columns, _execution_checksum(number, columns, execution.needs, execution.computed_by))


def _execution_checksum(number: int, columns: Sequence[Any], needs: str, computed_by: str) -> bytes:
    """Return the checksum of an execution.

    An execution of a former schema has no needs and no `computed_by`.
    """
    texts = (needs, computed_by) if computed_by else (needs,) if needs else ()
    return checksum(number, *columns, *texts)


def group_values(group: QueueGroup) -> tuple[Any, ...]:
    """Convert a group of the queue into the values of its columns."""
    return (group.tag, group.kind, group.desired.value, group.state.value, int(group.short), group.needs)


def line_values(number: int, at: int, line: LogLine, size: int) -> tuple[Any, ...]:
    """Return the row of an output line of the run with this number.

    `size` is the total bytes up to its end.
    """
    values = (number, at, float(line.time), line.level, line.text, size)
    return (*values, checksum(*values))


def check_page(run_id: str, after: int, limit: int, position: int, found: Sequence[int]) -> None:
    """Raise `CorruptBlob` unless a page has every step after `after` up to the limit or the position.

    The error's values hold the first `missing` step, and the `next` one that exists or None.
    """
    expected = range(after + 1, min(after + limit, position) + 1)
    if len(found) == len(expected) and all(map(eq, found, expected)):
        return
    there = frozenset(found)
    missing = next((step for step in expected if step not in there), None)
    if missing is None:
        reason = f"the run {run_id!r} has the step {found[-1]}, but its record says {position} steps"
        raise CorruptBlob(reason=reason, next=found[-1])
    following = next((step for step in found if step > missing), None)
    reason = f"step {missing} isn't in the log of the run {run_id!r}, which has {position} steps"
    raise CorruptBlob(reason=reason, missing=missing, next=following)


def to_state(run_id: str, state: str) -> RunStatus:
    """Convert the name of a state; raise `CorruptBlob` if there is no such state."""
    found = _STATES.get(state)
    if found is None:
        raise CorruptBlob(reason=f"the record of the run {run_id!r}: {state!r} is no state")
    return found


def to_info(values: tuple[Any, ...]) -> SavepointInfo:
    """Convert a row of a query that describes savepoints into a description."""
    timestamp, position, created, size, name, pinned, milestone = values
    return SavepointInfo(
        timestamp=timestamp,
        position=position,
        created=created,
        size=size,
        name=name,
        pinned=bool(pinned),
        milestone=bool(milestone),
    )
