"""The command: a write, with the queries that it reads and a pure function that decides.

A database executes a command: it runs the queries, passes their rows to `Command.decide`, and executes the
returned writes, all in one transaction in which nobody else changes what was read. So what a write does is
defined once for every database, and is tested without one.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

import msgspec

from perdure.errors import Invalid
from perdure.lifecycle import RunStatus
from perdure.stores.commands.locks import Lock

__all__ = [
    "READ_COUNTER",
    "Answers",
    "Command",
    "Committed",
    "Decision",
    "Moment",
    "Notice",
    "Query",
    "Retention",
    "Rows",
    "Write",
    "count",
    "write",
]

R = TypeVar("R")

Rows: TypeAlias = Sequence[tuple[Any, ...]]
"""The rows of a query, or the parameters of a statement that is executed once for each row."""


class Query(msgspec.Struct, frozen=True):
    """A query by its name, with its parameters."""

    name: str
    values: tuple[Any, ...] = ()


Answers: TypeAlias = Sequence[Rows]
"""The rows of each query of a command, in the order of `Command.reads`."""


class Write(msgspec.Struct, frozen=True):
    """A statement by its name, executed once for each row of parameters."""

    name: str
    rows: Rows


def write(name: str, *values: Any) -> Write:
    """Return a statement that is executed once."""
    return Write(name, (values,))


READ_COUNTER = Query("read_counter")
"""The query whose rows `count` takes."""


def count(counter: Rows) -> tuple[int, Write]:
    """Return the next number of the store's counter, which never repeats, and the write that stores it."""
    ((last,),) = counter
    return last + 1, write("set_counter", last + 1)


class Retention(msgspec.Struct, frozen=True):
    """How much of each run a store keeps.

    Attributes
    ----------
    savepoints
        How many savepoints besides the permanent ones; at least 1.
    lines, line_bytes
        How many of the newest output lines, at least 1, and how many bytes in total.

    Raises
    ------
    Invalid
        If not one savepoint or not one line is kept.
    """

    savepoints: int = 3
    lines: int = 10_000
    line_bytes: int = 10_000_000

    def __post_init__(self) -> None:
        """Check the limits."""
        if self.savepoints < 1:
            raise Invalid(f"A store keeps at least 1 savepoint of a run, not {self.savepoints}.")
        if self.lines < 1:
            raise Invalid(f"A store keeps at least 1 output line of a run, not {self.lines}.")


class Moment(msgspec.Struct, frozen=True):
    """Facts that only the database knows when it executes commands.

    The same for all commands of a transaction.

    Attributes
    ----------
    now
        Unix time.
    clock
        The time by which leases end; it never goes back.
    retention
        How much is kept.
    repaired
        Descriptions of the derived tables that were rebuilt because commands met a damaged page in them;
        these commands are executed again.
    """

    now: float
    clock: float
    retention: Retention
    repaired: Sequence[str] = ()


class Committed(msgspec.Struct, frozen=True):
    """A durable change of a run; `position` is the number of steps in its log.

    Changes of its execution and reports of its progress count; the renewal of a lease doesn't. A deleted run
    can't be read any more: `owner` says whose it was, and is empty otherwise.
    """

    run_id: str
    state: RunStatus
    position: int
    deleted: bool = False
    owner: str = ""


class Notice(msgspec.Struct, frozen=True):
    """Another process has changed a run, whose state must be read; None: any run may have changed."""

    run_id: str | None


class Decision(msgspec.Struct, Generic[R], frozen=True):
    """The outcome of a command: its result, its writes, and the changes to report to watchers."""

    result: R
    writes: Sequence[Write] = ()
    changes: tuple[Committed, ...] = ()


class Command(msgspec.Struct, Generic[R], frozen=True):
    """A write. The fields of a subclass are its parameters; R is the type of its result."""

    at_once: ClassVar[bool] = False
    """Whether the queries must see the same moment, although nothing keeps others from writing."""

    alone: ClassVar[bool] = False
    """Whether nobody else may write the derived tables meanwhile; only with `at_once`."""

    def locks(self) -> Sequence[Lock]:
        """Return the locks for what the queries read and nobody else may change meanwhile."""
        return ()

    def reads(self) -> Sequence[Query]:
        """Return the queries that the decision is based on."""
        return ()

    def decide(self, answers: Answers, at: Moment) -> Decision[R]:
        """Return the decision, or raise the reason why the write is refused. It has no side effects.

        Parameters
        ----------
        answers
            The rows of each query, in the order of `reads`.
        at
            When it is executed.
        """
        raise NotImplementedError
