"""A session is stepped by hosts of one arithmetic only, or says that others have stepped it."""

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.support.any_engines import Summing
from tests.support.engine_models import catalogue_with, new, summing

from perdure import numerics
from perdure.drivers.session_requests import ForkSession, StepRequest
from perdure.drivers.session_spec import SessionSpec
from perdure.drivers.sessions import Sessions
from perdure.errors import ModelChanged, OtherNumerics
from perdure.observability import Metrics
from perdure.settings import Settings
from perdure.stores.base import Store
from perdure.stores.sqlite import SqliteStore

A, B = "a" * 16, "b" * 16
SPEC = SessionSpec(scenarios=[], seed=1, every=100, milestone=10)


class Rounding(Summing):
    """One whose steps are a little longer on the host B."""

    def step(self, inputs: Any) -> Any:
        answer = super().step(inputs)
        if numerics.fingerprint() == B:
            self.total *= 1 + 2**-50
        return {**answer, "total": self.total}


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that moves this process to another host."""
    return lambda name: monkeypatch.setattr(numerics, "fingerprint", lambda: name)


def sessions_on(store: Store, *, others: bool = False, every: int = 4) -> Sessions:
    settings = Settings(other_numerics=others, savepoint_every=every)
    return Sessions(store, catalogue_with(summing(Rounding)), settings, Metrics())


async def stepped(sessions: Sessions, run_id: str, steps: int) -> list[Any]:
    settings = {"sum": {"base": {"inputs": {"rate": 1.1}}}}
    answer = await sessions.step("me", run_id, StepRequest(steps=steps, settings=settings))
    return [step.rows for step in answer.steps]


async def spec_of(sessions: Sessions, run_id: str) -> SessionSpec:
    return SessionSpec.from_blob((await sessions.run("me", run_id)).spec)


def test_a_session_is_refused_by_a_host_that_computes_otherwise(tmp_path: Path, host: Any) -> None:
    async def work(store: Store) -> None:
        host(A)
        made = sessions_on(store)
        run_id = (await made.create("me", new())).run.id
        await stepped(made, run_id, 6)
        assert (await spec_of(made, run_id)).numerics == A
        host(B)
        here = sessions_on(store)
        for refused in (
            stepped(here, run_id, 1),
            here.fork("me", run_id, 6),
            here.take_savepoint("me", run_id, None, False),
        ):
            with pytest.raises(
                OtherNumerics, match=f"fingerprint {A}, and this host has {B}.*--other-numerics"
            ):
                await refused
        findings = await here.examine("me", run_id, repair=True)
        assert [(it.place, it.checked) for it in findings] == [("replay", False)]
        assert (await here.run("me", run_id)).position == 6
        host(A)
        assert len(await stepped(sessions_on(store), run_id, 1)) == 1

    with closing(SqliteStore(tmp_path)) as store:
        asyncio.run(work(store))


@pytest.mark.parametrize("taken", [3, 4, 6])  # before, at and after a savepoint
def test_a_session_that_is_taken_over_says_so_and_goes_on_exactly_from_there(
    tmp_path: Path, host: Any, taken: int
) -> None:
    async def work(store: Store) -> None:
        host(A)
        made = sessions_on(store)
        run_id = (await made.create("me", new())).run.id
        before = await stepped(made, run_id, taken)
        host(B)
        answers = [await stepped(sessions_on(store, others=True), run_id, 1) for _ in range(9)]
        spec = await spec_of(made, run_id)
        assert (spec.numerics, spec.earlier_numerics, spec.base) == (B, [A], taken)
        log = await made.log("me", run_id, 0, 100)
        assert [given.step.rows for given in log.steps] == [*before, *(it[0] for it in answers)]
        with pytest.raises(ModelChanged, match=f"taken over by a host with other numerics.*|step {taken}"):
            await sessions_on(store).fork("me", run_id, taken - 1)
        fork = await sessions_on(store).fork("me", run_id, taken + 2)
        assert await stepped(sessions_on(store), fork.run.id, 7) == [it[0] for it in answers[2:]]
        host(A)  # which it doesn't go back to by itself
        with pytest.raises(OtherNumerics, match=f"fingerprint {B}, and this host has {A}"):
            await stepped(sessions_on(store), run_id, 1)
        assert len(await stepped(sessions_on(store, others=True), run_id, 1)) == 1
        assert (await spec_of(made, run_id)).earlier_numerics == [A, B]

    with closing(SqliteStore(tmp_path)) as store:
        asyncio.run(work(store))


def test_a_fork_on_another_host_says_where_its_steps_come_from(tmp_path: Path, host: Any) -> None:
    async def work(store: Store) -> None:
        host(A)
        made = sessions_on(store)
        run_id = (await made.create("me", new())).run.id
        await stepped(made, run_id, 6)
        host(B)
        here = sessions_on(store, others=True)
        (plain, shorter) = await here.forks(
            "me", run_id, [ForkSession(step=5), ForkSession(step=5, stoptime=40.0)]
        )
        for fork in (plain, shorter):
            spec = await spec_of(here, fork.run.id)
            assert (spec.numerics, spec.earlier_numerics, spec.base) == (B, [A], 5)
            assert len(await stepped(sessions_on(store), fork.run.id, 2)) == 2
        assert (await spec_of(here, run_id)).numerics == A  # it stays as it was

    with closing(SqliteStore(tmp_path)) as store:
        asyncio.run(work(store))


def test_any_host_goes_on_with_a_session_of_a_former_version(tmp_path: Path, host: Any) -> None:
    async def work(store: Store) -> None:
        host("")
        made = sessions_on(store)
        run_id = (await made.create("me", new())).run.id
        await stepped(made, run_id, 6)
        host(A)
        await stepped(sessions_on(store), run_id, 1)
        assert (await spec_of(made, run_id)).numerics == ""

    with closing(SqliteStore(tmp_path)) as store:
        asyncio.run(work(store))


def test_a_spec_of_a_former_version_has_no_fingerprint() -> None:
    blob = SPEC.to_blob()
    assert SessionSpec.from_blob(blob) == SPEC
    taken = SPEC.taken_over(A, 3).taken_over(B, 5).taken_over(A, 7)
    assert (taken.numerics, taken.base) == (A, 7)
    assert taken.earlier_numerics == [A, B]
