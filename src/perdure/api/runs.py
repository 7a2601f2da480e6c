"""Runs over HTTP: made, listed, read, stopped, forked, upgraded, deleted. Their steps are in `steps`."""

from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Depends, Path, Query, Response

from perdure.api.context import Asking, Making, Serving
from perdure.api.shapes import (
    CheckRun,
    CreateRun,
    ForkRun,
    Page,
    Report,
    RunList,
    RunRecord,
    SetState,
    UpgradedRun,
    record,
    report,
    summary,
)
from perdure.drivers.requests import NewSession
from perdure.run import Run
from perdure.stores.base import Created
from perdure.web.errors import error_responses
from perdure.web.idempotency import IdempotencyKey, make_key
from perdure.web.limits import refuse_repeated
from perdure.web.operations import RUN_ID_PATTERN

__all__ = ["RunId", "router"]

RunId = Annotated[str, Path(pattern=RUN_ID_PATTERN)]

_READING = (401, 403, 404, 422, 500, 503)
_CHANGING = (*_READING, 409)
_WITH_BODY = (400, 413, 415)
_LOCATION: dict[str, Any] = {"headers": {"Location": {"schema": {"type": "string"}}}}
_REPLAYED: dict[str, Any] = {
    "description": "It was made before, with this key.",
    "model": RunRecord,
    **_LOCATION,
}

router = APIRouter()


@router.post(
    "/runs",
    status_code=201,
    operation_id="create_run",
    responses={201: _LOCATION, 200: _REPLAYED, **error_responses(*_CHANGING, *_WITH_BODY, 429)},
)
async def create_run(
    body: CreateRun, response: Response, serving: Serving, owner: Making, key: IdempotencyKey
) -> RunRecord:
    """Make a session on scenarios of the models served; it begins before its first step."""
    request = NewSession(scenarios=body.scenarios, outputs=body.outputs, dt=body.dt, seed=body.seed)
    created = await serving.sessions.create(owner, request, make_key(key, "POST /runs", request))
    return await _made(created, response)


@router.get(
    "/runs",
    operation_id="list_runs",
    dependencies=[Depends(refuse_repeated)],
    responses=error_responses(401, 403, 422, 500, 503),
)
async def list_runs(page: Annotated[Page, Query()], serving: Serving, owner: Asking) -> RunList:
    """List runs, newest first, a page at a time."""
    runs = await serving.sessions.runs(owner, page.cursor, page.limit + 1)
    shown = runs[: page.limit]
    summaries = await anyio.to_thread.run_sync(lambda: [summary(run) for run in shown])
    return RunList(runs=summaries, next=str(shown[-1].number) if len(runs) > page.limit else None)


@router.get("/runs/{run_id}", operation_id="read_run", responses=error_responses(*_READING))
async def read_run(run_id: RunId, serving: Serving, owner: Asking) -> RunRecord:
    """Read where a run stands and what it is made of."""
    return await _record(await serving.sessions.run(owner, run_id))


@router.put(
    "/runs/{run_id}/state", operation_id="set_state", responses=error_responses(*_CHANGING, *_WITH_BODY)
)
async def set_state(run_id: RunId, body: SetState, serving: Serving, owner: Asking) -> RunRecord:
    """Stop a run for good; what it answered stays readable."""
    return await _record(await serving.sessions.stop(owner, run_id))


@router.delete(
    "/runs/{run_id}", status_code=204, operation_id="delete_run", responses=error_responses(*_READING)
)
async def delete_run(run_id: RunId, serving: Serving, owner: Asking) -> None:
    """Forget a run with all its steps and savepoints."""
    await serving.sessions.delete(owner, run_id)


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
) -> RunRecord:
    """Make a run that begins as a copy of this one up to a step, and shares nothing with it from there on."""
    step = None if body is None else body.step
    stored_key = make_key(key, f"POST /runs/{run_id}/fork", step)
    return await _made(await serving.sessions.fork(owner, run_id, step, stored_key), response)


@router.post(
    "/runs/{run_id}/upgrade", operation_id="upgrade_run", responses=error_responses(*_CHANGING, 413, 415)
)
async def upgrade_run(run_id: RunId, serving: Serving, owner: Asking) -> UpgradedRun:
    """Bring a run whose models changed to their present versions, by the models' upgrade functions."""
    upgraded = await serving.sessions.upgrade(owner, run_id)
    return UpgradedRun(run=await _record(upgraded.run), replayed=upgraded.replayed)


@router.post(
    "/runs/{run_id}/check", operation_id="check_run", responses=error_responses(*_READING, *_WITH_BODY)
)
async def check_run(run_id: RunId, serving: Serving, owner: Asking, body: CheckRun | None = None) -> Report:
    """Check every checksum of what is stored of a run; with `repair`, write back what replay gives."""
    return report(await serving.sessions.examine(owner, run_id, repair=body is not None and body.repair))


async def _made(created: Created, response: Response) -> RunRecord:
    response.headers["Location"] = f"/runs/{created.run.id}"
    response.status_code = 200 if created.replayed else 201
    return await _record(created.run)


async def _record(run: Run) -> RunRecord:
    return await anyio.to_thread.run_sync(record, run)
