"""The rows from which lists of runs are read in the SQLite file; triggers keep them up to date.

A page is merged from one index lookup for each kind and state, so that skipped runs cost nothing. The rows
have no checksum, since they can be rebuilt from the runs.
"""

from collections.abc import Iterator, Mapping
from importlib import resources
from types import MappingProxyType
from typing import Final

import apsw
import msgspec

from perdure.lifecycle import FINAL
from perdure.run import Run
from perdure.stores.commands.base import Write, write
from perdure.stores.database import intact, row, rows
from perdure.stores.derived import refill
from perdure.stores.queries import QUERIES
from perdure.stores.run_list import Cursor, OrderPosition, RunFilter, RunOrder, bounds

__all__ = ["LISTS", "List", "differ", "fill", "find", "is_filled"]

_SQL = {name: query.sql for name, query in QUERIES.items()}

MANY = 1000  # runs with a tag that are counted at most


class List(msgspec.Struct, frozen=True):
    """A way to read a list: its order, whether it is one owner's, and whether its runs have ended."""

    order: RunOrder
    owned: bool
    final: bool


def _statement(template: str, which: List) -> str:
    """Return the query that reads a list.

    The update time of an unfinished run is read from the run, and such runs are sorted: every step changes
    the time, and an index on it would have to be changed each time. A quota limits their number.
    """
    field = which.order.field
    live = field == "updated" and not which.final
    of_owner = "_of_owner" if which.owned else ""
    run = "(SELECT updated FROM runs AS live WHERE live.number = tags.run)"
    return template.format(
        key="runs.updated" if live else f"tags.{field}",
        index=f"tags{of_owner}_by_{'created' if live else field}",
        join="CROSS JOIN runs ON runs.number = tags.run" if live else "",
        owner="tags.owner = ?1 AND" if which.owned else "",
        updated="runs.updated" if live else "tags.updated" if which.final else run,
        direction="DESC" if which.order.descending else "ASC",
    )


def _statements() -> Iterator[tuple[List, str]]:
    template = (resources.files("perdure.stores") / "sql" / "list_runs.sql").read_text("utf-8")
    for order in RunOrder:
        for owned in (False, True):
            for final in (False, True):
                which = List(order, owned, final)
                yield which, _statement(template, which)


LISTS: Final[Mapping[List, str]] = MappingProxyType(dict(_statements()))
"""The query of each list."""


def find(
    connection: apsw.Connection, filter: RunFilter, order: RunOrder, cursor: Cursor | None, limit: int
) -> list[OrderPosition]:
    """Return the positions in the order of the runs of a page."""
    tag, *others = _rarest_first(connection, filter)
    owned = filter.owner is not None
    query = "list_kinds_and_states_of_owner" if owned else "list_kinds_and_states"
    low, high = bounds(filter, order, cursor)
    limit = max(0, limit)
    found: list[OrderPosition] = []
    for kind, state in rows(connection, _SQL[query], (tag, filter.owner)[: 1 + owned]):
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
                limit,
            )
            found += rows(connection, LISTS[List(order, owned, state in FINAL)], values)
    found.sort(reverse=order.descending)
    return found[:limit]


def _rarest_first(connection: apsw.Connection, filter: RunFilter) -> tuple[str, ...]:
    """Return the tags of the filter, the rarest one first; an empty tag if there is none.

    The list is read by the first tag; the runs that have it are checked for the others.
    """
    if len(filter.tags) < 2:
        return filter.tags or ("",)
    owned = filter.owner is not None
    query = "count_tagged_of_owner" if owned else "count_tagged"

    def count(tag: str) -> int:
        ((found,),) = rows(connection, _SQL[query], (tag, MANY, filter.owner)[: 2 + owned])
        return int(found)

    return tuple(sorted(filter.tags, key=count))


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
    return row(connection, _SQL["are_rows_filled"]) != (0,)


def _readable(connection: apsw.Connection, number: int) -> list[tuple[int]]:
    rows(connection, _SQL["find_run_id"], (number,))
    return [(number,)]


def differ(connection: apsw.Connection, run: Run) -> bool:
    """Return whether the rows of a run differ from the run."""
    found = set()
    for tag, owner, kind, state, created, updated, name in rows(
        connection, _SQL["list_rows_of_run"], (run.number,)
    ):
        exact = updated if run.state in FINAL else run.updated
        found.add((tag, owner, kind, state, created, exact, name))
    return found != {
        (tag, run.owner, run.kind, run.state.value, run.created, run.updated, run.name)
        for tag in ("", *run.tags)
    }
