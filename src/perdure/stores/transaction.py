"""Commands in the SQLite file: runs their queries and executes their writes within a transaction."""

from typing import TypeVar

import apsw

from perdure.stores.commands.base import Command, Committed, Moment, Query, Rows, Write
from perdure.stores.database import not_text, rows
from perdure.stores.queries import STATEMENTS

__all__ = ["answer", "apply", "execute"]

R = TypeVar("R")


def execute(connection: apsw.Connection, command: Command[R], at: Moment) -> tuple[R, tuple[Committed, ...]]:
    """Execute a command. If this raises after a write, the caller must roll back the transaction."""
    read = connection.execute
    try:
        answers = [read(STATEMENTS[query.name], query.values).fetchall() for query in command.reads()]
    except UnicodeDecodeError as error:
        raise not_text(error) from error
    decision = command.decide(answers, at)
    for write in decision.writes:
        apply(connection, write)
    return decision.result, decision.changes


def answer(connection: apsw.Connection, query: Query) -> Rows:
    """Return the rows of a query."""
    return rows(connection, query.name, *query.values)


def apply(connection: apsw.Connection, write: Write) -> None:
    """Execute a statement once for each of its rows."""
    sql, given = STATEMENTS[write.name], write.rows
    if len(given) == 1:
        connection.execute(sql, given[0])
    else:
        connection.executemany(sql, given)
