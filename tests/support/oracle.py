"""The oracle: the store port in dictionaries, which tests compare the stores with.

It keeps nothing that a caller could change: what comes in is bytes, or is encoded at once.
"""

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import msgspec
from msgspec.structs import replace
from tests.support.oracle_blobs import KeptBlobs
from tests.support.oracle_documents import KeptDocuments
from tests.support.oracle_lists import listed, page
from tests.support.oracle_run import KeptRun

from perdure.clock import steady
from perdure.errors import (
    Invalid,
    KeyReused,
    RunExists,
    RunNotFound,
    SavepointNotFound,
    StepNotFound,
    StoreUnavailable,
    WrongStore,
)
from perdure.lifecycle import FINAL, DesiredState
from perdure.run import Execution, Key, LogLine, Run, Step
from perdure.state.savepoint import Savepoint, SavepointInfo
from perdure.stores.base import Version
from perdure.stores.chain import Chain
from perdure.stores.commands import (
    AddDocuments,
    Appended,
    Claim,
    Command,
    Committed,
    Created,
    CreateRun,
    DeleteDocument,
    DeleteRun,
    Document,
    ForgetBlobs,
    ForgetDocument,
    Fork,
    ForkRuns,
    Lease,
    MarkSavepoint,
    PutDocument,
    PutSavepoint,
    ReadTime,
    Recount,
    Renew,
    RepairStep,
    Retention,
    Settle,
    SweepBlobs,
    Touch,
    Use,
    UseBlobs,
)
from perdure.stores.commit_times import CommitTimes, CommitTimesCounter
from perdure.stores.queue import ANY_TAG, SHORT, QueueCount, QueueGroup, QueueState, QueueWait
from perdure.stores.quota import Quota
from perdure.stores.run_list import ALL, Cursor, RunFilter, RunOrder
from perdure.stores.watchers import Watchers

__all__ = ["OracleStore"]

