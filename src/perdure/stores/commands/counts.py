"""The derived tables: the counts of each owner, the rows of lists, and the queue.

They have no checksum, since they can be rebuilt.
"""

from collections.abc import Iterator, Sequence

from perdure.stores.commands.base import Answers, Command, Decision, Moment, Query, Rows, write

__all__ = ["QUEUE", "Recount", "check_table", "count_queries", "damaged_table", "wrong_counts", "wrong_queue"]

QUEUE = Query("list_wrong_queue")
"""The query whose rows `wrong_queue` takes."""


_TABLES = ("owners", "queue", "tags")


class Recount(Command[Sequence[str]], frozen=True):
    """Rebuild the derived tables, and return a sentence for each error that was found in them."""

    at_once = True
    alone = True

    def reads(self) -> Sequence[Query]:
        """Return the queries for damaged pages, for the stored values, and for the right ones."""
        tables = [check_table(table) for table in _TABLES]
        return *tables, *count_queries(), Query("list_wrong_rows"), QUEUE

    def decide(self, answers: Answers, at: Moment) -> Decision[Sequence[str]]:
        """Write the correct values if something is wrong."""
        *pages, kept, counted, listed, queued = answers
        checked = zip(_TABLES, pages, strict=True)
        damaged = [problem for table, rows in checked for problem in damaged_table(table, rows)]
        counts = list(wrong_counts(kept, counted))
        lists = [f"the run {id!r} was listed otherwise than its record says" for (id,) in listed]
        writes = [write("clear_owners"), write("fill_owners")] if counts or damaged else []
        if lists or damaged:
            writes += [write("clear_rows"), write("fill_rows")]
        queue = list(wrong_queue(queued))
        if queue or damaged:
            writes += [write("clear_queue"), write("fill_queue")]
        return Decision([*at.repaired, *damaged, *counts, *lists, *queue], writes)


def check_table(table: str) -> Query:
    """Return the query whose rows `damaged_table` takes."""
    return Query("check_table", (table,))


def damaged_table(table: str, rows: Rows) -> list[str]:
    """Return a sentence if a page of a derived table is damaged; an empty list otherwise."""
    return [] if list(rows) == [("ok",)] else [f"a page of the table {table}, which is derived, was damaged"]


def count_queries() -> Sequence[Query]:
    """Return the queries whose rows `wrong_counts` takes."""
    return Query("list_owners"), Query("count_owners")


def wrong_counts(kept_rows: Rows, counted_rows: Rows) -> Iterator[str]:
    """Yield a sentence for each count that differs from the rows."""
    kept = {owner: (runs, size) for owner, runs, size in kept_rows}
    counted = {owner: (runs, size) for owner, runs, size in counted_rows}
    for owner in sorted({*kept, *counted}):
        runs, size = counted.get(owner, (0, 0))
        kept_runs, kept_size = kept.get(owner, (0, 0))
        name = owner.decode(errors="backslashreplace")
        if kept_runs != runs:
            yield f"the owner {name!r} is said to have {kept_runs} runs, and has {runs}"
        if kept_size not in (None, size):  # None: it is computed when it is first needed
            yield f"the results of {name!r} are said to have {kept_size} bytes, and have {size}"


def wrong_queue(rows: Rows) -> Iterator[str]:
    """Yield a sentence for each run whose row in the queue is wrong."""
    for (number,) in rows:
        yield f"the run with number {number} was queued otherwise than its execution says"
