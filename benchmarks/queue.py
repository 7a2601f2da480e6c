"""A long queue: the CPU time of a look at a task that waits in it, and of reconciling it."""

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import median

from benchmarks.errors import BenchmarkFailed
from benchmarks.figure import Figure, spread
from perdure.drivers.task_registry import TaskRegistry
from perdure.drivers.tasks import KIND, Tasks
from perdure.execution.body import Body
from perdure.execution.local import LocalExecutor
from perdure.execution.reconcile import reconcile
from perdure.run import Execution, Run
from perdure.settings import Settings
from perdure.stores.commands import CreateRun
from perdure.stores.sqlite import SqliteStore
from perdure.testing.bodies import spec

__all__ = ["measure"]

WAITING = 10_000
ROUNDS = 20
LOOK = 2.0  # milliseconds
RECONCILE = 50.0


def measure(folder: Path, quick: bool) -> Iterator[Figure]:
    """Yield the milliseconds of a look at the last task that waits, and of reconciling all of them."""
    waiting = WAITING // 10 if quick else WAITING
    with closing(SqliteStore(folder)) as store:
        _fill(store, waiting)
        looks, reconciled = asyncio.run(_measure(store, waiting))
    yield _figure(f"a look at the last of {waiting:,} waiting tasks", looks, LOOK)
    yield _figure(f"reconciling {waiting:,} waiting tasks", reconciled, RECONCILE)


def _fill(store: SqliteStore, waiting: int) -> None:
    """Queue one task that takes the only slot, and so many that wait behind it."""
    made = []
    for number in range(waiting + 1):
        id, now = str(number), time.time()
        run = Run(id=id, kind=KIND, owner="ann", spec=spec("stop_when_asked"), created=now, updated=now)
        execution = Execution(run_id=id, kind=KIND, owner="ann")
        made.append(store.submit(CreateRun(run, execution=execution)))
    for future in made:
        future.result()


async def _measure(store: SqliteStore, waiting: int) -> tuple[list[float], list[float]]:
    """Take both times with an executor that works on the first task and knows the others."""
    bodies = {KIND: Body(path="perdure.testing.bodies:run", slots=1)}
    async with LocalExecutor(store, bodies, identity=f"benchmark-{os.getpid()}") as executor:
        tasks = Tasks(store, TaskRegistry(), executor, Settings.model_validate({}))
        await reconcile(store, executor)
        while store.waiting_before("0") is not None:
            await asyncio.sleep(0.01)
        looks, reconciled = [], []
        for _ in range(ROUNDS):
            begun = time.process_time()
            view = await tasks.view("ann", str(waiting))
            looks.append(1000 * (time.process_time() - begun))
        for _ in range(ROUNDS):
            begun = time.process_time()
            await reconcile(store, executor)
            reconciled.append(1000 * (time.process_time() - begun))
    if view.place != waiting:
        raise BenchmarkFailed(f"The last of {waiting} tasks has the place {view.place}.")
    return looks, reconciled


def _figure(what: str, found: list[float], budget: float) -> Figure:
    within = median(found) < budget
    return Figure(what, f"{spread(found, '.1f')} ms", f"< {budget:g} ms", within)
