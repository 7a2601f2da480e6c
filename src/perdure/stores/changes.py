"""What the SQLite store writes: one function a change, each within a transaction of the writer's.

A function answers with the result and with what to tell those who watch. If it raises, the writer undoes what
it did.
"""

import time
from collections.abc import Sequence
from typing import NamedTuple

import apsw
import msgspec

from perdure.errors import (
    CorruptBlob,
    Fenced,
    Invalid,
    KeyReused,
    PositionConflict,
    RunExists,
    RunFinished,
    RunNotFound,
    SavepointNameTaken,
    SavepointNotFound,
    StepNotFound,
    VersionConflict,
)
from perdure.lifecycle import FINAL, RunState
from perdure.run import Change, Entry, Execution, Key, Run, Step
from perdure.state.savepoint import Savepoint, SavepointInfo
from perdure.stores import execution_rows
from perdure.stores.base import Committed, Created, Record, Told, commits
from perdure.stores.chain import Appended
from perdure.stores.checksums import checksum
from perdure.stores.database import row, rows
from perdure.stores.keys import find_made, find_step, record_run_key, record_step_key
from perdure.stores.queries import QUERIES
from perdure.stores.quota import Quota
from perdure.stores.values import identity, to_info, to_run, to_state, to_tags

__all__ = [
    "Found",
    "Put",
    "append",
    "change_record",
    "change_run",
    "check_quota",
    "count_results",
    "create_run",
    "delete_record",
    "delete_run",
    "find",
    "fork_run",
    "fork_runs",
    "mark_savepoint",
    "put_record",
    "put_savepoint",
    "read_back",
    "repair_step",
]

_SQL = {name: query.sql for name, query in QUERIES.items()}
_ADVANCE_RUN = _SQL["advance_run"]
_INSERT_STEP = _SQL["insert_step"]


class Put(msgspec.Struct, frozen=True, kw_only=True):
    """A savepoint to be kept, encoded by whoever hands it in: the writer's time is everyone's."""

    timestamp: int
    position: int
    milestone: bool
    keep: int | None
    blob: bytes
    name: str | None = None
    pinned: bool = False

    @classmethod
    def of(cls, savepoint: Savepoint, *, name: str | None = None, pinned: bool = False) -> "Put":
        """Encode a savepoint."""
        return cls(
            timestamp=savepoint.timestamp,
            position=savepoint.position,
            milestone=savepoint.milestone,
            keep=savepoint.keep,
            blob=savepoint.to_blob(),
            name=name,
            pinned=pinned,
        )


class Found(NamedTuple):
    """A run that was found; `lease` is that of its execution, or None if it has none."""

    number: int
    state: RunState
    position: int
    version: int
    lease: int | None


# Runs -------------------------------------------------------------------------------------------------------


def create_run(
    connection: apsw.Connection,
    run: Run,
    put: Put | None,
    key: Key | None,
    quota: Quota | None,
    execution: Execution | None,
    keep: int,
) -> tuple[Created, Committed | None]:
    """Keep a new run."""
    recorded = find_made(connection, run.owner, key)
    if recorded is not None:
        return Created(recorded, replayed=True), None
    _count_and_check(connection, run.owner, quota)
    created = _insert_run(connection, msgspec.structs.replace(run, position=0), key)
    if put is not None:
        _put(connection, created.number, put, keep)
    if execution is not None:
        execution_rows.insert(connection, created, execution)
    return Created(created), Committed(run.id, created.state, 0)


