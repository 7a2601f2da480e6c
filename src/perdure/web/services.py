"""The services of an app: what its routes, and those of its dialects, work with."""

import asyncio
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import anyio.to_thread

from perdure.artifacts import Artifacts
from perdure.drivers.experiments.experiment_requests import NewExperiment
from perdure.drivers.experiments.experiments import Experiments
from perdure.drivers.experiments.scenes import Scenes
from perdure.drivers.run_access import find_run
from perdure.drivers.session_requests import Answer, NewSession, Owner, StepRequest
from perdure.drivers.sessions import Sessions
from perdure.drivers.tasks import NewTask, Tasks, TaskView
from perdure.execution.celery_executor import CeleryExecutor
from perdure.observability import Metrics
from perdure.run import Key, Run
from perdure.scenarios import Catalogue
from perdure.settings import Settings
from perdure.stores.base import Store
from perdure.stores.commands import Created
from perdure.stores.feed import Feed
from perdure.web.transfers import Transfers

__all__ = ["AppServices", "BrokerState", "ExperimentDriver", "Services", "SessionDriver", "TaskDriver"]


BrokerState: TypeAlias = Literal["up", "down"]


class SessionDriver(Protocol):
    """Makes sessions and steps them. What an owner doesn't own isn't there: `RunNotFound`."""

    async def create(self, owner: str, request: NewSession, key: Key | None = None) -> Created:
        """Make a session; durable when it returns, and once only for a key."""
        ...

    async def step(self, owner: Owner, run_id: str, request: StepRequest, key: Key | None = None) -> Answer:
        """Take steps; each is durable when it returns. Not the expected one is a `PositionConflict`."""
        ...

    async def stop(self, owner: Owner, run_id: str) -> Run:
        """End a session permanently; what it answered stays readable."""
        ...


class TaskDriver(Protocol):
    """Queues tasks. What an owner doesn't own isn't there: `RunNotFound`."""

    async def create(self, owner: str, request: NewTask, key: Key | None = None) -> Created:
        """Queue a task; durable when it returns, and once only for a key."""
        ...

    async def view(self, owner: Owner, run_id: str) -> TaskView:
        """Return where a task stands."""
        ...

    async def result(self, owner: Owner, run_id: str) -> tuple[Run, Any]:
        """Return a task that has ended with its result; `TaskUnfinished` before."""
        ...

    async def stop(self, owner: Owner, run_id: str) -> Run:
        """End a task permanently; nothing of it is left on return. `TriggerRefused` if it has ended."""
        ...


class ExperimentDriver(Protocol):
    """Makes experiments and steers them. What an owner doesn't own isn't there: `RunNotFound`."""

    async def create(self, owner: str, run_id: str, request: NewExperiment) -> Run:
        """Make a run of that id, fetch its experiment and initialize it; return it ``paused``, or ``failed``.

        Raises
        ------
        ExperimentNotFound, Invalid
            If it can't be made of that.
        Refused, TooMany
            If there are as many as may be.
        """
        ...

    async def trigger(self, owner: Owner, run_id: str, trigger: str) -> Run:
        """Bring a run to another state; return it as it was there.

        Raises
        ------
        TriggerRefused
            If its state doesn't allow it, as `perdure.lifecycle.after` says, or another request overruled it.
        """
        ...


class Services(Protocol):
    """What the dialect of another package may work with; it is opened and closed by the app.

    Attributes
    ----------
    store
        Where runs are kept, and the documents of a dialect may be.
    sessions, tasks, experiments
        The drivers.
    closing
        Set when the server closes, so that answers that take long end.
    """

    @property
    def store(self) -> Store: ...
    @property
    def sessions(self) -> SessionDriver: ...
    @property
    def tasks(self) -> TaskDriver: ...
    @property
    def experiments(self) -> ExperimentDriver: ...
    @property
    def closing(self) -> asyncio.Event: ...


@dataclass(frozen=True, kw_only=True)
class AppServices:
    """All that an app works with: what `Services` has, and more for our own APIs.

    Attributes
    ----------
    store, catalogue, settings, artifacts
        Given to the app.
    metrics
        What is counted.
    feed
        Notifies of the changes of runs.
    transfers
        The threads in which files are moved.
    sessions, tasks, experiments
        The drivers.
    scenes
        Pictures of experiments.
    broker
        What wakes workers in other processes; None if there is no broker.
    closing
        Set when the server closes, so that streams end.
    """

    store: Store
    catalogue: Catalogue
    settings: Settings
    artifacts: Artifacts
    metrics: Metrics
    feed: Feed
    transfers: Transfers
    sessions: Sessions
    tasks: Tasks
    experiments: Experiments
    scenes: Scenes
    broker: CeleryExecutor | None
    closing: asyncio.Event

    @property
    def broker_state(self) -> BrokerState | None:
        """Whether the broker answers; None if there is no broker."""
        if self.broker is None:
            return None
        return "up" if self.broker.broker_lost is None else "down"

    async def run(self, owner: Owner, run_id: str) -> Run:
        """Return a run of any kind; another owner's doesn't exist."""
        return await anyio.to_thread.run_sync(find_run, self.store, owner, run_id)
