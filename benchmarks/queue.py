"""A long queue: the CPU time of a look at a task that waits, of a worker's look for work, and of a claim."""

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
from perdure.run import Execution, Run
from perdure.settings import Settings
from perdure.stores.commands import Claim, CreateRun
from perdure.stores.sqlite import SqliteStore

__all__ = ["measure"]

WAITING = 10_000
OWNERS = 1_000
ROUNDS = 20
LOOK = 2.0  # milliseconds
WORKER = 50.0


def measure(folder: Path, quick: bool) -> Iterator[Figure]:
    """Yield the milliseconds of all three, the claim with one owner and with many."""
    waiting, owners = (WAITING // 10, OWNERS // 10) if quick else (WAITING, OWNERS)
    with closing(SqliteStore(folder / "one-owner")) as store:
        _fill(store, waiting, 1)
        looks, ticks = asyncio.run(_look(store, waiting))
        alone = _claims(store)
    with closing(SqliteStore(folder / "many-owners")) as store:
        _fill(store, waiting, owners)
        shared = _claims(store)
    yield _figure(f"a look at the last of {waiting:,} waiting tasks", looks, LOOK)
    yield _figure(f"a worker's look for work, {waiting:,} waiting tasks", ticks, WORKER)
    yield _figure(f"a claim at {waiting:,} waiting tasks", alone, LOOK)
    yield _figure(f"a claim at {waiting:,} waiting tasks of {owners:,} owners", shared, LOOK)


def _fill(store: SqliteStore, waiting: int, owners: int) -> None:
    """Queue so many tasks."""
    made = []
    for number in range(1, waiting + 1):
        id, owner, now = str(number), f"owner-{number % owners}", time.time()
        run = Run(id=id, kind=KIND, owner=owner, spec=b"", created=now, updated=now)
        execution = Execution(run_id=id, kind=KIND, owner=owner)
        made.append(store.submit(CreateRun(run, execution=execution)))
    for future in made:
        future.result()


async def _look(store: SqliteStore, waiting: int) -> tuple[list[float], list[float]]:
    """Take the times of looks at the last task, and of those of a worker that may claim none of them."""
    bodies = {KIND: Body(path="perdure.testing.bodies:run", lacks=lambda needs: "all of it")}
    executor = LocalExecutor(store, bodies, identity=f"benchmark-{os.getpid()}")
    tasks = Tasks(store, TaskRegistry(), executor, Settings.model_validate({}))
    looks, ticks = [], []
    for _ in range(ROUNDS):
        begun = time.process_time()
        view = await tasks.view("owner-0", str(waiting))
        looks.append(1000 * (time.process_time() - begun))
    for _ in range(ROUNDS):
        begun = time.process_time()
        await executor.look()
        ticks.append(1000 * (time.process_time() - begun))
    if view.place != waiting:
        raise BenchmarkFailed(f"The last of {waiting} tasks has the place {view.place}.")
    return looks, ticks


def _claims(store: SqliteStore) -> list[float]:
    """Take the times of claims, each with the look at which groups wait, until its commit."""
    claims = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        claimed = store.submit(Claim("a worker", 60.0, store.waiting_groups())).result()
        claims.append(1000 * (time.process_time() - begun))
        if not isinstance(claimed, Execution):
            raise BenchmarkFailed("Nothing was claimed.")
    return claims


def _figure(what: str, found: list[float], budget: float) -> Figure:
    within = median(found) < budget
    return Figure(what, f"{spread(found, '.2f')} ms", f"< {budget:g} ms", within)
