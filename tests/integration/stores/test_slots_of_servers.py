"""Slots over several servers: however many runs are created at once, no more are than there are slots."""

from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from perdure.errors import SlotsTaken
from perdure.stores.base import Store
from perdure.stores.commands import CreateRun, DeleteRun, Fork, ForkRuns, encoded
from perdure.stores.memory import MemoryStore
from perdure.stores.open import open_store
from perdure.stores.quota import Quota, Slots
from perdure.testing.store_samples import WAIT, a_fork, a_run, a_savepoint, an_execution

SLOTS = Slots(kind="experiment", total=4, per_owner=3, owners=frozenset({"ann", "bob"}))


@pytest.fixture(params=["memory", "postgres"])
def stores(request: pytest.FixtureRequest) -> Iterator[tuple[Store, Store]]:
    """Two servers' stores of the same runs; in memory there can be only one."""
    with ExitStack() as stack:
        if request.param == "memory":
            store = stack.enter_context(closing(MemoryStore()))
            yield store, store
            return
        url = request.getfixturevalue("postgres")
        one, two = (stack.enter_context(closing(open_store(url))) for _ in range(2))
        yield one, two


def create(id: str, owner: str) -> CreateRun:
    run = a_run(id, owner=owner, kind="experiment")
    return CreateRun(run, quota=Quota(slots=SLOTS), execution=an_execution(id, owner=owner))


def test_two_servers_that_create_runs_at_once_share_the_slots(stores: tuple[Store, Store]) -> None:
    def kept(owner: str, number: int) -> list[str]:
        asked = [f"{owner}-{at}" for at in range(number)]
        answers = [stores[at % 2].submit(create(id, owner)) for at, id in enumerate(asked)]
        refused = [id for id, it in zip(asked, answers, strict=True) if it.exception(WAIT) is not None]
        assert all(isinstance(it.exception(WAIT), SlotsTaken | None) for it in answers)
        return [id for id in asked if id not in refused]

    tasks = [
        stores[0].submit(CreateRun(a_run(f"task-{at}", kind="task"), execution=an_execution(f"task-{at}")))
        for at in range(9)
    ]
    for task in tasks:  # of another kind: they take no slots
        task.result(WAIT)
    ann = kept("ann", 12)
    assert len(ann) == 3
    assert len(kept("bob", 12)) == 1
    fork = Fork(
        run=a_fork("fork", ann[0], 0, kind="experiment"),
        savepoint=encoded(a_savepoint()),
        execution=an_execution("fork"),
    )
    with pytest.raises(SlotsTaken):
        stores[1].submit(ForkRuns([fork], Quota(slots=SLOTS))).result(WAIT)
    stores[0].submit(DeleteRun(ann[1])).result(WAIT)
    stores[1].submit(ForkRuns([fork], Quota(slots=SLOTS))).result(WAIT)
