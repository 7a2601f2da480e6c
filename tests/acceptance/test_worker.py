"""``perdure worker``, in processes of its own: what it works on, whom it keeps out, and how it ends."""

import asyncio
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.support.commands import command, fails, perdure
from tests.support.forked import Forked
from tests.support.in_process import TASKS

from perdure.drivers.task_registry import TaskRegistry
from perdure.drivers.tasks import NewTask, Tasks
from perdure.execution.unplaced import Unplaced
from perdure.lifecycle import FINAL, Outcome, RunStatus
from perdure.observability import Metrics
from perdure.places import open_artifacts
from perdure.settings import Settings
from perdure.state.codec import decode
from perdure.stores.base import Store
from perdure.stores.feed import Feed
from perdure.stores.sqlite import SqliteStore
from perdure.testing.store_samples import WAIT
from perdure.worker import opened_worker


@contextmanager
def working(store: Path, *options: str) -> Iterator[Forked]:
    """Start a worker, and yield it once it works; it is killed if it hasn't ended by then."""
    arguments = ("worker", "--store", str(store), "--tasks", TASKS, *options)
    process = Forked(command, arguments, folder=store.parent, environment=dict(os.environ))
    try:
        assert process.stdout.readline().startswith("Perdure works on ")
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def queue(store: Store, *tasks: NewTask) -> list[str]:
    """Queue tasks as a command does that has no server; return their ids."""
    driver = Tasks(store, TaskRegistry([TASKS]), Unplaced(store), Settings())
    return [(await driver.create("ann", task)).run.id for task in tasks]


async def finish(store: Store, run_id: str, pipe: Path) -> None:
    """Let a worker of this process work on a task, which waits for the pipe, to its end."""
    settings = Settings(store=f"sqlite:///{store.file}")
    artifacts, registry = open_artifacts(store, settings), TaskRegistry([TASKS])
    with Feed(store) as feed, feed.subscribe(run_id) as changes:
        opening = opened_worker(store, settings, artifacts, registry, feed=feed, metrics=Metrics())
        async with opening as worker, asyncio.timeout(WAIT):
            worker.executor.start()
            await asyncio.to_thread(pipe.write_text, "go")
            while store.run(run_id).state not in FINAL:
                await changes.wait()
                changes.take()


def test_a_worker_works_keeps_others_out_and_gives_back_what_it_works_on(tmp_path: Path) -> None:
    file, pipe = tmp_path / "perdure.db", tmp_path / "pipe"
    os.mkfifo(pipe)
    task = NewTask.of("add", {"numbers": [1, 2, 3], "wait_at": 1, "pipe": str(pipe)})
    with closing(SqliteStore(file)) as store:
        (run_id,) = asyncio.run(queue(store, task))
    with working(file, "--kinds", "task") as worker, ThreadPoolExecutor(1) as pool:
        reached = pool.submit(os.open, pipe, os.O_WRONLY)  # returns when the task has opened it, too
        held = reached.result(WAIT)
        for arguments in (("serve", "--port", "0"), ("worker",)):
            refused = perdure(*arguments, "--store", str(file), folder=tmp_path)
            fails(refused, f"process {worker.pid} ", "PERDURE_STORE")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(WAIT) == 0
        os.close(held)
    with closing(SqliteStore(file)) as store:
        run, execution = store.run(run_id), store.execution(run_id)
        assert (run.state, execution.attempt) == (RunStatus.STARTED, 1)
        assert (execution.holder, execution.fence) == ("", 0)
        asyncio.run(finish(store, run_id, pipe))
        ended, execution = store.run(run_id), store.execution(run_id)
        assert (ended.outcome, execution.attempt) == (Outcome.SUCCEEDED, 2)
        assert decode(execution.result or b"") == {"total": 6, "added": 2, "attempt": 2}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--kinds", "session"], ["'session'", "task, experiment"]),
        (["--store", "memory://"], ["memory://", "--store"]),
        (["--store", "typo.db"], ["There is no store at sqlite:///typo.db", "--store", "perdure serve"]),
        (["--tasks", "nowhere.py"], ["nowhere.py"]),
    ],
)
def test_a_worker_that_could_never_work_says_why(
    options: list[str], words: list[str], tmp_path: Path
) -> None:
    fails(perdure("worker", *options, folder=tmp_path), *words)
    assert [*tmp_path.iterdir()] == []
