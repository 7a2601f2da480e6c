"""Workers in processes of their own, on a real PostgreSQL and a real Redis: whatever dies, tasks end."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from tests.support.brokers import RedisServer, redis_server
from tests.support.commands import command
from tests.support.forked import Forked
from tests.support.in_process import TASKS, Client, in_process

from perdure.settings import Settings
from perdure.state.codec import decode
from perdure.stores.base import Store
from perdure.stores.open import open_store
from perdure.testing.store_samples import WAIT


class House:
    """A server in this process, and workers in processes of their own."""

    def __init__(self, folder: Path, store: Store, broker: RedisServer, url: str) -> None:
        self.store, self.broker, self._folder = store, broker, folder
        self.environment = {
            **os.environ,
            "PERDURE_STORE": url,
            "PERDURE_BROKER": broker.url(),
            "PERDURE_ARTIFACTS": str(folder / "artifacts"),
            "PERDURE_ARTIFACTS_SHARED": "yes",
            "PERDURE_WORKING_FOLDERS": str(folder / "work"),
            "PERDURE_TASKS": TASKS,
            "PERDURE_MAX_TASK_PROCESSES": "2",
            "PERDURE_TASK_TIMEOUT": "600",
        }
        self.settings = Settings(
            store=url,
            broker=broker.url(),
            artifacts=str(folder / "artifacts"),
            artifacts_shared=True,
            working_folders=folder / "work",
            tasks=(TASKS,),
            task_timeout=600.0,
        )
        self.workers: list[Forked] = []
        self.client: Client

    def start_worker(self) -> Forked:
        """Start a worker, and return it once it works."""
        worker = Forked(command, ("worker",), folder=self._folder, environment=self.environment)
        self.workers.append(worker)
        assert worker.stdout.readline().startswith("Perdure works on ")
        return worker

    def queue(self, **given: object) -> str:
        """Queue a task over HTTP, and return the id of its run."""
        body = {"kind": "task", "task": "add", "input": given}
        answer = self.client.post("/runs", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds."""
        deadline = time.monotonic() + WAIT
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def works_on(self, run_id: str) -> Forked:
        """Return the worker that works on a task, once the task waits for its pipe."""
        self.until(lambda: b"waiting" in (self.store.execution(run_id).progress or b""))
        holder = self.store.execution(run_id).holder
        (found,) = [it for it in self.workers if holder.endswith(f":{it.pid}")]
        return found

    def result(self, run_id: str) -> dict[str, int]:
        """Return the result of a task, once it has succeeded."""
        self.until(lambda: self.store.run(run_id).outcome is not None)
        run, execution = self.store.run(run_id), self.store.execution(run_id)
        assert run.outcome is not None and run.outcome.value == "succeeded", run.reason
        result: dict[str, int] = decode(execution.result or b"")
        return result


@contextmanager
def opened(folder: Path, url: str) -> Iterator[House]:
    with ExitStack() as stack:
        broker = stack.enter_context(redis_server())
        store = open_store(url)
        stack.callback(store.close)
        house = House(folder, store, broker, url)
        house.client = stack.enter_context(in_process(house.settings, open_store(url)))
        try:
            yield house
        finally:
            for worker in house.workers:
                worker.kill()
                worker.wait()
                worker.stdout.close()


@pytest.fixture
def house(tmp_path: Path, postgres: str) -> Iterator[House]:
    with opened(tmp_path, postgres) as found:
        yield found


def go(pipe: Path) -> None:
    """Let a task that waits for the pipe go on; the process of a frozen worker waits for it, too."""
    with suppress(OSError):  # nothing waits
        writing = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        os.write(writing, b"go")
        os.close(writing)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM])
def test_the_task_of_a_worker_that_is_gone_goes_on_elsewhere_and_not_from_zero(
    house: House, tmp_path: Path, number: signal.Signals
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    house.start_worker()
    house.start_worker()
    run_id = house.queue(numbers=[1, 2, 3], wait_at=2, pipe=str(pipe))
    gone = house.works_on(run_id)
    gone.send_signal(number)
    house.until(lambda: house.store.execution(run_id).attempt == 2)
    assert house.works_on(run_id) is not gone or number is signal.SIGSTOP
    house.until(lambda: go(pipe) or house.store.run(run_id).outcome is not None)
    assert house.result(run_id) == {"total": 6, "added": 1, "attempt": 2}
    if number is signal.SIGSTOP:  # it wakes up, and writes nothing more
        ended = house.store.run(run_id)
        gone.send_signal(signal.SIGCONT)
        other = house.queue(numbers=[4])
        assert house.result(other)["total"] == 4
        assert house.store.run(run_id) == ended
        assert house.store.execution(run_id).attempt == 2


def test_every_task_ends_though_the_broker_is_emptied_frozen_and_restarted(
    house: House, tmp_path: Path
) -> None:
    house.start_worker()
    faults = (house.broker.flush, house.broker.service.freeze, house.broker.service.kill)
    queued = []
    for fault in faults:
        queued += [house.queue(numbers=[1, number]) for number in range(3)]
        fault()
        queued += [house.queue(numbers=[1, number]) for number in range(3)]
        assert [house.result(run_id)["total"] for run_id in queued[-6:]] == [1, 2, 3, 1, 2, 3]
        if fault == house.broker.service.freeze:
            house.broker.service.thaw()
    house.broker.service.start()
    house.until(lambda: house.client.get("/ready").json()["broker"] == "up")
    assert house.result(house.queue(numbers=[7]))["total"] == 7
    assert {house.store.execution(run_id).attempt for run_id in queued} == {1}
