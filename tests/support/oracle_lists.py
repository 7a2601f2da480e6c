"""Lists of runs as the oracle makes them: all runs at hand, filtered and sorted by nothing of a store's."""

from collections.abc import Iterable
from math import inf

from perdure.run import Run
from perdure.stores.run_list import Cursor, RunFilter, RunOrder

__all__ = ["listed", "page"]


def page(
    runs: Iterable[Run], filter: RunFilter, order: RunOrder, cursor: Cursor | None, limit: int
) -> list[Run]:
    """Return the page of a list behind a cursor."""
    found = listed(runs, filter, order)
    if cursor is not None:
        place = cursor.key, cursor.number
        found = [
            run
            for run in found
            if (_place(run, order) < place if order.descending else _place(run, order) > place)
        ]
    return found[: max(0, limit)]


def listed(runs: Iterable[Run], filter: RunFilter, order: RunOrder) -> list[Run]:
    """Return the runs of a list."""
    found = [run for run in runs if _matches(run, filter)]
    return sorted(found, key=lambda run: _place(run, order), reverse=order.descending)


def _place(run: Run, order: RunOrder) -> tuple[float | str, int]:
    return getattr(run, order.value.lstrip("-")), run.number


def _matches(run: Run, filter: RunFilter) -> bool:
    return (
        filter.owner in (None, run.owner)
        and filter.kind in (None, run.kind)
        and (filter.states is None or run.state in filter.states)
        and all(tag in run.tags for tag in filter.tags)
        and run.name.startswith(filter.name or "")
        and any(_lower(filter.text or "") in _lower(text) for text in (run.name, run.id))
        and (-inf if filter.created_after is None else filter.created_after) < run.created
        and run.created < (inf if filter.created_before is None else filter.created_before)
        and (-inf if filter.updated_after is None else filter.updated_after) < run.updated
        and run.updated < (inf if filter.updated_before is None else filter.updated_before)
    )


def _lower(text: str) -> str:
    return "".join(character.lower() if character.isascii() else character for character in text)
