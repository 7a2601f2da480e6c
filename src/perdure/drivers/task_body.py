"""The body of a task: works on its run, in a child process."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec
from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from perdure.drivers.task_files import importable
from perdure.drivers.task_registry import find_task
from perdure.drivers.task_spec import TaskSpec
from perdure.errors import InvalidTaskInput, PerdureError, message_of
from perdure.execution.context import BodyFailed, RunContext
from perdure.state.codec import encode
from perdure.tasks import Task, TaskContext, TaskFailed
from perdure.validation import find_problems, in_words

__all__ = ["BODY", "FILES", "FOLDER", "SOURCE", "read_input", "run"]

BODY = "perdure.drivers.task_body:run"
"""The body of runs of the kind "task", as `Body.path`."""

FILES, FOLDER, SOURCE = "files", "folder", "source"
"""Keys of `RunContext.given`: the files that travel with a run, as JSON; their folder on this host, if it has
one; and the source of a task that doesn't travel, empty for an installed one."""


def run(context: RunContext) -> bytes:
    """Call a task's function and return its result, encoded."""
    spec = TaskSpec.from_blob(context.spec)
    files = msgspec.json.decode(context.given.get(FILES, "{}"), type=dict[str, bytes])
    with importable(spec.place, files, context.given.get(FOLDER)):
        return _run(context, spec)


def _run(context: RunContext, spec: TaskSpec) -> bytes:
    try:
        task = find_task(spec.task, context.given.get(SOURCE, spec.source) or None)
        given = read_input(task, spec.input)
    except PerdureError as error:  # the task has changed meanwhile
        raise BodyFailed(error.code, str(error)) from error
    try:
        answer = task.function(given, TaskContext(task.name, context))
    except TaskFailed as error:
        result, missing = _part(error.result)
        raise BodyFailed(error.code, message_of(error) + missing, result) from error
    try:
        return _encoded(task.result.model_validate(answer))
    except ValidationError as error:
        reason = f"the task {task.name!r} returned an invalid result: {_places(error, task.result, 'result')}"
        raise BodyFailed("invalid_result", reason) from error


def read_input(task: Task[Any, Any], given: bytes) -> BaseModel:
    """Read a task's input from JSON; raise `InvalidTaskInput`, which names each wrong field."""
    try:
        read: BaseModel = task.input.model_validate_json(given)
    except ValidationError as error:
        raise InvalidTaskInput(task=task.name, reason=_places(error, task.input, "input")) from error
    return read


def _part(result: BaseModel | Mapping[str, Any] | None) -> tuple[bytes | None, str]:
    """Return a partial result, encoded, and a message if it can't be stored.

    A partial result that can't be stored must not hide the reason of the failure.
    """
    try:
        return None if result is None else _encoded(result), ""
    except Exception as error:
        return None, f" (The partial result can't be stored: {type(error).__name__}: {message_of(error)})"


def _encoded(result: BaseModel | Mapping[str, Any]) -> bytes:
    # Through JSON text, so that a number without a JSON form becomes null, as in a response.
    text = result.model_dump_json() if isinstance(result, BaseModel) else to_json(dict(result))
    return encode(json.loads(text, parse_constant=lambda _: None))


def _places(error: ValidationError, kind: type[BaseModel], what: str) -> str:
    problems = find_problems(error.errors(include_url=False), kind.model_json_schema())
    return "; ".join(in_words(".".join(map(str, (what, *one.place))), one) for one in problems)
