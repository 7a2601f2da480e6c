"""The SQLite store: one database, written by one thread of one process.

`commands` defines the writes, `writer` decides when they count as durable, `medium` holds the database.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import ClassVar, TypeVar

from perdure.clock import steady
from perdure.stores.ask import Ask
from perdure.stores.chain import Chain
from perdure.stores.commands import Command, Committed, Notice, Retention
from perdure.stores.commit_times import CommitTimes
from perdure.stores.copying import copy_to
from perdure.stores.database import last_batch, rows
from perdure.stores.file_integrity import file_problems
from perdure.stores.file_medium import FileMedium
from perdure.stores.location import resolved
from perdure.stores.medium import Medium
from perdure.stores.reads import DatabaseReads
from perdure.stores.watchers import Watchers
from perdure.stores.writer import Writer

__all__ = ["SqlStore", "SqliteStore"]

R = TypeVar("R")


class SqlStore(DatabaseReads):
    """A `Store` in an SQLite database on any medium.

    Parameters
    ----------
    open_medium
        Opens the medium; the store closes it.
    retention
        How much of each run is kept.
    probe_every
        Seconds without a write after which the store tests whether it can be written; None leaves that to the
        next write.
    """

    def __init__(
        self, open_medium: Callable[[], Medium], retention: Retention, probe_every: float | None = None
    ) -> None:
        self._watchers = Watchers()
        self._medium = open_medium()
        self._writer = Writer(self._medium, retention, self._watchers.notify, probe_every)

    @property
    def name(self) -> str:
        """The name of the database for messages and log events."""
        return self._medium.name

    @property
    def unavailable(self) -> str | None:
        """Why nothing can be written at the moment; None if writing works."""
        return self._writer.unavailable

    @property
    def waiting(self) -> int:
        """Number of writes that wait for their commit."""
        return self._writer.waiting

    @property
    def commits(self) -> CommitTimes:
        """How long transactions took until they were durable."""
        return self._writer.commits.read()

    def close(self) -> None:
        """Commit the waiting writes, then close the database; does nothing if it is closed."""
        self._writer.close()

    def backup(self, path: Path) -> None:
        """Write a consistent copy of everything committed to a file that is empty or new.

        Steps are committed meanwhile. The copy is durable on return.

        Raises
        ------
        BackupRefused
            If the copy can't be written.
        CorruptBlob
            If a page of the store is damaged.
        """
        with self._medium.snapshot() as connection:
            copy_to(connection, path)

    def clock(self) -> float:
        """Return the time by which leases end: the monotonic clock of this process."""
        return steady()

    def submit(self, command: Command[R], chain: Chain | None = None) -> Future[R]:
        """Queue a command for the writer."""
        return self._writer.submit(command, None if chain is None else chain.link())

    @contextmanager
    def _reading(self, *, snapshot: bool = False) -> Iterator[Ask]:
        """Lend the database for short reads; with `snapshot`, all of them see the same moment."""
        with self._medium.reading() as connection, connection if snapshot else nullcontext():
            yield partial(rows, connection)

    # Maintenance --------------------------------------------------------------------------------------------

    def check(self) -> Sequence[str]:
        """Read the whole store and return a sentence for each damaged page, key, record or execution."""
        unavailable = self.unavailable
        with self._medium.snapshot() as connection:
            found = file_problems(connection)
        return found if unavailable is None else [f"the store can't be written: {unavailable}", *found]

    def other_openings(self) -> Sequence[str]:
        """Return an empty sequence: nobody else can have the store open."""
        return ()

    # Watching -----------------------------------------------------------------------------------------------

    def revision(self) -> int:
        """Return the number of the last transaction."""
        with self._medium.reading() as connection:
            return last_batch(connection, self._medium.name)

    def watch(self, callback: Callable[[Committed | Notice], None]) -> Callable[[], None]:
        """Call `callback` after each commit that changes a run, before its future is resolved."""
        return self._watchers.add(callback)


class SqliteStore(SqlStore):
    """A `Store` in an SQLite file.

    Parameters
    ----------
    path
        The file; it and its folder are created if they don't exist. For a folder it is ``perdure.db`` in it.
    keep
        How many savepoints of a run retention keeps besides the permanent ones; at least 1.
    keep_lines
        How many of the newest output lines of a run are kept; at least 1.
    accept_loss
        Whether to open files that lack something that was acknowledged. The loss is logged.
    keep_bytes
        How many bytes of output lines are kept for each run; the newest line is always kept.
    probe_every
        Seconds without a write after which the store tests whether it can be written; None leaves that to the
        next write.
    vfs
        Name of a virtual file system registered with apsw; None is that of the operating system.

    Raises
    ------
    StoreLocked
        If another server has the store open; the message names it.
    StoreUnavailable
        If the file or its folder can't be written.
    AcknowledgedLost
        If something that was acknowledged is missing and `accept_loss` is False; the files stay unchanged.
    NewerSchema, NotAStore
        If a newer version of Perdure wrote the file, or it isn't a store; it stays unchanged.

    Examples
    --------
    >>> store = SqliteStore("runs/perdure.db")  # doctest: +SKIP
    >>> store.submit(CreateRun(run, encoded(savepoint))).result()  # doctest: +SKIP
    """

    ephemeral: ClassVar[bool] = False
    shared: ClassVar[bool] = False

    def __init__(
        self,
        path: str | Path,
        *,
        keep: int = 3,
        keep_lines: int = 10_000,
        accept_loss: bool = False,
        keep_bytes: int = 10_000_000,
        probe_every: float | None = None,
        vfs: str | None = None,
    ) -> None:
        self.path = resolved(path)
        super().__init__(
            partial(FileMedium, self.path, vfs=vfs, accept_loss=accept_loss),
            Retention(keep, keep_lines, keep_bytes),
            probe_every,
        )

    @property
    def file(self) -> Path:
        """The file."""
        return self.path

    @property
    def identity(self) -> str:
        """A name derived from its path."""
        return hashlib.sha256(bytes(self.path)).hexdigest()[:16]

    @property
    def sizes(self) -> Mapping[str, int]:
        """Bytes of its files: the database and its write-ahead log."""
        files = {"database": self.path, "log": self.path.with_name(f"{self.path.name}-wal")}
        found = {}
        for name, path in files.items():
            with suppress(FileNotFoundError):
                found[name] = path.stat().st_size
        return found
