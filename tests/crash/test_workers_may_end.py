"""Workers on PostgreSQL that are ended, killed and frozen: their runs go on at the others, exactly.

`perdure worker`, in processes of its own.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from tests.support import saving_tasks
from tests.support.commands import command
from tests.support.forked import Forked

from perdure.drivers.task_registry import TaskRegistry
from perdure.drivers.tasks import NewTask, Tasks
from perdure.execution.unplaced import Unplaced
from perdure.lifecycle import FINAL, Outcome
from perdure.settings import Settings
from perdure.state.codec import decode
from perdure.stores.base import Store
from perdure.stores.feed import Feed
from perdure.stores.open import open_configured
from perdure.testing.store_samples import WAIT

TASKS = str(Path(saving_tasks.__file__))


class Workers:
    """Workers on one store, by the numbers of their processes."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self._running: dict[int, Forked] = {}

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PERDURE_ARTIFACTS": str(self.folder / "artifacts"),
            "PERDURE_ARTIFACTS_SHARED": "yes",
            "PERDURE_WORKING_FOLDERS": str(self.folder / "working"),
        }

    @contextmanager
    def worker(self) -> Iterator[Forked]:
        """Start a worker, and yield it once it works; it is killed at the end, also if it stands still."""
        arguments = ("worker", "--store", self.url, "--tasks", TASKS)
        log = self.folder / f"worker{len(self._running)}.log"
        process = Forked(command, arguments, folder=self.folder, environment=self.environment, errors=log)
        self._running[process.pid] = process
        try:
            assert process.stdout.readline().startswith("Perdure works on "), log.read_text()
            yield process
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

    def of(self, store: Store, run_id: str) -> Forked | None:
        """Return the worker that works on a run; None if none does."""
        holder = store.execution(run_id).holder
        return self._running[int(holder.rpartition(":")[2])] if holder else None

    def log(self, process: Forked) -> str:
        number = [*self._running].index(process.pid)
        return (self.folder / f"worker{number}.log").read_text()


async def until(store: Store, run_id: str, condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, looked at after each change of a run."""
    with Feed(store) as feed, feed.subscribe(run_id) as changes:
        async with asyncio.timeout(WAIT):
            while not await asyncio.to_thread(condition):
                await changes.wait()
                changes.take()


@pytest.mark.skipif("CRASH_KILLS" not in os.environ, reason="`make crash` runs it")
def test_a_run_outlives_the_end_the_death_and_the_freezing_of_its_workers(
    postgres: str, tmp_path: Path
) -> None:
    workers, end = Workers(postgres, tmp_path), tmp_path / "end"
    settings = Settings(store=postgres)

    async def work(store: Store, start: Callable[[], Forked]) -> None:
        driver = Tasks(store, TaskRegistry([TASKS]), Unplaced(store), settings)
        task = NewTask.of("count", {"until": str(end)})
        run_id = (await driver.create("ann", task)).run.id

        async def until_saved_by_another(former: Forked | None) -> Forked:
            """Wait until another worker has made a savepoint; return it."""
            before = list(store.savepoints(run_id))

            def saved_by_another() -> bool:
                holder = workers.of(store, run_id)
                return (
                    holder not in (None, former)
                    and list(store.savepoints(run_id))[-1:] != before[-1:]
                    and workers.of(store, run_id) is holder
                )

            await until(store, run_id, saved_by_another)
            found = workers.of(store, run_id)
            assert found is not None
            return found

        ended = await until_saved_by_another(None)
        ended.terminate()
        assert await asyncio.to_thread(ended.wait, WAIT) == 0
        frozen = await until_saved_by_another(ended)
        third = start()
        frozen.send_signal(signal.SIGSTOP)
        assert await until_saved_by_another(frozen) is third
        frozen.send_signal(signal.SIGCONT)
        third.kill()
        assert await until_saved_by_another(third) is frozen  # which works again
        end.touch()
        await until(store, run_id, lambda: store.run(run_id).state in FINAL)
        run, execution = store.run(run_id), store.execution(run_id)
        assert (run.outcome, execution.crashes) == (Outcome.SUCCEEDED, 0)
        counted = decode(execution.result or b"")
        begins = counted["begins"]
        assert begins == sorted(set(begins))  # each went on from a savepoint of its own
        assert begins[:1] == [0]
        assert 4 <= len(begins) <= execution.attempt
        lines = [int(line.text) for line in store.log_lines(run_id, limit=10**6)]
        assert lines == list(range(lines[0], counted["number"] + 1))
        assert "taken over by somebody else" in workers.log(frozen)

    with ExitStack() as stack, closing(open_configured(settings)) as store:

        def start() -> Forked:
            return stack.enter_context(workers.worker())

        for _ in range(2):
            start()
        asyncio.run(work(store, start))
