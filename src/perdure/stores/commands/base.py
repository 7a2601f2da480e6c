"""What a write is: a command, with the queries that it reads and a pure function that decides.

A database executes a command: it runs the queries, hands their rows to `Command.decide`, and writes what that
returns, all in one transaction in which nobody else changes what was read. So what a write does is stated
once, whatever the database, and is tested without one.
"""

from collections.abc import Sequence
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec

from perdure.lifecycle import RunStatus

__all__ = [
    "READ_COUNTER",
    "Answers",
    "Command",
    "Committed",
    "Decision",
    "Moment",
    "Query",
    "Retention",
    "Rows",
    "Write",
    "count",
    "write",
]

R = TypeVar("R")

Rows: TypeAlias = Sequence[tuple[Any, ...]]
"""What a query returns, or the parameters of a statement that is executed once for each row."""


class Query(msgspec.Struct, frozen=True):
    """A query by its name, with its parameters."""

    name: str
    values: tuple[Any, ...] = ()


Answers: TypeAlias = Sequence[Rows]
"""What each query of a command returned, in the order of `Command.reads`."""


class Write(msgspec.Struct, frozen=True):
    """A statement by its name, executed once for each row of parameters."""

    name: str
    rows: Rows


def write(name: str, *values: Any) -> Write:
    """Return a statement that is executed once."""
    return Write(name, (values,))


READ_COUNTER = Query("read_counter")
"""The query that `count` takes the rows of."""


def count(counter: Rows) -> tuple[int, Write]:
    """Return the next number of the store's counter, of which none comes twice, and how it is kept."""
    ((last,),) = counter
    return last + 1, write("set_counter", last + 1)


class Retention(msgspec.Struct, frozen=True):
    """How much of each run a store keeps.

    Attributes
    ----------
    savepoints
        How many savepoints besides those that stay for good; at least 1.
    lines, line_bytes
        How many of the newest lines that a run wrote, and how many bytes they have together; at least 1.
    """

    savepoints: int = 3
    lines: int = 10_000
    line_bytes: int = 10_000_000


class Moment(msgspec.Struct, frozen=True):
    """What only the database knows when it executes commands; those of one transaction share it.

    Attributes
    ----------
    now
        Unix time.
    clock
        The time by which leases end; it never goes back.
    retention
        How much is kept.
    repaired
        In words, the derived tables that had a damaged page: the commands met it, and are executed once more.
    """

    now: float
    clock: float
    retention: Retention
    repaired: Sequence[str] = ()


class Committed(msgspec.Struct, frozen=True):
    """A change of a run that is durable now; `position` is the number of steps in its log.

    A change of its execution or a report of its progress is one too; the renewal of a lease is none.
    """

    run_id: str
    state: RunStatus
    position: int
    deleted: bool = False


class Decision(msgspec.Struct, Generic[R], frozen=True):
    """What a command comes to: its result, what is written, and the changes that watchers are notified of."""

    result: R
    writes: Sequence[Write] = ()
    changes: tuple[Committed, ...] = ()


class Command(msgspec.Struct, Generic[R], frozen=True):
    """A write. A subclass has what it is about as its fields; R is the type of its result."""

    def reads(self) -> Sequence[Query]:
        """Return the queries that the decision rests on."""
        return ()

    def decide(self, answers: Answers, at: Moment) -> Decision[R]:
        """Return what is written, or raise why the write is refused. It has no side effects.

        Parameters
        ----------
        answers
            What each of the queries returned, in the order of `reads`.
        at
            When it is executed.
        """
        raise NotImplementedError
