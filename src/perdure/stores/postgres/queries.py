"""The SQL files of the PostgreSQL store: queries by name, and migrations by number."""

import re
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType

import msgspec

from perdure.stores.list_queries import list_queries, named_queries
from perdure.stores.queries import Query, parse

__all__ = ["MIGRATIONS", "QUERIES", "STATEMENTS", "Migration"]

_FOLDER = resources.files("perdure.stores.postgres") / "sql"
_MIGRATION = re.compile(r"(\d{4})_(pre|post)_\w+\.sql")


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
        Whether processes that don't know it can't go on after it. Such a migration is applied when none of
        them has the store open any more; any other one when the first process that knows it opens the store.
    """

    version: int
    name: str
    script: str
    post: bool


def _migrations() -> tuple[Migration, ...]:
    found = [
        Migration(int(match[1]), file.name, file.read_text("utf-8"), match[2] == "post")
        for file in _FOLDER.iterdir()
        if (match := _MIGRATION.fullmatch(file.name))
    ]
    return tuple(sorted(found))


QUERIES: Mapping[str, Query] = parse((_FOLDER / "queries.sql").read_text("utf-8"))
"""Every query of the PostgreSQL store, except those of lists."""

_LISTS = list_queries(
    (_FOLDER / "list_runs.sql").read_text("utf-8"),
    join="JOIN",
    owned="tags.owner = $1 AND",
    unowned="$1::text IS NULL AND",
)

STATEMENTS: Mapping[str, str] = MappingProxyType(
    {name: query.sql for name, query in QUERIES.items()} | named_queries(_LISTS)
)
"""The SQL of every query by its name."""

MIGRATIONS: tuple[Migration, ...] = _migrations()
"""Every migration of the PostgreSQL store, ascending."""
