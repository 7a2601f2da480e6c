"""Runs that should be worked on, and that nobody works on, are submitted; the others aren't."""

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from perdure.errors import CorruptBlob, NotExecuted, StoreUnavailable
from perdure.execution.reconcile import reconcile, reconciling
from perdure.lifecycle import Outcome, RunState, Wanted
from perdure.run import Change, Execution
from perdure.stores.commands import ChangeRun, CreateRun, Lease, Release, Want
from perdure.stores.memory import MemoryStore
from perdure.stores.queue import Queued
from perdure.testing.store_samples import WAIT, a_run


class Asked:
    """An executor that only remembers what it was asked for."""

    def __init__(self, refused: str = "", known: str = "", damaged: str = "") -> None:
        self.calls: list[tuple[str, str]] = []
        self.refused = refused
        self.known = known
        self.damaged = damaged
        self.twice = asyncio.Event()

    async def submit(self, run_id: str) -> None:
        if run_id == self.refused:
            raise NotExecuted(run=run_id, kind="another")
        if run_id == self.damaged:
            raise CorruptBlob(reason="a test wants it so")
        if ("submit", run_id) in self.calls:
            self.twice.set()
        self.calls.append(("submit", run_id))

    def needs(self, queued: Queued) -> bool:
        return queued.run_id != self.known

    async def cancel(self, run_id: str) -> None:
        self.calls.append(("cancel", run_id))


def store_with(*ids: str, store: MemoryStore | None = None) -> MemoryStore:
    """Return a store with tasks that wait."""
    store = store or MemoryStore()
    for id in ids:
        run = replace(a_run(id), kind="task")
        store.submit(CreateRun(run, execution=Execution(run_id=id, kind="task", owner="ann"))).result(WAIT)
    return store


def test_what_nobody_works_on_is_submitted_in_the_order_of_creation() -> None:
    store = store_with("b", "a", "leased", "ran-out", "given-back", "final", "paused", "new", "stopped")
    store.submit(Lease("leased", "worker", 600.0)).result(WAIT)
    store.submit(Lease("ran-out", "worker", -1.0)).result(WAIT)
    store.submit(
        Release("given-back", store.submit(Lease("given-back", "worker", 600.0)).result(WAIT).fence)
    ).result(WAIT)
    done = Change(state=RunState.COMPLETED, outcome=Outcome.SUCCEEDED)
    store.submit(ChangeRun("final", store.run("final").version, done)).result(WAIT)
    store.submit(Want("paused", Wanted.PAUSED)).result(WAIT)
    store.submit(ChangeRun("paused", store.run("paused").version, Change(state=RunState.PAUSED))).result(WAIT)
    store.submit(Want("new", Wanted.PAUSED)).result(WAIT)  # which some kinds prepare
    store.submit(Want("stopped", Wanted.STOPPED)).result(WAIT)
    asked = Asked()
    asyncio.run(reconcile(store, asked))
    assert asked.calls == [
        ("submit", "b"),
        ("submit", "a"),
        ("submit", "ran-out"),
        ("submit", "given-back"),
        ("submit", "new"),
        ("cancel", "stopped"),
    ]


def test_a_kind_that_the_executor_does_not_know_does_not_keep_the_others_waiting() -> None:
    asked = Asked(refused="a")
    asyncio.run(reconcile(store_with("a", "b"), asked))
    assert asked.calls == [("submit", "b")]


def test_a_damaged_run_does_not_keep_the_others_waiting() -> None:
    asked = Asked(damaged="a")
    asyncio.run(reconcile(store_with("a", "b"), asked))
    assert asked.calls == [("submit", "b")]


def test_what_the_executor_knows_is_not_submitted_again_but_ended_if_that_is_wanted() -> None:
    store, asked = store_with("known", "other"), Asked(known="known")
    asyncio.run(reconcile(store, asked))
    store.submit(Want("known", Wanted.STOPPED)).result(WAIT)
    asyncio.run(reconcile(store, asked))
    assert asked.calls == [("submit", "other"), ("cancel", "known"), ("submit", "other")]


def test_it_is_repeated_and_ends_with_its_block() -> None:
    async def work() -> None:
        asked = Asked()
        async with reconciling(store_with("a"), asked, every=0.001), asyncio.timeout(WAIT):
            await asked.twice.wait()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(work())


class FailsOnce(MemoryStore):
    """A store that can't be read the second time it is asked what is unfinished."""

    asked = 0

    def unleased(self) -> Sequence[Queued]:
        self.asked += 1
        if self.asked == 2:
            raise StoreUnavailable(reason="a test wants it so")
        return super().unleased()


def test_it_outlives_a_store_that_cant_be_read_for_a_while() -> None:
    async def work() -> None:
        store, asked = store_with("a", store=FailsOnce()), Asked()
        async with reconciling(store, asked, every=0.001), asyncio.timeout(WAIT):
            await asked.twice.wait()

    asyncio.run(work())
