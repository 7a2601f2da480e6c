"""The opening of a database: the work between its migration and its first read or write."""

import time

import apsw

from perdure.errors import StoreUnavailable
from perdure.stores import queue_rows, run_rows
from perdure.stores.database import reason, row
from perdure.stores.executions import end_leases
from perdure.stores.tail import Mark

__all__ = ["begin"]


def begin(connection: apsw.Connection, name: str) -> Mark:
    """Fill the lists of a former schema, build the queue, and end the leases of the previous process.

    Returns the transaction that did it. Raises `StoreUnavailable` if that fails.
    """
    try:
        if not run_rows.is_filled(connection):
            run_rows.fill(connection)
        queue_rows.fill(connection)
        end_leases(connection)  # also in the queue
        with connection:
            meta = row(connection, "next_opening")
    except apsw.Error as error:
        raise StoreUnavailable(reason=reason(name, error)) from error
    assert meta is not None, "the first migration creates the row"
    store, opening, batch = meta
    return Mark(store=store, opening=opening, batch=batch, time=time.time())
