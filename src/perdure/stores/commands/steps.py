"""Steps: appends them to the log of a run, and repairs damaged ones."""

from collections.abc import Sequence

import msgspec

from perdure.errors import KeyReused, PositionConflict, RunFinished, StepNotFound
from perdure.lifecycle import FINAL
from perdure.run import Change, Entry, Key, Step
from perdure.stores.commands.base import Answers, Committed, Decision, Moment, Query, Write, write
from perdure.stores.commands.blobs import find_blobs, name_locks
from perdure.stores.commands.documents import Touch
from perdure.stores.commands.execution_rows import changed_execution, find_execution
from perdure.stores.commands.found import Guard, Leased, RunCommand, changed, find_run, found
from perdure.stores.commands.locks import Lock
from perdure.stores.commands.savepoints import EncodedSavepoint, put
from perdure.stores.keys import step_key_values, to_recorded_step

__all__ = ["Append", "Appended", "RepairStep", "find_step_key"]


class Appended(msgspec.Struct, frozen=True):
    """The result of an append.

    Attributes
    ----------
    steps
        The steps as the log holds them.
    replayed
        Whether the key of the first entry was recorded before: then nothing was written, and `steps` are the
        recorded ones.
    """

    steps: tuple[Step, ...]
    replayed: bool = False


class Append(RunCommand[Appended], frozen=True):
    """Append entries to a run's log, with a savepoint and a change of its record, all or nothing.

    The checks, in this order:

    1. The first entry's key. If it is recorded, the result is the recorded steps of all entries' keys; with
    another
       body hash it is `KeyReused`. A recorded key of a later entry, while the first one's is new, is
       `KeyReused` too.
    2. The guard: `Fenced`.
    3. The position: `PositionConflict` unless the log holds exactly `position` steps.
    4. The state: `RunFinished` if it is final.

    A savepoint deletes older ones beyond the newest `keep` (its own, or the store's). Savepoint 0,
    milestones, pinned and named savepoints and the new one stay. A savepoint of a run with an execution sets
    its crashes to 0, and records how many output lines the run has, for `CutLines`. A `touch` records the use
    of a document; if it is refused, so is the append.
    """

    guard: Guard
    position: int
    entries: Sequence[Entry]
    savepoint: EncodedSavepoint | None = None
    change: Change | None = None
    touch: Touch | None = None

    def locks(self) -> Sequence[Lock]:
        """Return the locks of the run, of the document that is used, and of blobs that are named."""
        used = () if self.touch is None else self.touch.locks()
        named = () if self.savepoint is None else name_locks(self.savepoint.blobs)
        return *super().locks(), *used, *named

    def reads(self) -> Sequence[Query]:
        """Return the queries for the run, each entry's key, the execution if it changes, touch and blobs."""
        run_id = self.run_id
        queries = [find_run(run_id)]
        queries += [find_step_key(run_id, entry.key) for entry in self.entries if entry.key is not None]
        if isinstance(self.guard, Leased) and (self.savepoint is not None or self._ends):
            queries.append(find_execution(run_id))
        if self.touch is not None:
            queries += self.touch.reads()
        return queries if self.savepoint is None else [*queries, find_blobs(self.savepoint.blobs)]

    def decide(self, answers: Answers, at: Moment) -> Decision[Appended]:
        """Append, or return the recorded steps."""
        run = found(self.run_id, answers[0])
        keys = [entry.key for entry in self.entries if entry.key is not None]
        recorded = answers[1 : len(keys) + 1]
        if recorded and recorded[0] and self.entries[0].key is not None:
            known = [to_recorded_step(rows, key) for rows, key in zip(recorded, keys, strict=True)]
            return Decision(Appended(tuple(step for step in known if step is not None), replayed=True))
        run.check(self.guard)
        if run.position != self.position:
            raise PositionConflict(run=self.run_id, expected=self.position + 1, position=run.position)
        if run.state in FINAL:
            raise RunFinished(run=self.run_id, state=run.state.value)
        if len(keys) > 1 or any(recorded):
            _check_new(keys, recorded)
        number, position, state = run.number, self.position, run.state
        steps, rows, key_rows = [], [], []
        for entry in self.entries:
            position += 1
            steps.append(Step(position=position, inputs=entry.inputs, outputs=entry.outputs))
            rows.append((number, position, entry.inputs, entry.outputs))
            if entry.key is not None:
                key_rows.append(step_key_values(number, entry.key, position))
        writes = [write("advance_run", number, position, at.now), Write("insert_step", rows)]
        if key_rows:
            writes.append(Write("insert_step_key", key_rows))
        rest = answers[len(keys) + 1 :]
        if self.savepoint is not None:
            *rest, counted = rest
            writes += put(number, self.savepoint, at, counted)
        if self.touch is not None:
            *rest, document = rest
            writes += self.touch.decide([document], at).writes
        if self.change is not None:
            writes += changed(run, self.change, at, by_writer=True)
            state = self.change.state or state
        for execution in rest:
            took_savepoint = self.savepoint is not None
            writes += changed_execution(run, execution, took_savepoint=took_savepoint, ended=self._ends)
        return Decision(Appended(tuple(steps)), writes, (Committed(run.id, state, position),))

    @property
    def _ends(self) -> bool:
        return self.change is not None and self.change.state in FINAL


def _check_new(keys: Sequence[Key], recorded: Answers) -> None:
    """Raise `KeyReused` if one of the keys is recorded, or occurs twice among them."""
    taken = set()
    for rows, key in zip(recorded, keys, strict=True):
        if rows or (key.text, key.ordinal) in taken:
            raise KeyReused(key=key.text)
        taken.add((key.text, key.ordinal))


class RepairStep(RunCommand[None], frozen=True):
    """Replace a step's damaged blobs by recomputed ones; raises `StepNotFound` if there is no such step."""

    step: Step

    def reads(self) -> Sequence[Query]:
        """Return the queries for the run and the step."""
        return find_run(self.run_id), Query("find_step", (self.run_id, self.step.position))

    def decide(self, answers: Answers, at: Moment) -> Decision[None]:
        """Replace the blobs."""
        run, step = found(self.run_id, answers[0]), self.step
        if not answers[1]:
            raise StepNotFound(run=self.run_id, step=step.position, position=run.position)
        return Decision(None, [write("repair_step", run.number, step.position, step.inputs, step.outputs)])


def find_step_key(run_id: str, key: Key) -> Query:
    """Return the query for the step that was made with a key of a run."""
    return Query("find_step_key", (run_id, key.text, key.ordinal))
