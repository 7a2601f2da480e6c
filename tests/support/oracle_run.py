"""A run in the oracle, with all that goes with it; whoever calls holds the store's lock."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from perdure.clock import steady
from perdure.errors import Fenced, KeyReused, PositionConflict, RunFinished, SavepointNameTaken
from perdure.lifecycle import FINAL, RunState, Wanted
from perdure.run import Change, Entry, Execution, Key, LogLine, Run, Step
from perdure.state.savepoint import Savepoint, SavepointInfo
from perdure.stores import executions
from perdure.stores.base import Appended, Version

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
    keys
        (text, ordinal) to (body hash, position).
    savepoints
        Timestamp to (description, blob).
    marks
        Timestamp of a savepoint to the number of the last line that was written before it.
    placed
        Its execution, if it has one.
    lines, written
        The newest lines that it wrote, and the number of the last one.
    """

    run: Run
    steps: list[Step] = field(default_factory=list)
    keys: dict[tuple[str, int], tuple[bytes, int]] = field(default_factory=dict)
    savepoints: dict[int, tuple[SavepointInfo, bytes]] = field(default_factory=dict)
    marks: dict[int, int] = field(default_factory=dict)
    placed: Execution | None = None
    lines: list[LogLine] = field(default_factory=list)
    written: int = 0

    @property
    def execution(self) -> Execution:
        """Its execution; `NotExecuted` if it has none."""
        return executions.require(self.placed, self.run.id, self.run.kind)

    @property
    def version(self) -> Version:
        """What differs after each of its changes."""
        run = self.run
        return run.number, run.version, run.position, self.written, self.placed

    def change(self, change: Change) -> None:
        """Change the record; a field that is None stays as it is."""
        given: dict[str, Any] = {
            name: value for name in change.__struct_fields__ if (value := getattr(change, name)) is not None
        }
        if not change.of_label_only:
            given["updated"] = time.time()
        self.run = replace(self.run, **given, version=self.run.version + 1)
        if self.placed is not None and self.run.state in FINAL:
            self.placed = executions.given_back(self.placed)

    def check_fence(self, fence: int, opening: int) -> None:
        """Raise `Fenced` unless the token is its lease's, or the opening's for a run that is never leased."""
        if self.placed is not None:
            executions.held(self.placed, fence, opening)
        elif fence != opening:
            raise Fenced(run=self.run.id, fence=fence)

    def lease(self, holder: str, seconds: float, fence: int, opening: int) -> Execution:
        """Let somebody work on it."""
        self.placed = executions.begun(
            self.execution,
            self.run.state,
            holder=holder,
            seconds=seconds,
            fence=fence,
            opening=opening,
            now=steady(),
        )
        if self.placed.wanted is Wanted.STARTED:
            self.change(Change(state=RunState.STARTED))
        return self.placed

    def renew(self, fence: int, opening: int, seconds: float) -> Execution:
        """Let its lease run on."""
        held = executions.held(self.execution, fence, opening)
        self.placed = executions.renewed(held, seconds, steady())
        return self.placed

    def report(
        self,
        fence: int,
        opening: int,
        *,
        progress: bytes | None = None,
        seconds: float | None = None,
        deaths: int | None = None,
    ) -> None:
        """Put down how far it got."""
        held = executions.held(self.execution, fence, opening)
        self.placed = executions.reported(held, progress=progress, seconds=seconds, deaths=deaths)

    def finish(
        self, fence: int, opening: int, change: Change, *, result: bytes | None, seconds: float | None
    ) -> Run:
        """Bring it to a final state with its result."""
        self.placed = executions.ended(
            self.execution, self.run.state, fence, opening, change, result=result, seconds=seconds
        )
        self.change(change)
        return self.run

    def write(self, lines: Sequence[LogLine], keep: int, keep_bytes: int) -> None:
        """Add lines that it wrote; the oldest go."""
        first = self.written + 1
        self.lines += [replace(line, number=number) for number, line in enumerate(lines, first)]
        self.written += len(lines)
        del self.lines[: max(0, len(self.lines) - keep)]
        size = sum(len(line.text.encode()) for line in self.lines)
        while size > keep_bytes and len(self.lines) > 1:
            size -= len(self.lines.pop(0).text.encode())

    def cut(self, last: int) -> None:
        """Forget what it wrote after a line, so that the next one has the number after that."""
        self.written = min(self.written, last)
        self.lines = [line for line in self.lines if line.number <= last]

    def append(
        self,
        position: int,
        entries: Sequence[Entry],
        savepoint: Savepoint | None,
        change: Change | None,
        keep: int,
    ) -> Appended:
        """Append entries with a savepoint and a change, or raise before anything has changed."""
        keys = [entry.key for entry in entries if entry.key is not None]
        if entries and entries[0].key is not None and self.find_step(entries[0].key) is not None:
            recorded = (self.find_step(key) for key in keys)
            return Appended(tuple(step for step in recorded if step is not None), replayed=True)
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
        if savepoint is not None:
            self.put(savepoint, keep)
        self.steps.extend(steps)
        self.keys.update(new_keys)
        self.run = replace(self.run, position=len(self.steps), updated=time.time())
        if change is not None:
            self.change(change)
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
        self, savepoint: Savepoint, keep: int, name: str | None = None, pinned: bool = False
    ) -> SavepointInfo:
        """Keep a savepoint in place of one with its timestamp, then give up what retention doesn't keep."""
        self.check_name(savepoint.timestamp, name)
        blob = savepoint.to_blob()
        former, _ = self.savepoints.get(savepoint.timestamp, (None, b""))
        info = SavepointInfo(
            timestamp=savepoint.timestamp,
            position=savepoint.position,
            created=time.time(),
            size=len(blob),
            name=name if name is not None or former is None else former.name,
            pinned=pinned or (former is not None and former.pinned),
            milestone=savepoint.milestone or (former is not None and former.milestone),
        )
        self.savepoints[savepoint.timestamp] = info, blob
        self.marks[savepoint.timestamp] = self.written
        if self.placed is not None:
            self.placed = executions.reported(self.placed, deaths=0)
        newest = sorted(self.savepoints)[-(savepoint.keep or keep) :]
        for at, (old, _) in list(self.savepoints.items()):
            marked = old.milestone or old.pinned or old.name is not None
            if at < newest[0] and at not in (0, savepoint.timestamp) and not marked:
                del self.savepoints[at], self.marks[at]
        return info
