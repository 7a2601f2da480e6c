"""The SQL files are what they claim to be, and all of them is used."""

import re
from pathlib import Path

import apsw
import pytest

import perdure.stores
from perdure.stores.database import migrate
from perdure.stores.queries import MIGRATIONS, QUERIES

SOURCES = Path(perdure.stores.__file__).parent
STATEMENTS = {
    name: query.sql for name, query in QUERIES.items() if not name.startswith("item_") and " " in query.sql
}


@pytest.fixture(scope="module")
def connection() -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    migrate(connection)
    return connection


def plan(connection: apsw.Connection, name: str) -> str:
    sql = QUERIES[name].sql
    values = [1] * len(set(re.findall(r"\?\d+", sql)))
    return "\n".join(str(line[-1]) for line in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values))


def test_the_file_holds_nothing_but_named_queries() -> None:
    text = (SOURCES / "sql" / "queries.sql").read_text("utf-8")
    assert text.count(";\n") == text.count("-- name:") == len(QUERIES)


def test_every_query_says_what_it_does_in_a_line() -> None:
    assert all(re.match(r"[A-Z].*[^.]$", query.description) for query in QUERIES.values())


def test_every_query_is_used_under_its_name() -> None:
    code = "".join(source.read_text("utf-8") for source in SOURCES.glob("*.py"))
    used = {name for name in QUERIES if f'"{name}"' in code}
    assert used == set(QUERIES)


def test_no_statement_hides_in_the_code() -> None:
    for source in SOURCES.glob("*.py"):
        found = re.findall(
            r'"(?:SELECT|INSERT|UPDATE|DELETE|CREATE|BEGIN|COMMIT)\b[^"]*"', source.read_text("utf-8")
        )
        assert found in ([], ['"SELECT count(*) = 0 FROM sqlite_schema"']), source


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_query_fits_the_schema(connection: apsw.Connection, name: str) -> None:
    plan(connection, name)


def test_no_query_of_a_run_walks_over_those_of_others(connection: apsw.Connection) -> None:
    whole = {
        "list_runs",
        "read_meta",
        "set_batch",
        "next_opening",
        "newest_change",
        "next_fence",
        "next_record_version",
    }
    whole |= {"list_run_numbers", "list_step_keys", "list_run_keys", "list_executed", "list_all_executed"}
    whole |= {"list_record_ids", "list_owners", "count_owners", "clear_owners", "fill_owners"}
    for name in set(STATEMENTS) - whole:
        # A list that the query is given is walked over, of course.
        assert "SCAN" not in plan(connection, name).replace("SCAN json_each", ""), name


def test_retention_does_not_walk_over_milestones(connection: apsw.Connection) -> None:
    assert "savepoints_passing (run=? AND timestamp<?)" in plan(connection, "prune_savepoints")


def test_migrations_are_numbered_without_gap() -> None:
    assert [migration.version for migration in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))
    assert {migration.name for migration in MIGRATIONS} == {path.name for path in SOURCES.glob("sql/0*.sql")}


def test_the_queue_is_read_without_a_look_at_runs_that_have_ended(connection: apsw.Connection) -> None:
    assert plan(connection, "list_executed") == "SCAN runs USING INDEX runs_executed"


def test_what_an_owner_has_is_read_without_a_look_at_its_runs(connection: apsw.Connection) -> None:
    assert plan(connection, "read_owner") == "SEARCH owners USING PRIMARY KEY (owner=?)"
