"""Copies: what a store holds of a run, read and written as a whole, so that another store can hold the same.

Only a copy of a store is written in this way, and nobody works on it meanwhile. Numbers of runs and blobs and
versions of documents are those of the copied store, since savepoints and clients refer to them. Leases aren't
copied: they end by the clock of their store.
"""

import json
from collections.abc import Sequence
from typing import ClassVar

import msgspec

from perdure.errors import NotExecuted, PositionConflict
from perdure.lifecycle import FINAL
from perdure.run import Entry, Execution, Key, LogLine, Run
from perdure.stores.commands import locks
from perdure.stores.commands.base import (
    Answers,
    Command,
    Committed,
    Decision,
    Moment,
    Query,
    Write,
    write,
)
from perdure.stores.commands.documents import Document, document_writes
from perdure.stores.commands.execution_rows import given_back, put_result
from perdure.stores.commands.found import find_run, found, read_run
from perdure.stores.commands.locks import Lock
from perdure.stores.keys import run_key_values, step_key_values, to_creation_key
from perdure.stores.values import execution_values, line_values, run_values, to_execution, to_run, to_tags

__all__ = [
    "CopiedBlob",
    "CopiedSavepoint",
    "CopyBlobs",
    "CopyDocument",
    "CopyRun",
    "Counters",
    "RaiseCounters",
    "ReadBlobs",
    "ReadCounters",
    "ReadDialects",
    "ReadRun",
    "RunCopy",
]


class CopiedSavepoint(msgspec.Struct, frozen=True):
    """A savepoint as it is stored, with marks, number of output lines, and named blobs."""

    timestamp: int
    position: int
    created: float
    name: str | None
    pinned: bool
    milestone: bool
    blob: bytes
    lines: int
    blobs: tuple[int, ...]


class RunCopy(msgspec.Struct, frozen=True):
    """What a store holds of a run, besides its steps and output lines.

    Attributes
    ----------
    run
        The record.
    key
        The key with which it was created.
    execution
        The execution without a lease; None if it has none.
    lines
        The number of its last output line.
    savepoints
        Its savepoints, ascending.
    """

    run: Run
    key: Key | None
    execution: Execution | None
    lines: int
    savepoints: tuple[CopiedSavepoint, ...]


class ReadRun(Command[RunCopy], frozen=True):
    """Return what the store holds of a run at one moment, besides steps and output lines.

    Raises `RunNotFound`, and `CorruptBlob` if it is damaged.
    """

    at_once: ClassVar[bool] = True

    run_id: str

    def reads(self) -> Sequence[Query]:
        """Return the queries for the parts of the run."""
        asked = (self.run_id,)
        return (
            find_run(self.run_id),
            read_run(self.run_id),
            Query("find_creation_key", asked),
            Query("read_execution", asked),
            Query("list_whole_savepoints", asked),
            Query("list_savepoint_blobs", asked),
        )

    def decide(self, answers: Answers, at: Moment) -> Decision[RunCopy]:
        """Put the parts together."""
        stands, record, keys, execution, savepoints, blobs = answers
        run = found(self.run_id, stands)
        try:
            executed = given_back(to_execution(execution[0]))
        except NotExecuted:
            executed = None
        named: dict[int, list[int]] = {}
        for timestamp, number in blobs:
            named.setdefault(timestamp, []).append(number)
        copied = [
            CopiedSavepoint(
                timestamp, position, created, name, bool(pinned), bool(milestone), bytes(blob), lines or 0,
                tuple(named.get(timestamp, ())),
            )
            for timestamp, position, created, name, pinned, milestone, blob, lines in savepoints
        ]  # fmt: skip
        key = to_creation_key(keys)
        return Decision(RunCopy(to_run(record[0]), key, executed, run.lines, tuple(copied)))


