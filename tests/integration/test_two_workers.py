"""Two workers on one store that hear nothing of each other's commits, as in two processes."""

import asyncio
import secrets
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.deaf import DeafStore

from perdure.execution.body import Body
from perdure.execution.local import LocalExecutor
from perdure.lifecycle import FINAL, DesiredState, Outcome, RunStatus
from perdure.observability import Metrics
from perdure.stores.base import Store
from perdure.stores.commands import Committed, Lease, Renew
from perdure.stores.feed import Feed
from perdure.stores.memory import MemoryStore
from perdure.testing.executors import WAIT, Trial

OFTEN = 0.1  # seconds
BODY = "perdure.testing.bodies:run"


class Pair:
    """Two workers, and what tests do with each."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.trials: list[Trial] = []
        self.metrics: list[Metrics] = []

    @asynccontextmanager
    async def opened(self, *stores: Store, slots: int = 2, **body: Any) -> AsyncIterator["Pair"]:
        """Open both, each on a store of its own that shares all with the other."""
        async with AsyncExitStack() as stack:
            for store in stores or (DeafStore(self.store), DeafStore(self.store)):
                feed = stack.enter_context(Feed(store, every=OFTEN))
                metrics = Metrics()
                executor = LocalExecutor(
                    store,
                    {"task": Body(path=BODY, slots=slots, **body)},
                    identity=secrets.token_hex(8),
                    metrics=metrics,
                    feed=feed,
                    every=OFTEN,
                )
                await stack.enter_async_context(executor)
                self.trials.append(Trial(self.store, executor))
                self.metrics.append(metrics)
            yield self

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds, looked at after each change of any run."""
        changed, loop = asyncio.Event(), asyncio.get_running_loop()
        stop = self.store.watch(lambda _: loop.call_soon_threadsafe(changed.set))
        try:
            async with asyncio.timeout(WAIT):
                while not condition():
                    await changed.wait()
                    changed.clear()
        finally:
            stop()

    async def until_all_final(self) -> None:
        """Wait until all runs are final."""
        await self.until(lambda: not self.store.executions())

    @property
    def attempts(self) -> list[int]:
        """How many attempts each of the two has made."""
        return [int(metrics.attempts.labels("task")._value.get()) for metrics in self.metrics]

    def working(self) -> int:
        """Return how many runs are worked on."""
        return sum(bool(it.holder) for it in self.store.executions())


def test_each_task_is_claimed_by_one_of_them_and_both_have_work(tmp_path: Path) -> None:
    async def work() -> None:
        store = MemoryStore()
        async with Pair(store).opened() as pair:
            ids = [f"run-{number}" for number in range(10)]
            for number, id in enumerate(ids):
                await pair.trials[number % 2].submit(id, do="march", until=str(tmp_path / "end"))
            await pair.until(lambda: sum(it.progress is not None for it in store.executions()) == 4)
            assert pair.attempts == [2, 2]
            (tmp_path / "end").touch()
            await pair.until_all_final()
            assert {store.run(id).outcome for id in ids} == {Outcome.SUCCEEDED}
            assert {store.execution(id).attempt for id in ids} == {1}
            assert sum(pair.attempts) == 10

    asyncio.run(work())


@pytest.mark.parametrize("asked", [0, 1])
def test_a_pause_and_a_stop_at_either_is_obeyed_by_the_one_that_works(asked: int, tmp_path: Path) -> None:
    async def work() -> None:
        store = MemoryStore()
        async with Pair(store).opened(slots=1) as pair:
            worker, trial = pair.trials[0], pair.trials[asked]
            await worker.submit(do="march", until=str(tmp_path / "never"))
            await worker.until_reported()
            await trial.want(DesiredState.PAUSED)
            await trial.until(lambda: store.run("run").state is RunStatus.PAUSED)
            await trial.want(DesiredState.STARTED)
            await trial.until(lambda: store.run("run").state is RunStatus.STARTED)
            await trial.want(DesiredState.STOPPED)
            run, execution = await trial.until_final()
            assert (run.outcome, execution.attempt) == (Outcome.TERMINATED, 1)

    asyncio.run(work())


