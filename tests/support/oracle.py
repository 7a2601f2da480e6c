"""The oracle: the store port in dictionaries, which tests compare the stores with.

It keeps nothing that a caller could change: what comes in is bytes, or is encoded at once.
"""

import secrets
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import ClassVar, TypeVar

from msgspec.structs import replace
from tests.support.oracle_records import KeptRecords
from tests.support.oracle_run import KeptRun

from perdure.errors import (
    Invalid,
    KeyReused,
    RunExists,
    RunNotFound,
    SavepointNotFound,
    StepNotFound,
    StoreUnavailable,
    VersionConflict,
    WrongStore,
)
from perdure.lifecycle import FINAL, Wanted
from perdure.run import Change, Entry, Execution, Key, LogLine, Run, Step
from perdure.state.savepoint import Savepoint, SavepointInfo
from perdure.stores import executions
from perdure.stores.base import (
    Committed,
    Created,
    Fork,
    Record,
    Told,
    Version,
    check_limits,
    commits,
)
from perdure.stores.chain import Appended, Chain
from perdure.stores.quota import Quota
from perdure.stores.run_list import ALL, Cursor, RunFilter, RunOrder, in_order
from perdure.stores.watchers import Watchers

__all__ = ["OracleStore"]

T = TypeVar("T")