class CopyRun(Command[None], frozen=True):
    """Make a run of a copy equal to a run of the copied store, whose log is longer by some steps.

    Raises `PositionConflict` unless the copy has exactly `after` steps of the run, and `KeyReused` never: the
    keys are those of the copied store.

    Attributes
    ----------
    copied
        What the copied store holds; its ``run.position`` is the number of steps afterwards.
    after, entries
        The number of steps that the copy has, and the steps that follow.
    lines
        All output lines that the copied store holds.
    """

    copied: RunCopy
    after: int = 0
    entries: Sequence[Entry] = ()
    lines: Sequence[LogLine] = ()

    def locks(self) -> Sequence[Lock]:
        """Return the locks of the run and of its owner's keys, and a shared one against the sweep."""
        run = self.copied.run
        return locks.run(run.id), locks.owner(run.owner), locks.shared(locks.BLOBS)

    def reads(self) -> Sequence[Query]:
        """Return the query for the run."""
        return (find_run(self.copied.run.id),)

    def decide(self, answers: Answers, at: Moment) -> Decision[None]:
        """Replace everything but the steps, and add those that follow."""
        run = self.copied.run
        position = 0
        if answers[0]:
            position = found(run.id, answers[0]).position
        if position != self.after:
            raise PositionConflict(run=run.id, expected=self.after + 1, position=position)
        writes = self._record(new=not answers[0])
        steps, keys = [], []
        for number, entry in enumerate(self.entries, self.after + 1):
            steps.append((run.number, number, entry.inputs, entry.outputs))
            if entry.key is not None:
                keys.append(step_key_values(run.number, entry.key, number))
        writes += [
            Write(name, rows) for name, rows in (("insert_step", steps), ("insert_step_key", keys)) if rows
        ]
        writes += self._execution()
        for it in self.copied.savepoints:
            marks = (it.name, it.pinned, it.milestone)
            values = (run.number, it.timestamp, it.position, it.created, *marks, it.blob, it.lines)
            writes.append(write("insert_whole_savepoint", *values))
            if it.blobs:
                writes.append(write("name_blobs", run.number, it.timestamp, json.dumps(it.blobs)))
        return Decision(None, writes, (Committed(run.id, run.state, run.position),))

    def _record(self, *, new: bool) -> list[Write]:
        run, key = self.copied.run, self.copied.key
        if new:
            writes = [write("insert_run", *run_values(run)), write("insert_spec", run.number, run.spec)]
        else:
            outcome = None if run.outcome is None else run.outcome.value
            standing = (run.state.value, run.state in FINAL, outcome, run.reason)
            changing = (run.position, run.version, run.updated)
            writes = [
                write("replace_run", run.number, *standing, *changing),
                write("change_spec", run.number, run.spec),
                write("clear_savepoints", run.number),
            ]
        if key is not None:
            writes += [
                write("clear_run_key", run.number),
                write("insert_run_key", *run_key_values(run.number, run.owner, key)),
            ]
        if run.name or run.tags or not new:
            writes.append(write("put_label", run.number, run.name, to_tags(run.tags)))
        writes.append(write("set_generation", run.number, run.generation))
        return writes

    def _execution(self) -> list[Write]:
        run, execution = self.copied.run, self.copied.execution
        if execution is None:
            return []
        number = run.number
        writes = [write(name, number) for name in ("forget_queued", "clear_execution", "clear_needs")]
        writes.append(write("cut_log_lines", number, 0))
        if execution.needs or execution.computed_by:
            writes.append(write("insert_whole_needs", number, execution.needs, execution.computed_by))
        writes += [
            write("insert_execution", *execution_values(number, execution)),
            write("set_lease", number, execution.fence),
            write("clear_stored", number),
        ]
        if execution.stored is None:
            writes.append(write("insert_unstored", number))
        elif execution.stored:
            writes.append(write("set_stored", number, execution.stored))
        if execution.result is not None:
            writes += put_result(number, execution.result)
        size, rows = 0, []
        for line in self.lines:
            size += len(line.text.encode())
            rows.append(line_values(number, line.number, line, size))
        if rows:
            writes.append(Write("insert_log_line", rows))
        return [*writes, write("count_log_lines", number, self.copied.lines)]


