"""The store port: what every store answers, so that an acknowledged step is never lost and never doubled.

Reads block and are kept off the event loop. Writes return a `concurrent.futures.Future` that resolves after
the commit, in the order they were made; the future of a write that was refused carries the error, and one
that is cancelled before its turn leaves no trace. `perdure.testing` holds the conformance suite that every
store runs.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import ClassVar, Protocol, TypeAlias

import msgspec

from perdure.errors import Invalid
from perdure.lifecycle import RunState, Wanted
from perdure.run import Change, Entry, Execution, Key, LogLine, Run, Step
from perdure.state.savepoint import Savepoint, SavepointInfo
from perdure.stores.chain import Appended, Chain
from perdure.stores.quota import Quota
from perdure.stores.run_list import ALL, Cursor, RunFilter, RunOrder

__all__ = [
    "Appended",
    "Chain",
    "Committed",
    "Created",
    "Fork",
    "Quota",
    "Record",
    "Store",
    "Told",
    "Version",
    "check_limits",
    "commits",
]


class Created(msgspec.Struct, frozen=True):
    """What a creation came to: the run, and whether its key had been recorded before."""

    run: Run
    replayed: bool = False


class Fork(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is to begin with a copy of its parent's first steps; `Store.fork_run` says how."""

    run: Run
    savepoint: Savepoint
    key: Key | None = None


class Record(msgspec.Struct, frozen=True):
    """A blob that a dialect keeps under an id, with its version for compare-and-set."""

    id: str
    blob: bytes
    version: int


class Committed(msgspec.Struct, frozen=True):
    """A change of a run that is durable now; `position` is the number of steps in its log.

    A change of its execution or a report of its progress is one too; the renewal of a lease is none.
    """

    run_id: str
    state: RunState
    position: int
    deleted: bool = False


Version: TypeAlias = tuple[object, ...]
"""What tells a run from what it was before a change: versions are compared, and mean nothing else."""

Told: TypeAlias = Committed | tuple[Committed, ...] | None
"""What those who watch are told of a write: one change, several, or none."""


def commits(told: Told) -> tuple[Committed, ...]:
    """Return the changes, in order."""
    if told is None:
        return ()
    return told if isinstance(told, tuple) else (told,)


def check_limits(keep: int, keep_lines: int) -> None:
    """Raise `Invalid` unless a store that is being opened keeps something of each run."""
    if keep < 1:
        raise Invalid(f"A store keeps at least 1 savepoint of a run, not {keep}.")
    if keep_lines < 1:
        raise Invalid(f"A store keeps at least 1 line that a run wrote, not {keep_lines}.")


