"""Derived tables: made of runs and executions alone, so that one with a damaged page can be replaced."""

from collections.abc import Sequence

import apsw
import structlog

from perdure.stores.commands.base import Write
from perdure.stores.database import rows
from perdure.stores.queries import QUERIES
from perdure.stores.transaction import apply

__all__ = ["refill"]

_SQL = {name: query.sql for name, query in QUERIES.items()}

log = structlog.get_logger(__name__)


def refill(connection: apsw.Connection, table: str, writes: Sequence[Write]) -> None:
    """Empty a derived table and fill it, in one transaction; replace it by a new one if a page is damaged.

    Raises `apsw.CorruptError` if what it is filled from is damaged.
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
    """Put an empty table with the same indexes in place of one.

    SQLite drops no table with a damaged page, so it is taken out of the schema. The pages that it had stay
    unused until the file is copied.
    """
    definitions = rows(connection, _SQL["list_definitions"], (table,))
    connection.pragma("writable_schema", "on")
    try:
        connection.execute(_SQL["forget_definitions"], (table,))
    finally:
        connection.pragma("writable_schema", "reset")
    for (sql,) in definitions:
        connection.execute(sql)
