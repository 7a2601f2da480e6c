"""Sessions on a hybrid model with random agents and events in flight: resumed, forked, changed, refused."""

import asyncio
import sys
import threading
from collections.abc import Iterator
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

import pytest
from tests.support.bptk_agents import DEFINITION, Person, Town, town_catalogue
from tests.support.small import sessions_on

from perdure.drivers.session_requests import NewSession, StepRequest
from perdure.engines.agents.engine import drawing
from perdure.engines.generators import Generators
from perdure.errors import ModelChanged, NotSnapshotable
from perdure.scenarios import Catalogue
from perdure.stores.base import Store
from perdure.stores.sqlite import SqliteStore

STEPS = 21
NEW = NewSession(
    scenarios={"town": ["base"]},
    outputs=["burden", "late", "agents/person", "agents/person/well/age/total", "individuals/person/age"],
    seed=5,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(SqliteStore(tmp_path / "s.db")) as opened:
        yield opened


def given(step: int) -> StepRequest:
    """Return the request for a step; two of them change something."""
    change = {4: {"constants": {"cost": 4.0}}, 9: {"properties": {"rate": {"type": "Double", "value": 0.6}}}}
    return StepRequest(settings={"town": {"base": change[step]}} if step in change else {})


async def rows(sessions: Any, run_id: str, first: int, last: int) -> list[Any]:
    """Take the steps from a number to another; return their rows."""
    taken: list[Any] = []
    for step in range(first, last + 1):
        answer = await sessions.step("me", run_id, given(step))
        taken += answer.steps[0].rows
    return taken


@pytest.mark.parametrize("every", [1, 4])
def test_resume_and_fork_at_every_step_equal_the_uninterrupted_run(store: Store, every: int) -> None:
    catalogue = town_catalogue()

    async def work() -> None:
        async with aclosing(sessions_on(store, catalogue, savepoint_every=every)) as sessions:
            run_id = (await sessions.create("me", NEW)).run.id
            whole = await rows(sessions, run_id, 1, STEPS)
            for step in range(0, STEPS, 1 if every == 1 else 3):
                fork = (await sessions.fork("me", run_id, step)).run.id
                assert await rows(sessions, fork, step + 1, STEPS) == whole[step:], f"forked at {step}"
            again = (await sessions.create("me", NEW)).run.id
        for step in range(1, STEPS + 1):  # a new server for each step
            async with aclosing(sessions_on(store, catalogue, savepoint_every=every)) as sessions:
                assert await rows(sessions, again, step, step) == [whole[step - 1]]

    asyncio.run(work())


class Logged(Person):
    def initialize(self) -> None:
        super().initialize()
        self.log = sys.__stdout__


class LoggedTown(Town):
    def instantiate_model(self) -> None:
        super().instantiate_model()
        self.register_agent_factory("person", lambda i, model, p: Logged(i, model, p, "person"))


def catalogue_of(model: type[Town]) -> Catalogue:
    made = Catalogue()
    made.register_scenario_manager(
        {"town": {"type": "abm", "model": model, "scenarios": {"base": DEFINITION}}}
    )
    return made


def test_what_cannot_be_saved_is_told_when_the_session_begins(store: Store) -> None:
    async def work() -> None:
        async with aclosing(sessions_on(store, catalogue_of(LoggedTown))) as sessions:
            with pytest.raises(NotSnapshotable, match=r"attribute 'log' of the agent 0 \(person\)"):
                await sessions.create("me", NEW)

    asyncio.run(work())


class Quiet(Town):
    """Another model under the same name."""


def test_a_session_is_not_resumed_with_another_model(store: Store) -> None:
    async def work() -> None:
        async with aclosing(sessions_on(store, town_catalogue())) as sessions:
            run_id = (await sessions.create("me", NEW)).run.id
            await rows(sessions, run_id, 1, 2)
        async with aclosing(sessions_on(store, catalogue_of(Quiet))) as sessions:
            with pytest.raises(ModelChanged):
                await rows(sessions, run_id, 3, 3)

    asyncio.run(work())


def test_two_sessions_that_take_turns_do_not_affect_each_other(store: Store) -> None:
    catalogue = town_catalogue()

    async def work() -> None:
        async with aclosing(sessions_on(store, catalogue)) as sessions:
            alone = (await sessions.create("me", NEW)).run.id
            whole = await rows(sessions, alone, 1, 8)
            ids = [(await sessions.create("me", NEW)).run.id for _ in range(3)]
            together = await asyncio.gather(*(rows(sessions, each, 1, 8) for each in ids))
            assert together == [whole] * 3

    asyncio.run(work())


def test_a_step_that_waits_for_other_agents_does_not_stop_the_event_loop(
    store: Store,
) -> None:
    async def work() -> None:
        async with aclosing(sessions_on(store, town_catalogue())) as sessions:
            run_id = (await sessions.create("me", NEW)).run.id
            await rows(sessions, run_id, 1, 3)  # its steps are quick
            loop = asyncio.get_running_loop()
            held, free = asyncio.Event(), threading.Event()

            def other() -> None:
                with drawing(Generators(1, "another session")):
                    loop.call_soon_threadsafe(held.set)
                    free.wait()

            busy = asyncio.create_task(asyncio.to_thread(other))
            await held.wait()
            waiting = asyncio.create_task(rows(sessions, run_id, 4, 4))
            await asyncio.sleep(0)
            assert len((await sessions.log("me", run_id, 0, 10)).steps) == 3  # others are answered meanwhile
            free.set()
            await asyncio.gather(busy, waiting)

    asyncio.run(work())
