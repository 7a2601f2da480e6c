"""Derived tables: built from runs and executions alone, so that a damaged one can be replaced."""

from collections.abc import Sequence

import apsw
import structlog

from perdure.stores.commands.base import Write
from perdure.stores.database import rows
from perdure.stores.queries import STATEMENTS
from perdure.stores.transaction import apply

__all__ = ["refill"]

log = structlog.get_logger(__name__)


def refill(connection: apsw.Connection, table: str, writes: Sequence[Write]) -> None:
    """Empty a derived table and fill it again in one transaction; replace the table if a page is damaged.

    Raises `apsw.CorruptError` if its source is damaged.
    """
    try:
        with connection:
            for write in writes:
                apply(connection, write)
    except apsw.CorruptError:
        with connection:
            _replace(connection, table)
            for write in writes:
                apply(connection, write)
        log.error("damaged_table_replaced", table=table)


def _replace(connection: apsw.Connection, table: str) -> None:
    """Put an empty table with the same indexes in place of a damaged one.

    SQLite can't drop a table with a damaged page, so it is removed from the schema. Its pages stay unused
    until the file is copied.
    """
    definitions = rows(connection, "list_definitions", table)
    connection.pragma("writable_schema", "on")
    try:
        connection.execute(STATEMENTS["forget_definitions"], (table,))
    finally:
        connection.pragma("writable_schema", "reset")
    for (sql,) in definitions:
        connection.execute(sql)
