"""The integrity of a store: the keys, and each run's record and execution.

Steps and savepoints have their own checksums, which are checked when a run is restored.
"""

from collections.abc import Iterator
from itertools import islice

from perdure.errors import CorruptBlob
from perdure.stores.ask import Ask, Each
from perdure.stores.commands.counts import QUEUE, count_queries, wrong_counts, wrong_queue
from perdure.stores.commands.documents import to_document
from perdure.stores.executions import damaged_executions, is_damaged
from perdure.stores.keys import damaged_keys
from perdure.stores.lines import read_lines
from perdure.stores.run_rows import differ
from perdure.stores.values import to_run

__all__ = ["first", "problems"]

MAX_PROBLEMS = 100  # problems of one kind
PAGE = 1_000  # lines read at once


def problems(ask: Ask, each: Each) -> list[str]:
    """Return a sentence for each damage; an unreadable part is named, and the rest is checked."""
    return [
        *first("the idempotency keys", _damaged_keys(ask, each)),
        *first("the records of runs", _damaged_runs(ask)),
        *first("the counts of owners", _wrong_counts(ask)),
        *first("the executions", damaged_executions(ask)),
        *first("the queue", _wrong_queue(ask)),
        *first("the output lines", _damaged_lines(ask)),
        *first("the documents of dialects", _damaged_records(ask)),
    ]


def first(what: str, found: Iterator[str]) -> Iterator[str]:
    """Yield the first problems, and a sentence if there are more or the reading fails."""
    try:
        yield from islice(found, MAX_PROBLEMS)
        if next(found, None) is not None:
            yield f"{what}: more than {MAX_PROBLEMS} problems; these are the first"
    except CorruptBlob as error:
        yield f"{what} can't be read to the end: {error}"


def _damaged_keys(ask: Ask, each: Each) -> Iterator[str]:
    for number, problem in damaged_keys(each):
        yield f"{_name(ask, number)}: {problem}"


def _damaged_runs(ask: Ask) -> Iterator[str]:
    for (number,) in ask("list_run_numbers"):
        try:
            found = ask("read_run_by_number", number)
            if not found:
                yield f"{_name(ask, number)}: its record or its spec isn't there"
            elif differ(ask, to_run(found[0])):
                yield f"{_name(ask, number)}: it is listed otherwise than its record says"
        except CorruptBlob as error:
            yield f"{_name(ask, number)}: it can't be read: {error}"


def _wrong_counts(ask: Ask) -> Iterator[str]:
    yield from wrong_counts(*(ask(query.name, *query.values) for query in count_queries()))


def _wrong_queue(ask: Ask) -> Iterator[str]:
    queued = ask(QUEUE.name)  # damaged executions aren't queued
    yield from wrong_queue([row for row in queued if not is_damaged(ask, *row)])


def _damaged_lines(ask: Ask) -> Iterator[str]:
    for (number,) in ask("list_all_executed"):
        found = ask("find_run_id", number)
        after: int | None = 0
        while found and after is not None:
            try:
                lines = read_lines(ask, found[0][0], after, PAGE)
                after = lines[-1].number if lines else None
            except CorruptBlob as error:
                yield f"run {found[0][0]}: {error}"
                after = None


def _damaged_records(ask: Ask) -> Iterator[str]:
    for dialect, id in ask("list_document_ids"):
        try:
            found = ask("read_document", dialect, id)
            if not found:
                yield f"the record {id!r} of {dialect} isn't there"
            else:
                to_document(found[0])
        except CorruptBlob as error:
            yield f"the record {id!r} of {dialect}: {error}"


def _name(ask: Ask, number: int) -> str:
    """Return the id of a run for a message, or its number if the id can't be read."""
    try:
        found = ask("find_run_id", number)
    except CorruptBlob:
        found = ()
    return f"run {found[0][0]}" if found else f"run number {number}"
