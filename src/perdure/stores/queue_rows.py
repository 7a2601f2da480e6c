"""The queue in the SQLite file: its rows made anew when the file is opened, and what is read from them.

Triggers keep the rows right afterwards, see ``sql/0010_queue.sql``.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import apsw
import msgspec
import structlog

from perdure.errors import CorruptBlob
from perdure.stores.database import row, rows
from perdure.stores.queries import QUERIES
from perdure.stores.queue import QueueCount, Queued, QueueState

__all__ = ["LAST", "counts", "fill", "numbers", "unleased", "waiting_before"]

LAST = 2**63 - 1  # the largest number that a run can have

_SQL = {name: query.sql for name, query in QUERIES.items()}

log = structlog.get_logger(__name__)


def fill(connection: apsw.Connection) -> None:
    """Make the rows anew from the executions; one that can't be read gets none.

    If the queue itself is damaged it stays as it is, and keeps no store from being opened.
    """
    try:
        found = rows(connection, _SQL["list_queue_of_runs"], (0, LAST))
    except (apsw.CorruptError, CorruptBlob):
        found = list(_intact(connection))
    try:
        with connection:
            connection.execute(_SQL["clear_queue"])
            connection.executemany(_SQL["insert_queued"], found)
    except apsw.CorruptError as error:
        log.error("queue_not_filled", reason=str(error))


def unleased(connection: apsw.Connection, now: float, first: int = 0, last: int = LAST) -> list[Queued]:
    """Return the runs, from one number to another, that nobody holds a lease of."""
    found = rows(connection, _SQL["list_unleased"], (now, first, last))
    try:
        return msgspec.convert(found, list[Queued])
    except msgspec.ValidationError as error:
        raise CorruptBlob(reason=f"the queue: {error}") from error


def numbers(connection: apsw.Connection) -> list[int]:
    """Return the numbers of all runs in the queue, in the order of creation."""
    return [number for (number,) in rows(connection, _SQL["list_queued"])]


def waiting_before(connection: apsw.Connection, run_id: str, now: float) -> int | None:
    """Return how many runs wait before one; None if it doesn't wait, or isn't there."""
    found = row(connection, _SQL["count_waiting_before"], (run_id, now))
    return None if found is None else found[0]


def counts(connection: apsw.Connection, now: float) -> list[QueueCount]:
    """Return how many runs stand where."""
    found = rows(connection, _SQL["count_queue"], (now,))
    return [QueueCount(kind, owner, QueueState(state), count) for kind, owner, state, count in found]


def _intact(connection: apsw.Connection) -> Iterator[tuple[Any, ...]]:
    """Yield the rows that can be made."""
    try:
        executed = rows(connection, _SQL["list_executed"])
    except apsw.CorruptError as error:
        log.error("queue_not_read", reason=str(error))
        return
    for (number,) in executed:
        with suppress(apsw.CorruptError, CorruptBlob):
            yield from rows(connection, _SQL["list_queue_of_runs"], (number, number))
