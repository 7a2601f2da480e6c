"""Sessions on a hybrid model with random agents and events in flight: resumed, forked, changed, refused."""

import asyncio
import os
import random
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import aclosing, closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.bptk_agents import DEFINITION, Person, Town, town_catalogue
from tests.support.counting_agents import CountingTown
from tests.support.engine_models import engine_processes
from tests.support.odd_agents import (
    STUCK_AT,
    KillingTown,
    ThreadedTown,
    WaitingTown,
    YieldingTown,
    definition,
)
from tests.support.small import sessions_on

from perdure.drivers.session_requests import NewSession, StepRequest
from perdure.drivers.stepping import MAX_CRASHES
from perdure.engines.agents.engine import drawing
from perdure.engines.generators import Generators
from perdure.errors import (
    EngineCrashed,
    ModelChanged,
    NotSnapshotable,
    PerdureError,
    RunFinished,
    RunNotFound,
    ServerClosing,
)
from perdure.execution.spare_processes import spares
from perdure.lifecycle import RunStatus
from perdure.scenarios import Catalogue
from perdure.state.codec import encode
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


def town_here() -> type[Town]:
    """Return a class that no other process can import, so that the server itself steps it."""

    class Here(Town):
        pass

    return Here


@pytest.mark.parametrize(("every", "stride", "here"), [(1, 1, True), (4, 3, True), (4, 11, False)])
def test_resume_and_fork_at_every_step_equal_the_uninterrupted_run(
    store: Store, every: int, stride: int, here: bool
) -> None:
    catalogue = catalogue_of(town_here()) if here else town_catalogue()
    assert catalogue.scenario("town", "base").model.isolated is not here

    async def work() -> None:
        async with aclosing(sessions_on(store, catalogue, savepoint_every=every)) as sessions:
            run_id = (await sessions.create("me", NEW)).run.id
            whole = await rows(sessions, run_id, 1, STEPS)
            for step in range(0, STEPS, stride):
                fork = (await sessions.fork("me", run_id, step)).run.id
                assert await rows(sessions, fork, step + 1, STEPS) == whole[step:], f"forked at {step}"
            again = (await sessions.create("me", NEW)).run.id
        for step in range(1, STEPS + 1, stride):  # a new server for each step, or for a few
            last = min(step + stride - 1, STEPS)
            async with aclosing(sessions_on(store, catalogue, savepoint_every=every)) as sessions:
                assert await rows(sessions, again, step, last) == whole[step - 1 : last]

    asyncio.run(work())


def test_the_server_and_a_process_of_its_own_compute_the_same_bits(store: Store) -> None:
    async def work() -> None:
        found = []
        for model in (town_here(), Town):
            async with aclosing(sessions_on(store, catalogue_of(model))) as sessions:
                run_id = (await sessions.create("me", NEW)).run.id
                taken = await rows(sessions, run_id, 1, STEPS)
                found.append(encode(taken))
        assert found[0] == found[1]

    asyncio.run(work())


@contextmanager
def others_draw() -> Iterator[None]:
    """Let a thread draw from the global generators all the time."""
    ended, drawn = threading.Event(), threading.Event()

    def draw() -> None:
        while not ended.is_set():
            random.random()
            np.random.random()
            drawn.set()

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        drawn.wait()
        yield
    finally:
        ended.set()
        thread.join()


def test_a_thread_that_draws_all_the_time_disturbs_no_draw_of_agents_also_in_a_restore(store: Store) -> None:
    catalogue = catalogue_of(YieldingTown)

    async def work() -> None:
        async with aclosing(sessions_on(store, catalogue)) as sessions:
            whole = await rows(sessions, (await sessions.create("me", NEW)).run.id, 1, STEPS)
        with others_draw():
            async with aclosing(sessions_on(store, catalogue)) as sessions:
                run_id = (await sessions.create("me", NEW)).run.id
                taken = await rows(sessions, run_id, 1, 11)
            async with aclosing(sessions_on(store, catalogue)) as sessions:
                taken += await rows(sessions, run_id, 12, STEPS)
        assert taken == whole

    asyncio.run(work())


def odd_catalogue(model: type[Town], timeout: float | None = None, **paths: str) -> Catalogue:
    made = Catalogue()
    scenarios = {name: definition(path) for name, path in paths.items()}
    made.register_scenario_manager(
        {"town": {"type": "abm", "model": model, "timeout": timeout, "scenarios": scenarios}}
    )
    return made


def new(scenario: str) -> NewSession:
    return NewSession(scenarios={"town": [scenario]}, outputs=["burden", "agents/person"], seed=5)


