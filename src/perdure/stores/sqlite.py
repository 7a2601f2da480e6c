"""The SQLite store: one database, written by one thread of one process.

What a change does is `changes`, when it counts as durable is `writer`, what the database lies in is `medium`.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import ClassVar, Concatenate, ParamSpec, TypeVar

import apsw
import msgspec
import structlog

from perdure.errors import CorruptBlob, RunNotFound, SavepointNotFound
from perdure.lifecycle import Wanted
from perdure.run import Change, Entry, Execution, Key, LogLine, Run, Step
from perdure.state.savepoint import Savepoint, SavepointInfo
from perdure.stores import changes, execution_changes, owners, run_rows
from perdure.stores.base import Committed, Created, Fork, Record, Told, Version, check_limits
from perdure.stores.chain import Appended, Chain
from perdure.stores.changes import Put
from perdure.stores.copying import copy_to
from perdure.stores.database import row, rows
from perdure.stores.execution_rows import read, read_lines, read_unfinished
from perdure.stores.file_medium import FileMedium
from perdure.stores.integrity import problems
from perdure.stores.keys import find_made, find_step
from perdure.stores.location import resolved
from perdure.stores.medium import Medium
from perdure.stores.queries import QUERIES
from perdure.stores.quota import Quota
from perdure.stores.run_list import ALL, Cursor, RunFilter, RunOrder
from perdure.stores.values import check_page, to_info, to_record, to_run
from perdure.stores.watchers import Watchers
from perdure.stores.writer import Writer

__all__ = ["SqlStore", "SqliteStore"]

PAGE = 1000  # runs that are looked for at once where records are damaged

P = ParamSpec("P")
T = TypeVar("T")

_SQL = {name: query.sql for name, query in QUERIES.items()}

log = structlog.get_logger(__name__)


class SqlStore:
    """A `Store` in an SQLite database, whatever medium that lies in.

    Parameters
    ----------
    open_medium
        Opens what the database lies in; the store closes it.
    keep
        How many savepoints of a run retention keeps besides those that stay for good; at least 1.
    keep_lines, keep_bytes
        How many of the newest lines that a run wrote are kept, at least 1, and how many bytes they have
        together.
    probe_every
        Seconds without a write after which it finds out by itself whether it can be written; None leaves that
        to the next write.
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
        check_limits(keep, keep_lines)
        self._keep = keep
        self._keep_lines = keep_lines
        self._keep_bytes = keep_bytes
        self._watchers = Watchers()
        self._medium = open_medium()
        self.fence = self._medium.acknowledged.opening
        self._writer = Writer(self._medium, self._watchers.tell, probe_every)

    @property
    def unavailable(self) -> str | None:
        """Why nothing can be written at the moment; None when all is well."""
        return self._writer.unavailable

    @property
    def waiting(self) -> int:
        """How many writes wait for their commit."""
        return self._writer.waiting

    def close(self) -> None:
        """Commit what waits, then let go of the database; harmless when done twice."""
        self._writer.close()

    def backup(self, path: Path) -> None:
        """Write a copy of all that is committed, as it is at one moment, to a file that is empty or new.

        Steps are committed meanwhile. The copy is durable when this returns.

        Raises
        ------
        BackupRefused
            If the copy can't be written.
        CorruptBlob
            If a page of the store is damaged.
        """
        with self._medium.snapshot() as connection:
            copy_to(connection, path)

    # Runs ---------------------------------------------------------------------------------------------------

    def create_run(
        self,
        run: Run,
        savepoint: Savepoint | None,
        key: Key | None = None,
        *,
        quota: Quota | None = None,
        execution: Execution | None = None,
    ) -> Future[Created]:
        """Keep a new run."""
        return self._submit(
            changes.create_run,
            run=run,
            put=None if savepoint is None else Put.of(savepoint),
            key=key,
            quota=quota,
            execution=execution,
            keep=self._keep,
        )

    def fork_run(
        self,
        run: Run,
        savepoint: Savepoint,
        key: Key | None = None,
        *,
        quota: Quota | None = None,
        execution: Execution | None = None,
    ) -> Future[Created]:
        """Keep a new run that begins with a copy of its parent's first steps."""
        return self._submit(
            changes.fork_run,
            run=run,
            put=Put.of(savepoint),
            key=key,
            quota=quota,
            execution=execution,
            keep=self._keep,
        )

    def fork_runs(self, forks: Sequence[Fork], *, quota: Quota | None = None) -> Future[list[Created]]:
        """Keep several forks in one transaction."""
        encoded = [(fork.run, Put.of(fork.savepoint), fork.key) for fork in forks]
        return self._submit(changes.fork_runs, forks=encoded, quota=quota, keep=self._keep)

    def update_run(self, run_id: str, version: int, change: Change) -> Future[Run]:
        """Change a run's record if its version is still `version`."""
        return self._submit(changes.change_run, run_id=run_id, version=version, change=change)

    def delete_run(self, run_id: str) -> Future[None]:
        """Forget a run with all that is its."""
        return self._submit(changes.delete_run, run_id=run_id)

    def run(self, run_id: str) -> Run:
        """Return a run."""
        with self._medium.reading() as connection:
            values = row(connection, _SQL["read_run"], (run_id,))
        if values is None:
            raise RunNotFound(run=run_id)
        return to_run(values)

    def run_by_key(self, owner: str, key: Key) -> Run | None:
        """Return the run that an owner made under a key, or None."""
        with self._medium.reading() as connection:
            return find_made(connection, owner, key)

    def runs(
        self,
        filter: RunFilter = ALL,
        *,
        order: RunOrder = RunOrder.NEWEST,
        limit: int = 100,
        cursor: Cursor | None = None,
    ) -> Sequence[Run]:
        """Return a page of the runs that are asked for, in an order."""
        try:
            with self._medium.reading() as connection, connection:
                places = run_rows.find(connection, filter, order, cursor, limit)
                return [
                    to_run(values)
                    for _, number in places
                    if (values := row(connection, _SQL["read_run_by_number"], (number,))) is not None
                ]
        except CorruptBlob as error:
            log.error("run_damaged", path=self._medium.name, reason=str(error))
        return list(islice(self._intact_runs(filter, order, cursor), max(0, limit)))

    def check_quota(self, owner: str, quota: Quota) -> None:
        """Raise what `create_run` would raise now if the owner has too much for one more run."""
        with self._medium.reading() as connection:
            _, size = row(connection, _SQL["read_owner"], (owner,)) or (0, 0)
        if size is None and quota.result_bytes is not None:
            self._submit(changes.count_results, owner=owner).result()
        with self._medium.reading() as connection, connection:
            changes.check_quota(connection, owner, quota)

    # Steps --------------------------------------------------------------------------------------------------

    def append(
        self,
        run_id: str,
        fence: int,
        position: int,
        entries: Sequence[Entry],
        savepoint: Savepoint | None = None,
        change: Change | None = None,
        chain: Chain | None = None,
    ) -> Future[Appended]:
        """Append entries to the step log, with a savepoint and a change of the record, all or nothing."""
        put = None if savepoint is None else Put.of(savepoint)
        kept = tuple(entries)

        def append(connection: apsw.Connection) -> tuple[Appended, Committed | None]:
            return changes.append(
                connection, run_id, fence, self.fence, position, kept, put, change, self._keep
            )

        if chain is None:
            return self._writer.submit(append)
        link = chain.link()
        return self._writer.submit(lambda connection: link.do(lambda: append(connection)), link)

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
        check_page(run_id, after, limit, position, [step.position for step in steps])
        return steps

    def step_by_key(self, run_id: str, key: Key) -> Step | None:
        """Return the step recorded under a key and ordinal, or None."""
        with self._medium.reading() as connection:
            return find_step(connection, _require(connection, run_id), key)

    def repair_step(self, run_id: str, step: Step) -> Future[None]:
        """Put a step's recomputed blobs in place of damaged ones."""
        return self._submit(changes.repair_step, run_id=run_id, step=step)

    # Savepoints ---------------------------------------------------------------------------------------------

    def put_savepoint(
        self, run_id: str, fence: int, savepoint: Savepoint, *, name: str | None = None, pinned: bool = False
    ) -> Future[SavepointInfo]:
        """Keep a savepoint outside of an append."""
        put = Put.of(savepoint, name=name, pinned=pinned)
        return self._submit(
            changes.put_savepoint, run_id=run_id, fence=fence, opening=self.fence, put=put, keep=self._keep
        )

    def mark_savepoint(
        self, run_id: str, timestamp: int, *, name: str | None, pinned: bool
    ) -> Future[SavepointInfo]:
        """Name or pin a savepoint, or undo that."""
        return self._submit(
            changes.mark_savepoint, run_id=run_id, timestamp=timestamp, name=name, pinned=pinned
        )

    def savepoints(self, run_id: str) -> Sequence[SavepointInfo]:
        """Return what is kept, by ascending timestamp."""
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
                reason=f"it is that of timestamp {savepoint.timestamp} and step {savepoint.position}, not of "
                f"timestamp {at} and step {position}"
            )
        return msgspec.structs.replace(savepoint, milestone=bool(milestone))

    # Executions ---------------------------------------------------------------------------------------------

    def execution(self, run_id: str) -> Execution:
        """Return a run's execution, checked."""
        with self._medium.reading() as connection:
            return read(connection, run_id)

    def executions(self) -> Sequence[Execution]:
        """Return the executions of all unfinished runs, in the order of their creation."""
        with self._medium.reading() as connection, connection:
            found = list(read_unfinished(connection))
        for error in found:
            if isinstance(error, CorruptBlob):
                log.error("execution_damaged", path=self._medium.name, reason=str(error))
        return [execution for execution in found if isinstance(execution, Execution)]

    def lease(self, run_id: str, holder: str, seconds: float) -> Future[Execution]:
        """Take a run to work on it."""
        return self._submit(
            execution_changes.lease, run_id=run_id, opening=self.fence, holder=holder, seconds=seconds
        )

    def renew(self, run_id: str, fence: int, seconds: float) -> Future[Execution]:
        """Let a lease run for so many seconds from now."""
        return self._submit(
            execution_changes.renew, run_id=run_id, fence=fence, opening=self.fence, seconds=seconds
        )

    def report(
        self,
        run_id: str,
        fence: int,
        *,
        progress: bytes | None = None,
        seconds: float | None = None,
        deaths: int | None = None,
        lines: Sequence[LogLine] = (),
    ) -> Future[None]:
        """Put down how far a run got, and the lines it wrote."""
        return self._submit(
            execution_changes.report,
            run_id=run_id,
            fence=fence,
            opening=self.fence,
            progress=progress,
            seconds=seconds,
            deaths=deaths,
            lines=tuple(lines),
            keep=self._keep_lines,
            keep_bytes=self._keep_bytes,
        )

    def finish(
        self,
        run_id: str,
        fence: int,
        change: Change,
        *,
        result: bytes | None = None,
        seconds: float | None = None,
    ) -> Future[Run]:
        """Bring a run to a final state with its result, and end its lease."""
        return self._submit(
            execution_changes.finish,
            run_id=run_id,
            fence=fence,
            opening=self.fence,
            change=change,
            result=result,
            seconds=seconds,
        )

    def release(
        self, run_id: str, fence: int, *, seconds: float | None = None, deaths: int | None = None
    ) -> Future[None]:
        """Give a lease back; the run waits to be taken again."""
        return self._submit(
            execution_changes.release,
            run_id=run_id,
            fence=fence,
            opening=self.fence,
            seconds=seconds,
            deaths=deaths,
        )

    def want(self, run_id: str, wanted: Wanted) -> Future[Execution]:
        """Put down which state a run's owner wants it in."""
        return self._submit(execution_changes.want, run_id=run_id, wanted=wanted)

    def cut_lines(self, run_id: str, fence: int, savepoint: int | None) -> Future[None]:
        """Forget the lines that a run wrote after a savepoint, or all."""
        return self._submit(
            execution_changes.cut, run_id=run_id, fence=fence, opening=self.fence, savepoint=savepoint
        )

    def log_lines(self, run_id: str, after: int = 0, limit: int = 1000) -> Sequence[LogLine]:
        """Return the lines that a run wrote after a number, ascending."""
        with self._medium.reading() as connection:
            found = read_lines(connection, run_id, after, max(0, limit))
            if not found:
                _require(connection, run_id)
        return found

    # What dialects keep -------------------------------------------------------------------------------------

    def put_record(self, dialect: str, id: str, blob: bytes, version: int | None) -> Future[Record]:
        """Keep a record, new or in place of a version."""
        return self._submit(changes.put_record, dialect=dialect, id=id, blob=blob, version=version)

    def delete_record(self, dialect: str, id: str) -> Future[None]:
        """Forget a record; harmless if there is none."""
        return self._submit(changes.delete_record, dialect=dialect, id=id)

    def record(self, dialect: str, id: str) -> Record | None:
        """Return a record, or None."""
        with self._medium.reading() as connection:
            found = row(connection, _SQL["read_record"], (dialect, id))
        return None if found is None else to_record(found)

    def records(self, dialect: str, *, strict: bool = False) -> Sequence[Record]:
        """Return all records of a dialect, by id; a damaged one is left out, or raises if `strict`."""
        try:
            with self._medium.reading() as connection:
                return [to_record(values) for values in rows(connection, _SQL["list_records"], (dialect,))]
        except CorruptBlob as error:
            if strict:
                raise
            log.error("record_damaged", path=self._medium.name, reason=str(error))
        return list(self._intact_records(dialect))

    # Looking after it ---------------------------------------------------------------------------------------

    def check(self) -> Sequence[str]:
        """Look for damaged pages, keys and records of runs, and say in words what is wrong; reads it all."""
        unavailable = self.unavailable
        with self._medium.snapshot() as connection:
            found = problems(connection)
        return found if unavailable is None else [f"the store can't be written: {unavailable}", *found]

    def recount(self) -> Future[Sequence[str]]:
        """Count anew what owners have, list runs as they are, and return in words what was wrong."""
        return self._submit(_recount)

    def _submit(
        self,
        change: Callable[Concatenate[apsw.Connection, P], tuple[T, Told]],
        /,
        *given: P.args,
        **named: P.kwargs,
    ) -> Future[T]:
        """Let the writer do one of the changes."""
        return self._writer.submit(lambda connection: change(connection, *given, **named))

    def _intact_runs(self, filter: RunFilter, order: RunOrder, cursor: Cursor | None) -> Iterator[Run]:
        """Yield the runs behind a cursor whose records can be read, one by one."""
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

    def _intact_records(self, dialect: str) -> Iterator[Record]:
        """Yield the records of a dialect that can be read, by id, one by one."""
        with self._medium.reading() as connection:
            known = rows(connection, _SQL["list_record_ids"])
        for of, id in known:
            if of == dialect:
                with suppress(CorruptBlob):
                    record = self.record(dialect, id)
                    if record is not None:
                        yield record

    # Watching -----------------------------------------------------------------------------------------------

    def versions(self, run_ids: Collection[str]) -> Mapping[str, Version]:
        """Return the versions of those of these runs that there are."""
        with self._medium.reading() as connection:
            found = rows(connection, _SQL["list_versions"], (json.dumps(list(run_ids)),))
        return {run_id: tuple(version) for run_id, *version in found}

    def watch(self, callback: Callable[[Committed], None]) -> Callable[[], None]:
        """Call `callback` after each commit of a run's change, before its future is resolved."""
        return self._watchers.add(callback)


