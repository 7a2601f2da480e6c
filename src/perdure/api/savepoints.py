"""The savepoints of runs over HTTP: listed, and those of sessions and experiments taken, named and pinned."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from perdure.api.context import Asking, Serving
from perdure.api.runs import RunId
from perdure.api.savepoint_schemas import (
    MarkSavepoint,
    SavepointList,
    SavepointRecord,
    TakeSavepoint,
    savepoint_record,
)
from perdure.api.schemas import Name
from perdure.drivers.experiments.experiments import KIND as EXPERIMENT
from perdure.drivers.experiments.experiments import Experiments
from perdure.drivers.sessions import Sessions
from perdure.drivers.tasks import KIND as TASK
from perdure.errors import SavepointNotFound
from perdure.run import Run
from perdure.web.bodies import LARGEST_NUMBER
from perdure.web.errors import error_responses

__all__ = ["router"]

_READING = (401, 403, 404, 409, 422, 500, 503)
_WITH_BODY = (400, 413, 415)

router = APIRouter(tags=["runs"])


@router.get(
    "/runs/{run_id}/savepoints",
    operation_id="list_savepoints",
    responses=error_responses(401, 403, 404, 422, 500, 503),
)
async def list_savepoints(
    run_id: RunId,
    serving: Serving,
    owner: Asking,
    name: Annotated[Name | None, Query(description="Only the savepoint of this very name.")] = None,
) -> SavepointList:
    """List the savepoints that are kept, oldest first; by name, that one if there is one."""
    run = await serving.run(owner, run_id)
    driver = serving.tasks if run.kind == TASK else _driver(serving, run)
    kept = await driver.savepoints(owner, run_id)
    found = [savepoint_record(info) for info in kept if name is None or info.name == name]
    return SavepointList(savepoints=found)


@router.post(
    "/runs/{run_id}/savepoints",
    status_code=201,
    operation_id="take_savepoint",
    responses=error_responses(*_READING, *_WITH_BODY),
)
async def take_savepoint(
    run_id: RunId, serving: Serving, owner: Asking, body: TakeSavepoint | None = None
) -> SavepointRecord:
    """Take a savepoint of a session as it stands, in place of one at the same step."""
    body = body or TakeSavepoint()
    return savepoint_record(
        await serving.sessions.take_savepoint(owner, run_id, name=body.name, pinned=body.pinned)
    )


@router.patch(
    "/runs/{run_id}/savepoints/{timestamp}",
    operation_id="mark_savepoint",
    responses=error_responses(*_READING, *_WITH_BODY),
)
async def mark_savepoint(
    run_id: RunId,
    timestamp: Annotated[int, Path(ge=0, le=LARGEST_NUMBER)],
    body: MarkSavepoint,
    serving: Serving,
    owner: Asking,
) -> SavepointRecord:
    """Name or pin a savepoint, which keeps it permanently, or undo that."""
    driver = _driver(serving, await serving.run(owner, run_id))
    kept = await driver.savepoints(owner, run_id)
    info = next((info for info in kept if info.timestamp == timestamp), None)
    if info is None:
        raise SavepointNotFound(run=run_id, savepoint=timestamp)
    given = body.model_fields_set
    marked = await driver.mark_savepoint(
        owner,
        run_id,
        timestamp,
        name=body.name if "name" in given else info.name,
        pinned=body.pinned if "pinned" in given else info.pinned,
    )
    return savepoint_record(marked)


def _driver(serving: Serving, run: Run) -> Sessions | Experiments:
    """Return whose savepoints can be marked; that of sessions reports what is wrong with another kind."""
    return serving.experiments if run.kind == EXPERIMENT else serving.sessions
