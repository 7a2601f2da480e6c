"""The rows from which lists of runs are read in the SQLite file; triggers keep them as the runs are.

A page is merged from one look at an index for each kind and state, so that what is left out costs nothing.
They have no checksum: what they say can be put down again from the runs.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib import resources
from types import MappingProxyType
from typing import Final

import apsw
import msgspec
import structlog

from perdure.errors import CorruptBlob
from perdure.lifecycle import FINAL
from perdure.run import Run
from perdure.stores.database import row, rows
from perdure.stores.queries import QUERIES
from perdure.stores.run_list import Cursor, Place, RunFilter, RunOrder, bounds

__all__ = ["LISTS", "List", "differ", "fill", "find"]

_SQL = {name: query.sql for name, query in QUERIES.items()}

MANY = 1000  # runs with a tag; more aren't counted

log = structlog.get_logger(__name__)


class List(msgspec.Struct, frozen=True):
    """A way to read a list: its order, whether it is one owner's, and whether its runs have ended."""

    order: RunOrder
    owned: bool
    final: bool


def _statement(template: str, which: List) -> str:
    """Return the query that reads a list.

    When a run was updated that isn't in a final state is read from the run, and such runs are sorted: every
    step changes it, and would have to change an index. There are as many as a quota allows.
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
) -> list[Place]:
    """Return where the runs of a page are in an order, each with its number."""
    tag, *others = _rarest_first(connection, filter)
    owned = filter.owner is not None
    query = "list_kinds_and_states_of_owner" if owned else "list_kinds_and_states"
    low, high = bounds(filter, order, cursor)
    limit = max(0, limit)
    found: list[Place] = []
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
    """Return the tags that are asked for, first the one that the fewest runs have; an empty one for none.

    What a list is read by is the first: the runs that have it are looked at for the others.
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
    """Make the rows of all runs that were kept before there were any, unless that was done.

    A run whose record is damaged gets none, and is in no list.
    """
    if row(connection, _SQL["are_rows_filled"]) != (0,):
        return
    try:
        with connection:
            connection.execute(_SQL["fill_rows"])
            connection.execute(_SQL["note_rows_filled"])
    except apsw.CorruptError:
        intact = _intact(connection)  # first: a transaction that met damage takes nothing more
        with connection:
            connection.executemany(_SQL["fill_rows_of_run"], intact)
            connection.execute(_SQL["note_rows_filled"])


def _intact(connection: apsw.Connection) -> list[tuple[int]]:
    """Return the numbers of the runs whose records can be read."""
    intact = []
    try:
        for number in rows(connection, _SQL["list_run_numbers"]):
            with suppress(CorruptBlob, apsw.CorruptError):
                rows(connection, _SQL["find_run_id"], number)
                intact.append(number)
    except apsw.CorruptError as error:
        log.error("runs_not_listed", reason=str(error))
    return intact


def differ(connection: apsw.Connection, run: Run) -> bool:
    """Return whether a run is listed otherwise than it is."""
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
