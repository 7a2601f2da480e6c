"""The store port: what every store answers, so that an acknowledged step is never lost and never doubled.

Reads block and are kept off the event loop. Writes are commands (`perdure.stores.commands`): `submit` returns
a `concurrent.futures.Future` that resolves after the commit, in the order in which they were submitted; the
future of a write that was refused carries the error, and one that is cancelled before its turn leaves no
trace. `perdure.testing` holds the conformance suite that every store runs.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import ClassVar, Protocol, TypeAlias, TypeVar

from perdure.errors import Invalid
from perdure.run import Execution, Key, LogLine, Run, Step
from perdure.state.savepoint import Savepoint, SavepointInfo
from perdure.stores.chain import Chain
from perdure.stores.commands import Command, Committed, Document, Retention, Use
from perdure.stores.options import StoreOptions
from perdure.stores.queue import ANY_TAG, QueueCount, QueueGroup
from perdure.stores.quota import Quota
from perdure.stores.run_list import ALL, Cursor, RunFilter, RunOrder

__all__ = ["Store", "StoreOptions", "Version", "check_retention"]

R = TypeVar("R")

Version: TypeAlias = tuple[object, ...]
"""What differs after each change of a run: versions are compared, and mean nothing else."""


def check_retention(retention: Retention) -> Retention:
    """Return how much a store keeps; raise `Invalid` unless it keeps something of each run."""
    if retention.savepoints < 1:
        raise Invalid(f"A store keeps at least 1 savepoint of a run, not {retention.savepoints}.")
    if retention.lines < 1:
        raise Invalid(f"A store keeps at least 1 line that a run wrote, not {retention.lines}.")
    return retention


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
        """How many bytes each part of it takes, by a name for the metrics; empty if it doesn't know."""
        ...

    @property
    def unavailable(self) -> str | None:
        """Why nothing can be written at the moment; None when all is well."""
        ...

    def close(self) -> None:
        """Commit what waits, then let go of the store; harmless when done twice."""
        ...

    def clock(self) -> float:
        """Return the time by which leases end; it never goes back."""
        ...

    def submit(self, command: Command[R], chain: Chain | None = None) -> Future[R]:
        """Execute a command in a transaction of its own; the future has its result after the commit.

        Nothing of it is done if an earlier command of the same `chain` wasn't done: the later steps of a
        request are refused after one that was. What a command does, and what it raises, is stated where it is
        defined.
        """
        ...

    # Runs ---------------------------------------------------------------------------------------------------

    def run(self, run_id: str) -> Run:
        """Return a run; `CorruptBlob` if its record is damaged."""
        ...

    def run_by_key(self, owner: str, key: Key) -> Run | None:
        """Return the run that an owner made under a key, or None; `KeyReused` for another body hash."""
        ...

    def creation_key(self, run_id: str) -> Key | None:
        """Return the key that a run was made under, or None; None too if there is no such run."""
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

    def steps(self, run_id: str, after: int = 0, limit: int = 1000) -> Sequence[Step]:
        """Return the steps after position `after`, ascending, at most `limit`."""
        ...

    def step_by_key(self, run_id: str, key: Key) -> Step | None:
        """Return the step recorded under a key and ordinal, or None; `KeyReused` for another body hash.

        A store whose keys can be damaged raises `CorruptBlob` for one that is.
        """
        ...

    def step_keys(self, run_id: str, after: int = 0) -> Sequence[tuple[int, Key]]:
        """Return the keys of the steps after position `after`, ascending, each with its step's position."""
        ...

    # Savepoints ---------------------------------------------------------------------------------------------

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

        One that is damaged is left out; `check` reports it.
        """
        ...

    def waiting_before(self, run_id: str) -> int | None:
        """Return how many runs wait before a run; None if it doesn't wait itself.

        A run waits that has an execution, isn't in a final state, is wanted started, and that nobody holds a
        lease of. Before it come those of its kind that were created earlier. Takes no longer for the steps,
        results and ended runs that are kept.
        """
        ...

    def waiting_groups(self, tags: Collection[str] = (ANY_TAG,)) -> Sequence[QueueGroup]:
        """Return the groups of unfinished runs with an execution in which nobody holds a lease of one.

        Groups of runs with these tags; by default those in which all are. Takes no longer for a longer queue.
        A group whose rows are damaged is left out.
        """
        ...

    def unleased(self, group: QueueGroup, limit: int = 100) -> Sequence[str]:
        """Return the ids of the first runs of a group that nobody holds a lease of, at most `limit`."""
        ...

    def queue_counts(self) -> Sequence[QueueCount]:
        """Return how many unfinished runs with an execution each kind and owner has, by where they stand."""
        ...

    def log_lines(self, run_id: str, after: int = 0, limit: int = 1000) -> Sequence[LogLine]:
        """Return the lines that a run wrote after number `after`, ascending, at most `limit`."""
        ...

    # What dialects keep -------------------------------------------------------------------------------------

    def document(self, dialect: str, id: str) -> Document | None:
        """Return a document, or None."""
        ...

    def documents(
        self, dialect: str, *, owner: str | None = None, strict: bool = False
    ) -> Sequence[Document]:
        """Return all documents of a dialect, or those whose use names an owner, by id.

        One that is damaged is left out, or with `strict` raises `CorruptBlob`.
        """
        ...

    def uses(self, dialect: str) -> Mapping[str, Use]:
        """Return the last uses of the documents of a dialect that have one, by id; one query."""
        ...

    # Looking after it ---------------------------------------------------------------------------------------

    def check(self) -> Sequence[str]:
        """Look for damage that isn't one step's or savepoint's, and say in words what is wrong; reads it all.

        That is the store's own structure, the keys, the records of runs, their executions, and what
        `recount` makes anew. The blobs of a run have checksums of their own, which a driver checks
        when it reads them.
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

    def revision(self) -> object:
        """Return what differs after each commit, whichever process made it; it takes one short read.

        While it is the same, nothing was committed. It means nothing else.
        """
        ...

    def versions(self, run_ids: Collection[str]) -> Mapping[str, Version]:
        """Return the versions of those of these runs that there are, by id; one query, however many they are.

        A run's version differs after each change of its record, step log, execution or lines, also from that
        of another run which had its id before. The renewal of a lease is none: nobody waits for it.
        """
        ...

    def watch(self, callback: Callable[[Committed], None]) -> Callable[[], None]:
        """Call `callback` after each commit of a run's change, from the writer's thread; return how to stop.

        The callback has to return at once and must not raise.
        """
        ...