R = TypeVar("R")


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

    def __init__(self, *, keep: int = 3, keep_lines: int = 10_000, keep_bytes: int = 10_000_000) -> None:
        self._retention = Retention(keep, keep_lines, keep_bytes)
        self._lock = threading.RLock()
        self._closed = False
        self.file = None
        self.identity = secrets.token_hex(8)
        self.waiting = 0
        self._commits = CommitTimesCounter()
        self.sizes: Mapping[str, int] = {}
        self._runs: dict[str, KeptRun] = {}
        self._numbers = 0
        self._writes = 0
        self._run_keys: dict[tuple[str, str, int], tuple[bytes, str]] = {}
        self._counter = count(1)
        self._documents = KeptDocuments(self._counter)
        self._blobs = KeptBlobs(self._named_blobs)
        self._watchers = Watchers()

    @property
    def unavailable(self) -> str | None:
        """Why nothing can be written: only because it is closed."""
        return "it is closed" if self._closed else None

    @property
    def commits(self) -> CommitTimes:
        """How many there were."""
        return self._commits.read()

    def close(self) -> None:
        """Refuse everything from now on; harmless when done twice."""
        self._closed = True

    def clock(self) -> float:
        """Return the time by which leases end."""
        return steady()

    def submit(self, command: Command[R], chain: Chain | None = None) -> Future[R]:
        """Execute a command."""
        if chain is None:
            return self._write(lambda: self._execute(command))
        link = chain.link()
        future = self._write(lambda: link.do(lambda: self._execute(command)))
        link.follow(future)
        return future

    # Runs ---------------------------------------------------------------------------------------------------

    def run(self, run_id: str) -> Run:
        """Return a run."""
        with self._lock:
            return self._find(run_id).run

    def run_by_key(self, owner: str, key: Key) -> Run | None:
        """Return the run that an owner made under a key, or None."""
        with self._lock:
            self._check_open()
            return self._recorded(owner, key)

    def creation_key(self, run_id: str) -> Key | None:
        """Return the key that a run was made under, or None."""
        with self._lock:
            for (_, text, ordinal), (body_hash, made) in self._run_keys.items():
                if made == run_id:
                    return Key(text, body_hash, ordinal)
            return None

    def runs(
        self,
        filter: RunFilter = ALL,
        *,
        order: RunOrder = RunOrder.NEWEST,
        limit: int = 100,
        cursor: Cursor | None = None,
        offset: int = 0,
    ) -> Sequence[Run]:
        """Return a page of the runs that are asked for, in an order."""
        return page(self._all(), filter, order, cursor, max(0, offset) + limit)[max(0, offset) :]

    def count_runs(self, filter: RunFilter = ALL) -> int:
        """Return how many runs are asked for."""
        return len(listed(self._all(), filter, RunOrder.CREATED))

    def parents(self, owner: str | None = None) -> Mapping[str, str]:
        """Return the parents of forks, by their ids."""
        runs = listed(self._all(), RunFilter(owner=owner), RunOrder.CREATED)
        forks = sorted((run for run in runs if run.parent is not None), key=lambda run: run.number)
        return {run.id: run.parent for run in forks if run.parent is not None}

    def check_quota(self, owner: str, quota: Quota) -> None:
        """Raise what `create_run` would raise now if the owner has too much for one more run."""
        with self._lock:
            self._check_open()
            self._check_quota(owner, quota)

    # Steps --------------------------------------------------------------------------------------------------

    def steps(self, run_id: str, after: int = 0, limit: int = 1000) -> Sequence[Step]:
        """Return the steps after position `after`, ascending."""
        with self._lock:
            after = max(0, after)
            return self._find(run_id).steps[after : after + max(0, limit)]

    def step_by_key(self, run_id: str, key: Key) -> Step | None:
        """Return the step recorded under a key and ordinal, or None."""
        with self._lock:
            return self._find(run_id).find_step(key)

    def step_keys(self, run_id: str, after: int = 0) -> Sequence[tuple[int, Key]]:
        """Return the keys of the steps after a position, ascending."""
        with self._lock:
            keys = self._find(run_id).keys.items()
            found = [(at, Key(text, body, ordinal)) for (text, ordinal), (body, at) in keys if at > after]
            return sorted(found, key=lambda pair: pair[0])

    # Savepoints ---------------------------------------------------------------------------------------------

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

    def unstored(self) -> Sequence[str]:
        """Return the ids of the runs that have ended and whose files aren't stored yet."""
        with self._lock:
            self._check_open()
            ended = (kept for kept in self._runs.values() if kept.run.state in FINAL)
            return [it.run.id for it in ended if it.placed is not None and it.placed.stored is None]

    def waiting_before(self, run_id: str) -> int | None:
        """Return how many runs of its kind wait before a run, or None if it doesn't wait."""
        with self._lock:
            kind, now = self._find(run_id).run.kind, self.clock()
            waiting = [
                it.run_id
                for it in self.executions()
                if it.kind == kind and it.desired is DesiredState.STARTED and not it.leased(now)
            ]
            return waiting.index(run_id) if run_id in waiting else None

    def waiting_groups(self, tags: Collection[str] = (ANY_TAG,)) -> Sequence[QueueGroup]:
        """Return the groups in which a run has no lease."""
        with self._lock:
            now = self.clock()
            found = {
                group
                for it in self.executions()
                if not it.leased(now)
                for group in self._groups(it)
                if group.tag in tags
            }
            return sorted(found, key=msgspec.structs.astuple)

    def unleased(self, group: QueueGroup, limit: int = 100) -> Sequence[str]:
        """Return the ids of the first runs of a group that nobody holds a lease of."""
        with self._lock:
            now = self.clock()
            found = [it for it in self.executions() if not it.leased(now) and group in self._groups(it)]
            found.sort(key=lambda it: (it.lease_until, self._find(it.run_id).turn))
            return [it.run_id for it in found][:limit]

    def _groups(self, it: Execution) -> list[QueueGroup]:
        run = self._find(it.run_id).run
        short = it.timeout is not None and it.timeout <= SHORT
        return [
            QueueGroup(tag, it.kind, it.desired, run.state, short, it.needs) for tag in (ANY_TAG, *run.tags)
        ]

    def queue_counts(self) -> Sequence[QueueCount]:
        """Return how many unfinished runs with an execution each kind and owner has."""
        now, found = self.clock(), Counter[tuple[str, str, QueueState]]()
        for it in self.executions():
            worked_on = QueueState.WORKING if it.leased(now) else QueueState.WAITING
            found[
                it.kind, it.owner, QueueState.PAUSED if it.desired is DesiredState.PAUSED else worked_on
            ] += 1
        return [QueueCount(*place, found[place]) for place in sorted(found)]

    def queue_waits(self) -> Sequence[QueueWait]:
        """Return how many runs wait for a worker, by tag and kind, and since when."""
        now, found = self.clock(), dict[tuple[str, str], list[float]]()
        for it in self.executions():
            if it.desired is DesiredState.STARTED and not it.leased(now):
                run = self._find(it.run_id).run
                for tag in (ANY_TAG, *run.tags):
                    found.setdefault((tag, it.kind), []).append(run.updated)
        return [QueueWait(*place, len(found[place]), min(found[place])) for place in sorted(found)]

    def log_lines(self, run_id: str, after: int = 0, limit: int = 1000) -> Sequence[LogLine]:
        """Return the lines that a run wrote after a number, ascending."""
        with self._lock:
            lines = self._find(run_id).lines
            return [line for line in lines if line.number > after][: max(0, limit)]

    # What dialects keep -------------------------------------------------------------------------------------

    def document(self, dialect: str, id: str) -> Document | None:
        """Return a document, or None."""
        with self._lock:
            self._check_open()
            return self._documents.get(dialect, id)

    def documents(
        self, dialect: str, *, owner: str | None = None, strict: bool = False
    ) -> Sequence[Document]:
        """Return all documents of a dialect, or those of an owner, by id; none is ever damaged."""
        with self._lock:
            self._check_open()
            return self._documents.of(dialect, owner)

    def uses(self, dialect: str) -> Mapping[str, Use]:
        """Return the last uses of a dialect's documents."""
        with self._lock:
            self._check_open()
            return self._documents.uses(dialect)

    # Looking after it ---------------------------------------------------------------------------------------

    def check(self) -> Sequence[str]:
        """Find nothing: memory that is damaged takes the process with it."""
        with self._lock:
            self._check_open()
            return ()

    def backup(self, path: Path) -> None:
        """Refuse it: what is in memory ends with the process."""
        raise WrongStore

    # Watching -----------------------------------------------------------------------------------------------

    def revision(self) -> int:
        """Return how many writes there were."""
        with self._lock:
            self._check_open()
            return self._writes

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

    def _execute(self, command: Any) -> tuple[Any, tuple[Committed, ...]]:
        """Return the result of a command, and what those who watch hear."""
        match command:
            case CreateRun():
                return self._create(command)
            case ForkRuns():
                return self._fork_all(command)
            case DeleteRun(run_id=run_id):
                kept = self._find(run_id)
                del self._runs[run_id]
                self._run_keys = {key: made for key, made in self._run_keys.items() if made[1] != run_id}
                return None, (replace(_committed(kept.run), deleted=True, owner=kept.run.owner),)
            case PutDocument() | AddDocuments() | Touch() | DeleteDocument():
                return self._documents.execute(command), ()
            case UseBlobs() | SweepBlobs() | ForgetBlobs():
                return self._blobs.execute(command), ()
            case ForgetDocument(run_id=run_id, change=change):
                if not self._documents.forget(command):
                    return False, ()
                ended = None if run_id is None else self._runs.get(run_id)
                if ended is None or ended.run.state in FINAL:
                    return True, ()
                ended.change(change)
                return True, (_committed(ended.run),)
            case Recount():
                return (), ()
            case ReadTime():
                return time.time(), ()
            case (
                PutSavepoint() | MarkSavepoint() | RepairStep() | Renew(unbegun=False)
            ):  # nobody waits for these
                return self._find(command.run_id).execute(command, self._retention, self._documents), ()
            case Claim(holder=holder, seconds=seconds, groups=groups, working=working):
                claimable = {id for group in groups for id in self.unleased(group)} - {*working}
                if not claimable:
                    return None, ()
                first = min(claimable, key=lambda id: (self._find(id).turn, self._find(id).run.number))
                return self._execute(Lease(first, holder, seconds))
            case Settle():
                kept = self._find(command.run_id)
                settled = kept.execute(command, self._retention, self._documents)
                return settled, () if settled is None else (_committed(settled),)
                return self._find(command.run_id).execute(command, self._retention, self._documents), ()
        kept = self._find(command.run_id)
        result = kept.execute(command, self._retention, self._documents)
        replayed = isinstance(result, Appended) and result.replayed
        return result, () if replayed else (_committed(kept.run),)

    def _create(self, command: CreateRun) -> tuple[Created, tuple[Committed, ...]]:
        run = command.run
        recorded = self._recorded(run.owner, command.key)
        if recorded is not None:
            return Created(recorded, replayed=True), ()
        self._check_quota(run.owner, command.quota)
        if command.savepoint is not None:
            self._blobs.check(command.savepoint.blobs)
        kept = self._keep_run(replace(run, position=0), command.key, command.execution)
        if command.savepoint is not None:
            kept.put(command.savepoint, self._retention.savepoints)
        return Created(kept.run), (_committed(kept.run),)

    def _fork_all(self, command: ForkRuns) -> tuple[list[Created], tuple[Committed, ...]]:
        before = dict(self._runs), dict(self._run_keys)
        try:
            made = [self._fork(fork, command.quota) for fork in command.forks]
        except BaseException:
            self._runs, self._run_keys = before
            raise
        return made, tuple(_committed(created.run) for created in made if not created.replayed)

    def _fork(self, fork: Fork, quota: Quota | None) -> Created:
        run = fork.run
        recorded = self._recorded(run.owner, fork.key)
        if recorded is not None:
            return Created(recorded, replayed=True)
        self._check_quota(run.owner, quota)
        if run.parent is None or run.parent_position is None:
            raise Invalid(f"The run {run.id!r} can't be forked: it names no parent and step.")
        parent, position = self._find(run.parent), run.parent_position
        if not 0 <= position <= len(parent.steps):
            raise StepNotFound(run=run.parent, step=position, position=len(parent.steps))
        kept = self._keep_run(replace(run, position=position), fork.key, fork.execution)
        kept.steps = parent.steps[:position]
        before = [at for at, (info, _) in parent.savepoints.items() if info.position < position]
        copied = {0, max(before, default=0)}
        kept.savepoints = {
            at: (replace(info, name=None, pinned=False), blob)
            for at, (info, blob) in parent.savepoints.items()
            if info.position <= position and (info.milestone or at in copied)
        }
        kept.marks = dict.fromkeys(kept.savepoints, 0)
        kept.names = {at: parent.names.get(at, frozenset()) for at in kept.savepoints}
        kept.put(fork.savepoint, self._retention.savepoints)
        return Created(kept.run)

    def _write(self, change: Callable[[], tuple[R, tuple[Committed, ...]]]) -> Future[R]:
        future: Future[R] = Future()
        with self._lock:
            try:
                self._check_open()
                result, changes = change()
            except Exception as error:
                future.set_exception(error)
                return future
            self._writes += 1
            self._commits.add(0.0)  # they take no time
            for committed in changes:
                self._watchers.notify(committed)
        future.set_result(result)
        return future

    def _named_blobs(self) -> set[int]:
        return {
            number
            for kept in self._runs.values()
            for at, numbers in kept.names.items()
            if at in kept.savepoints
            for number in numbers
        }

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

    def _keep_run(self, run: Run, key: Key | None, execution: Execution | None) -> KeptRun:
        if run.id in self._runs:
            raise RunExists(run=run.id)
        self._numbers += 1
        kept = self._runs[run.id] = KeptRun(replace(run, number=self._numbers), self._counter, self._blobs)
        if execution is not None:
            kept.turn = self._next_turn(run)
            kept.placed = Execution(
                run_id=run.id,
                kind=run.kind,
                owner=run.owner,
                timeout=execution.timeout,
                needs=execution.needs,
                desired=execution.desired,
                stored=execution.stored,
            )
        if key is not None:
            self._run_keys[run.owner, key.text, key.ordinal] = key.body_hash, run.id
        return kept

    def _next_turn(self, run: Run) -> int:
        """Return the turn of a new run: after its owner's last one, and after the one that is worked on."""
        queued = [(it, self._find(it.run_id).turn) for it in self.executions() if it.kind == run.kind]
        started = [(it, turn) for it, turn in queued if it.desired is DesiredState.STARTED]
        leased = [turn for it, turn in started if it.fence]
        waiting = [turn - 1 for it, turn in started if not it.fence][:1]
        last = max((turn for it, turn in queued if it.owner == run.owner), default=0)
        return 1 + max(last, max(leased or waiting or [0]))


def _committed(run: Run) -> Committed:
    return Committed(run.id, run.state, run.position)