@pytest.mark.parametrize("end", ["stop", "delete", "close"])
def test_a_session_whose_act_never_ends_is_stopped_or_closed_all_the_same(
    store: Store, tmp_path: Path, end: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    pipe = os.open(tmp_path / "pipe", os.O_RDWR)  # so that neither end waits for the other to be opened
    catalogue = odd_catalogue(WaitingTown, stuck=str(tmp_path / "pipe"))

    async def work() -> None:
        async with aclosing(sessions_on(store, catalogue)) as sessions:
            stuck = (await sessions.create("me", new("stuck"))).run.id
            endless = asyncio.create_task(sessions.step("me", stuck, StepRequest(steps=9)))
            assert await asyncio.to_thread(os.read, pipe, 7) == b"waiting"
            error: type[PerdureError]
            if end == "stop":
                error = RunFinished
                assert (await sessions.stop("me", stuck)).state is RunStatus.STOPPED
            elif end == "delete":
                error = RunNotFound
                await sessions.delete("me", stuck)
            else:
                error = ServerClosing
                await sessions.aclose()
            with pytest.raises(error) as raised:
                await endless
            assert raised.value.values["steps_taken"] == 4
            if end != "delete":
                assert len((await sessions.log("me", stuck, 0, 10)).steps) == 4
        assert engine_processes() == []

    try:
        asyncio.run(work())
    finally:
        os.close(pipe)


def test_an_agent_that_never_ends_its_act_blocks_no_other_session(store: Store, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    pipe = os.open(tmp_path / "pipe", os.O_RDWR)  # so that neither end waits for the other to be opened
    catalogue = odd_catalogue(WaitingTown, stuck=str(tmp_path / "pipe"), well="")

    async def work() -> None:
        async with aclosing(sessions_on(store, catalogue)) as sessions:
            well = (await sessions.create("me", new("well"))).run.id
            others = {*engine_processes()}
            stuck = (await sessions.create("me", new("stuck"))).run.id
            endless = asyncio.create_task(sessions.step("me", stuck, StepRequest(steps=9)))
            assert await asyncio.to_thread(os.read, pipe, 7) == b"waiting"
            assert len((await sessions.step("me", well, StepRequest(steps=9))).steps) == 9
            assert not endless.done()
            for crash in range(1 + MAX_CRASHES):
                if crash:
                    assert await asyncio.to_thread(os.read, pipe, 7) == b"waiting"
                (pid,) = {*engine_processes()} - others
                os.kill(pid, signal.SIGKILL)
            with pytest.raises(EngineCrashed, match=r"3 times in a row in step 5 .* by SIGKILL"):
                await endless
            assert len((await sessions.log("me", stuck, 0, 10)).steps) == 4

    try:
        asyncio.run(work())
    finally:
        os.close(pipe)


def test_an_act_is_ended_at_the_timeout_of_its_manager() -> None:
    scenario = odd_catalogue(WaitingTown, 0.2, stuck=os.devnull).scenario("town", "stuck")
    engine = scenario.start({**scenario.config(["burden"], seed=1), "starttime": STUCK_AT})
    with (
        closing(engine),
        pytest.raises(EngineCrashed, match=r"longer than 0\.2 s \(the timeout of the manager 't"),
    ):
        engine.step({})
    assert engine_processes() == []


def test_a_session_that_is_restored_gets_a_process_that_another_has_given_up(store: Store) -> None:
    async def work() -> None:
        async with aclosing(sessions_on(store, town_catalogue(), max_engine_processes=1)) as sessions:
            run_id = (await sessions.create("me", NEW)).run.id
            other = (await sessions.create("me", NEW)).run.id  # the first one goes
            taken: dict[str, list[Any]] = {run_id: [], other: []}
            found: set[int] = {*engine_processes()}
            for step in range(1, 5):
                for each in taken:
                    taken[each] += await rows(sessions, each, step, step)
                    found |= {*engine_processes()}
            assert taken[run_id] == taken[other]
            assert len(found) <= 3  # while a session is restored, the one before may not have gone yet
        assert engine_processes() == []

    asyncio.run(work())


def test_a_process_in_which_something_runs_on_is_not_used_again(store: Store) -> None:
    user = store  # anything
    for model, kept in ((Town, 1), (ThreadedTown, 0)):
        spares.open(user)
        try:
            scenario = odd_catalogue(model, base="").scenario("town", "base")
            engine = scenario.start(scenario.config(["burden"], seed=1))
            engine.step({})
            engine.close()
            assert len(engine_processes()) == kept
            again = scenario.start(scenario.config(["burden"], seed=1))
            assert len(engine_processes()) == 1
            again.close()
        finally:
            spares.close(user)
        assert engine_processes() == []


def test_agents_whose_process_is_killed_go_on_with_the_same_numbers(store: Store, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    catalogue = odd_catalogue(KillingTown, base=str(mark))

    async def work() -> None:
        async with aclosing(sessions_on(store, catalogue, savepoint_every=4)) as sessions:
            whole = await sessions.step(
                "me", (await sessions.create("me", new("base"))).run.id, StepRequest(steps=20)
            )
            (former,) = engine_processes()
            run_id = (await sessions.create("me", new("base"))).run.id
            taken = [*(await sessions.step("me", run_id, StepRequest(steps=2))).steps]
            (pid,) = {*engine_processes()} - {former}
            os.kill(pid, signal.SIGKILL)  # between steps
            mark.touch()  # and within one
            taken += (await sessions.step("me", run_id, StepRequest(steps=18))).steps
            assert not mark.exists()
            assert taken == whole.steps

    asyncio.run(work())


def test_what_agents_keep_in_classes_and_modules_is_saved_and_belongs_to_one_session(store: Store) -> None:
    catalogue = catalogue_of(CountingTown)

    async def work() -> None:
        async with aclosing(sessions_on(store, catalogue, savepoint_every=4)) as sessions:
            run_id = (await sessions.create("me", NEW)).run.id
            whole = await rows(sessions, run_id, 1, 12)
        async with aclosing(sessions_on(store, catalogue, max_engine_processes=1)) as sessions:
            other = (await sessions.create("me", NEW)).run.id
            assert await rows(sessions, other, 1, 6) == whole[:6]
            fork = (await sessions.fork("me", run_id, 5)).run.id
            assert await rows(sessions, fork, 6, 12) == whole[5:]
            assert await rows(sessions, other, 7, 12) == whole[6:]  # in the process of the fork

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
        async with aclosing(sessions_on(store, catalogue_of(town_here()))) as sessions:
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
