"""The SQL files of the PostgreSQL store are sound, and have each query that a store needs."""

import re
from pathlib import Path

import perdure.stores
from perdure.stores.postgres.queries import MIGRATIONS, QUERIES
from perdure.stores.postgres.transaction import NOT_NEEDED
from perdure.stores.queries import QUERIES as OF_SQLITE

SOURCES = Path(perdure.stores.__file__).parent
COMMON = ("commands/*.py", "reads.py", "integrity.py", "keys.py", "lines.py", "store_copy.py")
OWN = ("postgres/*.py", "run_rows.py", "queue_rows.py", "executions.py")


def test_every_query_of_commands_and_reads_is_there() -> None:
    code = "".join(path.read_text("utf-8") for pattern in COMMON for path in SOURCES.glob(pattern))
    asked = {name for name in OF_SQLITE if f'"{name}"' in code}
    assert len(asked) > 80
    assert asked <= set(QUERIES) | NOT_NEEDED


def test_every_query_is_used_under_its_name() -> None:
    code = "".join(path.read_text("utf-8") for pattern in COMMON + OWN for path in SOURCES.glob(pattern))
    assert {name for name in QUERIES if f'"{name}"' in code} == set(QUERIES)


def test_the_file_holds_nothing_but_named_queries_with_a_description_of_a_line() -> None:
    text = (SOURCES / "postgres" / "sql" / "queries.sql").read_text("utf-8")
    assert text.count(";\n") == text.count("-- name:") == len(QUERIES)
    assert all(re.match(r"[A-Z].*[^.]$", query.description) for query in QUERIES.values())


def test_migrations_are_numbered_without_gap() -> None:
    assert [migration.version for migration in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))
    files = {path.name for path in SOURCES.glob("postgres/sql/0*.sql")}
    assert {migration.name for migration in MIGRATIONS} == files
