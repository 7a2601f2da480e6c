"""Two servers on one store that both may write: what one does the other goes on from."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as given_settings
from hypothesis import strategies as st
from tests.support.small import NEW, catalogue, numbers, sessions_on, settings, upgradable

from perdure.drivers.session_requests import StepRequest
from perdure.drivers.sessions import Sessions
from perdure.errors import ModelChanged, PositionConflict, RunFinished, RunNotFound
from perdure.observability import Metrics
from perdure.run import Change, Key
from perdure.settings import Settings
from perdure.stores.base import Store
from perdure.stores.commands import ChangeRun, CreateRun
from perdure.stores.memory import MemoryStore
from perdure.stores.sqlite import SqliteStore

STEP = StepRequest()
UNTIL = 30


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with closing(MemoryStore() if request.param == "memory" else SqliteStore(tmp_path)) as made:
        yield made


def both(store: Store, work: Callable[[Sessions, Sessions], Awaitable[Any]]) -> Any:
    return asyncio.run(work(sessions_on(store), sessions_on(store)))


@given_settings(max_examples=25)
@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(1, 5), st.none() | st.floats(0, 9), st.booleans()),
        min_size=1,
        max_size=8,
    )
)
def test_steps_at_both_in_any_order_are_those_of_an_undisturbed_run(
    requests: list[tuple[bool, int, float | None, bool]],
) -> None:
    async def work() -> None:
        with closing(MemoryStore()) as store:
            servers, alone = (sessions_on(store, savepoint_every=4), sessions_on(store)), sessions_on(store)
            shared = (await servers[0].create("me", NEW)).run.id
            undisturbed = (await alone.create("me", NEW)).run.id
            for number, (first, steps, tap, keyed) in enumerate(requests):
                request = StepRequest(steps=steps, settings={} if tap is None else settings(tap=tap))
                key = Key(str(number), b"body") if keyed else None
                answer = await servers[first].step("me", shared, request, key)
                right = await alone.step("me", undisturbed, request)
                assert [step.position for step in answer.steps] == [step.position for step in right.steps]
                assert numbers(answer.steps) == numbers(right.steps)
                if key is not None:
                    again = await servers[not first].step("me", shared, request, key)
                    assert again.replayed
                    assert numbers(again.steps) == numbers(right.steps)
            assert await sessions_on(store).examine("me", shared, repair=False) == []

    asyncio.run(work())


class Recovering(MemoryStore):
    """A store that says it is unavailable, as one does that answers again but hasn't been written yet."""

    @property
    def unavailable(self) -> str:
        """Why."""
        return "it was away"


def test_a_store_that_recovers_lets_no_client_see_that_another_server_was_ahead() -> None:
    async def work(first: Sessions, second: Sessions) -> None:
        run_id = (await first.create("me", NEW)).run.id
        for number in range(1, 5):
            for server in (first, second):
                answer = await server.step("me", run_id, STEP)
                assert [step.position for step in answer.steps] == [2 * number - (server is first)]

    with closing(Recovering()) as store:
        both(store, work)


def test_clients_of_both_at_once_get_every_step_once(store: Store) -> None:
    async def work(a: Sessions, b: Sessions) -> None:
        run_id = (await a.create("me", NEW)).run.id

        async def client(sessions: Sessions) -> list[int]:
            answers = [await sessions.step("me", run_id, STEP) for _ in range(UNTIL)]
            return [answer.steps[0].position for answer in answers]

        taken = await asyncio.gather(client(a), client(b))
        assert sorted(taken[0] + taken[1]) == list(range(1, 2 * UNTIL + 1))
        assert await sessions_on(store).examine("me", run_id, repair=False) == []

    both(store, work)


def test_an_expected_step_is_compared_with_what_the_store_holds(store: Store) -> None:
    async def work(a: Sessions, b: Sessions) -> None:
        run_id = (await a.create("me", NEW)).run.id
        await a.step("me", run_id, STEP)
        await b.step("me", run_id, STEP)
        answer = await a.step("me", run_id, StepRequest(expected=3))  # it has seen the first one only
        assert answer.steps[0].position == 3
        with pytest.raises(PositionConflict) as error:
            await b.step("me", run_id, StepRequest(expected=3))
        assert error.value.values["position"] == 3

    both(store, work)


def test_a_stop_or_a_deletion_at_one_is_seen_at_the_other(store: Store) -> None:
    async def work(a: Sessions, b: Sessions) -> None:
        stopped, deleted = [(await a.create("me", NEW)).run.id for _ in range(2)]
        for run_id in (stopped, deleted):
            await a.step("me", run_id, STEP)
        await b.stop("me", stopped)
        await b.delete("me", deleted)
        with pytest.raises(RunFinished):
            await a.step("me", stopped, STEP)
        with pytest.raises(RunNotFound):
            await a.step("me", deleted, STEP)

    both(store, work)


