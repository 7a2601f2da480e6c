"""Runs over HTTP: made, listed, read, stopped, forked, upgraded, deleted. Their steps are in `steps`."""

from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias

import anyio.to_thread
from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, Field

from perdure.api.check_schemas import CheckRun, Report, report
from perdure.api.context import Asking, Making, Serving
from perdure.api.experiment_schemas import (
    CreateExperiment,
    RunningExperiment,
    RunningExperimentSummary,
    damaged_experiment,
    experiment_record,
    experiment_summary,
    fork_of_experiment,
)
from perdure.api.label_schemas import change_of, label_of
from perdure.api.many_runs import delete
from perdure.api.run_query import RunQuery, next_link
from perdure.api.schemas import (
    CreateSession,
    EditRun,
    ForkRun,
    ForkRuns,
    Forks,
    SessionRecord,
    SessionSummary,
    SetState,
    UpgradedRun,
    fork_of_session,
    record,
    summary,
)
from perdure.api.task_schemas import (
    CreateTask,
    TaskRecord,
    TaskSummary,
    damaged_task,
    task_record,
    task_summary,
)
from perdure.drivers.experiments.experiments import KIND as EXPERIMENT
from perdure.drivers.labels import relabel
from perdure.drivers.session_requests import NewSession, Owner
from perdure.drivers.session_spec import KIND as SESSION
from perdure.drivers.tasks import KIND as TASK
from perdure.drivers.tasks import NewTask, TaskView
from perdure.errors import Damaged, WrongKind
from perdure.run import KEEP_LABEL, NO_LABEL, Key, Run
from perdure.stores.commands import Created
from perdure.stores.run_list import Cursor
from perdure.web.errors import error_responses
from perdure.web.idempotency import IdempotencyKey, make_key
from perdure.web.operations import RUN_ID_PATTERN
from perdure.web.paths import refuse_repeated

__all__ = ["RunId", "router"]

RunId = Annotated[str, Path(pattern=RUN_ID_PATTERN)]

Record: TypeAlias = Annotated[SessionRecord | TaskRecord | RunningExperiment, Field(discriminator="kind")]
Summary: TypeAlias = Annotated[
    SessionSummary | TaskSummary | RunningExperimentSummary, Field(discriminator="kind")
]

_READING = (401, 403, 404, 422, 500, 503)
_CHANGING = (*_READING, 409)
_WITH_BODY = (400, 413, 415)
_LOCATION: dict[str, Any] = {"headers": {"Location": {"schema": {"type": "string"}}}}
_LINK: dict[str, Any] = {
    "headers": {
        "Link": {"description": 'The next page, `rel="next"`, if there is one.', "schema": {"type": "string"}}
    }
}
_REPLAYED: dict[str, Any] = {
    "description": "It was made before, with this key.",
    "model": Record,
    **_LOCATION,
}

_FORKED_BEFORE: dict[str, Any] = {"description": "They were made before, with this key.", "model": Forks}

router = APIRouter(tags=["runs"])


class RunList(BaseModel):
    """A page of runs, in the order that was asked for."""

    runs: list[Summary]
    next: str | None = Field(description="The cursor of the next page; null on the last one.")
    total: int | None = Field(
        description="The number of all runs that are asked for, on whatever page; null unless asked for."
    )


@router.post(
    "/runs",
    status_code=201,
    operation_id="create_run",
    responses={201: _LOCATION, 200: _REPLAYED, **error_responses(*_CHANGING, *_WITH_BODY, 429)},
)
async def create_run(
    body: Annotated[CreateSession | CreateTask | CreateExperiment, Field(discriminator="kind")],
    response: Response,
    serving: Serving,
    owner: Making,
    key: IdempotencyKey,
) -> Record:
    """Make a session on scenarios of the models served, queue a task, or initialize an experiment."""
    label = label_of(body.name, body.tags)

    def key_of(request: object) -> Key | None:
        return make_key(key, "POST /runs", request if label == NO_LABEL else (request, label))

    if isinstance(body, CreateTask):
        task = NewTask.of(body.task, body.input, body.timeout)
        created = await serving.tasks.create(owner, task, key_of(task), label)
    elif isinstance(body, CreateExperiment):
        asked = body.asked()
        created = await serving.experiments.make(owner, asked, key_of(asked), label)
    else:
        request = NewSession(scenarios=body.scenarios, outputs=body.outputs, dt=body.dt, seed=body.seed)
        created = await serving.sessions.create(owner, request, key_of(request), label)
    return await _made(serving, created, response)


