"""Claims when the queue shows runs that can't be claimed at the moment."""

import asyncio
import gc
import secrets
import warnings
from collections.abc import Collection, Sequence

from tests.support.deaf import DeafStore

from perdure.execution.body import Body
from perdure.execution.local import LocalExecutor
from perdure.execution.unplaced import Unplaced
from perdure.stores.base import Store
from perdure.stores.commands import Lease
from perdure.stores.feed import Feed
from perdure.stores.memory import MemoryStore
from perdure.stores.queue import ANY_TAG, QueueGroup
from perdure.testing.executors import WAIT, Trial

BODY = Body(path="perdure.testing.bodies:run", slots=2)


class ShowingStore(DeafStore):
    """A store that shows a group of the queue although nothing of it can be claimed."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.shown = store.waiting_groups([ANY_TAG])
        self.times = 0

    def waiting_groups(self, tags: Collection[str]) -> Sequence[QueueGroup]:
        """Show what waited when this was made."""
        self.times += 1
        return self.shown


def test_a_look_ends_if_the_queue_shows_a_run_that_cannot_be_claimed() -> None:
    kept = MemoryStore()
    Trial(kept, Unplaced(kept)).create(do="echo", value=1)
    store = ShowingStore(kept)
    kept.submit(Lease("run", "another", 3600.0)).result(WAIT)  # locked by another worker, or late renewed

    async def look() -> None:
        executor = LocalExecutor(store, {"task": BODY}, identity=secrets.token_hex(4))
        async with asyncio.timeout(20):
            await executor.look()
        assert store.times < 5
        assert executor.begun == 0
        await executor.aclose()

    assert [(group.kind, group.short) for group in store.shown] == [("task", False)]
    asyncio.run(look())


def test_work_that_is_cancelled_as_it_is_preempted_leaves_no_coroutine_unawaited() -> None:
    store = MemoryStore()
    Trial(store, Unplaced(store)).create(do="echo", value=1)

    async def leave(feed: Feed) -> None:
        executor = LocalExecutor(store, {"task": BODY}, identity=secrets.token_hex(4), feed=feed)
        await executor.open()
        await executor.look()
        assert executor.begun == 1
        executor.preempt()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    with Feed(store) as feed, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        asyncio.run(leave(feed))
        gc.collect()
    assert [str(warning.message) for warning in warned] == []
