"""Access to runs of any kind: whose they are, and of which kind they have to be."""

from perdure.drivers.session_requests import Owner
from perdure.errors import RunNotFound, WrongKind
from perdure.run import Run
from perdure.stores.base import Store

__all__ = ["find_run"]


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
        raise WrongKind(run=run_id, kind=run.kind, wanted=f"{kind}s")
    return run