class OracleStore:
    """A `Store` whose every rule is plain to see.

    Its futures are resolved when they are returned, and watchers are called in the thread that writes.

    Parameters
    ----------
    keep
        How many savepoints of a run retention keeps besides those that stay for good; at least 1.
    keep_lines, keep_bytes
        How many of the newest lines that a run wrote are kept; at least 1.
    """

    ephemeral: ClassVar[bool] = True
    shared: ClassVar[bool] = False
    fence = 1

    def __init__(self, *, keep: int = 3, keep_lines: int = 10_000, keep_bytes: int = 10_000_000) -> None:
        check_limits(keep, keep_lines)
        self._keep = keep
        self._keep_lines = keep_lines
        self._keep_bytes = keep_bytes
        self._lock = threading.RLock()
        self._closed = False
        self.file = None
        self.identity = secrets.token_hex(8)
        self.waiting = 0
        self.sizes: Mapping[str, int] = {}
        self._runs: dict[str, KeptRun] = {}
        self._numbers = 0
        self._run_keys: dict[tuple[str, str, int], tuple[bytes, str]] = {}
        self._records = KeptRecords()
        self._last_fence = self.fence
        self._watchers = Watchers()

    @property
    def unavailable(self) -> str | None:
        """Why nothing can be written: only because it is closed."""
        return "it is closed" if self._closed else None

    def close(self) -> None:
        """Refuse everything from now on; harmless when done twice."""
        self._closed = True

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

        def change() -> tuple[Created, Committed | None]:
            recorded = self._recorded(run.owner, key)
            if recorded is not None:
                return Created(recorded, replayed=True), None
            self._check_quota(run.owner, quota)
            kept = self._keep_run(replace(run, position=0), key)
            if savepoint is not None:
                kept.put(savepoint, self._keep)
            kept.placed = None if execution is None else executions.new(run, execution)
            return Created(kept.run), _told(kept.run)

        return self._write(change)

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

        return self._write(lambda: self._fork(run, savepoint, key, quota, execution))

    def fork_runs(self, forks: Sequence[Fork], *, quota: Quota | None = None) -> Future[list[Created]]:
        """Keep several forks, all of them or none."""

        def change() -> tuple[list[Created], Told]:
            before = dict(self._runs), dict(self._run_keys)
            created: list[Created] = []
            told: list[Committed] = []
            try:
                for fork in forks:
                    made, committed = self._fork(fork.run, fork.savepoint, fork.key, quota, None)
                    created.append(made)
                    told += commits(committed)
            except BaseException:
                self._runs, self._run_keys = before
                raise
            return created, tuple(told)

        return self._write(change)

    def update_run(self, run_id: str, version: int, change: Change) -> Future[Run]:
        """Change a run's record if its version is still `version`."""

        def update(kept: KeptRun) -> Run:
            if kept.run.version != version:
                raise VersionConflict(name=run_id)
            kept.change(change)
            return kept.run

        return self._change(run_id, update)

    def delete_run(self, run_id: str) -> Future[None]:
        """Forget a run with all that is its."""

        def change() -> tuple[None, Committed | None]:
            kept = self._find(run_id)
            del self._runs[run_id]
            self._run_keys = {key: made for key, made in self._run_keys.items() if made[1] != run_id}
            return None, replace(_told(kept.run), deleted=True)

        return self._write(change)

    def run(self, run_id: str) -> Run:
        """Return a run."""
        with self._lock:
            return self._find(run_id).run

    def run_by_key(self, owner: str, key: Key) -> Run | None:
        """Return the run that an owner made under a key, or None."""
        with self._lock:
            self._check_open()
            return self._recorded(owner, key)

    def runs(
        self,
        filter: RunFilter = ALL,
        *,
        order: RunOrder = RunOrder.NEWEST,
        limit: int = 100,
        cursor: Cursor | None = None,
    ) -> Sequence[Run]:
        """Return a page of the runs that are asked for, in an order."""
        return in_order(self._all(), filter, order, cursor, limit)

    def check_quota(self, owner: str, quota: Quota) -> None:
        """Raise what `create_run` would raise now if the owner has too much for one more run."""
        with self._lock:
            self._check_open()
            self._check_quota(owner, quota)

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

        def append() -> tuple[Appended, Committed | None]:
            kept = self._find(run_id)
            kept.check_fence(fence, self.fence)
            appended = kept.append(position, entries, savepoint, change, self._keep)
            return appended, None if appended.replayed else _told(kept.run)

        if chain is None:
            return self._write(append)
        link = chain.link()
        future = self._write(lambda: link.do(append))
        link.follow(future)
        return future

    def steps(self, run_id: str, after: int = 0, limit: int = 1000) -> Sequence[Step]:
        """Return the steps after position `after`, ascending."""
        with self._lock:
            after = max(0, after)
            return self._find(run_id).steps[after : after + max(0, limit)]

    def step_by_key(self, run_id: str, key: Key) -> Step | None:
        """Return the step recorded under a key and ordinal, or None."""
        with self._lock:
            return self._find(run_id).find_step(key)

    def repair_step(self, run_id: str, step: Step) -> Future[None]:
        """Put a step's recomputed blobs in place of damaged ones."""

        def change() -> tuple[None, None]:
            steps = self._find(run_id).steps
            if not 1 <= step.position <= len(steps):
                raise StepNotFound(run=run_id, step=step.position, position=len(steps))
            steps[step.position - 1] = step
            return None, None

        return self._write(change)

    # Savepoints ---------------------------------------------------------------------------------------------

    def put_savepoint(
        self, run_id: str, fence: int, savepoint: Savepoint, *, name: str | None = None, pinned: bool = False
    ) -> Future[SavepointInfo]:
        """Keep a savepoint outside of an append."""

        def change() -> tuple[SavepointInfo, None]:
            kept = self._find(run_id)
            kept.check_fence(fence, self.fence)
            return kept.put(savepoint, self._keep, name, pinned), None

        return self._write(change)

    def mark_savepoint(
        self, run_id: str, timestamp: int, *, name: str | None, pinned: bool
    ) -> Future[SavepointInfo]:
        """Name or pin a savepoint, or undo that."""

        def change() -> tuple[SavepointInfo, None]:
            info, blob = self._find_savepoint(run_id, timestamp)
            self._find(run_id).check_name(timestamp, name)
            info = replace(info, name=name, pinned=pinned)
            self._find(run_id).savepoints[timestamp] = info, blob
            return info, None

        return self._write(change)

    def savepoints(self, run_id: str) -> Sequence[SavepointInfo]:
        """Return what is kept, by ascending timestamp."""
        with self._lock:
            return [info for _, (info, _) in sorted(self._find(run_id).savepoints.items())]

    def savepoint(self, run_id: str, timestamp: int) -> Savepoint:
        """Return a savepoint, checked."""
        with self._lock:
            info, blob = self._find_savepoint(run_id, timestamp)
        return replace(Savepoint.from_blob(blob), milestone=info.milestone)

    # Executions ---------------------------------------------------------------------------------------------

    def execution(self, run_id: str) -> Execution:
        """Return a run's execution."""
        with self._lock:
            return self._find(run_id).execution

    def executions(self) -> Sequence[Execution]:
        """Return the executions of all unfinished runs, in the order of their creation."""
        with self._lock:
            self._check_open()
            unfinished = (kept for kept in self._runs.values() if kept.run.state not in FINAL)
            return [kept.placed for kept in unfinished if kept.placed is not None]

    def lease(self, run_id: str, holder: str, seconds: float) -> Future[Execution]:
        """Take a run to work on it."""

        def lease(kept: KeptRun) -> Execution:
            taken = kept.lease(holder, seconds, self._last_fence + 1, self.fence)
            self._last_fence += 1
            return taken

        return self._change(run_id, lease)

    def renew(self, run_id: str, fence: int, seconds: float) -> Future[Execution]:
        """Let a lease run for so many seconds from now."""

        def renew() -> tuple[Execution, None]:
            return self._find(run_id).renew(fence, self.fence, seconds), None

        return self._write(renew)

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

        def report(kept: KeptRun) -> None:
            kept.report(fence, self.fence, progress=progress, seconds=seconds, deaths=deaths)
            kept.write(lines, self._keep_lines, self._keep_bytes)

        return self._change(run_id, report)

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
        return self._change(
            run_id, lambda kept: kept.finish(fence, self.fence, change, result=result, seconds=seconds)
        )

    def release(
        self, run_id: str, fence: int, *, seconds: float | None = None, deaths: int | None = None
    ) -> Future[None]:
        """Give a lease back; the run waits to be taken again."""

        def release(kept: KeptRun) -> None:
            kept.report(fence, self.fence, seconds=seconds, deaths=deaths)
            kept.placed = executions.given_back(kept.execution)

        return self._change(run_id, release)

    def want(self, run_id: str, wanted: Wanted) -> Future[Execution]:
        """Put down which state a run's owner wants it in."""

        def want(kept: KeptRun) -> Execution:
            kept.placed = executions.wanting(kept.execution, kept.run.state, wanted)
            return kept.placed

        return self._change(run_id, want)

    def cut_lines(self, run_id: str, fence: int, savepoint: int | None) -> Future[None]:
        """Forget the lines that a run wrote after a savepoint, or all."""

        def cut(kept: KeptRun) -> None:
            executions.held(kept.execution, fence, self.fence)
            if savepoint is not None:
                self._find_savepoint(run_id, savepoint)
            kept.cut(0 if savepoint is None else kept.marks[savepoint])

        return self._change(run_id, cut)

    def log_lines(self, run_id: str, after: int = 0, limit: int = 1000) -> Sequence[LogLine]:
        """Return the lines that a run wrote after a number, ascending."""
        with self._lock:
            lines = self._find(run_id).lines
            return [line for line in lines if line.number > after][: max(0, limit)]

    # What dialects keep -------------------------------------------------------------------------------------

    def put_record(self, dialect: str, id: str, blob: bytes, version: int | None) -> Future[Record]:
        """Keep a record, new or in place of a version."""
        return self._write(lambda: (self._records.put(dialect, id, blob, version), None))

    def delete_record(self, dialect: str, id: str) -> Future[None]:
        """Forget a record; harmless if there is none."""

        def change() -> tuple[None, None]:
            self._records.delete(dialect, id)
            return None, None

        return self._write(change)

    def record(self, dialect: str, id: str) -> Record | None:
        """Return a record, or None."""
        with self._lock:
            self._check_open()
            return self._records.get(dialect, id)

    def records(self, dialect: str, *, strict: bool = False) -> Sequence[Record]:
        """Return all records of a dialect, by id; none is ever damaged."""
        with self._lock:
            self._check_open()
            return self._records.of(dialect)

    # Looking after it ---------------------------------------------------------------------------------------

    def check(self) -> Sequence[str]:
        """Find nothing: memory that is damaged takes the process with it."""
        with self._lock:
            self._check_open()
            return ()

    def recount(self) -> Future[Sequence[str]]:
        """Find nothing: it counts when it is asked."""
        return self._write(lambda: ((), None))

    def backup(self, path: Path) -> None:
        """Refuse it: what is in memory ends with the process."""
        raise WrongStore

    # Watching -----------------------------------------------------------------------------------------------

    def versions(self, run_ids: Collection[str]) -> Mapping[str, Version]:
        """Return the versions of those of these runs that there are."""
        with self._lock:
            self._check_open()
            found = (self._runs[run_id] for run_id in run_ids if run_id in self._runs)
            return {kept.run.id: kept.version for kept in found}

    def watch(self, callback: Callable[[Committed], None]) -> Callable[[], None]:
        """Call `callback` after each change of a run, before its future is returned."""
        return self._watchers.add(callback)

    # Within the lock ----------------------------------------------------------------------------------------

    def _fork(
        self,
        run: Run,
        savepoint: Savepoint,
        key: Key | None,
        quota: Quota | None,
        execution: Execution | None,
    ) -> tuple[Created, Committed | None]:
        recorded = self._recorded(run.owner, key)
        if recorded is not None:
            return Created(recorded, replayed=True), None
        self._check_quota(run.owner, quota)
        if run.parent is None or run.parent_position is None:
            raise Invalid(f"The run {run.id!r} can't be forked: it names no parent and step.")
        parent, position = self._find(run.parent), run.parent_position
        if not 0 <= position <= len(parent.steps):
            raise StepNotFound(run=run.parent, step=position, position=len(parent.steps))
        kept = self._keep_run(replace(run, position=position), key)
        kept.steps = parent.steps[:position]
        before = [at for at, (info, _) in parent.savepoints.items() if info.position < position]
        copied = {0, max(before, default=0)}
        kept.savepoints = {
            at: (replace(info, name=None, pinned=False), blob)
            for at, (info, blob) in parent.savepoints.items()
            if info.position <= position and (info.milestone or at in copied)
        }
        kept.marks = dict.fromkeys(kept.savepoints, 0)
        kept.put(savepoint, self._keep)
        if execution is not None:
            kept.placed = executions.new(kept.run, execution)
        return Created(kept.run), _told(kept.run)

    def _write(self, change: Callable[[], tuple[T, Told]]) -> Future[T]:
        future: Future[T] = Future()
        with self._lock:
            try:
                self._check_open()
                result, told = change()
            except Exception as error:
                future.set_exception(error)
                return future
            for committed in commits(told):
                self._watchers.tell(committed)
        future.set_result(result)
        return future

    def _change(self, run_id: str, change: Callable[[KeptRun], T]) -> Future[T]:
        """Change one run, and tell those who watch."""

        def apply() -> tuple[T, Committed]:
            kept = self._find(run_id)
            return change(kept), _told(kept.run)

        return self._write(apply)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable(reason="it is closed")

    def _all(self) -> list[Run]:
        with self._lock:
            self._check_open()
            return [kept.run for kept in self._runs.values()]

    def _find(self, run_id: str) -> KeptRun:
        self._check_open()
        try:
            return self._runs[run_id]
        except KeyError:
            raise RunNotFound(run=run_id) from None

    def _find_savepoint(self, run_id: str, timestamp: int) -> tuple[SavepointInfo, bytes]:
        try:
            return self._find(run_id).savepoints[timestamp]
        except KeyError:
            raise SavepointNotFound(run=run_id, savepoint=timestamp) from None

    def _recorded(self, owner: str, key: Key | None) -> Run | None:
        made = None if key is None else self._run_keys.get((owner, key.text, key.ordinal))
        if key is None or made is None:
            return None
        body_hash, run_id = made
        if body_hash != key.body_hash:
            raise KeyReused(key=key.text)
        return self._find(run_id).run

    def _check_quota(self, owner: str, quota: Quota | None) -> None:
        if quota is None:
            return
        held = [kept for kept in self._runs.values() if kept.run.owner == owner]
        ended = sum(kept.run.state in FINAL for kept in held)
        results = {
            kept.run.id: len(kept.placed.result)
            for kept in held
            if kept.placed is not None and kept.placed.result is not None
        }
        quota.check(
            owner,
            unfinished=len(held) - ended,
            ended=ended,
            result_bytes=sum(results.values()),
            read_sizes=lambda: results,
        )

    def _keep_run(self, run: Run, key: Key | None) -> KeptRun:
        if run.id in self._runs:
            raise RunExists(run=run.id)
        self._numbers += 1
        kept = self._runs[run.id] = KeptRun(replace(run, number=self._numbers))
        if key is not None:
            self._run_keys[run.owner, key.text, key.ordinal] = key.body_hash, run.id
        return kept


def _told(run: Run) -> Committed:
    return Committed(run.id, run.state, run.position)