def fork_run(
    connection: apsw.Connection,
    run: Run,
    put: Put,
    key: Key | None,
    quota: Quota | None,
    execution: Execution | None,
    keep: int,
) -> tuple[Created, Committed | None]:
    """Keep a new run that begins with a copy of another's first steps."""
    recorded = find_made(connection, run.owner, key)
    if recorded is not None:
        return Created(recorded, replayed=True), None
    _count_and_check(connection, run.owner, quota)
    if run.parent is None or run.parent_position is None:
        raise Invalid(f"The run {run.id!r} can't be forked: it names no parent and step.")
    parent = find(connection, run.parent)
    if not 0 <= run.parent_position <= parent.position:
        raise StepNotFound(run=run.parent, step=run.parent_position, position=parent.position)
    created = _insert_run(connection, msgspec.structs.replace(run, position=run.parent_position), key)
    copied = (created.number, parent.number, run.parent_position)
    connection.execute(_SQL["copy_steps"], copied)
    if connection.changes() != run.parent_position:
        reason = f"steps are missing from the log of the run {run.parent!r} before step {run.parent_position}"
        raise CorruptBlob(reason=reason)
    connection.execute(_SQL["copy_savepoints"], copied)
    _put(connection, created.number, put, keep)
    if execution is not None:
        execution_rows.insert(connection, created, execution)
    return Created(created), Committed(run.id, created.state, created.position)


def fork_runs(
    connection: apsw.Connection,
    forks: Sequence[tuple[Run, Put, Key | None]],
    quota: Quota | None,
    keep: int,
) -> tuple[list[Created], Told]:
    """Keep several such runs; whoever calls undoes all of them if one is refused."""
    created: list[Created] = []
    told: list[Committed] = []
    for run, put, key in forks:
        made, committed = fork_run(connection, run, put, key, quota, None, keep)
        created.append(made)
        told += commits(committed)
    return created, tuple(told)


def change_run(
    connection: apsw.Connection, run_id: str, version: int, change: Change
) -> tuple[Run, Committed | None]:
    """Change a run's record if nobody else did."""
    found = find(connection, run_id)
    if found.version != version:
        raise VersionConflict(name=run_id)
    change_record(connection, found.number, change)
    run = read_back(connection, found.number)
    return run, Committed(run_id, run.state, run.position)


def delete_run(connection: apsw.Connection, run_id: str) -> tuple[None, Committed | None]:
    """Forget a run."""
    deleted = row(connection, _SQL["delete_run"], (run_id,))
    if deleted is None:
        raise RunNotFound(run=run_id)
    state, position = deleted
    return None, Committed(run_id, to_state(run_id, state), position, deleted=True)


def count_results(connection: apsw.Connection, owner: str) -> tuple[None, None]:
    """Count the bytes of an owner's results unless that was done."""
    connection.execute(_SQL["count_results"], (owner,))
    return None, None


def check_quota(connection: apsw.Connection, owner: str, quota: Quota) -> None:
    """Raise as `Quota.check` does if an owner has too much for one more run."""
    (unfinished,) = row(connection, _SQL["count_live_runs_of_owner"], (owner,)) or (0,)
    runs, size = row(connection, _SQL["read_owner"], (owner,)) or (0, 0)
    quota.check(
        owner,
        unfinished=unfinished,
        ended=runs - unfinished,
        result_bytes=size or 0,
        read_sizes=lambda: dict(rows(connection, _SQL["list_largest_results"], (owner,))),
    )


def _count_and_check(connection: apsw.Connection, owner: str, quota: Quota | None) -> None:
    if quota is not None:
        if quota.result_bytes is not None:
            count_results(connection, owner)
        check_quota(connection, owner, quota)


def _insert_run(connection: apsw.Connection, run: Run, key: Key | None) -> Run:
    if row(connection, _SQL["find_run"], (run.id,)) is not None:
        raise RunExists(run=run.id)
    inserted = row(
        connection,
        _SQL["insert_run"],
        (
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
            identity(run),
        ),
    )
    assert inserted is not None, "an insertion that succeeds answers with the number"
    (number,) = inserted
    connection.execute(_SQL["insert_spec"], (number, run.spec))
    if (run.name, run.tags) != ("", ()):
        connection.execute(_SQL["put_label"], (number, run.name, to_tags(run.tags)))
    if key is not None:
        record_run_key(connection, run.owner, key, number)
    return msgspec.structs.replace(run, number=number)


