"""The queue as rows: builds them when an SQLite file is opened, and reads them.

Triggers keep the rows up to date afterwards, see ``sql/0011_claims.sql``.
"""

import json
from collections.abc import Collection
from functools import partial

import apsw
import msgspec
import structlog

from perdure.errors import CorruptBlob
from perdure.stores.ask import Ask
from perdure.stores.commands.base import Write, write
from perdure.stores.database import intact, rows
from perdure.stores.derived import refill
from perdure.stores.queue import QueueCount, QueueGroup, QueueState, QueueWait
from perdure.stores.values import group_values

__all__ = ["LAST", "counts", "fill", "unleased", "waiting_before", "waiting_groups", "waits"]

LAST = 2**63 - 1  # the largest number that a run can have

log = structlog.get_logger(__name__)


def fill(connection: apsw.Connection) -> None:
    """Build the rows from the executions; a damaged execution gets none."""
    try:
        found = rows(connection, "list_queue_of_runs", 0, LAST)
    except (apsw.CorruptError, CorruptBlob):
        read = partial(rows, connection, "list_queue_of_runs")
        found = list(intact(connection, "list_executed", lambda number: read(number, number)))
    refill(connection, "queue", [write("clear_queue"), Write("insert_queued", found)])


def waiting_groups(ask: Ask, tags: Collection[str], now: float) -> list[QueueGroup]:
    """Return the groups in which at least one run has no lease, without groups whose rows are damaged."""
    groups = []
    for values in ask("list_waiting_groups", json.dumps(sorted(set(tags))), now):
        try:
            texts = [value.decode() if isinstance(value, bytes) else value for value in values]
            groups.append(msgspec.convert(texts, QueueGroup, strict=False))
        except (UnicodeDecodeError, msgspec.ValidationError) as error:
            log.error("queue_damaged", reason=str(error))
    return groups


def unleased(ask: Ask, group: QueueGroup, now: float, limit: int) -> list[str]:
    """Return the ids of the first runs of a group that have no lease."""
    found = ask("list_unleased", *group_values(group), now, limit)
    return [run_id for (run_id,) in found]


def waiting_before(ask: Ask, run_id: str, now: float) -> int | None:
    """Return how many runs wait before a run; None if it doesn't wait or doesn't exist."""
    found = ask("count_waiting_before", run_id, now)
    return int(found[0][0]) if found else None


def counts(ask: Ask, now: float) -> list[QueueCount]:
    """Return the number of runs by kind, owner and `QueueState`."""
    found = ask("count_queue", now)
    return [QueueCount(kind, owner, QueueState(state), count) for kind, owner, state, count in found]


def waits(ask: Ask, now: float) -> list[QueueWait]:
    """Return the number of runs that wait for a worker by tag and kind, and since when."""
    return [QueueWait(*found) for found in ask("count_waiting", now)]
