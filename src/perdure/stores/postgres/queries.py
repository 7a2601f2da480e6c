"""The SQL files of the PostgreSQL store: queries by name, and migrations by number."""

from collections.abc import Mapping
from importlib import resources

from perdure.stores.list_queries import list_queries, named_queries
from perdure.stores.queries import Migration, Query, parse, read_migrations

__all__ = ["MIGRATIONS", "QUERIES", "STATEMENTS"]

_FOLDER = resources.files("perdure.stores.postgres") / "sql"

QUERIES: Mapping[str, Query] = parse((_FOLDER / "queries.sql").read_text("utf-8"))
"""Every query of the PostgreSQL store, except those of lists."""

_LISTS = list_queries(
    (_FOLDER / "list_runs.sql").read_text("utf-8"),
    join="JOIN",
    owned="tags.owner = $1 AND",
    unowned="$1::text IS NULL AND",
)

STATEMENTS: Mapping[str, str] = {
    **{name: query.sql for name, query in QUERIES.items()},
    **named_queries(_LISTS),
}
"""The SQL of every query by its name."""

MIGRATIONS: tuple[Migration, ...] = read_migrations(_FOLDER)
"""Every migration of the PostgreSQL store, ascending."""
