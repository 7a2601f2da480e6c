"""The spec of a task's run: which task, where it is found, and its input as it was given."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from perdure.drivers.computed_by import ComputedBy
from perdure.state.codec import State, decode, encode

__all__ = ["TaskSpec"]

SCHEMA = 2  # 1 ended with `input`, and named files by the paths that they had where the run was made


class TaskSpec(msgspec.Struct, frozen=True, kw_only=True):
    """All that a child needs to begin a task.

    Attributes
    ----------
    task
        Its name.
    source
        Where it was registered from, as `TaskRegistry.add` takes it; None is the entry point of its name.
    input
        Its input as JSON, which the task's model reads again when it begins.
    files
        The files that travel with the run, by their paths, if its source is the first of them.
    version, environment
        Those that the task of these files has.
    """

    task: str
    source: str | None
    input: bytes
    files: Mapping[str, bytes] = {}
    version: str = ""
    environment: tuple[str, ...] = ()

    @property
    def needs(self) -> str:
        """What a run of it needs to begin: the task, unless its files travel or are where they were."""
        place = "" if self.source is None else self.source.partition(":")[0]
        if self.files or (place.endswith(".py") and Path(place).is_file()):
            return ""
        return ComputedBy(task=self.task).to_text()

    @property
    def given(self) -> Any:
        """Its input as JSON decodes it."""
        return json.loads(self.input)

    def to_blob(self) -> bytes:
        """Encode it as a run's spec."""
        files: dict[str, State] = {**self.files}
        of_files: list[State] = [files, self.version, [*self.environment]]
        return encode([self.task, self.source, self.input, *of_files], schema=SCHEMA)

    @classmethod
    def from_blob(cls, blob: bytes) -> "TaskSpec":
        """Decode what `to_blob` made; raise `CorruptBlob` or `NewerSchema` if that can't be done."""
        task, source, given, *of_files = decode(blob, schema=SCHEMA)
        files, version, environment = of_files or ({}, "", ())
        return cls(
            task=task,
            source=source,
            input=given,
            files=files,
            version=version,
            environment=tuple(environment),
        )
