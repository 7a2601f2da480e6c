"""What is derived from runs: the counts of each owner, the rows from which lists are read, and the queue.

It has no checksum, since it can be made anew.
"""

from collections.abc import Iterator, Sequence

from perdure.stores.commands.base import Answers, Command, Decision, Moment, Query, Rows, write

__all__ = ["QUEUE", "Recount", "count_queries", "wrong_counts", "wrong_queue"]

QUEUE = Query("list_wrong_queue")
"""The query that `wrong_queue` takes the rows of."""


class Recount(Command[Sequence[str]], frozen=True):
    """Make anew what is derived from runs, and return in words what of it was wrong.

    That is the counts that quotas rest on, what lists of runs are read from, and the queue.
    """

    def reads(self) -> Sequence[Query]:
        """Return the queries for what is kept, and for what the rows come to."""
        return *count_queries(), Query("list_wrong_rows"), QUEUE

    def decide(self, answers: Answers, at: Moment) -> Decision[Sequence[str]]:
        """Put down what is right if something is wrong."""
        kept, counted, listed, queued = answers
        counts = list(wrong_counts(kept, counted))
        lists = [f"the run {id!r} was listed otherwise than its record says" for (id,) in listed]
        writes = [write("clear_owners"), write("fill_owners")] if counts else []
        if lists:
            writes += [write("clear_rows"), write("fill_rows")]
        queue = list(wrong_queue(queued))
        if queue:
            writes += [write("clear_queue"), write("fill_queue")]
        return Decision([*counts, *lists, *queue], writes)


def count_queries() -> Sequence[Query]:
    """Return the queries that `wrong_counts` takes the rows of."""
    return Query("list_owners"), Query("count_owners")


def wrong_counts(kept_rows: Rows, counted_rows: Rows) -> Iterator[str]:
    """Yield in words each count that isn't what the rows come to."""
    kept = {owner: (runs, size) for owner, runs, size in kept_rows}
    counted = {owner: (runs, size) for owner, runs, size in counted_rows}
    for owner in sorted({*kept, *counted}):
        runs, size = counted.get(owner, (0, 0))
        kept_runs, kept_size = kept.get(owner, (0, 0))
        name = owner.decode(errors="backslashreplace")
        if kept_runs != runs:
            yield f"the owner {name!r} is said to have {kept_runs} runs, and has {runs}"
        if kept_size not in (None, size):  # None is counted when it is first asked for
            yield f"the results of {name!r} are said to have {kept_size} bytes, and have {size}"


def wrong_queue(rows: Rows) -> Iterator[str]:
    """Yield in words each run that stands in the queue otherwise than it has to."""
    for (number,) in rows:
        yield f"the run with number {number} was queued otherwise than its execution says"
