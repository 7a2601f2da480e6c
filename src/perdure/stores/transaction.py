"""Commands in the SQLite file: their queries read, and what they decide written, within a transaction."""

import time
from typing import TypeVar

import apsw

from perdure.clock import steady
from perdure.stores.commands.base import Command, Committed, Moment, Query, Retention, Rows, Write
from perdure.stores.database import not_text, rows
from perdure.stores.queries import QUERIES

__all__ = ["answer", "apply", "execute"]

R = TypeVar("R")

_SQL = {name: query.sql for name, query in QUERIES.items()}


def execute(
    connection: apsw.Connection, command: Command[R], retention: Retention
) -> tuple[R, tuple[Committed, ...]]:
    """Execute a command. The caller rolls back if this raises.

    Leases end by `perdure.clock.steady`, since the process that executes commands is the only one that has
    the file.
    """
    read = connection.execute
    try:
        answers = {query: read(_SQL[query.name], query.values).fetchall() for query in command.reads()}
    except UnicodeDecodeError as error:
        raise not_text(error) from error
    result, writes, changes = command.decide(answers, Moment(time.time(), steady(), retention))
    for write in writes:
        apply(connection, write)
    return result, changes


def answer(connection: apsw.Connection, query: Query) -> Rows:
    """Return the rows of a query."""
    return rows(connection, _SQL[query.name], query.values)


def apply(connection: apsw.Connection, write: Write) -> None:
    """Execute a statement with each of its rows."""
    sql, given = _SQL[write.name], write.rows
    if len(given) == 1:
        connection.execute(sql, given[0])
    else:
        connection.executemany(sql, given)
