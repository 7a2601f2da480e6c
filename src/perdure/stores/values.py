"""Rows of the SQLite file as values; one that doesn't hold what it should is damage, and says whose."""

from typing import Any

import msgspec

from perdure.errors import CorruptBlob
from perdure.lifecycle import RunState
from perdure.run import Run
from perdure.state.savepoint import SavepointInfo

__all__ = ["to_info", "to_run", "to_state"]

_RUN = (
    "id", "kind", "owner", "spec", "state", "outcome", "reason", "position", "version", "created", "updated",
    "parent", "parent_position", "number",
)  # fmt: skip


def to_run(values: tuple[Any, ...]) -> Run:
    """Make a run of what the queries that read runs answer with; raise `CorruptBlob` if it isn't one."""
    try:
        return msgspec.convert(dict(zip(_RUN, values, strict=True)), Run)
    except msgspec.ValidationError as error:
        raise CorruptBlob(reason=f"the record of the run {values[0]!r}: {error}") from error


def to_state(run_id: str, state: str) -> RunState:
    """Return a run's state; raise `CorruptBlob` if it is none."""
    try:
        return RunState(state)
    except ValueError as error:
        raise CorruptBlob(reason=f"the record of the run {run_id!r}: {error}") from error


def to_info(values: tuple[Any, ...]) -> SavepointInfo:
    """Make a savepoint's description of what the queries that tell about savepoints answer with."""
    timestamp, position, created, size, name, pinned, milestone = values
    return SavepointInfo(
        timestamp=timestamp,
        position=position,
        created=created,
        size=size,
        name=name,
        pinned=bool(pinned),
        milestone=bool(milestone),
    )