class Store(Protocol):
    """Where runs are kept.

    Its class is found by the scheme of a URL, see `perdure.stores.schemes`. Nothing outside of
    ``perdure.stores`` asks which class it is: what differs between stores is said by `ephemeral`, `shared`,
    `file`, `waiting` and `sizes`.

    Every method that takes a `run_id` raises `RunNotFound` for one that it doesn't hold. A store that can't
    be written raises `StoreUnavailable`, from the call or through the future, and says why in `unavailable`.
    """

    ephemeral: ClassVar[bool]
    """Whether what it keeps ends with the process. If so, files without a place of their own do, too."""

    shared: ClassVar[bool]
    """Whether several processes may have it open at once. If not, opening it again is `StoreLocked`."""

    @property
    def file(self) -> Path | None:
        """The file or folder it is kept in, an absolute path; None if that isn't on this machine.

        The administrator's socket, the artifacts and the working folders lie beside it, under its name.
        """
        ...

    @property
    def identity(self) -> str:
        """A name of letters and digits that no other store on this machine has, the same at each opening.

        By it a server finds the processes and folders that a killed one left.
        """
        ...

    @property
    def waiting(self) -> int:
        """How many writes wait for their commit."""
        ...

    @property
    def sizes(self) -> Mapping[str, int]:
        """How many bytes each part of it takes, by a name for the metrics; empty if it can't tell."""
        ...

    @property
    def fence(self) -> int:
        """The fence token of this opening of the store: larger than that of any opening before."""
        ...

    @property
    def unavailable(self) -> str | None:
        """Why nothing can be written at the moment; None when all is well."""
        ...

    def close(self) -> None:
        """Commit what waits, then let go of the store; harmless when done twice."""
        ...

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
        """Keep a new run with its savepoint 0, or without one; its log is empty.

        With an execution, whose time-out and wanted state count, it waits for a worker to lease it.

        A key belongs to the run's owner. A recorded key answers with the run made then; the same key with
        another body hash is `KeyReused`. Raises `RunExists` if the id is taken, and as `check_quota` does if
        the owner has too much by then; both are found out in the transaction that makes the run.
        """
        ...

    def fork_run(
        self,
        run: Run,
        savepoint: Savepoint,
        key: Key | None = None,
        *,
        quota: Quota | None = None,
        execution: Execution | None = None,
    ) -> Future[Created]:
        """Keep a new run that begins with a copy of ``run.parent``'s first ``run.parent_position`` steps.

        The parent's savepoint 0 and its milestones up to there come along, without names and pins; then
        `savepoint` is added. Keys of steps don't come along. Key, quota and execution as in `create_run`.
        Raises `Invalid` if the run names no parent and step, `StepNotFound` if the parent is shorter.
        """
        ...

    def fork_runs(self, forks: Sequence[Fork], *, quota: Quota | None = None) -> Future[list[Created]]:
        """Keep several forks, each as by `fork_run`, in one transaction: all of them or none.

        One whose key is recorded is answered with the run made then, the others are made.
        """
        ...

    def update_run(self, run_id: str, version: int, change: Change) -> Future[Run]:
        """Change a run's record if its version is still `version`; else `VersionConflict`.

        A change to a final state ends the run's lease.
        """
        ...

    def delete_run(self, run_id: str) -> Future[None]:
        """Forget a run with its steps, savepoints, keys, execution and log lines."""
        ...

    def run(self, run_id: str) -> Run:
        """Return a run; `CorruptBlob` if its record is damaged."""
        ...

    def run_by_key(self, owner: str, key: Key) -> Run | None:
        """Return the run that an owner made under a key, or None; `KeyReused` for another body hash."""
        ...

    def runs(
        self,
        filter: RunFilter = ALL,
        *,
        order: RunOrder = RunOrder.NEWEST,
        limit: int = 100,
        cursor: Cursor | None = None,
    ) -> Sequence[Run]:
        """Return a page of the runs that are asked for: at most `limit`, in an order, behind a cursor.

        `Cursor.behind` the last run leads to the next page. A run whose place in the order changes meanwhile,
        as that of a run that is stepped does in the order of updates, can come twice or not at all; every
        other run comes once. A run whose record is damaged is left out; `check` reports it.
        """
        ...

    def check_quota(self, owner: str, quota: Quota) -> None:
        """Raise what `create_run` would raise now if the owner has too much for one more run.

        It promises nothing: it spares what the making of a run needs before. It takes no longer if the owner
        has more results.

        Raises
        ------
        QuotaExceeded, EndedRunsExceeded, ResultBytesExceeded
            As `Quota.check` says.
        """
        ...

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
        """Append entries to the step log, with a savepoint and a change of the record, all or nothing.

        Nothing of it is done if an earlier append of the same `chain` wasn't done. Checked in this order: the
        fence (`Fenced` unless it is this opening's or, for a run with an execution, that of its lease; or if
        the store was opened again since), the first entry's key (recorded: the recorded steps of all entries'
        keys; with another body hash: `KeyReused`), the position (`PositionConflict` unless the log holds
        exactly `position` steps), the state (`RunFinished` if it is final). A later entry's key that is
        recorded, while the first one's isn't, is `KeyReused` too. After a savepoint, older ones beyond the
        newest `keep` (its own, or the store's) go; savepoint 0, milestones, pinned and named ones stay, and
        so does the one just written. A savepoint of a run with an execution sets its deaths to 0, and
        remembers how many lines the run has written, for `cut_lines`.
        """
        ...

    def steps(self, run_id: str, after: int = 0, limit: int = 1000) -> Sequence[Step]:
        """Return the steps after position `after`, ascending, at most `limit`."""
        ...

    def step_by_key(self, run_id: str, key: Key) -> Step | None:
        """Return the step recorded under a key and ordinal, or None; `KeyReused` for another body hash.

        A store whose keys can be damaged raises `CorruptBlob` for one that is.
        """
        ...

    def repair_step(self, run_id: str, step: Step) -> Future[None]:
        """Put a step's recomputed blobs in place of damaged ones; `StepNotFound` if there is none."""
        ...

    # Savepoints ---------------------------------------------------------------------------------------------

    def put_savepoint(
        self, run_id: str, fence: int, savepoint: Savepoint, *, name: str | None = None, pinned: bool = False
    ) -> Future[SavepointInfo]:
        """Keep a savepoint outside of an append, in place of one with the same timestamp; then as `append`.

        A name, a pin and a milestone that the former one had stay; `mark_savepoint` undoes the first two.
        Raises `SavepointNameTaken` if another savepoint of the run has the name.
        """
        ...

    def mark_savepoint(
        self, run_id: str, timestamp: int, *, name: str | None, pinned: bool
    ) -> Future[SavepointInfo]:
        """Name or pin a savepoint, or undo that; `SavepointNotFound` if there is none.

        Raises `SavepointNameTaken` as `put_savepoint` does.
        """
        ...

    def savepoints(self, run_id: str) -> Sequence[SavepointInfo]:
        """Return what is kept, by ascending timestamp."""
        ...

    def savepoint(self, run_id: str, timestamp: int) -> Savepoint:
        """Return a savepoint; `SavepointNotFound`, `CorruptBlob` or `NewerSchema` if that can't be done."""
        ...

    # Executions: work that an executor places -------------------------------------------------------------

    def execution(self, run_id: str) -> Execution:
        """Return a run's execution; `NotExecuted` if it has none, `CorruptBlob` if it is damaged."""
        ...

    def executions(self) -> Sequence[Execution]:
        """Return the executions of all runs that aren't in a final state, in the order of their creation.

        One that is damaged is left out; `check` tells of it.
        """
        ...

    def lease(self, run_id: str, holder: str, seconds: float) -> Future[Execution]:
        """Take a run to work on it: a new fence token, larger than any before, and one more attempt.

        The run becomes started in the same transaction if that is wanted of it; one that is wanted paused
        stays what it is, and is prepared. Raises `RunFinished` if its state is final, and
        `LeaseHeld` if a lease of this opening of the store hasn't run out yet.
        """
        ...

    def renew(self, run_id: str, fence: int, seconds: float) -> Future[Execution]:
        """Let a lease run for so many seconds from now; `Fenced` if it was given up or taken by another."""
        ...

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
        """Put down how far a run got, and the lines it wrote; what is None stays. `Fenced` as in `renew`.

        The oldest lines beyond those that the store is opened to keep for a run go.
        """
        ...

    def finish(
        self,
        run_id: str,
        fence: int,
        change: Change,
        *,
        result: bytes | None = None,
        seconds: float | None = None,
    ) -> Future[Run]:
        """Bring a run to a final state with its result, and end its lease, all in one transaction.

        Raises `RunFinished` if its state is final already, else `Fenced` as in `renew`, and `Invalid` if the
        change leads to no final state.
        """
        ...

    def release(
        self, run_id: str, fence: int, *, seconds: float | None = None, deaths: int | None = None
    ) -> Future[None]:
        """Give a lease back; the run waits to be taken again. `Fenced` as in `renew`."""
        ...

    def want(self, run_id: str, wanted: Wanted) -> Future[Execution]:
        """Put down which state a run's owner wants it in, unless an end of it is wanted already: that stays.

        Raises `RunFinished` if its state is final.
        """
        ...

    def cut_lines(self, run_id: str, fence: int, savepoint: int | None) -> Future[None]:
        """Forget the lines that a run wrote after the savepoint with this timestamp; all of them for None.

        The next line has the number after the last one that was written before the savepoint, also if that
        one isn't kept any more. A fork wrote nothing before the savepoints that it begins with. Raises
        `SavepointNotFound`, and `Fenced` as in `renew`.
        """
        ...

    def log_lines(self, run_id: str, after: int = 0, limit: int = 1000) -> Sequence[LogLine]:
        """Return the lines that a run wrote after number `after`, ascending, at most `limit`."""
        ...

    # What dialects keep -------------------------------------------------------------------------------------

    def put_record(self, dialect: str, id: str, blob: bytes, version: int | None) -> Future[Record]:
        """Keep a record: a new one for version None, else in place of that version; `VersionConflict`.

        An id never has the same version twice, also when it was deleted in between.
        """
        ...

    def delete_record(self, dialect: str, id: str) -> Future[None]:
        """Forget a record; harmless if there is none."""
        ...

    def record(self, dialect: str, id: str) -> Record | None:
        """Return a record, or None."""
        ...

    def records(self, dialect: str, *, strict: bool = False) -> Sequence[Record]:
        """Return all records of a dialect, by id.

        One that is damaged is left out, or with `strict` raises `CorruptBlob`.
        """
        ...

    # Looking after it ---------------------------------------------------------------------------------------

    def check(self) -> Sequence[str]:
        """Look for damage that isn't one step's or savepoint's, and say in words what is wrong; reads it all.

        That is the store's own structure, the keys, the records of runs, their executions, and what
        `recount` makes anew. The blobs of a run have checksums of their own, which a driver checks
        when it reads them.
        """
        ...

    def recount(self) -> Future[Sequence[str]]:
        """Make anew what is derived from runs, and return in words what of it was wrong.

        That is the counts that `check_quota` rests on, and whatever `runs` finds runs by.
        """
        ...

    def backup(self, path: Path) -> None:
        """Write a copy of all that is durable, as it is at one moment, to a file that is empty or new.

        ``sqlite:///PATH`` opens the copy. Steps are committed meanwhile. The copy is durable at the end.

        Raises
        ------
        WrongStore
            If this store has other means of being backed up.
        BackupRefused
            If the copy can't be written.
        CorruptBlob
            If the store is damaged.
        """
        ...

    # Watching -----------------------------------------------------------------------------------------------

    def versions(self, run_ids: Collection[str]) -> Mapping[str, Version]:
        """Return the versions of those of these runs that there are, by id; one query, however many they are.

        A run's version differs after each change of its record, step log, execution or lines, also from that
        of another run which had its id before.
        """
        ...

    def watch(self, callback: Callable[[Committed], None]) -> Callable[[], None]:
        """Call `callback` after each commit of a run's change, from the writer's thread; return how to stop.

        The callback has to return at once and must not raise.
        """
        ...
