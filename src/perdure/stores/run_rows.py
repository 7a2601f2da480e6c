"""The rows from which lists of runs are read; triggers keep them up to date.

A page is merged from one index lookup for each kind and state, so that skipped runs cost nothing. The rows
have no checksum, since they can be rebuilt from the runs.
"""

from collections.abc import Iterator
from typing import Any

import apsw
import msgspec

from perdure.lifecycle import FINAL
from perdure.run import Run
from perdure.stores.ask import Ask
from perdure.stores.commands.base import Write, write
from perdure.stores.database import intact, row, rows
from perdure.stores.derived import refill
from perdure.stores.list_queries import List
from perdure.stores.run_list import Cursor, OrderPosition, RunFilter, RunOrder, bounds

__all__ = ["count", "differ", "fill", "find", "is_filled"]

MANY = 1000  # runs with a tag that are counted at most
ALL = (1 << 63) - 1  # runs; more can't be stored


def find(
    ask: Ask, filter: RunFilter, order: RunOrder, cursor: Cursor | None, limit: int
) -> list[OrderPosition]:
    """Return the positions in the order of the runs of a page."""
    limit = max(0, limit)
    found: list[OrderPosition] = []
    for which, values in _lists(ask, filter, order, cursor):
        found += ask(which.query, *values, limit)
    found.sort(reverse=order.descending)
    return found[:limit]


def count(ask: Ask, filter: RunFilter) -> int:
    """Return the number of runs that match a filter."""
    total = 0
    for which, values in _lists(ask, filter, RunOrder.CREATED, None):
        ((number,),) = ask(which.count, *values, ALL)
        total += number
    return total


def _lists(
    ask: Ask, filter: RunFilter, order: RunOrder, cursor: Cursor | None
) -> Iterator[tuple[List, tuple[Any, ...]]]:
    """Yield the lists that a filter is answered from, each with the values of its query."""
    tag, *others = _rarest_first(ask, filter)
    owned = filter.owner is not None
    query = "list_kinds_and_states_of_owner" if owned else "list_kinds_and_states"
    low, high = bounds(filter, order, cursor)
    for kind, state in ask(query, *(tag, filter.owner)[: 1 + owned]):
        if filter.kind in (None, kind) and (filter.states is None or state in filter.states):
            values = (
                filter.owner,
                tag,
                kind,
                state,
                *low,
                *high,
                filter.created_after,
                filter.created_before,
                filter.updated_after,
                filter.updated_before,
                filter.name,
                filter.folded,
                msgspec.json.encode(others).decode() if others else None,
            )
            yield List(order, owned, state in FINAL), values


def _rarest_first(ask: Ask, filter: RunFilter) -> tuple[str, ...]:
    """Return the tags of the filter, the rarest one first; an empty tag if there is none.

    The list is read by the first tag; the runs that have it are checked for the others.
    """
    if len(filter.tags) < 2:
        return filter.tags or ("",)
    owned = filter.owner is not None
    query = "count_tagged_of_owner" if owned else "count_tagged"

    def tagged(tag: str) -> int:
        ((found,),) = ask(query, *(tag, MANY, filter.owner)[: 2 + owned])
        return int(found)

    return tuple(sorted(filter.tags, key=tagged))


def fill(connection: apsw.Connection) -> None:
    """Build the rows of all runs; a run with a damaged record gets none and is in no list."""
    clear, note = write("clear_rows"), write("note_rows_filled")
    try:
        refill(connection, "tags", [clear, write("fill_rows"), note])
    except apsw.CorruptError:
        found = list(intact(connection, "list_run_numbers", lambda number: _readable(connection, number)))
        refill(connection, "tags", [clear, Write("fill_rows_of_run", found), note])


def is_filled(connection: apsw.Connection) -> bool:
    """Return whether the rows of runs from a former schema have been built."""
    return row(connection, "are_rows_filled") != (0,)


def _readable(connection: apsw.Connection, number: int) -> list[tuple[int]]:
    rows(connection, "find_run_id", number)
    return [(number,)]


def differ(ask: Ask, run: Run) -> bool:
    """Return whether the rows of a run differ from the run."""
    found = set()
    for tag, owner, kind, state, created, updated, name in ask("list_rows_of_run", run.number):
        exact = updated if run.state in FINAL else run.updated
        found.add((tag, owner, kind, state, created, exact, name))
    return found != {
        (tag, run.owner, run.kind, run.state.value, run.created, run.updated, run.name)
        for tag in ("", *run.tags)
    }
