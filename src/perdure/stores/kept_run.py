"""A run in the memory store, with all that goes with it; whoever calls holds the store's lock."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from perdure.errors import KeyReused, PositionConflict, RunFinished, SavepointNameTaken
from perdure.lifecycle import FINAL
from perdure.run import Change, Entry, Key, Run, Step
from perdure.state.savepoint import Savepoint, SavepointInfo
from perdure.stores.base import Appended

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
    """

    run: Run
    steps: list[Step] = field(default_factory=list)
    keys: dict[tuple[str, int], tuple[bytes, int]] = field(default_factory=dict)
    savepoints: dict[int, tuple[SavepointInfo, bytes]] = field(default_factory=dict)

    def change(self, change: Change) -> None:
        """Change the record; a field that is None stays as it is."""
        given: dict[str, Any] = {
            name: value for name in change.__struct_fields__ if (value := getattr(change, name)) is not None
        }
        self.run = replace(self.run, **given, version=self.run.version + 1, updated=time.time())

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
        newest = sorted(self.savepoints)[-keep:]
        for at, (old, _) in list(self.savepoints.items()):
            marked = old.milestone or old.pinned or old.name is not None
            if at < newest[0] and at not in (0, savepoint.timestamp) and not marked:
                del self.savepoints[at]
        return info