def find(connection: apsw.Connection, run_id: str) -> Found:
    """Return what is needed to change a run."""
    found = row(connection, _SQL["find_run"], (run_id,))
    if found is None:
        raise RunNotFound(run=run_id)
    number, state, position, version, lease = found
    return Found(number, to_state(run_id, state), position, version, lease)


def read_back(connection: apsw.Connection, number: int) -> Run:
    """Return a run that was found in this transaction."""
    values = row(connection, _SQL["read_run_by_number"], (number,))
    assert values is not None, "it was found in this transaction"
    return to_run(values)


def change_record(connection: apsw.Connection, number: int, change: Change) -> str:
    """Change the record of a run that was found in this transaction; return its state."""
    changed = row(
        connection,
        _SQL["change_run"],
        (
            number,
            None if change.state is None else change.state.value,
            None if change.state is None else change.state in FINAL,
            None if change.outcome is None else change.outcome.value,
            change.reason,
            None if change.of_label_only else time.time(),
        ),
    )
    assert changed is not None, "the run was found in this transaction"
    state, lease = changed
    if lease and change.state in FINAL:
        execution_rows.end_lease(connection, number)
    if change.spec is not None:
        connection.execute(_SQL["change_spec"], (number, change.spec))
    if (change.name, change.tags) != (None, None):
        tags = None if change.tags is None else to_tags(change.tags)
        connection.execute(_SQL["put_label"], (number, change.name, tags))
    return str(state)


# Steps ------------------------------------------------------------------------------------------------------


def append(
    connection: apsw.Connection,
    run_id: str,
    fence: int,
    opening: int,
    position: int,
    entries: Sequence[Entry],
    put: Put | None,
    change: Change | None,
    keep: int,
) -> tuple[Appended, Committed | None]:
    """Append entries to a log.

    The common case is two statements, three with a key. Only when one of them doesn't do what it should is it
    found out why, in the order that the port promises.
    """
    lease = _lease(fence, opening)
    moved = row(connection, _ADVANCE_RUN, (run_id, position, len(entries), time.time(), lease))
    if moved is None:
        return _replay_or_refuse(connection, run_id, fence, opening, position, entries)
    number, state = moved
    steps = []
    at = position
    for entry in entries:
        at += 1
        connection.execute(_INSERT_STEP, (number, at, entry.inputs, entry.outputs))
        key = entry.key
        if key is not None:
            try:
                record_step_key(connection, number, key, at)
            except apsw.ConstraintError:
                connection.execute(_SQL["item_undo"])
                return _replay_or_refuse(connection, run_id, fence, opening, position, entries, key)
        steps.append(Step(position=at, inputs=entry.inputs, outputs=entry.outputs))
    if put is not None:
        _put(connection, number, put, keep)
        if lease is not None:
            execution_rows.forget_deaths(connection, number)
    if change is not None:
        state = change_record(connection, number, change)
    return Appended(tuple(steps)), Committed(run_id, to_state(run_id, state), at)


def _replay_or_refuse(
    connection: apsw.Connection,
    run_id: str,
    fence: int,
    opening: int,
    position: int,
    entries: Sequence[Entry],
    taken: Key | None = None,
) -> tuple[Appended, None]:
    number, state, length, _, _ = _fenced(connection, run_id, fence, opening)
    keys = [entry.key for entry in entries if entry.key is not None]
    if entries and entries[0].key is not None and find_step(connection, number, entries[0].key) is not None:
        steps = (find_step(connection, number, key) for key in keys)
        return Appended(tuple(step for step in steps if step is not None), replayed=True), None
    if length != position:
        raise PositionConflict(run=run_id, expected=position + 1, position=length)
    if state in FINAL:
        raise RunFinished(run=run_id, state=state.value)
    assert taken is not None, "an append that isn't refused was refused for a later entry's key"
    raise KeyReused(key=taken.text)


