"""The store port: what every store does, so that an acknowledged step is never lost and never doubled.

Reads block; callers keep them off the event loop. Writes are commands (`perdure.stores.commands`): `submit`
returns a `concurrent.futures.Future` that resolves after the commit. Commands with a lock in common, such as
those of one run, are executed in the order in which they were submitted; a shared store executes others side
by side. The future of a refused command carries the error; a command that is cancelled before its turn has no
effect. `perdure.testing` holds the conformance suite that every store runs.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import ClassVar, Protocol, TypeAlias, TypeVar

from perdure.run import Execution, Key, LogLine, Run, Step
from perdure.state.savepoint import Savepoint, SavepointInfo
from perdure.stores.chain import Chain
from perdure.stores.commands import Command, Committed, Document, Notice, Use
from perdure.stores.commit_times import CommitTimes
from perdure.stores.options import StoreOptions
from perdure.stores.queue import ANY_TAG, QueueCount, QueueGroup, QueueWait
from perdure.stores.quota import Quota
from perdure.stores.run_list import ALL, Cursor, RunFilter, RunOrder

__all__ = ["Store", "StoreOptions", "Version"]

R = TypeVar("R")

Version: TypeAlias = tuple[object, ...]
"""A value that differs after each change of a run. Versions can only be compared for equality."""


class Store(Protocol):
    """Keeps runs.

    A store's class is found by the scheme of its URL, see `perdure.stores.schemes`. No code outside of
    ``perdure.stores`` asks for the class: the attributes `ephemeral`, `shared`, `file`, `waiting`, `commits`
    and `sizes` describe how stores differ.

    Every method with a `run_id` raises `RunNotFound` for a run that the store doesn't hold. A store that
    can't be written raises `StoreUnavailable`, from the call or through the future; `unavailable` holds the
    reason.
    """

    ephemeral: ClassVar[bool]
    """Whether its content ends with the process. Then artifacts and working folders without a configured
    location end with it too."""

    shared: ClassVar[bool]
    """Whether several processes may have it open at once. If not, the second one gets `StoreLocked`."""

    @property
    def file(self) -> Path | None:
        """The absolute path of its file or folder; None if it isn't on this machine.

        The administrator's socket, the artifacts and the working folders are beside it, under its name.
        """
        ...

    @property
    def identity(self) -> str:
        """A name of letters and digits that no other store on this machine has; the same at each opening.

        With it a server finds the processes and folders that a killed server left.
        """
        ...

    @property
    def waiting(self) -> int:
        """Number of writes that wait for their commit."""
        ...

    @property
    def commits(self) -> CommitTimes:
        """How long its transactions took until they were durable, those of this opening.

        Those that only check whether the store can be written may be among them.
        """
        ...

    @property
    def sizes(self) -> Mapping[str, int]:
        """Bytes of each part of the store, by a name for the metrics; empty if unknown."""
        ...

    @property
    def unavailable(self) -> str | None:
        """Why nothing can be written at the moment; None if writing works."""
        ...

    def close(self) -> None:
        """Commit the waiting writes, then close the store; does nothing if it is closed."""
        ...

    def clock(self) -> float:
        """Return the time by which leases end. It never goes back."""
        ...

    def submit(self, command: Command[R], chain: Chain | None = None) -> Future[R]:
        """Execute a command in a transaction of its own; the future has its result after the commit.

        The command is refused if an earlier command of the same `chain` was refused or failed: no later step
        of a request is executed without the ones before it. Each command documents what it does and raises.
        """
        ...

    # Runs ---------------------------------------------------------------------------------------------------

    def run(self, run_id: str) -> Run:
        """Return a run; raise `CorruptBlob` if its record is damaged."""
        ...

    def run_by_key(self, owner: str, key: Key) -> Run | None:
        """Return the run that an owner created with a key, or None.

        Raise `KeyReused` for another body hash.
        """
        ...

    def creation_key(self, run_id: str) -> Key | None:
        """Return the key with which a run was created; None if it has no key or doesn't exist."""
        ...

    def runs(
        self,
        filter: RunFilter = ALL,
        *,
        order: RunOrder = RunOrder.NEWEST,
        limit: int = 100,
        cursor: Cursor | None = None,
        offset: int = 0,
    ) -> Sequence[Run]:
        """Return a page of the runs that match a filter: at most `limit`, in an order, after a cursor.

        The first `offset` runs after the cursor are skipped, which takes longer the more they are.
        `Cursor.behind` of the last run leads to the next page. A run whose position in the order changes
        meanwhile, such as a stepped run in the order of updates, can appear twice or not at all; every other
        run appears once. Runs with a damaged record are left out; `check` reports them.
        """
        ...

    def count_runs(self, filter: RunFilter = ALL) -> int:
        """Return the number of runs that match a filter, damaged ones included.

        The duration grows with that number.
        """
        ...

    def parents(self, owner: str | None = None) -> Mapping[str, str]:
        """Return the parents of the forks of an owner, or of all, by the ids of the forks.

        The forks are in the order of their creation. A parent may have been deleted.
        """
        ...

    def check_quota(self, owner: str, quota: Quota) -> None:
        """Raise the error that `CreateRun` would raise now if the owner has reached a limit of `quota`.

        This is only an early check, which saves the work of preparing a run. Its duration doesn't grow with
        the number of the owner's results.

        Raises
        ------
        QuotaExceeded, EndedRunsExceeded, ResultBytesExceeded
            As `Quota.check` does.
        """
        ...

    # Steps --------------------------------------------------------------------------------------------------

    def steps(self, run_id: str, after: int = 0, limit: int = 1000) -> Sequence[Step]:
        """Return the steps after position `after`, ascending, at most `limit`."""
        ...

    def step_by_key(self, run_id: str, key: Key) -> Step | None:
        """Return the step recorded with a key and ordinal, or None; raise `KeyReused` for another body hash.

        A damaged key raises `CorruptBlob` in a store that can detect it.
        """
        ...

    def step_keys(self, run_id: str, after: int = 0) -> Sequence[tuple[int, Key]]:
        """Return the keys of the steps after position `after`, ascending, each with its step's position."""
        ...

    # Savepoints ---------------------------------------------------------------------------------------------

    def savepoints(self, run_id: str) -> Sequence[SavepointInfo]:
        """Return descriptions of the savepoints of a run, by ascending timestamp."""
        ...

    def savepoint(self, run_id: str, timestamp: int) -> Savepoint:
        """Return a savepoint.

        Raise `SavepointNotFound`, `CorruptBlob` or `NewerSchema` if that is impossible.
        """
        ...

    # Executions: the work on runs -------------------------------------------------------------------------

    def execution(self, run_id: str) -> Execution:
        """Return a run's execution; raise `NotExecuted` if it has none, `CorruptBlob` if it is damaged."""
        ...

    def executions(self) -> Sequence[Execution]:
        """Return the executions of all runs that aren't in a final state, in the order of their creation.

        Damaged ones are left out; `check` reports them.
        """
        ...

    def unstored(self) -> Sequence[str]:
        """Return the ids of the runs that have ended and whose files aren't stored yet."""
        ...

    def waiting_before(self, run_id: str) -> int | None:
        """Return how many runs wait before a run; None if the run doesn't wait itself.

        A run waits if it has an execution, isn't in a final state, is desired to be started, and has no
        lease. The runs before it are those of its kind that were created earlier. The duration doesn't grow
        with the steps, results and ended runs that are kept.
        """
        ...

    def waiting_groups(self, tags: Collection[str] = (ANY_TAG,)) -> Sequence[QueueGroup]:
        """Return the groups of unfinished runs with an execution in which at least one run has no lease.

        These are the groups of runs with one of the tags; by default the groups of all runs. The duration
        doesn't grow with the queue. Groups with damaged rows are left out.
        """
        ...

    def unleased(self, group: QueueGroup, limit: int = 100) -> Sequence[str]:
        """Return the ids of the first runs of a group that have no lease, at most `limit`."""
        ...

    def queue_counts(self) -> Sequence[QueueCount]:
        """Return the number of unfinished runs with an execution, by kind, owner and `QueueState`."""
        ...

    def queue_waits(self) -> Sequence[QueueWait]:
        """Return how many runs wait for a worker, by tag and kind, and since when.

        They are unfinished, have an execution and no lease, and their desired state is started. A run counts
        for each of its tags, and for `ANY_TAG`.
        """
        ...

    def log_lines(self, run_id: str, after: int = 0, limit: int = 1000) -> Sequence[LogLine]:
        """Return the output lines of a run after number `after`, ascending, at most `limit`."""
        ...

    # Documents of dialects ----------------------------------------------------------------------------------

    def document(self, dialect: str, id: str) -> Document | None:
        """Return a document, or None."""
        ...

    def documents(
        self, dialect: str, *, owner: str | None = None, strict: bool = False
    ) -> Sequence[Document]:
        """Return all documents of a dialect, or those of one owner, by id.

        Damaged ones are left out; with `strict` they raise `CorruptBlob`.
        """
        ...

    def uses(self, dialect: str) -> Mapping[str, Use]:
        """Return the last uses of the documents of a dialect, by id, in one query."""
        ...

    # Maintenance --------------------------------------------------------------------------------------------

    def check(self) -> Sequence[str]:
        """Read the whole store and return a sentence for each damage found.

        It checks the store's own structure, the keys, the records of runs, their executions, and the derived
        tables that `Recount` rebuilds. Steps and savepoints have their own checksums, which a driver checks
        when it reads them.
        """
        ...

    def backup(self, path: Path) -> None:
        """Write a consistent copy of everything durable to a file that is empty or new.

        ``sqlite:///PATH`` opens the copy. Steps are committed meanwhile. The copy is durable on return.

        Raises
        ------
        WrongStore
            If this store is backed up by other means.
        BackupRefused
            If the copy can't be written.
        CorruptBlob
            If the store is damaged.
        """
        ...

    def other_openings(self) -> Sequence[str]:
        """Return the names of all other openings of the store that were seen in the last minute.

        A shared store records itself as open before it can be used. Always empty for a store that isn't
        shared.
        """
        ...

    # Watching -----------------------------------------------------------------------------------------------

    def revision(self) -> object:
        """Return a value that differs after each commit of any process; one short read.

        While it stays the same, nothing was committed. It can only be compared for equality.
        """
        ...

    def versions(self, run_ids: Collection[str]) -> Mapping[str, Version]:
        """Return the versions of these runs by id, without those that don't exist; one query for all of them.

        A run's version differs after each change of its record, step log, execution or output lines. It also
        differs from the versions of an earlier run with the same id. The renewal of a lease doesn't change
        it.
        """
        ...

    def watch(self, callback: Callable[[Committed | Notice], None]) -> Callable[[], None]:
        """Call `callback` after each commit that changes a run; return a function that stops this.

        A shared store also calls it with a `Notice` when it learns of a commit of another process. The
        writer's thread calls it. It must return at once and must not raise.
        """
        ...