@router.get(
    "/runs",
    operation_id="list_runs",
    dependencies=[Depends(refuse_repeated)],
    responses={200: _LINK, **error_responses(401, 403, 422, 500, 503)},
)
async def list_runs(
    query: Annotated[RunQuery, Query()], response: Response, serving: Serving, owner: Asking
) -> RunList:
    """List runs by kind, state, tags, name and time, in an order, a page at a time."""
    asked, behind = query.filter(owner), query.behind
    if asked is None:
        return RunList(runs=[], next=None, total=0 if query.counts else None)

    def read() -> tuple[Sequence[Run], list[Summary], int | None]:
        runs = serving.store.runs(
            asked, order=query.order, limit=query.limit + 1, cursor=behind, offset=query.offset
        )
        summaries = [_summary(serving, run) for run in runs[: query.limit]]
        if not query.counts:
            return runs, summaries, None
        reached = len(runs) > 0 or query.offset == 0  # an empty page may lie beyond the end
        if behind is None and reached and len(runs) <= query.limit:
            return runs, summaries, query.offset + len(runs)
        return runs, summaries, serving.store.count_runs(asked)

    runs, summaries, total = await anyio.to_thread.run_sync(read)
    following = None
    if len(runs) > query.limit:
        following = Cursor.behind(runs[query.limit - 1], query.order).text
        response.headers["Link"] = next_link(query, following)
    return RunList(runs=summaries, next=following, total=total)


@router.get("/runs/{run_id}", operation_id="read_run", responses=error_responses(*_READING))
async def read_run(run_id: RunId, serving: Serving, owner: Asking) -> Record:
    """Read where a run stands and what it is made of."""
    return await _record(serving, owner, await serving.run(owner, run_id))


@router.patch("/runs/{run_id}", operation_id="edit_run", responses=error_responses(*_READING, *_WITH_BODY))
async def edit_run(run_id: RunId, body: EditRun, serving: Serving, owner: Asking) -> Record:
    """Change the name and the tags of a run, in whatever state it is; nothing else of it changes."""
    change = change_of(body.name, body.tags, body.add_tags, body.remove_tags)
    return await _record(serving, owner, await relabel(serving.store, owner, run_id, change))


@router.put(
    "/runs/{run_id}/state", operation_id="set_state", responses=error_responses(*_CHANGING, *_WITH_BODY)
)
async def set_state(run_id: RunId, body: SetState, serving: Serving, owner: Asking) -> Record:
    """Stop a run permanently, its answers stay readable; pause a task or experiment, or let it go on."""
    run = await serving.run(owner, run_id)
    if run.kind == EXPERIMENT:
        return await _record(serving, owner, await serving.experiments.trigger(owner, run_id, body.state))
    if body.state in ("completed", "failed"):
        raise WrongKind(run=run_id, kind=run.kind, wanted="experiments")
    if run.kind == TASK:
        tasks = serving.tasks
        change = {"stopped": tasks.stop, "paused": tasks.pause, "started": tasks.go_on}[body.state]
        return await _record(serving, owner, await change(owner, run_id))
    if body.state != "stopped":
        raise WrongKind(run=run_id, kind=run.kind, wanted="tasks and experiments")
    return await _record(serving, owner, await serving.sessions.stop(owner, run_id))


@router.delete(
    "/runs/{run_id}", status_code=204, operation_id="delete_run", responses=error_responses(*_READING)
)
async def delete_run(run_id: RunId, serving: Serving, owner: Asking) -> None:
    """Forget a run with all that is stored of it; what hasn't ended is stopped first."""
    await delete(serving, owner, run_id)


