"""Pruning: what ended long ago is deleted once and whole, and nothing else ever is."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import typer.testing
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st
from tests.support.small import NEW, STEP, catalogue, numbers

from perdure.api import pruning
from perdure.api.app import create_app
from perdure.api.pruning import PrunedRuns, prune
from perdure.cli.commands import app as commands
from perdure.clock import SteadyClock
from perdure.dialects.bptk.instance import DIALECT, Instance
from perdure.dialects.bptk.timeouts import DEFAULT
from perdure.drivers.experiments.spec import ExperimentSpec
from perdure.drivers.session_requests import ForkSession
from perdure.errors import RunNotFound
from perdure.execution.unplaced import Unplaced
from perdure.lifecycle import FINAL, Outcome, RunStatus
from perdure.settings import Settings
from perdure.state.codec import encode
from perdure.stores.base import Store
from perdure.stores.commands import CreateRun, PutDocument, encoded
from perdure.stores.memory import MemoryStore
from perdure.stores.run_list import Cursor, RunFilter, RunOrder
from perdure.stores.sqlite import SqliteStore
from perdure.testing.store_samples import WAIT, a_run, a_savepoint, created
from perdure.web.services import AppServices

DAY = 86_400.0
NOW = time.time()

SPEC = ExperimentSpec(
    experiment="room", version=1, configuration="c.json", script=None, seed=1, sim_id="0"
).to_blob()


def a_past_run(store: Store, id: str, kind: str, state: RunStatus, days: float, **fields: Any) -> None:
    """Create a run that was changed last some days ago."""
    outcome = Outcome.SUCCEEDED if state in FINAL else None
    spec = {"spec": SPEC} if kind == "experiment" else {}
    run = a_run(id, kind=kind, state=state, outcome=outcome, updated=NOW - days * DAY, **spec, **fields)
    store.submit(CreateRun(run, encoded(a_savepoint()))).result(WAIT)


def instance_on(store: Store, id: str, run: str | None) -> None:
    """Create an instance whose session is a run."""
    held = Instance(id=id, owner="ann", timeout=dict(DEFAULT), accessed=NOW, run=run)
    store.submit(PutDocument(DIALECT, id, held.to_blob(), None)).result(WAIT)


@asynccontextmanager
async def services(store: Store, **settings: Any) -> AsyncIterator[AppServices]:
    """Open what an app works with that works on no runs itself."""
    app = create_app(store, catalogue(), Settings(**settings), executor=Unplaced(store))
    async with app.router.lifespan_context(app):
        yield app.state.services


async def pruned(serving: AppServices, kind: str | None, days: float, limit: int = 3) -> list[str]:
    """Prune all pages; return the ids of the deleted runs."""
    which = RunFilter(kind=kind, states=FINAL, updated_before=NOW - days * DAY)
    deleted: list[str] = []
    page: PrunedRuns = await prune(serving, None, which, limit=limit)
    while True:
        deleted += [run.id for run in page.runs]
        if page.next is None:
            return deleted
        page = await prune(serving, None, which, Cursor.parse(page.next, RunOrder.UPDATED), limit=limit)


KINDS = ("session", "task", "experiment")
RUNS = st.lists(
    st.tuples(st.sampled_from(KINDS), st.sampled_from(RunStatus), st.floats(0, 40), st.booleans()),
    max_size=12,
)


@profile(max_examples=12)
@given(RUNS, st.sampled_from([None, *KINDS]))
def test_what_ended_before_the_time_is_deleted_once_by_two_servers_and_nothing_else(
    runs: list[tuple[str, RunStatus, float, bool]], kind: str | None
) -> None:
    expected = set()
    with closing(MemoryStore()) as store:
        for number, (of_kind, state, days, used) in enumerate(runs):
            a_past_run(store, f"run-{number}", of_kind, state, days)
            used = used and of_kind == "session"
            if used:
                instance_on(store, f"{number:032x}", f"run-{number}")
            if state in FINAL and kind in (None, of_kind) and days > 30 and not used:
                expected.add(f"run-{number}")

        async def both() -> tuple[list[str], list[str]]:
            async with services(store) as one, services(store) as two:
                first, second = await asyncio.gather(pruned(one, kind, 30), pruned(two, kind, 30))
                return first, second

        first, second = asyncio.run(both())
        assert sorted(first + second) == sorted(expected)
        left = {run.id for run in store.runs(limit=100)}
        assert left == {f"run-{number}" for number in range(len(runs))} - expected


def test_nothing_is_deleted_by_default_and_by_the_setting_what_is_older(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "s.db")) as store:
        for number in range(50):
            a_past_run(store, f"old-{number}", "task", RunStatus.COMPLETED, 40)
        a_past_run(store, "session", "session", RunStatus.STOPPED, 40)
        a_past_run(store, "unfinished", "task", RunStatus.PAUSED, 40)
        a_past_run(store, "new", "task", RunStatus.FAILED, 20)

        async def served() -> None:
            async with services(store):
                await asyncio.sleep(0)
            assert len(store.runs(limit=100)) == 53
            gone, loop = asyncio.Event(), asyncio.get_running_loop()
            stop = store.watch(
                lambda _: loop.call_soon_threadsafe(
                    lambda: gone.set() if len(store.runs(limit=100)) == 3 else None
                )
            )
            async with services(store, keep_finished="task=30"):  # it deletes in several pieces
                await asyncio.wait_for(gone.wait(), WAIT)
            stop()

        asyncio.run(served())
        assert {run.id for run in store.runs(limit=100)} == {"session", "unfinished", "new"}


def test_a_server_whose_clock_is_years_ahead_of_the_database_deletes_nothing_early(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ahead = SteadyClock(lambda: time.time() + 3650 * DAY)
    monkeypatch.setattr(pruning, "time", SimpleNamespace(time=ahead.wall, monotonic=time.monotonic))
    monkeypatch.setattr(pruning, "steady", ahead)
    with closing(MemoryStore()) as store:
        a_past_run(store, "new", "task", RunStatus.COMPLETED, 20)
        a_past_run(store, "old", "session", RunStatus.COMPLETED, 40)  # tasks are looked at before it
        gone = threading.Event()
        store.watch(lambda change: gone.set() if change.run_id == "old" else None)

        async def served() -> None:
            async with services(store, keep_finished="task=30,session=30"):
                assert await asyncio.to_thread(gone.wait, WAIT)

        asyncio.run(served())
        assert [run.id for run in store.runs()] == ["new"]


def test_a_fork_goes_on_exactly_when_the_run_that_it_was_made_of_is_pruned() -> None:
    async def body(prunes: bool) -> list[Any]:
        with closing(MemoryStore()) as store:
            async with services(store) as serving:
                sessions = serving.sessions
                parent = (await sessions.create("ann", NEW)).run.id
                for _ in range(7):
                    await sessions.step("ann", parent, STEP)
                (fork,) = await sessions.forks("ann", parent, [ForkSession(step=5)], None)
                await sessions.stop("ann", parent)
                if prunes:
                    assert await pruned(serving, "session", -1) == [parent]
                    with pytest.raises(RunNotFound):
                        await sessions.run("ann", parent)
            async with services(store) as serving:  # which has nothing in memory
                answers = [await serving.sessions.step("ann", fork.run.id, STEP) for _ in range(4)]
                return [numbers(answer.steps) for answer in answers]

    assert asyncio.run(body(True)) == asyncio.run(body(False))


def test_over_http_an_owner_prunes_the_owners_own_runs_page_by_page() -> None:
    async def body() -> None:
        with closing(MemoryStore()) as store:
            for number in range(5):
                a_past_run(store, f"ann-{number}", "task", RunStatus.COMPLETED, 40 - number)
            a_past_run(store, "bob", "task", RunStatus.COMPLETED, 40, owner="bob")
            a_past_run(store, "held", "session", RunStatus.COMPLETED, 40)
            instance_on(store, "a" * 32, "held")
            app = create_app(store, catalogue(), Settings(tokens="ann:secret"), executor=Unplaced(store))
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(
                    transport=httpx.ASGITransport(app),
                    base_url="http://perdure",
                    headers={"Authorization": "Bearer secret"},
                ) as client,
            ):
                asked = {"ended_before": NOW - 30 * DAY, "limit": 3}
                page = (await client.post("/prune", json=asked | {"dry_run": True})).json()
                assert len(page["runs"]) + len(page["kept"]) == 3
                assert len(store.runs(limit=100)) == 7
                first = (await client.post("/prune", json=asked)).json()
                second = (await client.post("/prune", json=asked | {"cursor": first["next"]})).json()
                deleted = [run["id"] for page in (first, second) for run in page["runs"]]
                kept = [run for page in (first, second) for run in page["kept"]]
                assert deleted == [f"ann-{number}" for number in range(5)]
                assert kept == [{"id": "held", "reason": f"it is the session of the instance {'a' * 32}"}]
                assert {run.id for run in store.runs(limit=100)} == {"bob", "held"}
                wrong = await client.post("/prune", json={"ended_before": 1.0, "cursor": "x"})
                assert wrong.status_code == 422

    asyncio.run(body())


def test_the_command_lists_and_deletes_on_a_store_without_a_server(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.db")
    for number in range(45):
        a_past_run(store, f"task-{number:02}", "task", RunStatus.COMPLETED, 40)
    a_past_run(store, "session", "session", RunStatus.STOPPED, 40)
    created(store, "unfinished")
    store.close()

    def perdure(*arguments: str) -> tuple[int, list[str]]:
        url = f"sqlite:///{tmp_path / 's.db'}"
        command = ["runs", "prune", "--store", url, "--older", "30d", *arguments]
        done = typer.testing.CliRunner().invoke(commands, command, catch_exceptions=False)
        return done.exit_code, done.stdout.splitlines()

    code, lines = perdure("--kind", "task", "--dry-run")
    assert (code, len(lines), lines[-1]) == (0, 46, "45 run(s) would be deleted.")
    assert lines[0].startswith("task-00: task of ann, ended ")
    assert perdure("--kind", "task")[0] == 1  # it asks, and nobody answers
    code, lines = perdure("--kind", "task", "--yes")
    assert (code, len(lines), lines[0], lines[-1]) == (0, 46, "task-00: deleted", "45 run(s) deleted.")
    assert perdure("--yes") == (0, ["session: deleted", "1 run(s) deleted."])
    assert perdure("--yes") == (0, ["No such runs."])
    with closing(SqliteStore(tmp_path / "s.db")) as again:
        assert [run.id for run in again.runs()] == ["unfinished"]


def test_a_damaged_instance_keeps_no_run_from_being_listed() -> None:
    with closing(MemoryStore()) as store:
        a_past_run(store, "old", "session", RunStatus.STOPPED, 40)
        store.submit(PutDocument(DIALECT, "b" * 32, encode({"x": 1}), None)).result(WAIT)

        async def body() -> list[str]:
            async with services(store) as serving:
                return await pruned(serving, None, 30)

        assert asyncio.run(body()) == ["old"]
