"""The tree of forks that a run belongs to; its root is the run that all others descend from."""

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from contextlib import suppress

import anyio.to_thread
from fastapi import APIRouter
from pydantic import BaseModel, Field

from perdure.api.context import Asking, Serving
from perdure.api.runs import RunId
from perdure.drivers.experiments.experiments import KIND as EXPERIMENT
from perdure.drivers.session_requests import Owner
from perdure.errors import Damaged, RunNotFound
from perdure.run import Run
from perdure.stores.base import Store
from perdure.web.errors import error_responses

__all__ = ["router"]

MAX_NODES = 1000

router = APIRouter(tags=["runs"])


class ForkNode(BaseModel):
    """A run of the tree."""

    id: str
    name: str
    kind: str
    state: str
    parent: str | None = Field(
        description="The run it was forked from, which may have been deleted; null if it is no fork."
    )
    step: int | None = Field(description="The last step that a session has in common with its parent.")
    savepoint: int | None = Field(
        description="The timestamp of the savepoint at which an experiment was forked; null if unknown."
    )
    position: int = Field(
        description="Where it stands: how many steps a session has taken, or the timestamp of the newest "
        "savepoint of an experiment, 0 before there is one."
    )
    created: float


class ForkTree(BaseModel):
    """The tree, parents before their forks."""

    nodes: list[ForkNode]
    complete: bool = Field(description=f"Whether these are all; at most {MAX_NODES} are listed.")


@router.get(
    "/runs/{run_id}/tree",
    operation_id="read_tree",
    responses=error_responses(401, 403, 404, 422, 500, 503),
)
async def read_tree(run_id: RunId, serving: Serving, owner: Asking) -> ForkTree:
    """Read the ancestors of this run, and all forks of any of them."""
    await serving.run(owner, run_id)
    return await anyio.to_thread.run_sync(_tree, serving.store, owner, run_id)


def _tree(store: Store, owner: Owner, run_id: str) -> ForkTree:
    parents = store.parents(owner)
    nodes: list[ForkNode] = []
    for node in _from_root(run_id, parents):
        with suppress(RunNotFound, Damaged):  # a parent that was deleted or can't be read
            run = store.run(node)
            if owner in (None, run.owner):
                if len(nodes) == MAX_NODES:
                    return ForkTree(nodes=nodes, complete=False)
                nodes.append(_node(store, run))
    return ForkTree(nodes=nodes, complete=True)


def _from_root(run_id: str, parents: Mapping[str, str]) -> Iterator[str]:
    """Yield the ids of the tree, parents first; first those from the root to the run, then the others."""
    branch = [run_id]
    while (parent := parents.get(branch[-1])) is not None:
        branch.append(parent)
    branch.reverse()
    yield from branch
    forks = defaultdict(list)
    for fork, parent in parents.items():
        forks[parent].append(fork)
    known, waiting = {*branch}, deque(branch)
    while waiting:
        for fork in forks[waiting.popleft()]:
            if fork not in known:
                known.add(fork)
                waiting.append(fork)
                yield fork


def _node(store: Store, run: Run) -> ForkNode:
    simulated = run.kind == EXPERIMENT
    return ForkNode(
        id=run.id,
        name=run.name,
        kind=run.kind,
        state=run.state.value,
        parent=run.parent,
        step=None if simulated else run.parent_position,
        savepoint=_savepoint(store, run) if simulated else None,
        position=_newest(store, run) if simulated else run.position,
        created=run.created,
    )


def _newest(store: Store, run: Run) -> int:
    with suppress(RunNotFound, Damaged):
        return max((savepoint.timestamp for savepoint in store.savepoints(run.id)), default=0)
    return 0


def _savepoint(store: Store, run: Run) -> int | None:
    """Return the timestamp of the savepoint at which an experiment's fork begins, if it is still stored."""
    for id in () if run.parent is None else (run.id, run.parent):
        with suppress(RunNotFound, Damaged):
            for savepoint in store.savepoints(id):
                if savepoint.position == run.parent_position:
                    return savepoint.timestamp
    return None