def test_a_task_that_waits_is_ended_by_the_one_that_is_asked() -> None:
    async def work() -> None:
        store = MemoryStore()
        async with Pair(store).opened(lacks=lambda needs: "what nobody has" if needs else "") as pair:
            pair.trials[0].create(needs="much", do="echo", value=1)
            await pair.trials[0].executor.submit("run")
            await pair.trials[1].want(DesiredState.STOPPED)
            run, execution = await pair.trials[1].until_final()
            assert (run.outcome, execution.attempt) == (Outcome.TERMINATED, 0)

    asyncio.run(work())


class Unheard(DeafStore):
    """A store to which the renewals of a first attempt don't get through once it has a savepoint."""

    def submit(self, command: Any, chain: Any = None) -> Future[Any]:
        if (
            not isinstance(command, Renew)
            or not self.store.savepoints(command.run_id)
            or self.store.execution(command.run_id).attempt > 1
        ):
            return self.store.submit(command, chain)
        future: Future[Any] = Future()
        future.set_result(self.store.execution(command.run_id))
        return future


def test_a_lease_that_is_not_renewed_is_taken_over_and_its_former_holder_writes_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perdure.execution.local.LEASE", 1.5)

    async def work() -> None:
        store = MemoryStore()
        async with Pair(store).opened(Unheard(store), Unheard(store), slots=1) as pair:
            await pair.trials[0].submit(do="count", to=10**9)
            await pair.until(lambda: store.execution("run").attempt == 2)
            taken_at = store.run("run").position
            await pair.until(lambda: store.run("run").position > taken_at)
            assert min(pair.attempts) >= 1
            await pair.trials[0].want(DesiredState.STOPPED)
            run, _ = await pair.trials[0].until_final()
            number, begins = pair.trials[0].value()
            assert number == run.position == len(store.steps("run", limit=10**6))
            assert begins == sorted(begins)

    asyncio.run(work())


def test_what_a_worker_that_died_had_leased_is_claimed_by_the_others() -> None:
    async def work() -> None:
        store = MemoryStore()
        async with Pair(store).opened() as pair:
            pair.trials[0].create(do="echo", value="done")
            store.submit(Lease("run", "a worker that died", -1.0)).result(WAIT)
            run, execution = await pair.trials[1].until_final()
            assert (run.outcome, execution.attempt, sum(pair.attempts)) == (Outcome.SUCCEEDED, 2, 1)

    asyncio.run(work())


def test_a_run_is_saved_when_its_worker_ends_and_goes_on_at_the_other(tmp_path: Path) -> None:
    async def work() -> None:
        store = MemoryStore()
        async with Pair(store).opened(slots=1) as pair:
            await pair.trials[0].submit(do="save_when_preempted", until=str(tmp_path / "end"))
            await pair.trials[0].until_reported()
            first = pair.attempts.index(1)
            await pair.trials[first].executor.aclose()
            saved = store.savepoints("run")[-1].timestamp
            assert saved > 0
            await pair.until(lambda: store.execution("run").attempt == 2)
            (tmp_path / "end").touch()
            run, execution = await pair.trials[0].until_final()
            assert (run.outcome, execution.attempt, execution.crashes) == (Outcome.SUCCEEDED, 2, 0)
            number, begins = pair.trials[0].value()
            assert begins == [0, saved]
            lines = [int(line.text) for line in store.log_lines("run", limit=10**6)]
            assert lines == list(range(lines[0], number + 1))  # none is missing, none twice
            assert pair.attempts[first] == 1

    asyncio.run(work())


def test_a_run_that_was_never_saved_does_not_keep_its_worker_from_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perdure.execution.attempt.SAVING", 2 * WAIT)
    monkeypatch.setattr("perdure.execution.local.CLOSING", 2 * WAIT)

    async def work() -> None:
        store = MemoryStore()
        async with Pair(store).opened(slots=1) as pair, asyncio.timeout(WAIT):
            await pair.trials[0].submit(do="march", until=str(tmp_path / "end"))
            await pair.trials[0].until_reported()
            await pair.trials[pair.attempts.index(1)].executor.aclose()
            await pair.until(lambda: store.execution("run").attempt == 2)
            (tmp_path / "end").touch()
            run, execution = await pair.trials[0].until_final()
            assert (run.outcome, execution.crashes) == (Outcome.SUCCEEDED, 0)

    asyncio.run(work())


