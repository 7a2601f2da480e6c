"""The SQLite store: one database, written by one thread of one process.

`commands` defines the writes, `writer` decides when they count as durable, `medium` holds the database.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import ClassVar, TypeVar

import apsw
import msgspec
import structlog

from perdure.clock import steady
from perdure.errors import CorruptBlob, RunNotFound, SavepointNotFound
from perdure.run import Execution, Key, LogLine, Run, Step
from perdure.state.savepoint import Savepoint, SavepointInfo
from perdure.stores import queue_rows, run_rows
from perdure.stores.base import Version, check_retention
from perdure.stores.chain import Chain
from perdure.stores.commands import Command, Committed, Document, Retention, Use
from perdure.stores.commands.creation import check_quota, find_run_key, quota_queries
from perdure.stores.commands.documents import to_document
from perdure.stores.commands.steps import find_step_key
from perdure.stores.copying import copy_to
from perdure.stores.database import last_batch, row, rows
from perdure.stores.executions import unfinished
from perdure.stores.file_medium import FileMedium
from perdure.stores.integrity import problems
from perdure.stores.keys import creation_key, step_keys, to_made_run, to_recorded_step
from perdure.stores.lines import read_lines
from perdure.stores.location import resolved
from perdure.stores.medium import Medium
from perdure.stores.queries import QUERIES
from perdure.stores.queue import ANY_TAG, QueueCount, QueueGroup
from perdure.stores.quota import Quota
from perdure.stores.run_list import ALL, Cursor, RunFilter, RunOrder
from perdure.stores.transaction import answer
from perdure.stores.values import check_page, to_execution, to_info, to_run
from perdure.stores.watchers import Watchers
from perdure.stores.writer import Writer

__all__ = ["SqlStore", "SqliteStore"]

PAGE = 1000  # runs that are searched at once if records are damaged

R = TypeVar("R")

_SQL = {name: query.sql for name, query in QUERIES.items()}

log = structlog.get_logger(__name__)


class SqlStore:
    """A `Store` in an SQLite database on any medium.

    Parameters
    ----------
    open_medium
        Opens the medium; the store closes it.
    keep
        How many savepoints of a run retention keeps besides the permanent ones; at least 1.
    keep_lines, keep_bytes
        How many of the newest output lines of a run are kept, at least 1, and how many bytes in total.
    probe_every
        Seconds without a write after which the store tests whether it can be written; None leaves that to the
        next write.
    """

    def __init__(
        self,
        open_medium: Callable[[], Medium],
        *,
        keep: int,
        keep_lines: int,
        keep_bytes: int,
        probe_every: float | None = None,
    ) -> None:
        retention = check_retention(Retention(keep, keep_lines, keep_bytes))
        self._watchers = Watchers()
        self._medium = open_medium()
        self._writer = Writer(self._medium, retention, self._watchers.notify, probe_every)

    @property
    def unavailable(self) -> str | None:
        """Why nothing can be written at the moment; None if writing works."""
        return self._writer.unavailable

    @property
    def waiting(self) -> int:
        """Number of writes that wait for their commit."""
        return self._writer.waiting

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

    # Runs ---------------------------------------------------------------------------------------------------

    def run(self, run_id: str) -> Run:
        """Return a run."""
        with self._medium.reading() as connection:
            values = row(connection, _SQL["read_run"], (run_id,))
        if values is None:
            raise RunNotFound(run=run_id)
        return to_run(values)

    def run_by_key(self, owner: str, key: Key) -> Run | None:
        """Return the run that an owner created with a key, or None."""
        with self._medium.reading() as connection:
            return to_made_run(answer(connection, find_run_key(owner, key)), owner, key)

    def creation_key(self, run_id: str) -> Key | None:
        """Return the key with which a run was created, or None."""
        with self._medium.reading() as connection:
            return creation_key(connection, run_id)

    def runs(
        self,
        filter: RunFilter = ALL,
        *,
        order: RunOrder = RunOrder.NEWEST,
        limit: int = 100,
        cursor: Cursor | None = None,
    ) -> Sequence[Run]:
        """Return a page of the runs that match a filter, in an order."""
        try:
            with self._medium.reading() as connection, connection:
                places = run_rows.find(connection, filter, order, cursor, limit)
                numbers = json.dumps([number for _, number in places])
                return [to_run(values) for values in rows(connection, _SQL["read_runs"], (numbers,))]
        except CorruptBlob as error:
            log.error("run_damaged", path=self._medium.name, reason=str(error))
        return list(islice(self._intact_runs(filter, order, cursor), max(0, limit)))

    def check_quota(self, owner: str, quota: Quota) -> None:
        """Raise the error that `CreateRun` would raise now if the owner has reached a limit."""
        with self._medium.reading() as connection, connection:
            answers = [answer(connection, query) for query in quota_queries(owner, quota)]
        check_quota(owner, quota, answers)

    # Steps --------------------------------------------------------------------------------------------------

    def steps(self, run_id: str, after: int = 0, limit: int = 1000) -> Sequence[Step]:
        """Return the steps after position `after`, ascending."""
        with self._medium.reading() as connection:
            found = rows(connection, _SQL["list_steps"], (run_id, after, max(0, limit)))
            if not found:
                _require(connection, run_id)
                return []
        position = found[0][3]
        steps = [
            Step(position=at, inputs=inputs, outputs=outputs)
            for at, inputs, outputs, _ in found
            if at is not None
        ]
        check_page(run_id, max(0, after), limit, position, [step.position for step in steps])
        return steps

    def step_by_key(self, run_id: str, key: Key) -> Step | None:
        """Return the step recorded with a key and ordinal, or None."""
        with self._medium.reading() as connection:
            found = answer(connection, find_step_key(run_id, key))
            if not found:
                _require(connection, run_id)
        return to_recorded_step(found, key)

    def step_keys(self, run_id: str, after: int = 0) -> Sequence[tuple[int, Key]]:
        """Return the keys of the steps after a position, ascending, each with its step's position."""
        with self._medium.reading() as connection:
            return step_keys(connection, run_id, after)

    # Savepoints ---------------------------------------------------------------------------------------------

    def savepoints(self, run_id: str) -> Sequence[SavepointInfo]:
        """Return descriptions of the savepoints of a run, by ascending timestamp."""
        with self._medium.reading() as connection:
            found = rows(connection, _SQL["list_savepoints"], (run_id,))
            if not found:
                _require(connection, run_id)
        return [to_info(values) for values in found]

    def savepoint(self, run_id: str, timestamp: int) -> Savepoint:
        """Return a savepoint, checked."""
        with self._medium.reading() as connection:
            found = row(connection, _SQL["read_savepoint"], (run_id, timestamp))
            if found is None:
                _require(connection, run_id)
                raise SavepointNotFound(run=run_id, savepoint=timestamp)
        at, position, milestone, blob = found
        savepoint = Savepoint.from_blob(blob)
        if (savepoint.timestamp, savepoint.position) != (at, position):
            raise CorruptBlob(
                reason=f"it belongs to timestamp {savepoint.timestamp} and step {savepoint.position}, not to "
                f"timestamp {at} and step {position}"
            )
        return msgspec.structs.replace(savepoint, milestone=bool(milestone))

    # Executions ---------------------------------------------------------------------------------------------

    def execution(self, run_id: str) -> Execution:
        """Return a run's execution, checked."""
        with self._medium.reading() as connection:
            values = row(connection, _SQL["read_execution"], (run_id,))
        if values is None:
            raise RunNotFound(run=run_id)
        return to_execution(values)

    def executions(self) -> Sequence[Execution]:
        """Return the executions of all unfinished runs, in the order of their creation."""
        with self._medium.reading() as connection:
            return unfinished(connection)

    def unstored(self) -> Sequence[str]:
        """Return the ids of the runs that have ended and whose files aren't stored yet."""
        with self._medium.reading() as connection:
            return [run_id for (run_id,) in rows(connection, _SQL["list_unstored"])]

    def waiting_before(self, run_id: str) -> int | None:
        """Return how many runs wait before a run, or None if it doesn't wait."""
        with self._medium.reading() as connection, connection:
            found = queue_rows.waiting_before(connection, run_id, self.clock())
            if found is None:
                _require(connection, run_id)
        return found

    def waiting_groups(self, tags: Collection[str] = (ANY_TAG,)) -> Sequence[QueueGroup]:
        """Return the groups in which at least one run has no lease."""
        with self._medium.reading() as connection:
            return queue_rows.waiting_groups(connection, tags, self.clock())

    def unleased(self, group: QueueGroup, limit: int = 100) -> Sequence[str]:
        """Return the ids of the first runs of a group that have no lease."""
        with self._medium.reading() as connection:
            return queue_rows.unleased(connection, group, self.clock(), limit)

    def queue_counts(self) -> Sequence[QueueCount]:
        """Return the number of unfinished runs with an execution, by kind, owner and `QueueState`."""
        with self._medium.reading() as connection:
            return queue_rows.counts(connection, self.clock())

    def log_lines(self, run_id: str, after: int = 0, limit: int = 1000) -> Sequence[LogLine]:
        """Return the output lines of a run after a number, ascending."""
        with self._medium.reading() as connection:
            found = read_lines(connection, run_id, after, max(0, limit))
            if not found:
                _require(connection, run_id)
        return found

    # Documents of dialects ----------------------------------------------------------------------------------

    def document(self, dialect: str, id: str) -> Document | None:
        """Return a document, or None."""
        with self._medium.reading() as connection:
            found = row(connection, _SQL["read_document"], (dialect, id))
        return None if found is None else to_document(found)

    def documents(
        self, dialect: str, *, owner: str | None = None, strict: bool = False
    ) -> Sequence[Document]:
        """Return documents by id; damaged ones are left out, or raise an error if `strict`."""
        query, given = ("list_documents", ()) if owner is None else ("list_documents_of_owner", (owner,))
        try:
            with self._medium.reading() as connection:
                return [to_document(it) for it in rows(connection, _SQL[query], (dialect, *given))]
        except CorruptBlob as error:
            if strict:
                raise
            log.error("document_damaged", path=self._medium.name, reason=str(error))
        return [
            document
            for document in self._intact_documents(dialect)
            if owner is None or (document.use is not None and document.use.owner == owner)
        ]

    def uses(self, dialect: str) -> Mapping[str, Use]:
        """Return the last uses of a dialect's documents, by id."""
        with self._medium.reading() as connection:
            return {id: Use(*use) for id, *use in rows(connection, _SQL["list_uses"], (dialect,))}

    # Maintenance --------------------------------------------------------------------------------------------

    def check(self) -> Sequence[str]:
        """Read the whole store and return a sentence for each damaged page, key, record or execution."""
        unavailable = self.unavailable
        with self._medium.snapshot() as connection:
            found = problems(connection)
        return found if unavailable is None else [f"the store can't be written: {unavailable}", *found]

    def _intact_runs(self, filter: RunFilter, order: RunOrder, cursor: Cursor | None) -> Iterator[Run]:
        """Yield the readable runs after a cursor, one by one."""
        while True:
            with self._medium.reading() as connection, connection:
                places = run_rows.find(connection, filter, order, cursor, PAGE)
            for _, number in places:
                with suppress(CorruptBlob):
                    with self._medium.reading() as connection:
                        values = row(connection, _SQL["read_run_by_number"], (number,))
                    if values is not None:
                        yield to_run(values)
            if len(places) < PAGE:
                return
            cursor = Cursor(order, *places[-1])

    def _intact_documents(self, dialect: str) -> Iterator[Document]:
        """Yield the readable documents of a dialect by id, one by one."""
        with self._medium.reading() as connection:
            known = rows(connection, _SQL["list_document_ids"])
        for of, id in known:
            if of == dialect:
                with suppress(CorruptBlob):
                    document = self.document(dialect, id)
                    if document is not None:
                        yield document

    # Watching -----------------------------------------------------------------------------------------------

    def revision(self) -> int:
        """Return the number of the last transaction."""
        with self._medium.reading() as connection:
            return last_batch(connection, self._medium.name)

    def versions(self, run_ids: Collection[str]) -> Mapping[str, Version]:
        """Return the versions of these runs, without those that don't exist."""
        with self._medium.reading() as connection:
            found = rows(connection, _SQL["list_versions"], (json.dumps(list(run_ids)),))
        return {version[0]: version for version in found}

    def watch(self, callback: Callable[[Committed], None]) -> Callable[[], None]:
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
            keep=keep,
            keep_lines=keep_lines,
            keep_bytes=keep_bytes,
            probe_every=probe_every,
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


def _require(connection: apsw.Connection, run_id: str) -> int:
    found = row(connection, _SQL["find_run"], (run_id,))
    if found is None:
        raise RunNotFound(run=run_id)
    return int(found[0])
