"""The SQL files of the SQLite store: queries by name, and migrations by number."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType

from perdure.stores.list_queries import List, list_queries, named_queries

__all__ = ["LISTS", "MIGRATIONS", "QUERIES", "STATEMENTS", "Migration", "Query", "parse"]

_FOLDER = resources.files("perdure.stores") / "sql"
_QUERY = re.compile(r"^-- name: (\w+)\n-- (.+)\n((?:.|\n)*?);$", re.MULTILINE)
_COLUMNS = re.compile(r"^-- columns: (\w+)\n((?:.+\n)+)", re.MULTILINE)
_MIGRATION = re.compile(r"(\d{4})_\w+\.sql")


@dataclass(frozen=True, slots=True)
class Query:
    """A statement with its description of one line."""

    description: str
    sql: str


@dataclass(frozen=True, slots=True)
class Migration:
    """Migrates the schema from `version` - 1 to `version`."""

    version: int
    name: str
    script: str


def parse(text: str) -> Mapping[str, Query]:
    """Read a file of named queries and insert the named lists of columns."""
    for name, columns in _COLUMNS.findall(text):
        text = text.replace(f"{{{name}}}", columns.rstrip())
    return MappingProxyType(
        {name: Query(description, sql) for name, description, sql in _QUERY.findall(text)}
    )


def _migrations() -> tuple[Migration, ...]:
    found = [
        Migration(int(match[1]), file.name, file.read_text("utf-8"))
        for file in _FOLDER.iterdir()
        if (match := _MIGRATION.fullmatch(file.name))
    ]
    return tuple(sorted(found, key=lambda migration: migration.version))


QUERIES: Mapping[str, Query] = parse((_FOLDER / "queries.sql").read_text("utf-8"))
"""Every query of the SQLite store."""

MIGRATIONS: tuple[Migration, ...] = _migrations()
"""Every migration of the SQLite store, ascending; the version of the last is the version of the schema."""

LISTS: Mapping[List, str] = list_queries(
    (_FOLDER / "list_runs.sql").read_text("utf-8"), join="CROSS JOIN", owned="tags.owner = ?1 AND"
)
"""The query of each list of runs."""

STATEMENTS: Mapping[str, str] = MappingProxyType(
    {name: query.sql for name, query in QUERIES.items()} | named_queries(LISTS)
)
"""The SQL of every query by its name."""
