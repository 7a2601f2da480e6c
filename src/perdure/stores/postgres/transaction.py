"""A transaction in PostgreSQL: executes the commands of some items in as few round trips as possible."""

import time
from collections.abc import Sequence
from itertools import count
from typing import Any

from perdure.stores.commands import Answers, Moment, Query, Retention
from perdure.stores.commands.base import Decision
from perdure.stores.postgres.round_trip import WriterConnection
from perdure.stores.postgres.schedule import Item

__all__ = ["NOT_NEEDED", "Transaction"]

SEPARATOR = "\x1f"  # between the names of locks

_tokens = count()

NOT_NEEDED = frozenset({"set_counter", "count_results"})
"""Writes of what a sequence counts, and of sums that are always stored."""


class Transaction:
    """A transaction in progress: what it has decided, and the statements that go with the next round trip.

    Parameters
    ----------
    connection
        Where it is executed; nobody else uses it meanwhile.
    items
        The items that it may execute; it takes the locks of all of them.
    retention
        How much of each run is kept.
    patience
        Seconds after which the server rolls it back if this process is silent.
    slot
        A name that no other transaction has at the same time, under which its commit is recorded.

    Attributes
    ----------
    number
        Its number at the server; empty before the first read.
    token
        A text that no other transaction of the slot has.
    decided
        The items that it has executed, with their decisions.
    written
        Whether one of them has written something.
    offset
        The database's clock minus the monotonic clock, at the first read.
    """

    def __init__(
        self,
        connection: WriterConnection,
        items: Sequence[Item],
        retention: Retention,
        patience: float,
        slot: str,
    ) -> None:
        self.connection = connection
        self.number = ""
        self.slot = slot
        self.token = str(next(_tokens))
        self.offset = 0.0
        self.decided: list[tuple[Item, Decision[Any]]] = []
        self.written = False
        self._retention = retention
        self._moment: Moment | None = None
        at_once = any(item.command.at_once for item in items)
        alone = any(item.command.alone for item in items)
        self._next = [
            Query("begin_snapshot" if at_once else "begin"),
            *([Query("lock_derived_tables")] if alone else []),  # the next statement takes the snapshot
            Query("enter", (_names(items), str(int(patience * 1000)))),
        ]

    async def read(self, item: Item) -> tuple[Answers, Moment]:
        """Return the answers of an item's queries, and when they were given."""
        queries = item.command.reads()
        answers = await self.connection.round_trip([*self._next, *queries])
        first = len(self._next)
        self._next = []
        if self._moment is None:
            self.number, now = answers[first - 1][0]
            self.offset = now - time.monotonic()
            self._moment = Moment(now=now, clock=now, retention=self._retention)
        return answers[first:], self._moment

    def decide(self, item: Item, decision: Decision[Any]) -> None:
        """Note what becomes of an item; its writes go with the next round trip."""
        self.decided.append((item, decision))
        writes = [write for write in decision.writes if write.name not in NOT_NEEDED]
        self._next += [Query(write.name, tuple(row)) for write in writes for row in write.rows]
        self.written = self.written or bool(writes)

    async def end(self) -> None:
        """Commit what was written; roll back if nothing was."""
        if self.written:
            noted = Query("note_commit", (self.slot, self.token))
            await self.connection.round_trip([*self._next, noted, Query("commit")])
        else:
            await self.connection.round_trip([Query("rollback")])


def _names(items: Sequence[Item]) -> str:
    """Return the locks of some items as the function `enter` takes them, in the order of all transactions."""
    shared: dict[str, bool] = {}
    for item in items:
        for lock in item.locks:
            name = lock.name.replace(SEPARATOR, " ")
            shared[name] = lock.shared and shared.get(name, True)
    return SEPARATOR.join(f"{'~' if shared[name] else '='}{name}" for name in sorted(shared))
