"""One action on many runs in one request; a run that refuses it doesn't stop the others."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Literal

import anyio
import structlog
from fastapi import APIRouter
from pydantic import BaseModel, Field

from perdure.api.context import Asking, Serving
from perdure.api.schemas import Strict
from perdure.drivers.experiments.experiments import KIND as EXPERIMENT
from perdure.drivers.experiments.experiments import Experiments
from perdure.drivers.session_requests import Owner
from perdure.drivers.session_spec import KIND as SESSION
from perdure.drivers.sessions import Sessions
from perdure.drivers.tasks import KIND as TASK
from perdure.drivers.tasks import Tasks
from perdure.errors import PerdureError
from perdure.lifecycle import RunStatus
from perdure.web.errors import Error, error_of, error_responses
from perdure.web.failures import failure_of
from perdure.web.operations import RUN_ID_PATTERN
from perdure.web.services import AppServices

__all__ = ["delete", "router", "stop"]

MAX_RUNS = 1000
AT_ONCE = 16  # runs at a time, so that their writes share commits

Work = Callable[[AppServices, Owner, str], Awaitable[object]]

router = APIRouter(tags=["runs"])

log = structlog.get_logger(__name__)


class ChosenRuns(Strict):
    """The runs that an action is for."""

    runs: list[Annotated[str, Field(pattern=RUN_ID_PATTERN)]] = Field(
        max_length=MAX_RUNS, description="Their ids."
    )


class DoneRun(BaseModel):
    """A run for which the action succeeded."""

    run: str
    done: Literal[True] = True


class RefusedRun(BaseModel):
    """A run for which the action failed, and why."""

    run: str
    error: Error


class TreatedRuns(BaseModel):
    """The outcome for each run, in the order of the request."""

    runs: list[DoneRun | RefusedRun]


_ERRORS = error_responses(400, 401, 403, 413, 415, 422, 500, 503)


@router.post("/stop", operation_id="stop_runs", responses=_ERRORS)
async def stop_runs(body: ChosenRuns, serving: Serving, owner: Asking) -> TreatedRuns:
    """Stop many runs permanently; what they answered stays readable."""
    return await _each(body, serving, owner, stop)


@router.post("/delete", operation_id="delete_runs", responses=_ERRORS)
async def delete_runs(body: ChosenRuns, serving: Serving, owner: Asking) -> TreatedRuns:
    """Forget many runs with all that is stored of them; what hasn't ended is stopped first."""
    return await _each(body, serving, owner, delete)


async def stop(serving: AppServices, owner: Owner, run_id: str) -> None:
    """Stop a run of any kind."""
    run = await serving.run(owner, run_id)
    if run.kind == EXPERIMENT:
        await serving.experiments.trigger(owner, run_id, RunStatus.STOPPED.value)
    elif run.kind == TASK:
        await serving.tasks.stop(owner, run_id)
    else:
        await serving.sessions.stop(owner, run_id)


async def delete(serving: AppServices, owner: Owner, run_id: str) -> None:
    """Forget a run of any kind."""
    run = await serving.run(owner, run_id)
    drivers: dict[str, Sessions | Tasks | Experiments] = {
        SESSION: serving.sessions,
        TASK: serving.tasks,
        EXPERIMENT: serving.experiments,
    }
    await drivers[run.kind].delete(owner, run_id)


async def _each(body: ChosenRuns, serving: AppServices, owner: Owner, work: Work) -> TreatedRuns:
    answers: dict[int, DoneRun | RefusedRun] = {}
    places = anyio.CapacityLimiter(AT_ONCE)

    async def treat(at: int, run_id: str) -> None:
        async with places:
            try:
                await work(serving, owner, run_id)
                answers[at] = DoneRun(run=run_id)
            except Exception as error:  # whatever it is, the other runs go on
                request = str(structlog.contextvars.get_contextvars().get("request", ""))
                if not isinstance(error, PerdureError):
                    log.exception("run_not_treated", run=run_id)
                answers[at] = RefusedRun(run=run_id, error=error_of(failure_of(error, request)))

    async with anyio.create_task_group() as group:
        for at, run_id in enumerate(body.runs):
            group.start_soon(treat, at, run_id)
    return TreatedRuns(runs=[answers[at] for at in range(len(body.runs))])
