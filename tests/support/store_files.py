"""A store's file as damage leaves it, and writes of it that become one batch."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import apsw

from perdure.stores.base import Store
from perdure.stores.commands import Committed, CreateRun
from perdure.testing.store_samples import WAIT, a_run

__all__ = ["held", "overwrite"]

PAGE = 4096  # bytes


def overwrite(path: Path, table: str, which: slice = slice(-1, None)) -> None:
    """Overwrite leaves of a table or an index, by default the last one, in the closed file."""
    with closing(apsw.Connection(str(path))) as connection:
        query = "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY pageno"
        pages = [page for (page,) in connection.execute(query, (table,))]
    with path.open("r+b") as file:
        for page in pages[which]:
            file.seek((page - 1) * PAGE)
            file.write(b"\xa5" * PAGE)


@contextmanager
def held(store: Store) -> Iterator[Future[Any]]:
    """Keep the writer busy, so that what is written within the block waits, and becomes one batch."""
    taken, go_on = threading.Event(), threading.Event()

    def hold(committed: Committed) -> None:
        taken.set()
        go_on.wait(WAIT)

    stop = store.watch(hold)
    future = store.submit(CreateRun(a_run("held")))
    assert taken.wait(WAIT)
    stop()
    try:
        yield future
    finally:
        go_on.set()
