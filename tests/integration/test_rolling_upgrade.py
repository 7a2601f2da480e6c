"""Old and new workers side by side: a run that has begun is computed by workers of its version only."""

import asyncio
import secrets
import time
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
from tests.support import versioned
from tests.support.deaf import DeafStore
from tests.support.versioned import NEEDS

from perdure.drivers.computed_by import ComputedBy
from perdure.execution.local import LocalExecutor
from perdure.lifecycle import FINAL, Outcome
from perdure.run import Execution, Run
from perdure.stores.base import Store
from perdure.stores.commands import CreateRun
from perdure.stores.feed import Feed
from perdure.stores.memory import MemoryStore
from perdure.testing.store_samples import WAIT

RUNS = 6
SLOTS = 2
OFTEN = 0.1  # seconds between two looks of a worker
VERSIONS = ("1", "2", "1", "2")


def created(store: Store, number: int, until: Path) -> str:
    now, run_id = time.time(), f"run-{number}"
    spec = str(until).encode()
    run = Run(id=run_id, kind="task", owner="ann", spec=spec, created=now, updated=now)
    execution = Execution(run_id=run_id, kind="task", owner="ann", needs=NEEDS)
    store.submit(CreateRun(run, execution=execution)).result(WAIT)
    return run_id


async def until(store: Store, ids: list[str], feed: Feed, condition: object) -> None:
    """Wait until a condition holds, looked at after each change of a run."""
    assert callable(condition)
    with feed.subscribe(*ids) as changes:
        async with asyncio.timeout(WAIT):
            while not condition():
                await changes.wait()
                changes.take()


def test_a_run_goes_on_with_its_version_through_rolling_restarts(tmp_path: Path) -> None:
    async def work() -> None:
        store, end = MemoryStore(), tmp_path / "end"
        ids = [created(store, number, end) for number in range(RUNS)]

        def begun(version: str) -> list[str]:
            """Return the runs with a savepoint that one version has computed."""
            executions = [store.execution(run_id) for run_id in ids]
            found = [it for it in executions if it.needs != NEEDS]
            return [it.run_id for it in found if ComputedBy.from_text(it.needs).version == version]

        def worked_on(version: str) -> int:
            return sum(bool(store.execution(run_id).holder) for run_id in begun(version))

        def worker(version: str) -> LocalExecutor:
            return LocalExecutor(
                DeafStore(store),
                {"task": versioned.body(version, slots=SLOTS)},
                identity=secrets.token_hex(8),
                every=OFTEN,
            )

        async with AsyncExitStack() as stack:
            feed = stack.enter_context(Feed(store))
            workers = [await stack.enter_async_context(worker(VERSIONS[0]))]
            await until(store, ids, feed, lambda: worked_on("1") == SLOTS)
            for version in VERSIONS[1:]:  # the new one is started before the old one is ended
                workers.append(await stack.enter_async_context(worker(version)))
                await until(store, ids, feed, lambda version=version: worked_on(version) >= SLOTS)
                await workers[-2].aclose()
            assert len(begun("1")) >= SLOTS
            assert len(begun("2")) >= SLOTS
            # Nobody has version 1 now, so that its runs wait.
            await until(store, ids, feed, lambda: worked_on("1") == 0 and worked_on("2") == SLOTS)
            end.touch()
            await until(store, ids, feed, lambda: all(store.run(it).state in FINAL for it in begun("2")))
            assert all(store.run(it).state not in FINAL for it in begun("1"))
            await stack.enter_async_context(worker("1"))
            await until(store, ids, feed, lambda: all(store.run(it).state in FINAL for it in ids))
        for run_id in ids:
            execution = store.execution(run_id)
            assert store.run(run_id).outcome is Outcome.SUCCEEDED
            versions = msgspec.msgpack.decode(execution.result or b"")
            assert len(versions) <= 1  # none, if it was begun when it had to end
            assert not versions or versions == [ComputedBy.from_text(execution.computed_by).version]

    asyncio.run(work())