def test_a_run_in_c_code_goes_on_from_its_last_savepoint_when_its_worker_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("perdure.execution.attempt.SAVING", 0.2)

    async def work() -> None:
        store = MemoryStore()
        async with Pair(store).opened(slots=1) as pair:
            await pair.trials[0].submit(do="spin")
            await pair.trials[0].until_reported()
            await pair.trials[pair.attempts.index(1)].executor.aclose()
            await pair.until(lambda: store.execution("run").attempt == 2)
            assert store.execution("run").crashes == 0
            await pair.trials[0].want(DesiredState.STOPPED)
            await pair.trials[0].until_final()

    asyncio.run(work())


def test_owners_take_turns_across_both() -> None:
    async def work() -> None:
        store, order = MemoryStore(), []

        def note(change: Committed) -> None:
            if change.state is RunStatus.STARTED and change.run_id not in order:
                order.append(change.run_id)

        store.watch(note)
        filling = Trial(store, LocalExecutor(store, {}, identity=secrets.token_hex(8)))
        for owner, runs in (("ann", 4), ("bob", 2), ("cid", 1)):
            for number in range(runs):
                filling.create(f"{owner}-{number}", owner=owner, do="echo", value=number)
        async with Pair(store).opened(slots=1) as pair:
            await pair.until_all_final()
            assert sum(pair.attempts) == 7
        assert order == ["ann-0", "bob-0", "cid-0", "ann-1", "bob-1", "ann-2", "ann-3"]

    asyncio.run(work())


def test_a_worker_leaves_what_it_cannot_compute_to_the_one_that_can() -> None:
    async def work() -> None:
        store = MemoryStore()
        asked: list[str] = []

        def lacks(needs: str) -> str:
            asked.append(needs)
            return "it has no GPU" if needs == "gpu" else ""

        able, unable = (
            LocalExecutor(
                DeafStore(store), {"task": body}, identity=secrets.token_hex(8), tags=tags, every=OFTEN
            )
            for body, tags in (
                (Body(path=BODY, slots=1), ["special"]),
                (Body(path=BODY, slots=1, lacks=lacks), []),
            )
        )
        async with unable:
            trial = Trial(store, unable)
            for number in range(3):
                trial.create(f"needy-{number}", needs="gpu", tags=("special",), do="echo", value=1)
            trial.create("plain", do="echo", value=2)
            await trial.until_final("plain")
            assert {store.execution(f"needy-{number}").attempt for number in range(3)} == {0}
            assert set(asked) == {"", "gpu"}
            async with able:
                for number in range(3):
                    await trial.until_final(f"needy-{number}")
                trial.create("untagged", needs="gpu", do="echo", value=3)
                trial.create("last", needs="gpu", tags=("special",), do="echo", value=4)
                await trial.until_final("last")
            assert store.run("untagged").state not in FINAL

    asyncio.run(work())


def test_what_is_lacked_is_asked_again_and_keeps_no_other_run_waiting() -> None:
    installed, hanging, let_go = threading.Event(), threading.Event(), threading.Event()

    def lacks(needs: str) -> str:
        match needs:
            case "package" if not installed.is_set():
                return "it has no package"
            case "nonsense":
                raise ValueError("it can't be read")
            case "slow":
                hanging.set()
                let_go.wait(WAIT)
        return ""

    async def work() -> None:
        store = MemoryStore()
        bodies = {"task": Body(path=BODY, lacks=lacks)}
        async with LocalExecutor(store, bodies, identity=secrets.token_hex(8), every=OFTEN) as executor:
            trial = Trial(store, executor)
            for needs in ("package", "nonsense", "slow"):
                trial.create(needs, needs=needs, do="echo", value=1)
            await trial.submit("plain", do="echo", value=2)
            await trial.until_final("plain")
            assert await asyncio.to_thread(hanging.wait, WAIT)
            installed.set()
            await trial.until_final("package")
        # It has closed, though one question was never answered.
        assert {store.execution(id).attempt for id in ("nonsense", "slow")} == {0}
        let_go.set()

    asyncio.run(work())