def test_an_upgrade_at_one_is_never_overwritten_by_the_other(store: Store) -> None:
    async def work(a: Sessions, b: Sessions) -> None:
        run_id = (await a.create("me", NEW)).run.id
        await a.step("me", run_id, StepRequest(steps=5))
        newer = sessions_on(store, upgradable())
        await newer.upgrade("me", run_id)
        with pytest.raises(ModelChanged):  # it has the former model in memory, which no step is taken with
            await a.step("me", run_id, STEP)
        assert (await newer.step("me", run_id, STEP)).steps[0].position == 6
        assert await sessions_on(store, upgradable()).examine("me", run_id, repair=False) == []

    both(store, work)


def test_a_savepoint_at_one_is_of_the_step_that_the_other_took(store: Store) -> None:
    async def work(a: Sessions, b: Sessions) -> None:
        run_id = (await a.create("me", NEW)).run.id
        await a.step("me", run_id, STEP)
        await b.step("me", run_id, StepRequest(steps=6))
        info = await a.take_savepoint("me", run_id, "here", pinned=True)
        assert (info.position, info.name, info.pinned) == (7, "here", True)

    both(store, work)


def test_many_steps_at_both_at_once_are_all_taken(store: Store) -> None:
    async def work(a: Sessions, b: Sessions) -> None:
        run_id = (await a.create("me", NEW)).run.id
        answers = await asyncio.gather(
            a.step("me", run_id, StepRequest(steps=150)), b.step("me", run_id, StepRequest(steps=150))
        )
        taken = [step.position for answer in answers for step in answer.steps]
        assert sorted(taken) == list(range(1, 301))
        assert await sessions_on(store).examine("me", run_id, repair=False) == []

    both(store, work)


def test_an_expected_step_is_taken_after_an_upgrade_elsewhere(store: Store) -> None:
    async def work(a: Sessions, b: Sessions) -> None:
        upgraded = sessions_on(store, upgradable())
        run_id = (await a.create("me", NEW)).run.id
        await a.step("me", run_id, STEP)
        await upgraded.upgrade("me", run_id)
        again = sessions_on(store, upgradable())
        await again.take_savepoint("me", run_id, None, False)
        version = store.run(run_id).version
        note = ChangeRun(run_id, version, Change(spec=store.run(run_id).spec))
        await asyncio.wrap_future(store.submit(note))  # which fences it
        assert (await again.step("me", run_id, StepRequest(expected=2))).steps[0].position == 2

    both(store, work)


def test_steps_before_another_server_ended_the_session_are_told(store: Store) -> None:
    async def work(a: Sessions, b: Sessions) -> None:
        run_id = (await a.create("me", NEW)).run.id
        stepping = asyncio.create_task(a.step("me", run_id, StepRequest(steps=900)))
        while (await b.run("me", run_id)).position < 5:
            await asyncio.sleep(0)
        await b.stop("me", run_id)
        with pytest.raises(RunFinished) as error:
            await stepping
        assert error.value.values["steps_taken"] == (await b.run("me", run_id)).position

    both(store, work)


def test_a_session_that_was_deleted_and_made_again_elsewhere_is_not_the_one_in_memory(store: Store) -> None:
    async def work(a: Sessions, b: Sessions) -> None:
        run_id = (await a.create("me", NEW)).run.id
        await a.step("me", run_id, StepRequest(settings=settings(tap=9.0)))
        former = store.run(run_id)
        await b.delete("me", run_id)
        await asyncio.wrap_future(store.submit(CreateRun(former)))  # as a dialect does that keeps ids
        again = await a.step("me", run_id, STEP)
        undisturbed = (await b.create("me", NEW)).run.id
        assert numbers(again.steps) == numbers((await b.step("me", undisturbed, STEP)).steps)

    both(store, work)


def test_a_session_that_is_stepped_at_both_in_turn_is_restored_only_at_the_first_conflict(
    store: Store,
) -> None:
    metrics = Metrics(), Metrics()

    async def work() -> None:
        servers = [Sessions(store, catalogue(), Settings(), each) for each in metrics]
        run_id = (await servers[0].create("me", NEW)).run.id
        undisturbed = (await servers[0].create("me", NEW)).run.id
        for number in range(40):
            request = StepRequest(settings={} if number % 3 else settings(tap=float(number)))
            answer = await servers[number % 2].step("me", run_id, request)
            right = await servers[0].step("me", undisturbed, request)
            assert numbers(answer.steps) == numbers(right.steps)
        assert await sessions_on(store).examine("me", run_id, repair=False) == []

    asyncio.run(work())
    assert [each.registry.get_sample_value("perdure_restores_total") for each in metrics] == [1, 2]
