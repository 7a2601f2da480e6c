"""The SQL files are what they claim to be, and all of them is used."""

import re
from pathlib import Path

import apsw
import pytest

import perdure.stores
from perdure.stores.database import migrate
from perdure.stores.list_queries import List
from perdure.stores.queries import LISTS, MIGRATIONS, QUERIES, parse

SOURCES = Path(perdure.stores.__file__).parent
STATEMENTS = {name: query.sql for name, query in QUERIES.items() if " " in query.sql}


@pytest.fixture(scope="module")
def connection() -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    migrate(connection)
    connection.pragma("writable_schema", "on")  # a query takes a damaged table out of the schema
    return connection


def plan(connection: apsw.Connection, name: str) -> str:
    sql = QUERIES[name].sql
    values = [1] * len(set(re.findall(r"\?\d+", sql)))
    return "\n".join(str(line[-1]) for line in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values))


def test_the_file_holds_nothing_but_named_queries() -> None:
    text = (SOURCES / "sql" / "queries.sql").read_text("utf-8")
    assert text.count(";\n") == text.count("-- name:") == len(QUERIES)


def test_columns_that_several_queries_read_stand_once() -> None:
    text = "-- columns: all\na,\n    b\n\n-- name: one\n-- Read it\nSELECT {all}\nFROM t;\n"
    assert parse(text)["one"].sql == "SELECT a,\n    b\nFROM t"
    assert "{" not in "".join(query.sql for query in QUERIES.values())


def test_every_query_says_what_it_does_in_a_line() -> None:
    assert all(re.match(r"[A-Z].*[^.]$", query.description) for query in QUERIES.values())


def test_every_query_is_used_under_its_name() -> None:
    code = "".join(source.read_text("utf-8") for source in SOURCES.rglob("*.py"))
    used = {name for name in QUERIES if f'"{name}"' in code}
    assert used == set(QUERIES)


def test_no_statement_hides_in_the_code() -> None:
    for source in SOURCES.rglob("*.py"):
        found = re.findall(
            r'"(?:SELECT|INSERT|UPDATE|DELETE|CREATE|BEGIN|COMMIT)\b[^"]*"', source.read_text("utf-8")
        )
        assert found in ([], ['"SELECT count(*) = 0 FROM sqlite_schema"']), source


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_query_fits_the_schema(connection: apsw.Connection, name: str) -> None:
    plan(connection, name)


def test_no_query_of_a_run_walks_over_those_of_others(connection: apsw.Connection) -> None:
    whole = {
        "read_meta",
        "set_batch",
        "next_opening",
        "newest_change",
        "read_counter",
        "set_counter",
        "next_run_numbers",  # a table of one row
        "next_blob_numbers",
    }
    whole |= {
        "list_run_numbers",
        "list_step_keys",
        "list_run_keys",
        "list_executed",
        "list_queue_of_runs",
        "fill_queue",
        "clear_queue",
        "list_queued",
        "count_queue",
        "count_waiting",
        "list_wrong_queue",
        "list_all_executed",
        "list_leased",
    }
    whole |= {"list_document_ids", "list_owners", "count_owners", "clear_owners", "fill_owners"}
    whole |= {"fill_rows", "are_rows_filled", "note_rows_filled", "clear_rows", "list_wrong_rows"}
    whole |= {"check_table", "list_definitions", "forget_definitions", "forget_leased"}
    # What is asked for, a run's few tags, and kinds and states that were found, in no table of their own.
    whole |= {"read_runs", "fill_rows_of_run"}
    whole |= {"list_kinds_and_states", "list_kinds_and_states_of_owner"}
    whole |= {"list_waiting_groups", "find_claimable", "list_queue_of_runs", "fill_queue"}
    whole |= {"list_unnamed_blobs", "list_unstored"}  # for a sweep, and when a server starts
    whole |= {"list_dialects", "read_counters"}  # for the copy of a store
    whole |= {"raise_run_numbers", "raise_blob_numbers", "raise_counter"}
    whole |= {"count_tagged", "count_tagged_of_owner"}  # of what was counted up to a number
    whole |= {"list_parents"}  # once for a whole tree, however deep that is
    for name in set(STATEMENTS) - whole:
        # A list that the query is given is walked over, of course, and all ids if a text is searched for.
        walked = plan(connection, name).replace("SCAN json_each", "").replace("SCAN named USING COVERING", "")
        assert "SCAN" not in walked, name


def plan_of(connection: apsw.Connection, which: List) -> list[str]:
    lines = connection.execute(f"EXPLAIN QUERY PLAN {LISTS[which]}", [None] * 16)
    return [str(line[-1]) for line in lines]


