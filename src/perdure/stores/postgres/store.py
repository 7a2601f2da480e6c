"""The PostgreSQL store: one database, read and written by any number of processes at once.

`commands` defines the writes, `writer` executes them, `reads` defines the reads.
"""

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

from perdure.errors import StoreUnavailable, WrongStore
from perdure.stores.ask import Ask
from perdure.stores.chain import Chain
from perdure.stores.commands import Command, Committed, Notice, Retention
from perdure.stores.commit_times import CommitTimes
from perdure.stores.integrity import problems
from perdure.stores.location import shown_url
from perdure.stores.options import DEFAULTS, StoreOptions
from perdure.stores.postgres.connections import PAUSE, Watchdog, connect_options, conninfo_of, prepare
from perdure.stores.postgres.failures import Meaning, in_words, meaning
from perdure.stores.postgres.migrations import MIGRATE_SECONDS, OPEN_SECONDS, migrate
from perdure.stores.postgres.queries import MIGRATIONS, STATEMENTS
from perdure.stores.postgres.readers import Readers, run
from perdure.stores.postgres.writer import Writer
from perdure.stores.reads import DatabaseReads
from perdure.stores.watchers import Watchers

__all__ = ["PostgresStore"]

CHECK_SECONDS = 24 * 3600.0  # within which a query of a check must be answered
ROWS = 1000  # that a check reads at once

R = TypeVar("R")


class PostgresStore(DatabaseReads):
    """A `Store` in a PostgreSQL database, which any number of processes may have open.

    Parameters
    ----------
    url
        ``postgresql://user:password@host:5432/database``, with options of libpq as its query.
    options
        How much is kept, and how the store is opened; `accept_loss` has no effect. `listen` is needed if
        `url` leads to a pgbouncer in transaction mode.

    Raises
    ------
    Invalid
        If the URL can't be parsed.
    StoreUnavailable
        If the database can't be reached within `patience`.
    StoreNotFound, NewerSchema, NotAStore
        As `migrate` does.
    """

    ephemeral: ClassVar[bool] = False
    shared: ClassVar[bool] = True
    file: ClassVar[None] = None

    def __init__(self, url: str, options: StoreOptions = DEFAULTS) -> None:
        retention = Retention(options.keep, options.keep_lines, options.keep_bytes)
        self._shown = shown_url(url)
        self._patience = options.patience
        self._conninfo = conninfo_of(url)
        self._opening = secrets.token_hex(8)
        self._latest = 0.0  # the largest time that `clock` has returned
        self._watchers = Watchers()
        listening = self._conninfo if options.listen is None else conninfo_of(options.listen)
        self._watchdog = Watchdog()
        try:
            store, now = self._prepared(options.create)
        except BaseException:
            self._watchdog.close()
            raise
        self.identity = store.hex()
        self._writer = Writer(
            self._conninfo,
            name=self._shown,
            opening=self._opening,
            retention=retention,
            listen=listening,
            watchdog=self._watchdog,
            notify=self._watchers.notify,
            patience=options.patience,
            probe_every=options.probe_every,
        )
        self._writer.offset = now - time.monotonic()
        self._readers = Readers(self._conninfo, self._watchdog, options.patience, self._writer.refuse)

    @property
    def name(self) -> str:
        """The URL without its password."""
        return self._shown

    @property
    def waiting(self) -> int:
        """Number of writes that wait for their commit."""
        return self._writer.waiting

    @property
    def commits(self) -> CommitTimes:
        """How long transactions took until they were durable."""
        return self._writer.commits.read()

    @property
    def sizes(self) -> Mapping[str, int]:
        """Bytes of the database, as the writer has found them; empty at first."""
        size = self._writer.size
        return {} if size is None else {"database": size}

    @property
    def unavailable(self) -> str | None:
        """Why nothing can be written at the moment; None if writing works."""
        return self._writer.unavailable

    def close(self) -> None:
        """Commit the waiting writes, then close all connections; does nothing if it is closed."""
        self._writer.close()
        self._readers.close()
        self._watchdog.close()

    def clock(self) -> float:
        """Return the time by which leases end: the database's clock, as it was seen last and has gone on."""
        self._latest = max(self._latest, self._writer.offset + time.monotonic())
        return self._latest

    def submit(self, command: Command[R], chain: Chain | None = None) -> Future[R]:
        """Queue a command for the writer."""
        return self._writer.submit(command, None if chain is None else chain.link())

    # Maintenance --------------------------------------------------------------------------------------------

    def check(self) -> Sequence[str]:
        """Read the whole store and return a sentence for each damaged key, record or execution."""
        unavailable = self.unavailable
        with self._readers.snapshot(CHECK_SECONDS) as connection:
            found = problems(partial(run, connection), partial(_each, connection))
        return found if unavailable is None else [f"the store can't be written: {unavailable}", *found]

    def backup(self, path: Path) -> None:
        """Raise `WrongStore`: PostgreSQL's own means back its databases up."""
        raise WrongStore

    def other_openings(self) -> Sequence[str]:
        """Return the names of all other openings that were seen in the last minute."""
        with self._reading() as ask:
            return [opening for (opening,) in ask("list_other_openings", self._opening, OPEN_SECONDS)]

    # Watching -----------------------------------------------------------------------------------------------

    def revision(self) -> object:
        """Return which transactions of the server have ended."""
        with self._reading() as ask:
            return ask("read_revision")[0][0]

    def watch(self, callback: Callable[[Committed | Notice], None]) -> Callable[[], None]:
        """Call `callback` after each commit that changes a run, before its future is resolved.

        It is also called with the notices of other processes.
        """
        return self._watchers.add(callback)

    # Connections --------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _reading(self, *, snapshot: bool = False) -> Iterator[Ask]:
        """Lend the database for short reads; with `snapshot`, all of them see the same moment."""
        if not snapshot:
            yield self._readers.ask
            return
        with self._readers.snapshot() as connection:
            yield partial(run, connection)

    def _prepared(self, create: bool) -> tuple[bytes, float]:
        """Migrate the database and record this opening; return the name of its store, and its time."""
        until = time.monotonic() + self._patience
        while True:
            try:
                with (
                    psycopg.connect(self._conninfo, **connect_options(psycopg.RawCursor)) as connection,
                    self._watchdog.limit(connection, MIGRATE_SECONDS + self._patience),
                ):
                    prepare(connection)
                    migrate(connection, self._shown, create=create)
                    ((store,),) = run(connection, "read_store")
                    run(connection, "see_opening", self._opening, MIGRATIONS[-1].version)
                    ((now,),) = run(connection, "read_clock")
                    return store, now
            except psycopg.Error as error:
                if meaning(error) is Meaning.THEIRS or time.monotonic() > until:
                    raise StoreUnavailable(reason=f"{self._shown}: {in_words(error)}") from error
            time.sleep(PAUSE)


def _each(connection: Connection[TupleRow], name: str) -> Iterator[tuple[Any, ...]]:
    with psycopg.RawServerCursor(connection, "each") as cursor:
        cursor.itersize = ROWS
        cursor.execute(STATEMENTS[name], binary=True)
        yield from cursor
