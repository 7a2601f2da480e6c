"""The repair of derived tables while the store is open."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import apsw
import structlog

from perdure.stores import queue_rows, run_rows
from perdure.stores.commands.base import write
from perdure.stores.commands.counts import check_table, damaged_table
from perdure.stores.derived import refill
from perdure.stores.transaction import answer

__all__ = ["repair"]


log = structlog.get_logger(__name__)


def _count_owners(connection: apsw.Connection) -> None:
    refill(connection, "owners", [write("clear_owners"), write("fill_owners")])


_FILLS: Mapping[str, Callable[[apsw.Connection], None]] = MappingProxyType(
    {"owners": _count_owners, "queue": queue_rows.fill, "tags": run_rows.fill}
)


def repair(connection: apsw.Connection) -> list[str]:
    """Fill each derived table with a damaged page again; return their descriptions.

    No transaction is open.
    """
    found = []
    for table, fill in _FILLS.items():
        for problem in _problems(connection, table):
            try:
                fill(connection)
                found.append(problem)
            except apsw.CorruptError as error:  # its source is damaged too
                log.error("damaged_table_not_replaced", table=table, reason=str(error))
    return found


def _problems(connection: apsw.Connection, table: str) -> list[str]:
    try:
        return damaged_table(table, answer(connection, check_table(table)))
    except apsw.CorruptError as error:
        return damaged_table(table, [(str(error),)])