def _fenced(connection: apsw.Connection, run_id: str, fence: int, opening: int) -> Found:
    """Return a run that whoever carries the token may write to; else raise `Fenced`."""
    found = find(connection, run_id)
    if found.lease != _lease(fence, opening):
        raise Fenced(run=run_id, fence=fence)
    return found


def _lease(fence: int, opening: int) -> int | None:
    """Return what a run's lease has to be for a writer with this token; -1, which none is, if it is stale."""
    if fence == opening:
        return None
    return fence if fence > opening else -1


def repair_step(connection: apsw.Connection, run_id: str, step: Step) -> tuple[None, None]:
    """Replace a step's blobs."""
    number, _, length, _, _ = find(connection, run_id)
    connection.execute(_SQL["repair_step"], (number, step.position, step.inputs, step.outputs))
    if not connection.changes():
        raise StepNotFound(run=run_id, step=step.position, position=length)
    return None, None


# Savepoints -------------------------------------------------------------------------------------------------


def put_savepoint(
    connection: apsw.Connection, run_id: str, fence: int, opening: int, put: Put, keep: int
) -> tuple[SavepointInfo, None]:
    """Keep a savepoint, then give up those that retention doesn't keep."""
    found = _fenced(connection, run_id, fence, opening)
    _check_name(connection, run_id, found.number, put.timestamp, put.name)
    info = _put(connection, found.number, put, keep)
    if found.lease is not None:
        execution_rows.forget_deaths(connection, found.number)
    return info, None


def mark_savepoint(
    connection: apsw.Connection, run_id: str, timestamp: int, name: str | None, pinned: bool
) -> tuple[SavepointInfo, None]:
    """Name and pin a savepoint, or undo that."""
    number, *_ = find(connection, run_id)
    values = row(connection, _SQL["mark_savepoint"], (number, timestamp, name, pinned))
    if values is None:
        raise SavepointNotFound(run=run_id, savepoint=timestamp)
    # An item that raises is undone, so the name is checked once it is known that there is a savepoint.
    _check_name(connection, run_id, number, timestamp, name)
    return to_info(values), None


def _check_name(
    connection: apsw.Connection, run_id: str, number: int, timestamp: int, name: str | None
) -> None:
    """Raise `SavepointNameTaken` if another savepoint of the run has the name."""
    if name is not None:
        other = row(connection, _SQL["savepoint_named"], (number, name, timestamp))
        if other is not None:
            raise SavepointNameTaken(run=run_id, name=name, timestamp=other[0])


def _put(connection: apsw.Connection, number: int, put: Put, keep: int) -> SavepointInfo:
    values = row(
        connection,
        _SQL["put_savepoint"],
        (
            number,
            put.timestamp,
            put.position,
            time.time(),
            put.name,
            put.pinned,
            put.milestone,
            put.blob,
        ),
    )
    assert values is not None, "an insertion that succeeds answers with the row"
    connection.execute(_SQL["prune_savepoints"], (number, (put.keep or keep) - 1, put.timestamp))
    return to_info(values)


# What dialects keep -----------------------------------------------------------------------------------------


def put_record(
    connection: apsw.Connection, dialect: str, id: str, blob: bytes, version: int | None
) -> tuple[Record, None]:
    """Keep a record, new or in place of a version."""
    made = row(connection, _SQL["next_record_version"])
    assert made is not None, "the first migration makes it"
    values = (dialect, id, *made, blob, checksum(dialect, id, *made, blob))
    if version is None:
        kept = row(connection, _SQL["insert_record"], values)
    else:
        kept = row(connection, _SQL["replace_record"], (*values, version))
    if kept is None:
        raise VersionConflict(name=id)
    return Record(id, blob, kept[0]), None


def delete_record(connection: apsw.Connection, dialect: str, id: str) -> tuple[None, None]:
    """Forget a record."""
    connection.execute(_SQL["delete_record"], (dialect, id))
    return None, None
