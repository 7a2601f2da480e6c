"""A run in the oracle, with all that goes with it; whoever calls holds the store's lock."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace
from tests.support.oracle_blobs import KeptBlobs
from tests.support.oracle_documents import KeptDocuments

from perdure.clock import steady
from perdure.errors import (
    Fenced,
    Invalid,
    KeyReused,
    LeaseHeld,
    NotExecuted,
    PositionConflict,
    RunFinished,
    SavepointNameTaken,
    SavepointNotFound,
    StepNotFound,
    VersionConflict,
)
from perdure.lifecycle import FINAL, DesiredState, RunStatus
from perdure.run import Change, Execution, Key, LogLine, Run, Step, ending
from perdure.state.savepoint import SavepointInfo
from perdure.stores.base import Version
from perdure.stores.commands import (
    Append,
    Appended,
    ChangeRun,
    CutLines,
    EncodedSavepoint,
    Finish,
    Guard,
    Lease,
    Leased,
    MarkSavepoint,
    MarkStored,
    PutSavepoint,
    Release,
    Renew,
    RepairStep,
    Report,
    Retention,
    SetDesiredState,
    Settle,
)
from perdure.stores.commands.executions import STORING

__all__ = ["KeptRun"]


@dataclass(slots=True)
class KeptRun:
    """A run with its log, its keys and its savepoints.

    Attributes
    ----------
    run
        Its record.
    steps
        Its log.
    counter
        What the tokens of leases are taken from.
    blobs
        Those of the store.
    keys
        (text, ordinal) to (body hash, position).
    savepoints
        Timestamp to (description, blob).
    names
        Timestamp of a savepoint to the numbers of the blobs that it names.
    marks
        Timestamp of a savepoint to the number of the last line that was written before it.
    placed
        Its execution, if it has one.
    turn
        When its turn is among the runs of its kind.
    lines, written
        The newest lines that it wrote, and the number of the last one.
    """

    run: Run
    counter: Iterator[int]
    blobs: KeptBlobs
    steps: list[Step] = field(default_factory=list)
    keys: dict[tuple[str, int], tuple[bytes, int]] = field(default_factory=dict)
    savepoints: dict[int, tuple[SavepointInfo, bytes]] = field(default_factory=dict)
    names: dict[int, frozenset[int]] = field(default_factory=dict)
    marks: dict[int, int] = field(default_factory=dict)
    placed: Execution | None = None
    turn: int = 0
    lines: list[LogLine] = field(default_factory=list)
    written: int = 0

    @property
    def execution(self) -> Execution:
        """Its execution; `NotExecuted` if it has none."""
        if self.placed is None:
            raise NotExecuted(run=self.run.id, kind=self.run.kind)
        return self.placed

    @property
    def version(self) -> Version:
        """What differs after each of its changes."""
        run, placed = self.run, self.placed
        execution = None if placed is None else replace(placed, lease_until=0.0)
        return run.number, run.version, run.position, self.written, execution

    def execute(self, command: Any, retention: Retention, documents: KeptDocuments) -> Any:
        """Do what a command says, or raise before anything has changed."""
        match command:
            case ChangeRun(version=version, change=change):
                if version != self.run.version:
                    raise VersionConflict(name=self.run.id)
                self.change(change)
                return self.run
            case Append():
                return self._append(command, retention.savepoints, documents)
            case RepairStep(step=step):
                if not 1 <= step.position <= len(self.steps):
                    raise StepNotFound(run=self.run.id, step=step.position, position=len(self.steps))
                self.steps[step.position - 1] = step
                return None
            case PutSavepoint(guard=guard, savepoint=savepoint, name=name, pinned=pinned):
                self.check(guard)
                return self.put(savepoint, retention.savepoints, name, pinned)
            case MarkStored(version=version):
                if self.placed is not None and not self.placed.stored:
                    self.placed = replace(self.placed, stored=version)
                if self.placed is not None and self.run.state in FINAL:
                    self._give_back()
                return None
            case MarkSavepoint(timestamp=timestamp, name=name, pinned=pinned):
                info, blob = self.find_savepoint(timestamp)
                self.check_name(timestamp, name)
                self.savepoints[timestamp] = replace(info, name=name, pinned=pinned), blob
                return self.savepoints[timestamp][0]
            case Lease(holder=holder, seconds=seconds):
                return self._lease(holder, seconds)
            case Renew(token=token, seconds=seconds, unbegun=unbegun):
                self.placed = replace(self._held(token), lease_until=steady() + seconds)
                if unbegun:
                    self.placed = replace(self.placed, holder="")
                    self._uncount()
                return self.placed
            case Report(token=token, progress=progress, seconds=seconds, crashes=crashes, lines=lines):
                self._report(token, progress, seconds, crashes)
                if command.computed_by is not None:
                    self.placed = replace(self.execution, computed_by=command.computed_by)
                self._write(lines, retention)
                return None
            case Finish():
                return self._finish(command)
            case Release(token=token, seconds=seconds, crashes=crashes, unbegun=unbegun):
                self._report(token, None, seconds, crashes)
                self._give_back()
                if unbegun:
                    self._uncount()
                return None
            case SetDesiredState(desired=desired):
                execution = self.execution
                self._check_unfinished()
                self.placed = execution if execution.desired.ends else replace(execution, desired=desired)
                return self.placed
            case Settle(interrupted=interrupted):
                return self._settle(interrupted=interrupted)
            case CutLines(token=token, savepoint=savepoint):
                self._held(token)
                if savepoint is not None:
                    self.find_savepoint(savepoint)
                self._cut(0 if savepoint is None else self.marks[savepoint])
                return None
        raise AssertionError(f"no such command: {command}")

    def change(self, change: Change, *, by_writer: bool = False) -> None:
        """Change the record; a field that is None stays as it is."""
        fenced = self.placed is None and change.fences(by_writer=by_writer)
        ended = self.run.state in FINAL
        self.run = change.applied(self.run, time.time(), fenced=fenced)
        if self.placed is not None and self.run.state in FINAL and not ended:
            self._give_back()

    def check(self, guard: Guard) -> None:
        """Raise `Fenced` unless a writer with this guard may write."""
        if isinstance(guard, Leased):
            if self.placed is None or not guard.token or guard.token != self.placed.fence:
                raise Fenced(run=self.run.id, fence=guard.token)
        elif (
            self.placed is not None
            or guard.generation != self.run.generation
            or guard.number not in (None, self.run.number)
        ):
            raise Fenced(run=self.run.id, fence=guard.generation)

    def find_savepoint(self, timestamp: int) -> tuple[SavepointInfo, bytes]:
        """Return a savepoint; `SavepointNotFound` if there is none."""
        try:
            return self.savepoints[timestamp]
        except KeyError:
            raise SavepointNotFound(run=self.run.id, savepoint=timestamp) from None

    def _uncount(self) -> None:
        """Let an attempt that didn't begin be none."""
        self.placed = replace(self.execution, attempt=self.execution.attempt - 1)
        if self.placed.attempt == 0 and self.run.state is RunStatus.STARTED:
            self.change(Change(state=RunStatus.CREATED))

    def _held(self, token: int) -> Execution:
        execution = self.execution
        if not token or token != execution.fence:
            raise Fenced(run=self.run.id, fence=token)
        return execution

    def _check_unfinished(self) -> None:
        if self.run.state in FINAL:
            raise RunFinished(
                f"The run {self.run.id!r} is {self.run.state} and has ended.",
                run=self.run.id,
                state=self.run.state.value,
            )

    def _give_back(self) -> None:
        self.placed = replace(self.execution, holder="", fence=0, lease_until=0.0)

    def _lease(self, holder: str, seconds: float) -> Execution:
        execution = self.execution
        self._check_unfinished()
        if execution.fence and steady() < execution.lease_until:
            raise LeaseHeld(run=self.run.id, holder=execution.holder)
        leased = replace(
            execution,
            attempt=execution.attempt + 1,
            holder=holder,
            fence=next(self.counter),
            lease_until=steady() + seconds,
        )
        self.placed = leased
        if leased.desired is DesiredState.STARTED:
            self.change(Change(state=RunStatus.STARTED))
        return leased

    def _settle(self, *, interrupted: bool) -> Run | None:
        execution, state = self.execution, self.run.state
        if state in FINAL or (execution.holder and steady() < execution.lease_until):
            return None
        desired = execution.desired
        if interrupted and desired is DesiredState.STARTED:
            desired = DesiredState.PAUSED
        if not desired.ends and (desired is not DesiredState.PAUSED or state is not RunStatus.STARTED):
            return None
        self.placed = replace(execution, desired=desired)
        self._give_back()
        self.change(ending(desired) if desired.ends else Change(state=RunStatus.PAUSED))
        return self.run

    def _report(self, token: int, progress: bytes | None, seconds: float | None, crashes: int | None) -> None:
        held = self._held(token)
        self.placed = replace(
            held,
            progress=held.progress if progress is None else progress,
            seconds=held.seconds if seconds is None else seconds,
            crashes=held.crashes if crashes is None else crashes,
        )

    def _finish(self, command: Finish) -> Run:
        execution = self.execution
        self._check_unfinished()
        self._held(command.token)
        if command.change.state not in FINAL:
            raise Invalid(f"The run {self.run.id!r} can't be finished with the state {command.change.state}.")
        result = execution.result if command.result is None else command.result
        seconds = execution.seconds if command.seconds is None else command.seconds
        attempt = execution.attempt - command.unbegun
        self.placed = ended = replace(execution, result=result, seconds=seconds, attempt=attempt)
        self.change(command.change)
        if ended.stored is None and not command.unbegun:
            self.placed = replace(ended, lease_until=steady() + STORING)
        return self.run

    def _write(self, lines: Sequence[LogLine], retention: Retention) -> None:
        """Add lines that it wrote; the oldest go."""
        first = self.written + 1
        self.lines += [replace(line, number=number) for number, line in enumerate(lines, first)]
        self.written += len(lines)
        del self.lines[: max(0, len(self.lines) - retention.lines)]
        size = sum(len(line.text.encode()) for line in self.lines)
        while size > retention.line_bytes and len(self.lines) > 1:
            size -= len(self.lines.pop(0).text.encode())

    def _cut(self, last: int) -> None:
        """Forget what it wrote after a line, so that the next one has the number after that."""
        self.written = min(self.written, last)
        self.lines = [line for line in self.lines if line.number <= last]

    def _append(self, command: Append, keep: int, documents: KeptDocuments) -> Appended:
        """Append entries with a savepoint and a change, or raise before anything has changed."""
        position, entries, change = command.position, command.entries, command.change
        keys = [entry.key for entry in entries if entry.key is not None]
        if entries and entries[0].key is not None and self.find_step(entries[0].key) is not None:
            recorded = (self.find_step(key) for key in keys)
            return Appended(tuple(step for step in recorded if step is not None), replayed=True)
        self.check(command.guard)
        if len(self.steps) != position:
            raise PositionConflict(run=self.run.id, expected=position + 1, position=len(self.steps))
        if self.run.state in FINAL:
            raise RunFinished(run=self.run.id, state=self.run.state.value)
        new_keys: dict[tuple[str, int], tuple[bytes, int]] = {}
        for at, entry in enumerate(entries, position + 1):
            if entry.key is not None:
                name = (entry.key.text, entry.key.ordinal)
                if name in self.keys or name in new_keys:
                    raise KeyReused(key=entry.key.text)
                new_keys[name] = (entry.key.body_hash, at)
        steps = tuple(
            Step(position=at, inputs=entry.inputs, outputs=entry.outputs)
            for at, entry in enumerate(entries, position + 1)
        )
        if command.touch is not None:
            documents.execute(command.touch)
        if command.savepoint is not None:
            self.put(command.savepoint, keep)
        self.steps.extend(steps)
        self.keys.update(new_keys)
        self.run = replace(self.run, position=len(self.steps), updated=time.time())
        if change is not None:
            self.change(change, by_writer=True)
        return Appended(steps)

    def find_step(self, key: Key) -> Step | None:
        """Return the step that a key was used for, or None; `KeyReused` for another body hash."""
        found = self.keys.get((key.text, key.ordinal))
        if found is None:
            return None
        body_hash, position = found
        if body_hash != key.body_hash:
            raise KeyReused(key=key.text)
        return self.steps[position - 1]

    def check_name(self, timestamp: int, name: str | None) -> None:
        """Raise `SavepointNameTaken` if another savepoint has the name."""
        for at, (info, _) in self.savepoints.items():
            if name is not None and info.name == name and at != timestamp:
                raise SavepointNameTaken(run=self.run.id, name=name, timestamp=at)

    def put(
        self, savepoint: EncodedSavepoint, keep: int, name: str | None = None, pinned: bool = False
    ) -> SavepointInfo:
        """Keep a savepoint in place of one with its timestamp, then give up what retention doesn't keep."""
        self.check_name(savepoint.timestamp, name)
        self.blobs.check(savepoint.blobs)
        self.blobs.name(savepoint.blobs)
        self.names[savepoint.timestamp] = savepoint.blobs
        former, _ = self.savepoints.get(savepoint.timestamp, (None, b""))
        info = SavepointInfo(
            timestamp=savepoint.timestamp,
            position=savepoint.position,
            created=time.time(),
            size=len(savepoint.blob),
            name=name if name is not None or former is None else former.name,
            pinned=pinned or (former is not None and former.pinned),
            milestone=savepoint.milestone or (former is not None and former.milestone),
        )
        self.savepoints[savepoint.timestamp] = info, savepoint.blob
        self.marks[savepoint.timestamp] = self.written
        if self.placed is not None:
            needs = self.placed.computed_by or self.placed.needs
            self.placed = replace(self.placed, crashes=0, needs=needs)
        newest = sorted(self.savepoints)[-(savepoint.keep or keep) :]
        for at, (old, _) in list(self.savepoints.items()):
            marked = old.milestone or old.pinned or old.name is not None
            if at < newest[0] and at not in (0, savepoint.timestamp) and not marked:
                del self.savepoints[at], self.marks[at]
        return info
