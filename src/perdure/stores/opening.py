"""The opening of a database: what is done to it, once it is up to date, before it is read and written."""

import time

import apsw

from perdure.errors import StoreUnavailable
from perdure.stores import queue_rows, run_rows
from perdure.stores.database import reason, row
from perdure.stores.executions import end_leases
from perdure.stores.queries import QUERIES
from perdure.stores.tail import Mark

__all__ = ["begin"]

_NEXT_OPENING = QUERIES["next_opening"].sql


def begin(connection: apsw.Connection, name: str) -> Mark:
    """List what a former schema kept, make the queue, end the leases of the process that had the database.

    Returns the transaction that did it. Raises `StoreUnavailable` if that can't be done.
    """
    try:
        if not run_rows.is_filled(connection):
            run_rows.fill(connection)
        queue_rows.fill(connection)
        end_leases(connection)  # in the queue, too
        with connection:
            meta = row(connection, _NEXT_OPENING)
    except apsw.Error as error:
        raise StoreUnavailable(reason=reason(name, error)) from error
    assert meta is not None, "the first migration makes it"
    store, opening, batch = meta
    return Mark(store=store, opening=opening, batch=batch, time=time.time())
