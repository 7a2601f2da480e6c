"""The SQL files of the SQLite store: queries by name, and migrations by number."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from types import MappingProxyType

import msgspec

from perdure.stores.list_queries import List, list_queries, named_queries

__all__ = ["LISTS", "MIGRATIONS", "QUERIES", "STATEMENTS", "Migration", "Query", "parse", "read_migrations"]

_FOLDER = resources.files("perdure.stores") / "sql"
_QUERY = re.compile(r"^-- name: (\w+)\n-- (.+)\n((?:.|\n)*?);$", re.MULTILINE)
_COLUMNS = re.compile(r"^-- columns: (\w+)\n((?:.+\n)+)", re.MULTILINE)
_MIGRATION = re.compile(r"(\d{4})_(post_)?\w+\.sql")


@dataclass(frozen=True, slots=True)
class Query:
    """A statement with its description of one line."""

    description: str
    sql: str


class Migration(msgspec.Struct, frozen=True, order=True):
    """A change of the schema.

    Attributes
    ----------
    version
        Its number; they are applied in this order.
    name
        The name of its file.
    script
        Its statements.
    post
        Whether processes that don't know it can't go on after it. Such a migration of a shared store is
        applied when none of them has the store open any more; any other one when the first process that knows
        it opens the store.
    """

    version: int
    name: str
    script: str
    post: bool = False


def parse(text: str) -> Mapping[str, Query]:
    """Read a file of named queries and insert the named lists of columns."""
    for name, columns in _COLUMNS.findall(text):
        text = text.replace(f"{{{name}}}", columns.rstrip())
    return MappingProxyType(
        {name: Query(description, sql) for name, description, sql in _QUERY.findall(text)}
    )


def read_migrations(folder: Traversable) -> tuple[Migration, ...]:
    """Read the migrations in a folder, ascending."""
    found = [
        Migration(int(match[1]), file.name, file.read_text("utf-8"), post=match[2] is not None)
        for file in folder.iterdir()
        if (match := _MIGRATION.fullmatch(file.name))
    ]
    return tuple(sorted(found))


QUERIES: Mapping[str, Query] = parse((_FOLDER / "queries.sql").read_text("utf-8"))
"""Every query of the SQLite store."""

MIGRATIONS: tuple[Migration, ...] = read_migrations(_FOLDER)
"""Every migration of the SQLite store, ascending; the version of the last is the version of the schema."""

LISTS: Mapping[List, str] = list_queries(
    (_FOLDER / "list_runs.sql").read_text("utf-8"), join="CROSS JOIN", owned="tags.owner = ?1 AND"
)
"""The query of each list of runs."""

STATEMENTS: Mapping[str, str] = {
    **{name: query.sql for name, query in QUERIES.items()},
    **named_queries(LISTS),
}
"""The SQL of every query by its name."""
