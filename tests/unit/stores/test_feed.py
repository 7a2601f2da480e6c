"""The feed: hints come from commits and from the poll, several may become one, and none is missed."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import closing

import pytest
from structlog.testing import capture_logs
from tests.support.deaf import DeafStore

from perdure.errors import CorruptBlob, StoreUnavailable
from perdure.lifecycle import RunStatus
from perdure.observability import Metrics
from perdure.run import Change
from perdure.stores.base import Store, Version
from perdure.stores.commands import Append, ChangeRun, DeleteRun, Lease, Renew, Unleased
from perdure.stores.feed import ANY_RUN, Feed, Hint, Subscription
from perdure.stores.memory import MemoryStore
from perdure.testing.store_samples import WAIT, an_entry, created, queued

NEVER = 1e6  # seconds between two polls: a test polls by itself


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def within() -> None:
        await asyncio.wait_for(work(), WAIT)

    asyncio.run(within())


def bring(store: Store, *states: RunStatus, id: str = "run") -> None:
    for state in states:
        store.submit(ChangeRun(id, store.run(id).version, Change(state=state))).result(WAIT)


async def hints(changes: Subscription) -> list[Hint]:
    await changes.wait()
    return changes.take()


def polling() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "perdure-feed"]


async def until_nobody_polls() -> None:
    for thread in polling():
        await asyncio.to_thread(thread.join, WAIT)


def test_a_commit_of_this_process_is_a_hint_with_the_state_that_it_led_to() -> None:
    async def work() -> None:
        store = MemoryStore()
        created(store)
        created(store, "other")
        with Feed(store, every=NEVER) as feed, feed.subscribe("run") as changes:
            assert not changes.pending
            bring(store, RunStatus.STARTED, id="other")
            bring(store, RunStatus.STARTED, RunStatus.PAUSED)
            assert await hints(changes) == [Hint("run", RunStatus.STARTED), Hint("run", RunStatus.PAUSED)]
            store.submit(DeleteRun("run")).result(WAIT)
            assert await hints(changes) == [Hint("run", owner="ann")]

    run(work)


def test_hints_that_say_the_same_become_one_and_no_state_is_left_out() -> None:
    async def work() -> None:
        store = MemoryStore()
        for id in ("a", "b"):
            created(store, id)
        with Feed(store, every=NEVER) as feed, feed.subscribe("a", "b") as changes:
            for position in range(3):
                for id in ("a", "b"):
                    store.submit(Append(id, Unleased(0), position, [an_entry(1)])).result(WAIT)
            bring(store, RunStatus.STARTED, RunStatus.PAUSED, RunStatus.STARTED, id="a")
            assert await hints(changes) == [
                Hint("a", RunStatus.CREATED, 3),
                Hint("b", RunStatus.CREATED, 3),
                Hint("a", RunStatus.STARTED, 3),
                Hint("a", RunStatus.PAUSED, 3),
                Hint("a", RunStatus.STARTED, 3),
            ]
            assert not changes.pending
            guard = Unleased(store.run("a").generation)
            store.submit(Append("a", guard, 3, [an_entry(1)])).result(WAIT)
            assert await hints(changes) == [Hint("a", RunStatus.STARTED, 4)], (
                "a change after the last is news"
            )

    run(work)


def test_the_poll_finds_every_change_that_nobody_reported() -> None:
    async def work() -> None:
        store = MemoryStore()
        for id in ("a", "b"):
            created(store, id)
        with Feed(DeafStore(store), every=NEVER) as feed, feed.subscribe("a", "b", "none") as changes:
            feed.poll()
            assert await hints(changes) == [Hint("a"), Hint("b"), Hint("none")], "whatever happened before"
            feed.poll()
            await asyncio.sleep(0)
            assert not changes.pending
            bring(store, RunStatus.STARTED, id="b")
            created(store, "none")
            feed.poll()
            assert await hints(changes) == [Hint("b"), Hint("none")]
            store.submit(DeleteRun("b")).result(WAIT)
            feed.poll()
            assert await hints(changes) == [Hint("b")]
            created(store, "b")
            feed.poll()
            assert await hints(changes) == [Hint("b")]

    run(work)


def test_a_reader_of_all_runs_gets_hints_about_those_that_are_made_later_and_whose_a_deleted_one_was() -> (
    None
):
    async def work() -> None:
        store = MemoryStore()
        with Feed(store, every=NEVER) as feed, feed.subscribe_to_all() as changes:
            assert polling() == [], "in a store that isn't shared, every commit is this process's"
            created(store, "new", owner="bob")
            assert await hints(changes) == [Hint("new", RunStatus.CREATED)]
            store.submit(DeleteRun("new")).result(WAIT)
            assert await hints(changes) == [Hint("new", owner="bob")]
            changes.close()
            created(store, "later")
            await asyncio.sleep(0)
            assert not changes.pending

    run(work)


def test_hints_for_a_reader_of_all_runs_who_takes_none_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.stores.feed.MAX_HINTS", 2)

    async def work() -> None:
        store = MemoryStore()
        with Feed(store, every=NEVER) as feed, feed.subscribe_to_all() as changes:
            for id in ("a", "b"):
                created(store, id)
            assert not changes.overflowed
            created(store, "c")
            bring(store, RunStatus.STARTED, id="a")
            assert changes.overflowed
            assert [hint.run_id for hint in await hints(changes)] == ["a", "b"]

    run(work)


def test_a_poll_of_a_shared_store_tells_a_reader_of_all_runs_that_any_may_have_changed() -> None:
    class SharedStore(DeafStore):
        shared = True

    async def work() -> None:
        store = MemoryStore()
        with Feed(SharedStore(store), every=NEVER) as feed, feed.subscribe_to_all() as changes:
            feed.poll()
            assert await hints(changes) == [Hint(ANY_RUN)]
            feed.poll()
            await asyncio.sleep(0)
            assert not changes.pending, "nothing was committed since"
            created(store, "new")
            feed.poll()
            assert await hints(changes) == [Hint(ANY_RUN)]
            changes.close()
            await until_nobody_polls()

    run(work)


def test_one_poll_is_one_query_for_all_subscriptions() -> None:
    class Counting(DeafStore):
        asked: list[set[str]]

        def versions(self, run_ids: Collection[str]) -> Mapping[str, Version]:
            self.asked.append(set(run_ids))
            return self.store.versions(run_ids)

    async def work() -> None:
        store = Counting(MemoryStore())
        store.asked = []
        created(store, "a")
        with Feed(store, every=NEVER) as feed, feed.subscribe("a", "b"), feed.subscribe("a") as changes:
            changes.add("c")
            feed.poll()
            assert "c" in changes
            changes.discard("c")
            assert "c" not in changes
            changes.discard("c")
            created(store, "d")
            feed.poll()
            changes.close()
            changes.close()
            created(store, "e")
            feed.poll()
        assert store.asked == [{"a", "b", "c"}, {"a", "b"}, {"a", "b"}]

    run(work)


def test_no_versions_are_compared_while_nothing_was_committed() -> None:
    class Counting(DeafStore):
        asked = 0

        def versions(self, run_ids: Collection[str]) -> Mapping[str, Version]:
            self.asked += 1
            return self.store.versions(run_ids)

    async def work() -> None:
        store = Counting(MemoryStore())
        created(store, "a")
        with Feed(store, every=NEVER) as feed, feed.subscribe("a") as changes:
            for _ in range(3):
                feed.poll()
            assert (store.asked, await hints(changes)) == (1, [Hint("a")])
            bring(store, RunStatus.STARTED, id="a")
            for _ in range(3):
                feed.poll()
            assert (store.asked, await hints(changes)) == (2, [Hint("a")])
            changes.add("b")
            feed.poll()
            assert (store.asked, await hints(changes)) == (3, [Hint("b")]), "nobody has looked at it yet"

    run(work)


def test_what_is_committed_while_versions_are_read_is_found_by_the_next_poll() -> None:
    class Racing(DeafStore):
        def versions(self, run_ids: Collection[str]) -> Mapping[str, Version]:
            found = self.store.versions(run_ids)
            if self.store.run("a").state is RunStatus.CREATED:
                bring(self.store, RunStatus.STARTED, id="a")
            return found

    async def work() -> None:
        store = Racing(MemoryStore())
        created(store, "a")
        with Feed(store, every=NEVER) as feed, feed.subscribe("a") as changes:
            for _ in range(2):
                feed.poll()
                assert await hints(changes) == [Hint("a")]

    run(work)


def test_the_renewal_of_a_lease_is_no_hint() -> None:
    async def work() -> None:
        store = MemoryStore()
        queued(store)
        token = store.submit(Lease("task", "worker", 60.0)).result(WAIT).fence
        with Feed(store, every=NEVER) as feed, feed.subscribe("task") as changes:
            feed.poll()
            await hints(changes)
            store.submit(Renew("task", token, 90.0)).result(WAIT)
            feed.poll()
            await asyncio.sleep(0)
            assert not changes.pending

    run(work)


def test_it_polls_by_itself_only_while_somebody_is_subscribed() -> None:
    async def work() -> None:
        store = MemoryStore()
        created(store)
        with Feed(DeafStore(store), every=0.001) as feed:
            for _ in range(2):
                others = set(polling())  # of feeds that were closed a moment ago
                with feed.subscribe("run") as changes:
                    bring(store, RunStatus.STARTED)
                    assert await hints(changes) == [Hint("run")]
                    (thread,) = set(polling()) - others
                await asyncio.to_thread(thread.join, WAIT)
                assert not thread.is_alive()

    run(work)


def test_a_store_that_cant_be_read_is_logged_once_and_no_change_is_missed() -> None:
    class Failing(DeafStore):
        failing = False

        def versions(self, run_ids: Collection[str]) -> Mapping[str, Version]:
            if self.failing:
                raise StoreUnavailable(reason="the disk is gone")
            return self.store.versions(run_ids)

    async def work() -> None:
        store = Failing(MemoryStore())
        created(store)
        with Feed(store, every=NEVER) as feed, feed.subscribe("run") as changes:
            feed.poll()
            await hints(changes)
            for _ in range(2):
                store.failing = True
                with capture_logs() as logs:
                    feed.poll()
                    feed.poll()
                    bring(store, RunStatus.STARTED)
                    feed.poll()
                    await asyncio.sleep(0)
                    assert not changes.pending
                    store.failing = False
                    feed.poll()
                    feed.poll()
                assert await hints(changes) == [Hint("run")]
                assert [entry["event"] for entry in logs] == ["changes_not_found", "changes_found_again"]
                assert "the disk is gone" in logs[0]["reason"]

    run(work)


def test_a_bug_in_a_poll_ends_no_polling() -> None:
    class Broken(DeafStore):
        polls = 0

        def versions(self, run_ids: Collection[str]) -> Mapping[str, Version]:
            self.polls += 1
            if self.polls == 1:
                raise MemoryError
            return self.store.versions(run_ids)

    async def work() -> None:
        store = Broken(MemoryStore())
        created(store)
        with Feed(store, every=0.001) as feed, feed.subscribe("run") as changes:
            assert await hints(changes) == [Hint("run")]
            assert store.polls >= 2

    run(work)


def test_a_closed_feed_is_silent_and_polls_no_more() -> None:
    async def work() -> None:
        store = MemoryStore()
        created(store)
        feed = Feed(store, every=0.001)
        changes = feed.subscribe("run")
        feed.close()
        feed.close()
        await until_nobody_polls()
        changes.take()
        with pytest.raises(StoreUnavailable, match="closed"):
            changes.add("run")
        with pytest.raises(StoreUnavailable, match="closed"):
            feed.subscribe("run")
        bring(store, RunStatus.STARTED)
        await asyncio.sleep(0)
        assert polling() == []
        assert not changes.pending
        changes.close()

    run(work)


def test_a_reader_whose_loop_is_closed_harms_nobody() -> None:
    store = MemoryStore()
    created(store)
    with closing(Feed(store, every=NEVER)) as feed:

        async def leave() -> None:
            feed.subscribe("run")

        asyncio.run(leave())

        async def work() -> None:
            with feed.subscribe("run") as changes:
                bring(store, RunStatus.STARTED)
                assert await hints(changes) == [Hint("run", RunStatus.STARTED)]

        run(work)


def test_commits_of_this_process_are_counted() -> None:
    metrics = Metrics()
    store = MemoryStore()
    with Feed(store, metrics=metrics):
        created(store, steps=1)
    created(store, "other")
    assert metrics.registry.get_sample_value("perdure_store_changes_total") == 2


@pytest.mark.parametrize("readers", [1, 3])
def test_every_change_of_many_threads_is_seen_by_every_reader(readers: int) -> None:
    async def work() -> None:
        store = MemoryStore()
        created(store)

        def write() -> None:
            for position in range(200):
                store.submit(Append("run", Unleased(0), position, [an_entry(1)])).result(WAIT)

        async def read(feed: Feed) -> None:
            with feed.subscribe("run") as changes:
                while store.run("run").position < 200:
                    await changes.wait()
                    changes.take()

        with Feed(store, every=NEVER) as feed:
            reading = [asyncio.create_task(read(feed)) for _ in range(readers)]
            await asyncio.sleep(0)  # they subscribe
            await asyncio.to_thread(write)
            await asyncio.gather(*reading)

    run(work)


def test_a_damaged_run_keeps_no_hint_from_the_readers_of_others() -> None:
    class Damaged(MemoryStore):
        def versions(self, run_ids: Collection[str]) -> Mapping[str, Version]:
            if "a" in run_ids:
                raise CorruptBlob(reason="a test wants it so")
            return super().versions(run_ids)

    async def work() -> None:
        store = Damaged()
        created(store, "a")
        created(store, "b")
        with Feed(DeafStore(store), every=NEVER) as feed, feed.subscribe("a", "b") as changes:
            feed.poll()
            assert await hints(changes) == [Hint("a"), Hint("b")]
            store.submit(Append("b", Unleased(0), 0, [an_entry(1)])).result(WAIT)
            feed.poll()
            assert await hints(changes) == [Hint("b")]

    run(work)


def test_a_feed_keeps_no_store_alive_that_nobody_refers_to() -> None:
    store = MemoryStore()
    created(store, "a")
    left = weakref.ref(store)
    feed = Feed(store)
    del store, feed
    gc.collect()
    assert left() is None