class SqliteStore(SqlStore):
    """A `Store` in an SQLite file.

    Parameters
    ----------
    path
        The file; it and its folder are made if they don't exist. In a folder it is ``perdure.db``.
    keep
        How many savepoints of a run retention keeps besides those that stay for good; at least 1.
    keep_lines
        How many of the newest lines that a run wrote are kept; at least 1.
    accept_loss
        Whether to go on from what is there when the files lack something that was acknowledged. What is
        missing is logged.
    keep_bytes
        How many bytes they have together; the newest line is kept, however long.
    probe_every
        Seconds without a write after which it finds out by itself whether it can be written; None leaves that
        to the next write.
    vfs
        Name of a virtual file system that is registered with apsw; None is the operating system's files.

    Raises
    ------
    StoreLocked
        If another server has the store open; the message names it.
    StoreUnavailable
        If the file or its folder can't be written.
    AcknowledgedLost
        If something that was acknowledged is missing, and that isn't accepted; the files stay as they are.
    NewerSchema, NotAStore
        If the file is of a newer Perdure, or isn't a store; it is left as it is.

    Examples
    --------
    >>> store = SqliteStore("runs/perdure.db")  # doctest: +SKIP
    >>> store.create_run(run, savepoint).result()  # doctest: +SKIP
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
        """A name made of its path."""
        return hashlib.sha256(bytes(self.path)).hexdigest()[:16]

    @property
    def sizes(self) -> Mapping[str, int]:
        """How many bytes its files have: the database, and its write-ahead log."""
        files = {"database": self.path, "log": self.path.with_name(f"{self.path.name}-wal")}
        found = {}
        for name, path in files.items():
            with suppress(FileNotFoundError):
                found[name] = path.stat().st_size
        return found


def _recount(connection: apsw.Connection) -> tuple[list[str], None]:
    """Make anew what is derived from runs."""
    wrong, _ = owners.recount(connection)
    return [*wrong, *run_rows.mend(connection)], None


def _require(connection: apsw.Connection, run_id: str) -> int:
    found = row(connection, _SQL["find_run"], (run_id,))
    if found is None:
        raise RunNotFound(run=run_id)
    return int(found[0])
