"""The creation of runs, new or as forks: once for each key, and within the owner's quota."""

from collections.abc import Iterator, Sequence
from itertools import islice

import msgspec
from msgspec.structs import replace

from perdure.errors import CorruptBlob, Invalid, RunExists, StepNotFound
from perdure.lifecycle import FINAL
from perdure.run import Execution, Key, Run
from perdure.stores.commands import locks
from perdure.stores.commands.base import (
    Answers,
    Command,
    Committed,
    Decision,
    Moment,
    Query,
    Rows,
    Write,
    write,
)
from perdure.stores.commands.blobs import find_blobs, name_locks
from perdure.stores.commands.execution_rows import begun
from perdure.stores.commands.found import find_run, found
from perdure.stores.commands.locks import Lock
from perdure.stores.commands.savepoints import EncodedSavepoint, put
from perdure.stores.keys import run_key_values, to_made_run
from perdure.stores.quota import Quota
from perdure.stores.values import run_values, to_tags

__all__ = ["CreateRun", "Created", "Fork", "ForkRuns", "check_quota", "find_run_key", "quota_queries"]


class Created(msgspec.Struct, frozen=True):
    """The result of a creation: the run, and whether an earlier request with the same key had created it."""

    run: Run
    replayed: bool = False


class CreateRun(Command[Created], frozen=True):
    """Create a run with its savepoint 0, or without one; its log is empty.

    With an execution, of which the time-out and the desired state are used, the run waits for a worker to
    lease it.

    A key belongs to the run's owner. The result for a recorded key is the run created with it; the same key
    with another body hash raises `KeyReused`. Raises `RunExists` if the id is taken, and as `Quota.check`
    does if the owner has reached a limit.
    """

    run: Run
    savepoint: EncodedSavepoint | None = None
    key: Key | None = None
    quota: Quota | None = None
    execution: Execution | None = None

    def locks(self) -> Sequence[Lock]:
        """Return the locks of the run, of its owner, and of blobs that the savepoint names."""
        named = () if self.savepoint is None else name_locks(self.savepoint.blobs)
        return locks.run(self.run.id), locks.owner(self.run.owner), *_slot_locks(self.quota), *named

    def reads(self) -> Sequence[Query]:
        """Return the queries for the key, the id, the next number, the owner's counts, and blobs."""
        queries = [_next_numbers(1), *_queries(self.run, self.key, self.quota)]
        return queries if self.savepoint is None else [*queries, find_blobs(self.savepoint.blobs)]

    def decide(self, answers: Answers, at: Moment) -> Decision[Created]:
        """Create the run, or return the one that the key created."""
        ((number,),), *rest = answers
        known = _known(self.run.owner, self.key, self.quota, number, iter(rest))
        if known.recorded is not None:
            return Decision(Created(known.recorded, replayed=True))
        writes = _within_quota(self.run.owner, self.quota, known)
        made, inserted = _inserted(replace(self.run, position=0), self.key, known)
        writes += inserted
        if self.savepoint is not None:
            writes += put(made.number, self.savepoint, at, answers[-1])
        if self.execution is not None:
            writes += begun(made, self.execution)
        return Decision(Created(made), writes, (Committed(made.id, made.state, 0),))


class Fork(msgspec.Struct, frozen=True, kw_only=True):
    """A run to be created with a copy of the first ``run.parent_position`` steps of ``run.parent``.

    The parent's savepoint 0 and its milestones up to there are copied, without names and pins; then
    `savepoint` is added. Keys of steps aren't copied. Key and execution are as in `CreateRun`.
    """

    run: Run
    savepoint: EncodedSavepoint
    key: Key | None = None
    execution: Execution | None = None


class ForkRuns(Command[list[Created]], frozen=True):
    """Create several forks in one transaction: all of them or none.

    A fork with a recorded key results in the run created with it; the others are created. Raises as
    `CreateRun` does, `Invalid` if a run names no parent and step, `StepNotFound` if the parent is shorter,
    and `CorruptBlob` if steps of it are missing.
    """

    forks: Sequence[Fork]
    quota: Quota | None = None

    def locks(self) -> Sequence[Lock]:
        """Return the locks of the runs and their owners; those of the parents and of blobs are shared."""
        found = {*name_locks([blob for fork in self.forks for blob in fork.savepoint.blobs])}
        found |= {*_slot_locks(self.quota)}
        for fork in self.forks:
            found |= {locks.run(fork.run.id), locks.owner(fork.run.owner)}
            if fork.run.parent is not None:
                found.add(locks.shared(locks.run(fork.run.parent)))
        return sorted(found)

    def reads(self) -> Sequence[Query]:
        """Return the queries for numbers, and for each fork: those of `CreateRun`, its parent, and blobs."""
        queries = [_next_numbers(len(self.forks))]
        for fork in self.forks:
            queries += _queries(fork.run, fork.key, self.quota)
            parent = fork.run.parent  # without one both queries find nothing
            queries += [
                Query("find_run", (parent,)),
                Query("count_steps", (parent, fork.run.parent_position)),
                find_blobs(fork.savepoint.blobs),
            ]
        return queries

    def decide(self, answers: Answers, at: Moment) -> Decision[list[Created]]:
        """Create the runs that their keys haven't created yet."""
        created: list[Created] = []
        writes: list[Write] = []
        made: dict[str, Run] = {}
        unfinished = 0
        numbers, *of_forks = answers
        rest = iter(of_forks)
        for fork, (number,) in zip(self.forks, numbers, strict=True):
            known = _known(fork.run.owner, fork.key, self.quota, number, rest)
            parent, counted, blobs = next(rest), next(rest), next(rest)
            if known.recorded is not None:
                created.append(Created(known.recorded, replayed=True))
                continue
            writes += _within_quota(fork.run.owner, self.quota, known, len(made), unfinished)
            run, inserted = _forked(fork, known, parent, counted, made)
            writes += [*inserted, *put(run.number, fork.savepoint, at, blobs)]
            if fork.execution is not None:
                writes += begun(run, fork.execution)
            made[run.id] = run
            unfinished += run.state not in FINAL
            created.append(Created(run))
        return Decision(
            created, writes, tuple(Committed(run.id, run.state, run.position) for run in made.values())
        )


