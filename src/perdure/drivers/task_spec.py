"""The spec of a task's run: the task, its source, and its input as it was given."""

import json
from pathlib import Path
from typing import Any

import msgspec

from perdure.drivers.computed_by import ComputedBy
from perdure.state.codec import State, decode, encode

__all__ = ["TaskSpec"]

SCHEMA = 2  # schema 1 ended with `input`, and named files by their paths on the host of the creation


class TaskSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The data with which a child begins a task.

    Attributes
    ----------
    task
        The task's name.
    source
        The source of its registration, as `TaskRegistry.add` takes it; None is the entry point of its name.
    input
        Its input as JSON, which the task's model reads again when it begins.
    sha256
        The hash of the files that travel with the run, kept by `KeptFiles`; the source is one of them. Empty
        if none do.
    version, environment
        Version and environment of the task in these files.
    """

    task: str
    source: str | None
    input: bytes
    sha256: str = ""
    version: str = ""
    environment: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """The file or module of its source; empty for an entry point."""
        return "" if self.source is None else self.source.partition(":")[0]

    @property
    def needs(self) -> str:
        """What a process needs to begin a run: the task, unless its files travel or are where they were."""
        if self.sha256 or (self.place.endswith(".py") and Path(self.place).is_file()):
            return ""
        return ComputedBy(task=self.task).to_text()

    @property
    def given(self) -> Any:
        """Its input, decoded from JSON."""
        return json.loads(self.input)

    def to_blob(self) -> bytes:
        """Encode it as a run's spec."""
        of_files: list[State] = [self.sha256, self.version, [*self.environment]]
        return encode([self.task, self.source, self.input, *of_files], schema=SCHEMA)

    @classmethod
    def from_blob(cls, blob: bytes) -> "TaskSpec":
        """Decode a blob that `to_blob` returned.

        Raise `CorruptBlob` or `NewerSchema` if that is impossible.
        """
        task, source, given, *of_files = decode(blob, schema=SCHEMA)
        sha256, version, environment = of_files or ("", "", ())
        return cls(
            task=task,
            source=source,
            input=given,
            sha256=sha256,
            version=version,
            environment=tuple(environment),
        )