@router.post(
    "/runs/{run_id}/fork",
    status_code=201,
    operation_id="fork_run",
    responses={201: _LOCATION, 200: _REPLAYED, **error_responses(*_CHANGING, *_WITH_BODY, 429)},
)
async def fork_run(
    run_id: RunId,
    response: Response,
    serving: Serving,
    owner: Asking,
    key: IdempotencyKey,
    body: ForkRun | None = None,
) -> Record:
    """Make a run that begins as a copy of this one up to a step or a savepoint, and shares nothing later."""
    run = await serving.run(owner, run_id)
    label = KEEP_LABEL if body is None else change_of(body.name, body.tags)

    def key_of(request: object) -> Key | None:
        return make_key(
            key, f"POST /runs/{run_id}/fork", request if label == KEEP_LABEL else (request, label)
        )

    if run.kind == EXPERIMENT:
        asked = fork_of_experiment(body)
        created = await serving.experiments.fork(owner, run_id, asked, key_of(asked), label)
        return await _made(serving, created, response)
    request = fork_of_session(body)
    alone = (request.seed, request.stoptime) == (None, None)  # then the key is of the step, as it always was
    stored_key = key_of(request.step if alone else request)
    (created,) = await serving.sessions.forks(owner, run_id, [request], stored_key, [label])
    return await _made(serving, created, response)


@router.post(
    "/runs/{run_id}/forks",
    status_code=201,
    operation_id="fork_runs",
    responses={200: _FORKED_BEFORE, **error_responses(*_CHANGING, *_WITH_BODY, 429)},
)
async def fork_runs(
    run_id: RunId,
    body: ForkRuns,
    response: Response,
    serving: Serving,
    owner: Asking,
    key: IdempotencyKey,
) -> Forks:
    """Make several runs that begin as copies of a session, in one transaction: all of them or none."""
    await serving.sessions.run(owner, run_id)
    requests = [fork_of_session(fork) for fork in body.forks]
    labels = [change_of(fork.name, fork.tags) for fork in body.forks]
    asked = requests if all(label == KEEP_LABEL for label in labels) else (requests, labels)
    stored_key = make_key(key, f"POST /runs/{run_id}/forks", asked)
    created = await serving.sessions.forks(owner, run_id, requests, stored_key, labels)
    response.status_code = 200 if all(each.replayed for each in created) else 201
    view_of = serving.sessions.view_of
    return await anyio.to_thread.run_sync(lambda: Forks(runs=[record(view_of(each.run)) for each in created]))


@router.post(
    "/runs/{run_id}/upgrade", operation_id="upgrade_run", responses=error_responses(*_CHANGING, 413, 415)
)
async def upgrade_run(run_id: RunId, serving: Serving, owner: Asking) -> UpgradedRun:
    """Bring a session whose models changed to their present versions, by the models' upgrade functions."""
    upgraded = await serving.sessions.upgrade(owner, run_id)
    upgraded_record = await anyio.to_thread.run_sync(lambda: record(serving.sessions.view_of(upgraded.run)))
    return UpgradedRun(run=upgraded_record, replayed=upgraded.replayed)


@router.post(
    "/runs/{run_id}/check", operation_id="check_run", responses=error_responses(*_READING, *_WITH_BODY)
)
async def check_run(run_id: RunId, serving: Serving, owner: Asking, body: CheckRun | None = None) -> Report:
    """Check every checksum of what is stored of a run; with `repair`, write back what replay gives."""
    run = await serving.run(owner, run_id)
    if run.kind == TASK:
        return report(await serving.tasks.examine(owner, run_id))
    if run.kind == EXPERIMENT:
        return report(await serving.experiments.examine(owner, run_id))
    return report(await serving.sessions.examine(owner, run_id, repair=body is not None and body.repair))


async def _made(serving: Serving, created: Created, response: Response) -> Record:
    response.headers["Location"] = f"/runs/{created.run.id}"
    response.status_code = 200 if created.replayed else 201
    return await _record(serving, created.run.owner, created.run)


async def _record(serving: Serving, owner: Owner, run: Run) -> Record:
    if run.kind == SESSION:
        return await anyio.to_thread.run_sync(lambda: record(serving.sessions.view_of(run)))
    if run.kind == EXPERIMENT:
        # Of the run as it is given: what it was asked for is answered, also if another led it on since.
        return await anyio.to_thread.run_sync(lambda: experiment_record(serving.experiments.view_of(run)))
    view = await serving.tasks.view(owner, run.id)
    return await anyio.to_thread.run_sync(task_record, view)


def _summary(serving: Serving, run: Run) -> Summary:
    if run.kind == SESSION:
        return summary(run)
    try:
        if run.kind == EXPERIMENT:
            return experiment_summary(serving.experiments.view_of(run))
        return task_summary(TaskView(run=run, execution=serving.store.execution(run.id)))
    except Damaged as error:
        return damaged_experiment(run, error) if run.kind == EXPERIMENT else damaged_task(run, error)
