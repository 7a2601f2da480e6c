"""What an attempt is given on the disk is removed with it, whenever the attempt is called off."""

import asyncio
import threading
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from perdure.execution.body import Body, Provision
from perdure.execution.launch import launch
from perdure.execution.scratch import Scratch
from perdure.execution.worker_configuration import WorkerConfiguration
from perdure.observability import Metrics
from perdure.run import Execution
from perdure.stores.feed import Feed
from perdure.stores.memory import MemoryStore
from perdure.testing.store_samples import WAIT


def test_a_folder_that_was_being_made_when_the_attempt_was_called_off_is_removed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    making, go = threading.Event(), threading.Event()

    class SlowScratch(Scratch):
        def make(self, run_id: str) -> Path:
            making.set()
            go.wait(WAIT)
            return super().make(run_id)

    async def work() -> None:
        place = WorkerConfiguration(
            bodies={"task": Body(path="perdure.testing.bodies:run")},
            holder="worker",
            identity="test",
            lease_seconds=5.0,
            scratch=SlowScratch("test"),
            metrics=Metrics(),
            feed=Feed(MemoryStore()),
        )
        execution = Execution(run_id="run", kind="task", owner="ann")
        async with AsyncExitStack() as opened:
            launching = asyncio.create_task(launch(place, execution, Provision(), None, opened))
            assert await asyncio.to_thread(making.wait, WAIT)
            launching.cancel()
            await asyncio.wait({launching})
            assert launching.cancelled()
            go.set()
        assert list(tmp_path.iterdir()) == []

    asyncio.run(work())
