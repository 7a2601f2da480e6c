"""The integrity of the SQLite file: its pages, the keys, and each run's record and execution.

Steps and savepoints have their own checksums, which are checked when a run is restored.
"""

from collections.abc import Iterator
from itertools import islice

import apsw

from perdure.errors import CorruptBlob
from perdure.stores.commands.counts import QUEUE, count_queries, wrong_counts, wrong_queue
from perdure.stores.commands.documents import to_document
from perdure.stores.database import row, rows
from perdure.stores.executions import damaged_executions, is_damaged
from perdure.stores.keys import damaged_keys
from perdure.stores.lines import read_lines
from perdure.stores.queries import QUERIES
from perdure.stores.run_rows import differ
from perdure.stores.transaction import answer
from perdure.stores.values import to_run

__all__ = ["problems"]

MAX_PROBLEMS = 100  # problems of one kind
PAGE = 1_000  # lines read at once

_SQL = {name: query.sql for name, query in QUERIES.items()}


def problems(connection: apsw.Connection) -> list[str]:
    """Return a sentence for each damage in a file; an unreadable part is named, and the rest is checked."""
    return [
        *_first("the file", _damaged_pages(connection)),
        *_first("the references between tables", _lost_rows(connection)),
        *_first("the idempotency keys", _damaged_keys(connection)),
        *_first("the records of runs", _damaged_runs(connection)),
        *_first("the counts of owners", _wrong_counts(connection)),
        *_first("the executions", damaged_executions(connection)),
        *_first("the queue", _wrong_queue(connection)),
        *_first("the output lines", _damaged_lines(connection)),
        *_first("the documents of dialects", _damaged_records(connection)),
    ]


def _first(what: str, found: Iterator[str]) -> Iterator[str]:
    """Yield the first problems, and a sentence if there are more or the reading fails."""
    try:
        yield from islice(found, MAX_PROBLEMS)
        if next(found, None) is not None:
            yield f"{what}: more than {MAX_PROBLEMS} problems; these are the first"
    except (apsw.Error, CorruptBlob) as error:
        yield f"{what} can't be read to the end: {error}"


def _damaged_pages(connection: apsw.Connection) -> Iterator[str]:
    for (found,) in connection.execute(_SQL["check_file"]):
        yield from (f"SQLite: {line}" for line in found.splitlines() if not _is_harmless(line))


def _is_harmless(line: str) -> bool:
    """Return whether a line names no damage: also unused pages, which a replaced derived table leaves."""
    return line == "ok" or line.startswith("*** in database ") or line.endswith(": never used")


def _lost_rows(connection: apsw.Connection) -> Iterator[str]:
    for table, _, parent, _ in connection.execute(_SQL["check_references"]):
        yield f"a row of {table} belongs to nothing in {parent}"


def _damaged_keys(connection: apsw.Connection) -> Iterator[str]:
    for number, problem in damaged_keys(connection):
        yield f"{_name(connection, number)}: {problem}"


def _damaged_runs(connection: apsw.Connection) -> Iterator[str]:
    for (number,) in rows(connection, _SQL["list_run_numbers"]):
        try:
            values = row(connection, _SQL["read_run_by_number"], (number,))
            if values is None:
                yield f"{_name(connection, number)}: its record or its spec isn't there"
            elif differ(connection, to_run(values)):
                yield f"{_name(connection, number)}: it is listed otherwise than its record says"
        except (apsw.Error, CorruptBlob) as error:
            yield f"{_name(connection, number)}: it can't be read: {error}"


def _wrong_counts(connection: apsw.Connection) -> Iterator[str]:
    yield from wrong_counts(*(answer(connection, query) for query in count_queries()))


def _wrong_queue(connection: apsw.Connection) -> Iterator[str]:
    queued = answer(connection, QUEUE)  # damaged executions aren't queued
    yield from wrong_queue([row for row in queued if not is_damaged(connection, *row)])


def _damaged_lines(connection: apsw.Connection) -> Iterator[str]:
    for (number,) in rows(connection, _SQL["list_all_executed"]):
        found = row(connection, _SQL["find_run_id"], (number,))
        after: int | None = 0
        while found is not None and after is not None:
            try:
                lines = read_lines(connection, found[0], after, PAGE)
                after = lines[-1].number if lines else None
            except (apsw.Error, CorruptBlob) as error:
                yield f"run {found[0]}: {error}"
                after = None


def _damaged_records(connection: apsw.Connection) -> Iterator[str]:
    for dialect, id in rows(connection, _SQL["list_document_ids"]):
        try:
            values = row(connection, _SQL["read_document"], (dialect, id))
            if values is None:
                yield f"the record {id!r} of {dialect} isn't there"
            else:
                to_document(values)
        except (apsw.Error, CorruptBlob) as error:
            yield f"the record {id!r} of {dialect}: {error}"


def _name(connection: apsw.Connection, number: int) -> str:
    """Return the id of a run for a message, or its number if the id can't be read."""
    try:
        found = row(connection, _SQL["find_run_id"], (number,))
    except (apsw.Error, CorruptBlob):
        found = None
    return f"run number {number}" if found is None else f"run {found[0]}"
