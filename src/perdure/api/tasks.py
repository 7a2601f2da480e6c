"""Tasks over HTTP: which there are, and what a run of one came to and wrote. They are made as runs are."""

import json
from functools import partial
from typing import Annotated, Literal

import anyio.to_thread
from fastapi import APIRouter, Depends, Query, Response

from perdure.api.context import Asking, Serving
from perdure.api.runs import RunId
from perdure.api.task_schemas import (
    LogLineRecord,
    LogLines,
    LogLinesPage,
    TaskList,
    TaskResult,
    describe_task,
)
from perdure.drivers.experiments.experiments import KIND as EXPERIMENT
from perdure.drivers.tasks import KIND as TASK
from perdure.errors import WrongKind
from perdure.web.errors import error_responses
from perdure.web.paths import refuse_repeated

__all__ = ["router"]

_READING = (401, 403, 404, 409, 422, 500, 503)

router = APIRouter(tags=["tasks"])


@router.get("/tasks", operation_id="list_tasks", responses=error_responses(401, 403, 500))
async def list_tasks(serving: Serving) -> TaskList:
    """List the tasks that can be asked for, with the schemas of what they take and answer."""
    offered = serving.tasks.offered
    return await anyio.to_thread.run_sync(lambda: TaskList(tasks=[describe_task(task) for task in offered]))


@router.get(
    "/runs/{run_id}/result",
    operation_id="read_result",
    dependencies=[Depends(refuse_repeated)],
    response_model=TaskResult,
    responses=error_responses(*_READING),
)
async def read_result(
    run_id: RunId,
    serving: Serving,
    owner: Asking,
    unfinished: Annotated[
        Literal["true", "false"],
        Query(alias="partial", description="Whether to answer with its partial result if it hasn't ended."),
    ] = "false",
) -> Response:
    """Read what a task came to that has ended; of one that failed or was stopped, its partial result."""
    run, result = await serving.tasks.result(owner, run_id, partial=unfinished == "true")
    answer = {
        "id": run.id,
        "state": run.state.value,
        "outcome": None if run.outcome is None else run.outcome.value,
        "reason": run.reason,
        "result": result,
    }
    # A result may be large: it is written in a thread, and not gone through once more by a model.
    text = await anyio.to_thread.run_sync(partial(json.dumps, answer, separators=(",", ":")))
    return Response(text, media_type="application/json")


@router.get(
    "/runs/{run_id}/logs",
    operation_id="read_logs",
    dependencies=[Depends(refuse_repeated)],
    responses=error_responses(*_READING),
)
async def read_logs(
    run_id: RunId, page: Annotated[LogLinesPage, Query()], serving: Serving, owner: Asking
) -> LogLines:
    """Read the lines that a task or experiment wrote, oldest first, by pages; only the newest are kept."""
    run = await serving.run(owner, run_id)
    if run.kind not in (TASK, EXPERIMENT):
        raise WrongKind(run=run_id, kind=run.kind, wanted="tasks and experiments")
    driver = serving.experiments if run.kind == EXPERIMENT else serving.tasks
    lines = await driver.lines(owner, run_id, page.after, page.limit)
    return LogLines(
        lines=[LogLineRecord.model_validate(line, from_attributes=True) for line in lines],
        next=lines[-1].number if len(lines) == page.limit else None,
    )