@pytest.mark.parametrize("which", LISTS, ids=str)
def test_every_list_of_runs_is_read_from_an_index_in_its_order(
    connection: apsw.Connection, which: List
) -> None:
    lines = plan_of(connection, which)
    whose = "owner=? AND " if which.owned else ""
    live = which.order.field == "updated" and not which.final
    place = "" if live else f" AND ({which.order.field},run)>(?,?) AND ({which.order.field},run)<(?,?)"
    assert lines[0].endswith(f"({whose}tag=? AND kind=? AND state=?{place})"), lines
    assert lines[0].startswith("SEARCH tags USING"), lines
    walks = [line for line in lines if line.startswith("SCAN")]
    assert walks == [
        "SCAN named USING COVERING INDEX sqlite_autoindex_runs_1",  # only if a text is searched for
        "SCAN wanted VIRTUAL TABLE INDEX 1:",  # the tags that are asked for
    ]
    assert ("USE TEMP B-TREE FOR ORDER BY" in lines) == live  # as many as may be unfinished


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("list_kinds_and_states", "tags_by_created (tag=?"),
        ("list_kinds_and_states_of_owner", "tags_of_owner_by_created (owner=? AND tag=?"),
    ],
)
def test_kinds_and_states_are_found_by_a_look_at_each(
    connection: apsw.Connection, name: str, index: str
) -> None:
    lines = plan(connection, name).splitlines()
    searched = [line for line in lines if line.startswith("SEARCH")]
    assert searched == [
        f"SEARCH tags USING COVERING INDEX {index})",
        "SEARCH following USING PRIMARY KEY (run=? AND tag=?)",
        f"SEARCH tags USING COVERING INDEX {index} AND (kind,state,created)>(?,?,?))",
    ]
    assert "TEMP" not in "".join(lines)
    walks = {line.split()[1] for line in lines if line.startswith("SCAN")}
    assert walks == {"found", "(subquery-1)"}  # one row each


@pytest.mark.parametrize("name", ["count_tagged", "count_tagged_of_owner"])
def test_tags_are_counted_in_an_index(connection: apsw.Connection, name: str) -> None:
    assert "SEARCH tags USING COVERING INDEX tags_" in plan(connection, name)
    assert "SCAN tags" not in plan(connection, name)


def test_retention_does_not_walk_over_milestones(connection: apsw.Connection) -> None:
    assert "savepoints_passing (run=? AND timestamp<?)" in plan(connection, "prune_savepoints")


def test_migrations_are_numbered_without_gap() -> None:
    assert [migration.version for migration in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))
    assert {migration.name for migration in MIGRATIONS} == {path.name for path in SOURCES.glob("sql/0*.sql")}


def test_the_queue_is_read_without_a_look_at_runs_that_have_ended(connection: apsw.Connection) -> None:
    assert plan(connection, "list_executed") == "SCAN runs USING INDEX runs_executed"
    _, executed, execution, *_ = plan(connection, "list_queue_of_runs").splitlines()
    assert executed.startswith("SEARCH runs USING INDEX runs_executed")
    assert execution.startswith("SEARCH executions USING INTEGER PRIMARY KEY")


def test_how_many_wait_before_a_run_is_counted_in_one_index(connection: apsw.Connection) -> None:
    index = "SEARCH earlier USING COVERING INDEX queue_by_kind (kind=? AND wanted=? AND"
    assert plan(connection, "count_waiting_before").splitlines() == [
        "SEARCH runs USING COVERING INDEX sqlite_autoindex_runs_1 (id=?)",
        "SEARCH queue USING PRIMARY KEY (run=? AND tag=?)",
        "CORRELATED SCALAR SUBQUERY 1",
        f"{index} leased_until=? AND run<?)",
        "CORRELATED SCALAR SUBQUERY 2",
        f"{index} leased_until>? AND leased_until<?)",
    ]


GROUP = "tag=? AND kind=? AND wanted=? AND state=? AND short=? AND needs=?"


def test_the_next_run_is_found_by_one_look_at_an_index_for_each_group(connection: apsw.Connection) -> None:
    lines = plan(connection, "find_claimable").splitlines()
    looks = [line for line in lines if "queue_by_group" in line]
    assert looks == [
        f"SEARCH queue USING COVERING INDEX queue_by_group ({GROUP} AND leased_until=?)",
        f"SEARCH queue USING COVERING INDEX queue_by_group ({GROUP} AND leased_until>?)",
    ]
    walks = {line.split()[1] for line in lines if line.startswith("SCAN")}
    assert walks == {"json_each", "asked", "waiting", "first"}


def test_which_groups_wait_is_found_by_one_look_for_each(connection: apsw.Connection) -> None:
    lines = plan(connection, "list_waiting_groups").splitlines()
    looks = [line for line in lines if "queue_by_group" in line]
    assert looks == [
        "SEARCH queue USING COVERING INDEX queue_by_group (tag=?)",
        "SEARCH queue USING COVERING INDEX queue_by_group "
        "(tag=? AND (kind,wanted,state,short,needs,leased_until)>(?,?,?,?,?,?))",
    ]
    assert not any("TEMP B-TREE" in line for line in lines)


def test_what_nobody_works_on_in_a_group_is_read_from_an_index(connection: apsw.Connection) -> None:
    assert plan(connection, "list_unleased").splitlines() == [
        f"SEARCH queue USING COVERING INDEX queue_by_group ({GROUP} AND leased_until<?)",
        "SEARCH runs USING INTEGER PRIMARY KEY (rowid=?)",
    ]
    assert plan(connection, "count_queue").startswith("SEARCH queue")


def test_what_an_owner_has_is_read_without_a_look_at_its_runs(connection: apsw.Connection) -> None:
    first, *rest = plan(connection, "read_owner").splitlines()
    assert first == "SEARCH owners USING PRIMARY KEY (owner=?)"
    assert rest[0].startswith("SCALAR SUBQUERY")  # only where nobody has added up the bytes yet
