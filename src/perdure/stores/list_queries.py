"""The queries of lists of runs: one for each order, made from a database's template."""

from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType

import msgspec

from perdure.stores.run_list import RunOrder

__all__ = ["List", "list_queries", "named_queries"]


_COUNT = (resources.files("perdure.stores") / "sql" / "count_runs.sql").read_text("utf-8")


class List(msgspec.Struct, frozen=True):
    """A way to read a list: its order, whether it is one owner's, and whether its runs have ended."""

    order: RunOrder
    owned: bool
    final: bool

    @property
    def query(self) -> str:
        """The name of its query."""
        return f"list_runs {self.order.value}{' owned' * self.owned}{' final' * self.final}"

    @property
    def count(self) -> str:
        """The name of the query that counts its runs."""
        return f"count_runs{' owned' * self.owned}{' final' * self.final}"


def _statement(template: str, which: List, join: str, owned: str, unowned: str) -> str:
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
        join=f"{join} runs ON runs.number = tags.run" if live else "",
        owner=owned if which.owned else unowned,
        updated="runs.updated" if live else "tags.updated" if which.final else run,
        direction="DESC" if which.order.descending else "ASC",
    )


def list_queries(template: str, *, join: str, owned: str, unowned: str = "") -> Mapping[List, str]:
    """Return the query of each list.

    Parameters
    ----------
    template
        The statement, with names in braces.
    join
        The words that join a table in the order of the query.
    owned, unowned
        The beginning of the condition for one owner's list and for that of all owners.
    """
    lists = [
        List(order, owned, final) for order in RunOrder for owned in (False, True) for final in (False, True)
    ]
    return MappingProxyType({which: _statement(template, which, join, owned, unowned) for which in lists})


def named_queries(lists: Mapping[List, str]) -> dict[str, str]:
    """Return the queries of lists, and those that count the runs in lists, by their names."""
    read = {which.query: sql for which, sql in lists.items()}
    counted = {
        which.count: _COUNT.format(list=sql)
        for which, sql in lists.items()
        if which.order is RunOrder.CREATED
    }
    return read | counted
