"""What the local executor needs to be submitted of what is found in the queue."""

import asyncio
from contextlib import closing

from perdure.execution.body import Body
from perdure.execution.local import LocalExecutor
from perdure.lifecycle import RunState, Wanted
from perdure.stores.memory import MemoryStore
from perdure.stores.queue import Queued
from perdure.testing.store_samples import queued

BODIES = {
    "task": Body(path="perdure.testing.bodies:run", slots=1),
    "held": Body(path="perdure.testing.bodies:run", waits=True),
}


def a_queued(run_id: str, kind: str = "task", wanted: Wanted = Wanted.STARTED) -> Queued:
    return Queued(run_id, kind, "ann", wanted, RunState.CREATED)


def test_only_what_does_not_wait_already_as_it_should_has_to_be_submitted() -> None:
    async def work() -> None:
        with closing(MemoryStore()) as store:
            queued(store, "waits")
            executor = LocalExecutor(store, BODIES, identity="needs")
            await executor.aclose()  # it begins nothing more
            assert executor.needs(a_queued("waits"))
            await executor.submit("waits")
            assert not executor.needs(a_queued("waits"))
            assert executor.needs(a_queued("waits", wanted=Wanted.PAUSED))
            assert executor.needs(a_queued("new"))
            assert not executor.needs(a_queued("new", kind="held"))
            assert executor.needs(a_queued("new", kind="held", wanted=Wanted.PAUSED))
            assert not executor.needs(a_queued("new", kind="of-another"))
            await executor.cancel("waits")
            assert executor.needs(a_queued("waits"))

    asyncio.run(work())
