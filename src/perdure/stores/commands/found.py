"""The run that a command concerns, as its queries found it, and the guard of a write to it."""

from collections.abc import Sequence
from typing import TypeAlias, TypeVar

import msgspec

from perdure.errors import Fenced, RunNotFound
from perdure.lifecycle import FINAL, RunStatus
from perdure.run import Change, Run
from perdure.stores.commands import locks
from perdure.stores.commands.base import Command, Committed, Moment, Query, Rows, Write, write
from perdure.stores.commands.locks import Lock
from perdure.stores.values import to_state, to_tags

__all__ = ["Found", "Guard", "Leased", "RunCommand", "Unleased", "changed", "find_run", "found", "read_run"]

R = TypeVar("R")


class RunCommand(Command[R], frozen=True):
    """A command on one run."""

    run_id: str

    def locks(self) -> Sequence[Lock]:
        """Return the lock of the run."""
        return (locks.run(self.run_id),)


class Unleased(msgspec.Struct, frozen=True):
    """The guard of a writer without a lease, such as a session.

    Attributes
    ----------
    generation
        The run's generation when the writer read the run. It changes when somebody else changes the run's
        state or what it computes; changes that the writer makes together with its steps don't change it.
    number
        The run's number, which differs from that of a later run with the same id. None matches any.
    """

    generation: int
    number: int | None = None

    @classmethod
    def of(cls, run: Run) -> "Unleased":
        """Return the guard for a writer that has read this run."""
        return cls(run.generation, run.number)


class Leased(msgspec.Struct, frozen=True):
    """The guard of a writer that holds a lease: the fencing token of the lease."""

    token: int


Guard: TypeAlias = Unleased | Leased
"""What a write to a run is compared with, so that an outdated writer changes nothing."""


class Found(msgspec.Struct, frozen=True):
    """A run as the queries found it.

    `lease` is the fencing token of its execution's lease, 0 without a lease, or None without an execution;
    `lines` is the number of its last output line.
    """

    number: int
    id: str
    state: RunStatus
    position: int
    version: int
    generation: int
    lease: int | None
    lines: int

    def check(self, guard: Guard) -> None:
        """Raise `Fenced` unless a writer with this guard may write to the run."""
        if isinstance(guard, Leased):
            if not guard.token or guard.token != self.lease:
                raise Fenced(run=self.id, fence=guard.token)
        elif self.lease is not None or guard.generation != self.generation or not self._is(guard.number):
            raise Fenced(run=self.id, fence=guard.generation)

    def _is(self, number: int | None) -> bool:
        return number is None or number == self.number

    def is_fenced(self, change: Change, *, by_writer: bool = False) -> bool:
        """Return whether a change raises the run's generation.

        Runs with an execution are guarded by leases instead.
        """
        return self.lease is None and change.fences(by_writer=by_writer)

    def committed(self, *, state: RunStatus | None = None) -> Committed:
        """Return the change of the run to report to watchers."""
        return Committed(self.id, self.state if state is None else state, self.position)


def find_run(run_id: str) -> Query:
    """Return the query whose rows `found` takes."""
    return Query("find_run", (run_id,))


def read_run(run_id: str) -> Query:
    """Return the query for the whole record of a run."""
    return Query("read_run", (run_id,))


def found(run_id: str, rows: Rows) -> Found:
    """Return the run in the rows of a query, or raise `RunNotFound`."""
    if not rows:
        raise RunNotFound(run=run_id)
    number, state, position, version, generation, lease, lines = rows[0]
    return Found(number, run_id, to_state(run_id, state), position, version, generation, lease, lines)


def changed(run: Found, change: Change, at: Moment, *, by_writer: bool = False) -> list[Write]:
    """Return the writes that change a run's record; a field of the change that is None stays unchanged.

    They raise the generation if `Found.is_fenced` says so.
    """
    state, outcome = change.state, change.outcome
    writes = [
        write(
            "change_run",
            run.number,
            None if state is None else state.value,
            None if state is None else state in FINAL,
            None if outcome is None else outcome.value,
            change.reason,
            None if change.of_label_only else at.now,
        )
    ]
    if run.is_fenced(change, by_writer=by_writer):
        writes.append(write("raise_generation", run.number))
    if change.spec is not None:
        writes.append(write("change_spec", run.number, change.spec))
    if (change.name, change.tags) != (None, None):
        tags = None if change.tags is None else to_tags(change.tags)
        writes.append(write("put_label", run.number, change.name, tags))
    return writes
