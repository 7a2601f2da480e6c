"""Sample values for tests of stores: runs, steps, savepoints and keys that contain their name or number."""

import contextlib
from collections.abc import Collection, Iterator
from typing import Any, TypeVar

from perdure.errors import CorruptBlob, PerdureError
from perdure.lifecycle import DesiredState, RunStatus
from perdure.run import Change, Entry, Execution, Key, LogLine, Run, Step
from perdure.state.savepoint import Savepoint
from perdure.stores.base import Store
from perdure.stores.commands import (
    Append,
    Claim,
    Command,
    Created,
    CreateRun,
    Fork,
    ForkRuns,
    Lease,
    Unleased,
    encoded,
)
from perdure.stores.queue import ANY_TAG, QueueGroup

__all__ = [
    "LONG",
    "WAIT",
    "a_change",
    "a_fork",
    "a_key",
    "a_line",
    "a_run",
    "a_savepoint",
    "a_step",
    "an_entry",
    "an_execution",
    "claimed",
    "commit",
    "created",
    "forked",
    "leased",
    "queued",
    "raised",
    "unleased",
]

E = TypeVar("E", bound=PerdureError)
R = TypeVar("R")
LONG = 3600.0  # seconds that no test takes
WAIT = 240.0  # seconds until a future that never resolves fails its test


def a_run(id: str = "run", *, owner: str = "ann", **fields: Any) -> Run:
    """Make a new run."""
    given: dict[str, Any] = {
        "kind": "session",
        "spec": b"spec of " + id.encode(),
        "created": 1.0,
        "updated": 1.0,
    }
    return Run(id=id, owner=owner, **given | fields)


def a_fork(id: str, parent: str, position: int, *, owner: str = "ann", **fields: Any) -> Run:
    """Make a run that is forked from another."""
    return a_run(id, owner=owner, parent=parent, parent_position=position, **fields)


def a_savepoint(timestamp: int = 0, position: int | None = None, *, milestone: bool = False) -> Savepoint:
    """Make a savepoint of one entity, which contains its timestamp."""
    return Savepoint(
        timestamp=timestamp,
        position=timestamp if position is None else position,
        entities={"model": b"state at %d" % timestamp},
        milestone=milestone,
    )


def a_key(text: str = "key", body: bytes = b"body", ordinal: int = 0) -> Key:
    """Make an idempotency key."""
    return Key(text=text, body_hash=body, ordinal=ordinal)


def an_entry(number: int, key: Key | None = None) -> Entry:
    """Make an entry to append, which contains its number."""
    return Entry(inputs=b"in %d" % number if number % 2 else None, outputs=b"out %d" % number, key=key)


def a_step(number: int) -> Step:
    """Make the step that `an_entry` becomes at the position of its number."""
    entry = an_entry(number)
    return Step(position=number, inputs=entry.inputs, outputs=entry.outputs)


def an_execution(id: str = "task", *, owner: str = "ann", **fields: Any) -> Execution:
    """Make the execution of a task that was just created."""
    return Execution(run_id=id, kind="task", owner=owner, **fields)


def a_line(number: int) -> LogLine:
    """Make an output line, which contains its number."""
    return LogLine(text=f"line {number}", time=float(number), number=number)


def a_change(state: RunStatus = RunStatus.COMPLETED) -> Change:
    """Make a change of a run to a state."""
    return Change(state=state)


@contextlib.contextmanager
def raised(kind: type[E]) -> Iterator[list[E]]:
    """Expect an error within the block; yields a list that then contains the error."""
    caught: list[E] = []
    try:
        yield caught
    except kind as error:
        caught.append(error)
    assert caught, f"{kind.__name__} was expected"


def commit(store: Store, command: Command[R]) -> R:
    """Return the result of a command after its commit, or raise what it was refused with."""
    return store.submit(command).result(WAIT)


def created(store: Store, id: str = "run", steps: int = 0, **fields: Any) -> Run:
    """Create a run with savepoint 0 and the given number of steps."""
    commit(store, CreateRun(a_run(id, **fields), encoded(a_savepoint())))
    if steps:
        entries = [an_entry(number) for number in range(1, steps + 1)]
        commit(store, Append(id, Unleased(0), 0, entries))
    return store.run(id)


def queued(
    store: Store,
    id: str = "task",
    *,
    owner: str = "ann",
    kind: str = "task",
    key: Key | None = None,
    tags: tuple[str, ...] = (),
    **execution: Any,
) -> None:
    """Create a task with savepoint 0, and an execution with the given fields."""
    run = a_run(id, owner=owner, kind=kind, tags=tags)
    placed = an_execution(id, owner=owner, **execution)
    commit(store, CreateRun(run, encoded(a_savepoint()), key, execution=placed))


def forked(store: Store, id: str, parent: str, position: int) -> Created:
    """Fork a run at a position, with a savepoint there."""
    fork = Fork(run=a_fork(id, parent, position), savepoint=encoded(a_savepoint(position)))
    return commit(store, ForkRuns([fork]))[0]


def leased(store: Store, id: str = "task", worker: str = "a worker") -> int:
    """Give a worker a run for a long time, and return the fencing token."""
    return commit(store, Lease(id, worker, LONG)).fence


def unleased(store: Store, tag: str = ANY_TAG) -> dict[str, tuple[DesiredState, RunStatus]]:
    """Return the runs in the queue without a lease, with their desired states and states."""
    return {
        id: (group.desired, group.state)
        for group in store.waiting_groups([tag])
        for id in store.unleased(group)
    }


def claimed(
    store: Store, groups: Collection[QueueGroup] | None = None, seconds: float = 3600.0
) -> str | None:
    """Claim a run, by default of any group, and return its id."""
    claim = Claim("a worker", seconds, store.waiting_groups() if groups is None else groups)
    execution = commit(store, claim)
    if isinstance(execution, CorruptBlob):
        raise execution
    return None if execution is None else execution.run_id
