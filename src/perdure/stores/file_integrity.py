"""The integrity of an SQLite file: its pages and references, then what `integrity` checks."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import apsw

from perdure.errors import CorruptBlob
from perdure.stores.database import rows
from perdure.stores.integrity import first, problems
from perdure.stores.queries import STATEMENTS

__all__ = ["file_problems"]


def file_problems(connection: apsw.Connection) -> list[str]:
    """Return a sentence for each damage in a file."""
    return [
        *first("the file", _damaged_pages(connection)),
        *first("the references between tables", _lost_rows(connection)),
        *problems(partial(_ask, connection), partial(_each, connection)),
    ]


def _ask(connection: apsw.Connection, name: str, *values: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a query; raise `CorruptBlob` if a page is damaged."""
    try:
        return rows(connection, name, *values)
    except apsw.Error as error:
        raise CorruptBlob(reason=str(error)) from error


def _each(connection: apsw.Connection, name: str) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a query; raise `CorruptBlob` at a damaged page."""
    try:
        yield from connection.execute(STATEMENTS[name])
    except apsw.Error as error:
        raise CorruptBlob(reason=str(error)) from error


def _damaged_pages(connection: apsw.Connection) -> Iterator[str]:
    for (found,) in _each(connection, "check_file"):
        yield from (f"SQLite: {line}" for line in found.splitlines() if not _is_harmless(line))


def _is_harmless(line: str) -> bool:
    """Return whether a line names no damage: also unused pages, which a replaced derived table leaves."""
    return line == "ok" or line.startswith("*** in database ") or line.endswith(": never used")


def _lost_rows(connection: apsw.Connection) -> Iterator[str]:
    for table, _, parent, _ in _each(connection, "check_references"):
        yield f"a row of {table} belongs to nothing in {parent}"
