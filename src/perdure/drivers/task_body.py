"""The body of a task: what works on its run, in a child process."""

import json
from typing import Any

from pydantic import BaseModel, ValidationError

from perdure.drivers.task_registry import find_task
from perdure.drivers.task_spec import TaskSpec
from perdure.errors import InvalidTaskInput, PerdureError
from perdure.execution.context import BodyFailed, RunContext
from perdure.state.codec import encode
from perdure.tasks import Task, TaskContext, TaskFailed

__all__ = ["BODY", "read_input", "run"]

BODY = "perdure.drivers.task_body:run"
"""What the executor is told to work on runs of the kind "task" with."""


def run(context: RunContext) -> bytes:
    """Do a task and return its result, encoded."""
    spec = TaskSpec.from_blob(context.spec)
    try:
        task = find_task(spec.task, spec.source)
        given = read_input(task, spec.input)
    except PerdureError as error:  # it changed since the run was made
        raise BodyFailed(error.code, str(error)) from error
    try:
        answer = task.function(given, TaskContext(task.name, context))
    except TaskFailed as error:
        result = None if error.result is None else _encoded(error.result)
        raise BodyFailed(error.code, str(error), result) from error
    try:
        return _encoded(task.result.model_validate(answer))
    except ValidationError as error:
        reason = f"the task {task.name!r} returned what isn't its result: {_places(error, 'result')}"
        raise BodyFailed("invalid_result", reason) from error


def read_input(task: Task[Any, Any], given: bytes) -> BaseModel:
    """Read a task's input from JSON; `InvalidTaskInput` names each field that is wrong."""
    try:
        read: BaseModel = task.input.model_validate_json(given)
    except ValidationError as error:
        raise InvalidTaskInput(task=task.name, reason=_places(error, "input")) from error
    return read


def _encoded(result: BaseModel) -> bytes:
    # By way of JSON text, so that a number which JSON can't say is null here as it would be in an answer.
    return encode(json.loads(result.model_dump_json(), parse_constant=lambda _: None))


def _places(error: ValidationError, what: str) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join((what, *map(str, one['loc'])))}: {one['msg']}" for one in found)
