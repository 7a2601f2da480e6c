"""The PostgreSQL adapter: instances as rows of BPTK-Py's table, each replaced only if it is unchanged."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import resources
from typing import TYPE_CHECKING, Any, TypeAlias

import structlog

from perdure.dialects.bptk.external_state.adapter import ExternalStateAdapter, InstanceState
from perdure.dialects.bptk.external_state.state_text import from_text, from_time, to_text, to_time
from perdure.dialects.bptk.timeouts import KEYS
from perdure.errors import ExternalStateChanged, Invalid
from perdure.stores.queries import parse

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg_pool import ConnectionPool

    Client: TypeAlias = Connection[Any] | ConnectionPool[Connection[Any]]

__all__ = ["PostgresAdapter"]

log = structlog.get_logger(__name__)

_SQL = {
    name: query.sql
    for name, query in parse(
        (resources.files(__package__) / "postgres_adapter.sql").read_text("utf-8")
    ).items()
}
_CONFLICTS = ("40001", "40P01")  # SQLSTATEs: serialization failure, deadlock


class PostgresAdapter(ExternalStateAdapter):
    """Stores each instance in a row of the table ``state`` of PostgreSQL; it also reads those of BPTK-Py.

    A row is replaced only if it is as this adapter loaded or saved it last. If another server has replaced
    it, `ExternalStateChanged` is raised, and the server loads the instance and executes the request again. So
    several servers may use the same table.

    The table is created if it doesn't exist. In a table of BPTK-Py the columns for steps and timeouts get the
    type ``double precision``, since both may be fractions, and ``instance_id`` gets a unique index; of
    several rows of one instance, that of the latest step stays.

    Parameters
    ----------
    postgres_client
        A connection of psycopg 3, or a pool of them. The adapter commits on it. A connection that was lost is
        opened again.
    compress
        Whether the sessions are compressed.
    """

    def __init__(self, postgres_client: "Client", compress: bool) -> None:
        super().__init__(compress)
        if not hasattr(postgres_client, "cursor") and not hasattr(postgres_client, "getconn"):
            raise Invalid(
                f"PostgresAdapter takes a connection of psycopg, not {postgres_client!r:.80}; "
                "psycopg.connect(…) returns one."
            )
        self._client: Any = postgres_client
        self._given = postgres_client
        self._reconnect = _reconnect(postgres_client)
        self._shared = False
        self._known: dict[str, str] = {}  # xmin of the row that was loaded or saved last, by instance

    def _open(self, shared: bool) -> None:
        """Prepare the table."""
        self._shared = shared
        with self._connection() as connection, connection.transaction():
            self._execute(connection, "prepare_alone")
            self._execute(connection, "create_table")
            if self._execute(connection, "has_whole_numbers") == [(True,)]:
                self._execute(connection, "allow_fractions")
            if self._execute(connection, "is_unique") == [(False,)]:
                self._execute(connection, "delete_duplicates")
                self._execute(connection, "make_unique")

    def _close(self) -> None:
        """Close the connection if the adapter has opened it."""
        if self._client is not self._given:
            self._client.close()

    def _lock_instance(self, instance_id: str) -> Callable[[], None]:
        """Return a function that forgets what was loaded; nothing is locked."""
        return lambda: self._forget(instance_id)

    def _save_instance(self, state: InstanceState) -> None:
        """Replace an instance; raise `ExternalStateChanged` if another server has changed it."""
        values = (
            None if state.state is None else to_text(state.state),
            state.instance_id,
            to_time(state.time),
            *(float(state.timeout[key]) for key in KEYS),
            state.step,
        )
        known = self._known.get(state.instance_id)
        if known is None:
            written = self._commit(state.instance_id, "insert", values)
        else:
            written = self._commit(state.instance_id, "update", (*values, state.instance_id, known))
        if not written:
            raise ExternalStateChanged(instance=state.instance_id)
        self._known[state.instance_id] = written[0][0]

    def _load_instance(self, instance_id: str) -> InstanceState | None:
        """Return an instance, or None."""
        if "\0" in instance_id:  # which no text of PostgreSQL holds
            return None
        rows = self._read("load", (instance_id,))
        if not rows:
            self._forget(instance_id)
            return None
        version, *columns = rows[0]
        self._known[instance_id] = version
        return _instance(columns)

    def _load_state(self) -> list[InstanceState]:
        """Return all instances."""
        found = []
        for version, *columns in self._read("list"):
            state = _instance(columns)
            if not self._shared:  # the server may load it from this list; a loaded one is as it was loaded
                self._known.setdefault(state.instance_id, version)
            found.append(state)
        return found

    def delete_instance(self, instance_id: str) -> None:
        """Delete an instance."""
        if "\0" not in instance_id:
            self._commit(instance_id, "delete", (instance_id,))
        self._forget(instance_id)

    def _expire_instance(self, instance_id: str) -> None:
        """Delete an instance unless another server has changed it; then raise `ExternalStateChanged`."""
        known = self._known.get(instance_id)
        deleted = known is not None and self._commit(instance_id, "delete_unchanged", (instance_id, known))
        if not deleted and "\0" not in instance_id and self._read("exists", (instance_id,)):
            raise ExternalStateChanged(instance=instance_id)
        self._forget(instance_id)

    # The connection -----------------------------------------------------------------------------------------

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        """Yield a connection without an open transaction; one that was lost is opened again."""
        if hasattr(self._client, "getconn"):
            with self._client.connection() as connection:
                yield connection
            return
        if self._client.closed:
            with suppress(Exception):
                self._client.close()
            self._client = self._reconnect()
            log.info("external_state_connected_again")
        try:
            yield self._client
            self._client.commit()
        except BaseException:
            with suppress(Exception):  # a lost connection has nothing to roll back
                self._client.rollback()
            raise

    def _commit(self, instance_id: str, query: str, values: Sequence[Any]) -> list[Any]:
        """Execute one statement and commit it; return its rows.

        If the connection is lost meanwhile, it isn't known whether the statement was committed: the error is
        raised, and the server loads the instance.
        """
        try:
            with self._connection() as connection:
                return self._execute(connection, query, values)
        except Exception as error:
            if getattr(error, "sqlstate", None) in _CONFLICTS:
                raise ExternalStateChanged(instance=instance_id) from error
            raise

    def _read(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return the rows of a query, which is repeated once if the connection was lost."""
        from psycopg import OperationalError

        try:
            with self._connection() as connection:
                return self._execute(connection, query, values)
        except OperationalError:
            with self._connection() as connection:
                return self._execute(connection, query, values)

    def _execute(self, connection: Any, query: str, values: Sequence[Any] = ()) -> list[Any]:
        from psycopg.rows import tuple_row

        with connection.cursor(row_factory=tuple_row) as cursor:
            # Not prepared, since pgbouncer may use another connection each time.
            cursor.execute(_SQL[query], values, prepare=False)
            return cursor.fetchall() if cursor.description else []

    def _forget(self, instance_id: str) -> None:
        self._known.pop(instance_id, None)


def _reconnect(client: Any) -> Callable[[], Any]:
    """Return a function that opens a connection with the same parameters."""
    if not hasattr(client, "info"):
        return lambda: client
    dsn, password, autocommit = client.info.dsn, client.info.password, client.autocommit

    def connect() -> Any:
        return type(client).connect(dsn, password=password, autocommit=autocommit)

    return connect


def _instance(columns: Sequence[Any]) -> InstanceState:
    """Return the instance in a row."""
    state, instance_id, time, *timeout, step = columns
    return InstanceState(
        state=None if state is None else from_text(state),
        instance_id=instance_id,
        time=from_time(time),
        timeout=dict(zip(KEYS, timeout, strict=True)),
        step=step,
    )
