"""What a reader of a run is told, however its changes, the polls and the reader's looks interleave."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from itertools import groupby
from typing import Self

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.deaf import DeafStore

from perdure.drivers.views import views_of
from perdure.lifecycle import RunStatus
from perdure.run import Change, Run
from perdure.stores.commands import ChangeRun
from perdure.stores.feed import Feed
from perdure.stores.memory import MemoryStore
from perdure.testing.store_samples import WAIT, created

NEVER = 1e6  # seconds between two polls: the test polls by itself
POLL, TURN = "poll", "turn"

states = st.sampled_from([RunStatus.CREATED, RunStatus.STARTED, RunStatus.PAUSED])
happenings = st.lists(states | st.sampled_from([POLL, TURN, TURN]), max_size=25)
turns = st.tuples(st.integers(0, 4), st.integers(0, 4))


class Seen(msgspec.Struct, frozen=True):
    """Where a run stands."""

    run: Run

    def in_state(self, state: RunStatus) -> Self:
        return type(self)(msgspec.structs.replace(self.run, state=state))


async def told(
    happens: Sequence[RunStatus | str], looking: tuple[int, int], *, deaf: bool
) -> list[RunStatus]:
    """Return the states that a reader is told of while this happens to a run, which is stopped at last."""
    store, seen = MemoryStore(), list[RunStatus]()
    created(store)
    before, after = looking

    async def look() -> Seen:
        for _ in range(before):
            await asyncio.sleep(0)
        run = store.run("run")
        for _ in range(after):
            await asyncio.sleep(0)
        return Seen(run)

    with Feed(DeafStore(store) if deaf else store, every=NEVER) as feed:
        begun = asyncio.Event()

        async def read() -> None:
            async with aclosing(views_of(feed, "run", look, lambda view: view.run.state)) as views:
                async for view in views:
                    assert view is not None
                    seen.append(view.run.state)
                    begun.set()

        reading = asyncio.create_task(read())
        await begun.wait()
        for happening in [*happens, RunStatus.STOPPED, POLL]:
            if happening == POLL:
                feed.poll()
            elif happening == TURN:
                await asyncio.sleep(0)
            else:
                change = Change(state=RunStatus(happening))
                store.submit(ChangeRun("run", store.run("run").version, change)).result(WAIT)
        await asyncio.wait_for(reading, WAIT)
    return seen


@settings(deadline=None, max_examples=80)
@given(happens=happenings, looking=turns)
def test_every_state_is_told_once_and_in_order(
    happens: list[RunStatus | str], looking: tuple[int, int]
) -> None:
    changes = [state for state in happens if isinstance(state, RunStatus)]
    all_states = [state for state, _ in groupby([RunStatus.CREATED, *changes, RunStatus.STOPPED])]
    assert asyncio.run(told(happens, looking, deaf=False)) == all_states


@settings(deadline=None, max_examples=40)
@given(happens=happenings, looking=turns)
def test_who_hears_nothing_is_told_states_that_were_in_order_and_the_last_one(
    happens: list[RunStatus | str], looking: tuple[int, int]
) -> None:
    changes = [state for state in happens if isinstance(state, RunStatus)]
    seen = asyncio.run(told(happens, looking, deaf=True))
    rest = iter([RunStatus.CREATED, *changes, RunStatus.STOPPED])
    assert all(state in rest for state in seen), "they come in this order"
    assert seen == [state for state, _ in groupby(seen)]
    assert seen[-1] is RunStatus.STOPPED
