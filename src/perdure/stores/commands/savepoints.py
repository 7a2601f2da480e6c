"""Savepoints: stores, names and pins them."""

from collections.abc import Sequence
from typing import overload

import msgspec

from perdure.errors import SavepointNameTaken, SavepointNotFound
from perdure.state.savepoint import Savepoint, SavepointInfo
from perdure.stores.commands.base import Answers, Decision, Moment, Query, Rows, Write, write
from perdure.stores.commands.blobs import find_blobs, name_blobs, name_locks
from perdure.stores.commands.execution_rows import changed_execution, find_execution
from perdure.stores.commands.found import Guard, Leased, RunCommand, find_run, found
from perdure.stores.commands.locks import Lock
from perdure.stores.values import to_info

__all__ = ["EncodedSavepoint", "MarkSavepoint", "PutSavepoint", "encoded", "put"]


class EncodedSavepoint(msgspec.Struct, frozen=True, kw_only=True):
    """A savepoint in its stored form. It is encoded before it is submitted, to spare the writer's thread.

    The attributes are those of `Savepoint`; `blob` holds its states.
    """

    timestamp: int
    position: int
    milestone: bool
    keep: int | None
    blob: bytes
    blobs: frozenset[int] = frozenset()


@overload
def encoded(savepoint: Savepoint) -> EncodedSavepoint: ...
@overload
def encoded(savepoint: Savepoint | None) -> EncodedSavepoint | None: ...
def encoded(savepoint: Savepoint | None) -> EncodedSavepoint | None:
    """Encode a savepoint, if there is one."""
    if savepoint is None:
        return None
    return EncodedSavepoint(
        timestamp=savepoint.timestamp,
        position=savepoint.position,
        milestone=savepoint.milestone,
        keep=savepoint.keep,
        blob=savepoint.to_blob(),
        blobs=savepoint.blobs,
    )


class PutSavepoint(RunCommand[SavepointInfo], frozen=True):
    """Store a savepoint without appending steps, in place of one with the same timestamp.

    The name, pin and milestone of the former one stay; `MarkSavepoint` removes name and pin. Retention is
    that of `Append`. Raises `Fenced` as `Append` does, and `SavepointNameTaken` if another savepoint of the
    run has the name.
    """

    guard: Guard
    savepoint: EncodedSavepoint
    name: str | None = None
    pinned: bool = False

    def locks(self) -> Sequence[Lock]:
        """Return the locks of the run and, if the savepoint names blobs, of blobs."""
        return *super().locks(), *name_locks(self.savepoint.blobs)

    def reads(self) -> Sequence[Query]:
        """Return the queries for the run, the former savepoint, one with the name, execution and blobs."""
        queries = _queries(self.run_id, self.savepoint.timestamp, self.name)
        queries += [find_execution(self.run_id)] if isinstance(self.guard, Leased) else []
        return [*queries, find_blobs(self.savepoint.blobs)]

    def decide(self, answers: Answers, at: Moment) -> Decision[SavepointInfo]:
        """Store it, then delete those that retention no longer keeps."""
        run, savepoint = found(self.run_id, answers[0]), self.savepoint
        run.check(self.guard)
        _check_name(self.run_id, self.name, answers[2])
        former = to_info(answers[1][0]) if answers[1] else None
        info = SavepointInfo(
            timestamp=savepoint.timestamp,
            position=savepoint.position,
            created=at.now,
            size=len(savepoint.blob),
            name=former.name if self.name is None and former is not None else self.name,
            pinned=self.pinned or (former is not None and former.pinned),
            milestone=savepoint.milestone or (former is not None and former.milestone),
        )
        writes = put(run.number, savepoint, at, answers[-1], self.name, self.pinned)
        if isinstance(self.guard, Leased):
            writes += changed_execution(run, answers[3], took_savepoint=True)
        return Decision(info, writes)


class MarkSavepoint(RunCommand[SavepointInfo], frozen=True):
    """Name or pin a savepoint, or undo that; raises `SavepointNotFound` if there is none.

    Raises `SavepointNameTaken` as `PutSavepoint` does.
    """

    timestamp: int
    name: str | None
    pinned: bool

    def reads(self) -> Sequence[Query]:
        """Return the queries for the run, the savepoint, and one with the name."""
        return _queries(self.run_id, self.timestamp, self.name)

    def decide(self, answers: Answers, at: Moment) -> Decision[SavepointInfo]:
        """Record the name and the pin."""
        run = found(self.run_id, answers[0])
        if not answers[1]:
            raise SavepointNotFound(run=self.run_id, savepoint=self.timestamp)
        _check_name(self.run_id, self.name, answers[2])
        info = msgspec.structs.replace(to_info(answers[1][0]), name=self.name, pinned=self.pinned)
        return Decision(info, [write("mark_savepoint", run.number, self.timestamp, self.name, self.pinned)])


def put(
    number: int,
    savepoint: EncodedSavepoint,
    at: Moment,
    counted: Rows,
    name: str | None = None,
    pinned: bool = False,
) -> list[Write]:
    """Return the writes that store a savepoint of the run with this number and apply retention.

    `counted` are the rows of `find_blobs`.
    """
    keep = savepoint.keep or at.retention.savepoints
    return [
        write(
            "put_savepoint",
            number,
            savepoint.timestamp,
            savepoint.position,
            at.now,
            name,
            pinned,
            savepoint.milestone,
            savepoint.blob,
        ),
        *name_blobs(number, savepoint.timestamp, savepoint.blobs, counted),
        write("prune_savepoints", number, keep - 1, savepoint.timestamp),
    ]


def _queries(run_id: str, timestamp: int, name: str | None) -> list[Query]:
    former = Query("find_savepoint", (run_id, timestamp))
    others = Query("find_savepoint_named", (run_id, name, timestamp))  # no name finds none
    return [find_run(run_id), former, others]


def _check_name(run_id: str, name: str | None, others: Rows) -> None:
    """Raise `SavepointNameTaken` if another savepoint of the run has the name."""
    if others:
        raise SavepointNameTaken(run=run_id, name=name, timestamp=others[0][0])