class CopiedBlob(msgspec.Struct, frozen=True):
    """A blob as it is stored: its number, its owner, its hash and size, and whether its object exists."""

    number: int
    owner: str
    hash: str
    size: int
    stored: bool


class ReadBlobs(Command[list[CopiedBlob]], frozen=True):
    """Return the blobs after a number, ascending, at most `limit`, without those that are being removed."""

    after: int = 0
    limit: int = 1000

    def reads(self) -> Sequence[Query]:
        """Return the query for the blobs."""
        return (Query("list_blobs", (self.after, self.limit)),)

    def decide(self, answers: Answers, at: Moment) -> Decision[list[CopiedBlob]]:
        """Return them."""
        (rows,) = answers
        return Decision(
            [
                CopiedBlob(number, owner, hash, size, bool(stored))
                for number, owner, hash, size, stored in rows
            ]
        )


class CopyBlobs(Command[None], frozen=True):
    """Add blobs to a copy, in place of others that savepoints may still name.

    Attributes
    ----------
    replaced
        Numbers of blobs that nobody may use any more; `ForgetBlobs` deletes them when no savepoint names
        them.
    added
        Blobs to add under their numbers.
    stored
        Numbers of blobs whose objects exist.
    """

    replaced: Sequence[int] = ()
    added: Sequence[CopiedBlob] = ()
    stored: Sequence[int] = ()

    def locks(self) -> Sequence[Lock]:
        """Return the lock of all blobs."""
        return (locks.BLOBS,)

    def decide(self, answers: Answers, at: Moment) -> Decision[None]:
        """Insert them."""
        writes = []
        if self.replaced:
            writes.append(Write("condemn_blob", [(number,) for number in self.replaced]))
        if self.added:
            rows = [(it.number, it.owner, it.hash, it.size) for it in self.added]
            writes.append(Write("insert_blob", rows))
        if self.stored:
            writes.append(write("note_blobs_stored", json.dumps(self.stored)))
        return Decision(None, writes)


class ReadDialects(Command[list[str]], frozen=True):
    """Return the dialects that have documents."""

    def reads(self) -> Sequence[Query]:
        """Return the query for them."""
        return (Query("list_dialects"),)

    def decide(self, answers: Answers, at: Moment) -> Decision[list[str]]:
        """Return them."""
        return Decision([dialect for (dialect,) in answers[0]])


class CopyDocument(Command[None], frozen=True):
    """Store a document with its version and its last use, in place of one with its id."""

    dialect: str
    document: Document

    def locks(self) -> Sequence[Lock]:
        """Return the lock of the document."""
        return (locks.document(self.dialect, self.document.id),)

    def decide(self, answers: Answers, at: Moment) -> Decision[None]:
        """Replace it."""
        delete = write("delete_document", self.dialect, self.document.id)
        return Decision(None, [delete, *document_writes(self.dialect, self.document)])


class Counters(msgspec.Struct, frozen=True):
    """The last numbers that a store has given: of runs, of blobs, and of document versions and tokens."""

    runs: int
    blobs: int
    versions: int


class ReadCounters(Command[Counters], frozen=True):
    """Return the last numbers that the store has given."""

    def reads(self) -> Sequence[Query]:
        """Return the query for them."""
        return (Query("read_counters"),)

    def decide(self, answers: Answers, at: Moment) -> Decision[Counters]:
        """Return them."""
        return Decision(Counters(*answers[0][0]))


class RaiseCounters(Command[None], frozen=True):
    """Let the store give larger numbers than these, as the copied store does."""

    counters: Counters

    def decide(self, answers: Answers, at: Moment) -> Decision[None]:
        """Raise them."""
        runs, blobs, versions = msgspec.structs.astuple(self.counters)
        raised = (("raise_run_numbers", runs), ("raise_blob_numbers", blobs), ("raise_counter", versions))
        return Decision(None, [write(name, number) for name, number in raised])
