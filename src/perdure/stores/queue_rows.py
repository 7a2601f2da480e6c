"""The queue as rows: builds them when an SQLite file is opened, and reads its groups.

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
from perdure.stores.queue import QueueGroup

__all__ = ["LAST", "fill", "waiting_groups"]

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