def quota_queries(owner: str, quota: Quota) -> list[Query]:
    """Return the queries whose answers `check_quota` takes."""
    limit = quota.result_bytes
    queries = [
        Query("count_live_runs_of_owner", (owner,)),
        Query("read_owner", (owner, limit is not None)),
        Query("list_largest_results", (owner, limit)),
    ]
    return queries if quota.slots is None else [*queries, Query("count_queue", (0.0,))]


def check_quota(
    owner: str, quota: Quota, answers: Answers, *, made: int = 0, made_unfinished: int = 0
) -> bool:
    """Raise as `Quota.check` does if an owner, with the runs that are being created, has reached a limit.

    Returns whether the total bytes of the owner's results were stored; else they were summed up.
    """
    ((stored,),), counts, largest, *queued = answers
    unfinished = stored + made_unfinished
    runs, size, kept = counts[0] if counts else (0, 0, True)
    quota.check(
        owner,
        unfinished=unfinished,
        ended=runs + made - unfinished,
        result_bytes=size or 0,
        read_sizes=lambda: dict(largest),
    )
    if quota.slots is not None:
        of_kind = [(name, count) for kind, name, _, count in queued[0] if kind == quota.slots.kind]
        quota.slots.check(owner, [name for name, count in of_kind for _ in range(count)])
    return bool(kept)


def find_run_key(owner: str, key: Key) -> Query:
    """Return the query for the run that an owner created with a key."""
    return Query("find_run_key", (owner, key.text, key.ordinal))


class _Known(msgspec.Struct, frozen=True):
    """The basis of a creation: the run with its id, a new number, the run of its key, the owner's counts."""

    taken: Rows
    number: int
    recorded: Run | None
    quota: Answers


def _slot_locks(quota: Quota | None) -> Sequence[Lock]:
    """Return the lock of the slots that a quota limits."""
    return () if quota is None or quota.slots is None else (locks.slots(quota.slots.kind),)


def _next_numbers(count: int) -> Query:
    """Return the query for as many numbers of new runs."""
    return Query("next_run_numbers", (count,))


def _queries(run: Run, key: Key | None, quota: Quota | None) -> Iterator[Query]:
    yield find_run(run.id)
    if key is not None:
        yield find_run_key(run.owner, key)
    if quota is not None:
        yield from quota_queries(run.owner, quota)


def _known(owner: str, key: Key | None, quota: Quota | None, number: int, answers: Iterator[Rows]) -> _Known:
    """Take the next answers, which belong to `_queries`."""
    taken = next(answers)
    recorded = None if key is None else to_made_run(next(answers), owner, key)
    return _Known(
        taken,
        number,
        recorded,
        () if quota is None else tuple(islice(answers, len(quota_queries(owner, quota)))),
    )


def _within_quota(
    owner: str, quota: Quota | None, known: _Known, made: int = 0, made_unfinished: int = 0
) -> list[Write]:
    """Check the quota.

    Return the write that stores the total bytes of the owner's results, if it wasn't stored.
    """
    if quota is None or check_quota(owner, quota, known.quota, made=made, made_unfinished=made_unfinished):
        return []
    return [write("count_results", owner)]


def _inserted(run: Run, key: Key | None, known: _Known) -> tuple[Run, list[Write]]:
    """Return a run with its number, and its writes."""
    if known.taken:
        raise RunExists(run=run.id)
    made = replace(run, number=known.number, generation=0)
    writes = [write("insert_run", *run_values(made)), write("insert_spec", made.number, made.spec)]
    if made.name or made.tags:
        writes.append(write("put_label", made.number, made.name, to_tags(made.tags)))
    if key is not None:
        writes.append(write("insert_run_key", *run_key_values(made.number, made.owner, key)))
    return made, writes


def _forked(
    fork: Fork, known: _Known, parent_rows: Rows, counted: Rows, made: dict[str, Run]
) -> tuple[Run, list[Write]]:
    run = fork.run
    if run.parent is None or run.parent_position is None:
        raise Invalid(f"The run {run.id!r} can't be forked: it names no parent and step.")
    parent = found(run.parent, parent_rows)
    if not 0 <= run.parent_position <= parent.position:
        raise StepNotFound(run=run.parent, step=run.parent_position, position=parent.position)
    if run.id in made:
        raise RunExists(run=run.id)
    if counted[0][0] != run.parent_position:
        reason = f"steps are missing from the log of the run {run.parent!r} before step {run.parent_position}"
        raise CorruptBlob(reason=reason)
    forked, writes = _inserted(replace(run, position=run.parent_position), fork.key, known)
    copied = (forked.number, parent.number, run.parent_position)
    writes += [write("copy_steps", *copied), write("copy_savepoints", *copied)]
    return forked, [*writes, write("copy_savepoint_blobs", forked.number, parent.number)]
