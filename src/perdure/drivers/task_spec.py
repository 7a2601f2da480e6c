"""The spec of a task's run: which task, where it is found, and its input as it was given."""

import json
from typing import Any

import msgspec

from perdure.state.codec import decode, encode

__all__ = ["TaskSpec"]

SCHEMA = 1


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
    """

    task: str
    source: str | None
    input: bytes

    @property
    def given(self) -> Any:
        """Its input as JSON decodes it."""
        return json.loads(self.input)

    def to_blob(self) -> bytes:
        """Encode it as a run's spec."""
        return encode([self.task, self.source, self.input], schema=SCHEMA)

    @classmethod
    def from_blob(cls, blob: bytes) -> "TaskSpec":
        """Decode what `to_blob` made; raise `CorruptBlob` or `NewerSchema` if that can't be done."""
        task, source, given = decode(blob, schema=SCHEMA)
        return cls(task=task, source=source, input=given)
