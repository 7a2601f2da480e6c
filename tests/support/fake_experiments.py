"""A driver of experiments that only keeps their states, in the store."""

import asyncio
import time

from perdure.drivers.experiments.experiment_requests import NewExperiment
from perdure.drivers.session_requests import Owner
from perdure.errors import ExperimentNotFound, RunNotFound, TooMany
from perdure.lifecycle import FINAL, RunStatus, after
from perdure.run import Change, Run
from perdure.stores.base import Store
from perdure.stores.commands import ChangeRun, CreateRun
from perdure.stores.run_list import RunFilter


class FakeExperiments:
    """Makes runs that are paused at once, and brings them to other states.

    Attributes
    ----------
    fails
        What `create` raises next, if anything.
    gate
        While it is closed, triggers wait.
    """

    def __init__(self, store: Store, most: int = 100) -> None:
        self.store = store
        self.most = most
        self.fails: BaseException | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = asyncio.Event()
        self.made: list[NewExperiment] = []

    async def create(self, owner: str, run_id: str, request: NewExperiment) -> Run:
        if self.fails is not None:
            raise self.fails
        if request.experiment == "none":
            raise ExperimentNotFound(experiment=request.experiment)
        live = [run for run in self.store.runs(RunFilter(kind="experiment")) if run.state not in FINAL]
        if len(live) >= self.most:
            raise TooMany("There are as many simulations as may be.")
        now = time.time()
        self.made.append(request)
        run = Run(id=run_id, kind="experiment", owner=owner, spec=b"", created=now, updated=now)
        created = await asyncio.wrap_future(self.store.submit(CreateRun(run)))
        return await self._bring(created.run, "initialized")

    async def trigger(self, owner: Owner, run_id: str, trigger: str) -> Run:
        run = self.store.run(run_id)
        if owner is not None and run.owner != owner:
            raise RunNotFound(run=run_id)
        self.waiting.set()
        await self.gate.wait()
        return await self._bring(run, trigger)

    async def _bring(self, run: Run, trigger: str) -> Run:
        change = Change(state=RunStatus(after(run.state, trigger)))
        return await asyncio.wrap_future(self.store.submit(ChangeRun(run.id, run.version, change)))
