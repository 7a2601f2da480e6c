"""The counts of each owner, which triggers keep: how many runs there are, how many bytes their results have.

They have no checksum: what they count can be counted again.
"""

from collections.abc import Iterator

import apsw

from perdure.stores.database import rows
from perdure.stores.queries import QUERIES

__all__ = ["recount", "wrong_counts"]

_SQL = {name: query.sql for name, query in QUERIES.items()}


def wrong_counts(connection: apsw.Connection) -> Iterator[str]:
    """Yield in words each count that isn't what the rows come to."""
    kept = {owner: (runs, size) for owner, runs, size in rows(connection, _SQL["list_owners"])}
    found = {owner: (runs, size) for owner, runs, size in rows(connection, _SQL["count_owners"])}
    for owner in sorted({*kept, *found}):
        runs, size = found.get(owner, (0, 0))
        told, told_size = kept.get(owner, (0, 0))
        name = owner.decode(errors="backslashreplace")
        if told != runs:
            yield f"the owner {name!r} is said to have {told} runs, and has {runs}"
        if told_size not in (None, size):  # None is counted when it is first asked for
            yield f"the results of {name!r} are said to have {told_size} bytes, and have {size}"


def recount(connection: apsw.Connection) -> tuple[list[str], None]:
    """Count anew if a count is wrong; return what was."""
    wrong = list(wrong_counts(connection))
    if wrong:
        connection.execute(_SQL["clear_owners"])
        connection.execute(_SQL["fill_owners"])
    return wrong, None
