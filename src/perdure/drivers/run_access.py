"""Access to runs of any kind: whose they are, of which kind they have to be, how many there may be."""

from collections.abc import Callable, Mapping

from perdure.drivers.requests import Owner
from perdure.errors import EndedRunsExceeded, ResultBytesExceeded, RunNotFound, WrongKind
from perdure.run import Run
from perdure.stores.base import Store

__all__ = ["check_ended", "check_results", "find_run"]

NAMED = 3  # runs that an error names


def find_run(store: Store, owner: Owner, run_id: str, kind: str | None = None) -> Run:
    """Return a run; it blocks.

    Raises
    ------
    RunNotFound
        If there is none, or it is another owner's.
    WrongKind
        If it is of another kind than the one that is asked for.
    """
    run = store.run(run_id)
    if owner is not None and run.owner != owner:
        raise RunNotFound(run=run_id)
    if kind is not None and run.kind != kind:
        raise WrongKind(run=run_id, kind=run.kind, wanted=kind)
    return run


def check_ended(store: Store, owner: str, limit: int) -> None:
    """Raise `EndedRunsExceeded` if an owner has as many runs that have ended as one may have; it blocks."""
    count = store.ended(owner)
    if count >= limit:
        raise EndedRunsExceeded(owner=owner, count=count, limit=limit)


def check_results(owner: str, size: int, limit: int, read_sizes: Callable[[], Mapping[str, int]]) -> None:
    """Raise `ResultBytesExceeded` if an owner's results are as large together as may be.

    Their sizes by run are read only then, to name the largest.
    """
    if size >= limit:
        sizes = read_sizes()
        largest = sorted(sizes, key=lambda run: sizes[run], reverse=True)[:NAMED]
        named = ", ".join(f"{run} ({sizes[run]} bytes)" for run in largest)
        raise ResultBytesExceeded(owner=owner, size=size, limit=limit, largest=named, runs=largest)
