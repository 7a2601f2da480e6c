"""Rows of the SQLite file as values; one that doesn't hold what it should is damage, and says whose."""

from collections.abc import Sequence
from operator import eq
from typing import Any

import msgspec

from perdure.errors import CorruptBlob
from perdure.lifecycle import RunState
from perdure.run import Run
from perdure.state.savepoint import SavepointInfo
from perdure.stores.base import Record
from perdure.stores.checksums import checksum

__all__ = ["check_page", "identity", "to_info", "to_record", "to_run", "to_state", "to_tags"]

_RUN = (
    "id",
    "kind",
    "owner",
    "spec",
    "state",
    "outcome",
    "reason",
    "position",
    "version",
    "created",
    "updated",
    "parent",
    "parent_position",
    "number",
    "name",
    "tags",
)
_IDENTITY = ("id", "kind", "owner", "created", "parent", "parent_position")  # fmt: skip


def to_run(values: tuple[Any, ...]) -> Run:
    """Make a run of what the queries that read runs answer with; raise `CorruptBlob` if it isn't one."""
    *columns, tags, kept = values
    try:
        run = msgspec.convert(dict(zip(_RUN, [*columns, msgspec.json.decode(tags)], strict=True)), Run)
    except msgspec.DecodeError as error:  # a ValidationError, too
        raise CorruptBlob(reason=f"the record of the run {values[0]!r}: {error}") from error
    if kept is not None and kept != identity(run):
        raise CorruptBlob(reason=f"the checksum of the record of the run {run.id!r} is wrong")
    return run


def to_tags(tags: tuple[str, ...]) -> str:
    """Return tags as the column holds them."""
    return msgspec.json.encode(tags).decode()


def identity(run: Run) -> bytes:
    """Return the checksum of what of a run never changes."""
    values = msgspec.structs.asdict(run)
    return checksum(*(float(values[name]) if name == "created" else values[name] for name in _IDENTITY))


def to_record(values: tuple[Any, ...]) -> Record:
    """Make a record of what the queries that read records answer with; `CorruptBlob` if it is damaged."""
    dialect, id, version, blob, kept = values
    if kept is not None and kept != checksum(dialect, id, version, blob):
        raise CorruptBlob(reason=f"the checksum of the record {id!r} of {dialect} is wrong")
    return Record(id, blob, version)


def check_page(run_id: str, after: int, limit: int, position: int, found: Sequence[int]) -> None:
    """Raise `CorruptBlob` unless a page of steps begins after `after` and reaches the limit or the position.

    The error's values have the first step that is `missing` and the `next` one that is there, or None.
    """
    expected = range(after + 1, min(after + limit, position) + 1)
    if len(found) == len(expected) and all(map(eq, found, expected)):
        return
    there = frozenset(found)
    missing = next((step for step in expected if step not in there), None)
    if missing is None:
        reason = f"the run {run_id!r} has the step {found[-1]}, but its record says {position} steps"
        raise CorruptBlob(reason=reason, next=found[-1])
    following = next((step for step in found if step > missing), None)
    reason = f"step {missing} isn't in the log of the run {run_id!r}, which has {position} steps"
    raise CorruptBlob(reason=reason, missing=missing, next=following)


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
