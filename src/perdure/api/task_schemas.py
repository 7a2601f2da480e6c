"""The shapes of tasks in the native API, as pydantic models, strict in what they take."""

import inspect
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from perdure.api.computed_schemas import COMPUTED_BY, MISSING, ComputedByRecord, computed_fields
from perdure.api.label_schemas import RunName, Tags
from perdure.api.schemas import Name, RunRecord, Strict, digits, run_fields
from perdure.drivers.task_spec import TaskSpec
from perdure.drivers.tasks import TaskView
from perdure.errors import Damaged
from perdure.run import Run
from perdure.tasks import Task
from perdure.web.bodies import LARGEST_NUMBER

__all__ = [
    "CreateTask",
    "LogLineRecord",
    "LogLines",
    "LogLinesPage",
    "TaskDescription",
    "TaskList",
    "TaskRecord",
    "TaskResult",
    "TaskSummary",
    "damaged_task",
    "describe_task",
    "task_record",
    "task_summary",
]

MOST_LINES = 10_000


# What clients send ------------------------------------------------------------------------------------------


class CreateTask(Strict):
    """A task to be queued."""

    kind: Literal["task"]
    task: Name = Field(description="The task's name.", examples=["collatz"])
    input: JsonValue = Field(description="What the task's own input schema says, see `GET /tasks`.")
    timeout: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="Seconds of running time, all attempts together; by default what the task has.",
    )
    name: RunName = Field(default="", description="What it is called.")
    tags: Tags = Field(default=[], description="Words that it is found by.")


class LogLinesPage(BaseModel):
    """Which part of the lines is asked for."""

    model_config = ConfigDict(extra="forbid")

    after: Annotated[int, Field(ge=0, le=LARGEST_NUMBER), BeforeValidator(digits)] = Field(
        default=0, description="The number of the last line of the page before."
    )
    limit: Annotated[int, Field(ge=1, le=MOST_LINES), BeforeValidator(digits)] = Field(
        default=1000, description="Most lines in the answer."
    )


# What they get ----------------------------------------------------------------------------------------------


class _Task(RunRecord):
    kind: Literal["task"]
    state: Literal["created", "paused", "started", "completed", "stopped", "failed"]
    outcome: Literal["succeeded", "failed", "timed_out", "terminated", "expired"] | None
    reason: str = Field(description="Why it ended so, in words; of a failed one, its error.")
    created: float = Field(description="Unix time, in seconds.")
    updated: float = Field(description="Unix time, in seconds.")


class TaskSummary(_Task):
    """A task."""

    task: str | None = Field(description="Its name; null if that is damaged.")
    attempt: int = Field(description="How often a worker began.")
    progress: dict[str, JsonValue] | None = Field(description="Its latest report.")
    damage: str | None = Field(description="What is wrong with what is stored of it; null if nothing is.")


class TaskRecord(_Task):
    """A task with all that is known of it but its result."""

    task: str
    input: JsonValue
    timeout: float | None = Field(description="Seconds of running time that it may take.")
    desired: Literal["started", "paused", "stopped"] = Field(description="The state that is requested.")
    attempt: int = Field(description="How often a worker began.")
    seconds: float = Field(description="Running time so far, of all attempts.")
    progress: dict[str, JsonValue] | None = Field(description="Its latest report.")
    place: int | None = Field(description="Its place in the queue, from 1; null if it doesn't wait there.")
    computed_by: ComputedByRecord | None = Field(description=COMPUTED_BY)
    missing: str | None = Field(description=MISSING)


class TaskResult(BaseModel):
    """What a task came to."""

    id: str
    state: Literal["created", "paused", "started", "completed", "stopped", "failed"]
    outcome: Literal["succeeded", "failed", "timed_out", "terminated", "expired"] | None
    reason: str
    result: JsonValue = Field(
        description="Its result; of one that failed or hasn't ended, its partial result, or null."
    )


class TaskDescription(BaseModel):
    """A task that can be asked for."""

    name: str
    description: str
    timeout: float | None = Field(description="Its own time-out in seconds; null leaves that to the server.")
    input: dict[str, Any] = Field(description="The JSON schema of its input.")
    result: dict[str, Any] = Field(description="The JSON schema of its result.")


class TaskList(BaseModel):
    """The tasks that can be asked for, by name."""

    tasks: list[TaskDescription]


class LogLineRecord(BaseModel):
    """A line that a task wrote."""

    number: int
    time: float = Field(description="Unix time, in seconds.")
    level: str
    text: str


class LogLines(BaseModel):
    """A page of lines, oldest first."""

    lines: list[LogLineRecord]
    next: int | None = Field(description="What to ask for as `after` next; null if there are no more now.")


# From what the driver answers -------------------------------------------------------------------------------


def task_record(view: TaskView) -> TaskRecord:
    """Return a task with all that is known of it."""
    spec, execution = TaskSpec.from_blob(view.run.spec), view.execution
    return TaskRecord.model_validate(
        {
            **run_fields(view.run),
            "task": spec.task,
            "input": spec.given,
            "timeout": execution.timeout,
            "desired": execution.desired.value,
            "attempt": execution.attempt,
            "seconds": execution.seconds,
            "progress": view.progress,
            "place": view.place,
            **computed_fields(execution, view.missing, spec.sha256),
        }
    )


def task_summary(view: TaskView) -> TaskSummary:
    """Return a task as a list shows it; raise `Damaged` if its spec is."""
    return TaskSummary.model_validate(
        {
            **run_fields(view.run),
            "task": TaskSpec.from_blob(view.run.spec).task,
            "attempt": view.execution.attempt,
            "progress": view.progress,
            "damage": None,
        }
    )


def damaged_task(run: Run, error: Damaged) -> TaskSummary:
    """Return a task as a list shows it of which something can't be read."""
    return TaskSummary.model_validate(
        {**run_fields(run), "task": None, "attempt": 0, "progress": None, "damage": str(error)}
    )


def describe_task(task: Task[Any, Any]) -> TaskDescription:
    """Return what a task takes and answers."""
    return TaskDescription(
        name=task.name,
        description=inspect.getdoc(task.function) or "",
        timeout=task.timeout,
        input=task.input.model_json_schema(mode="validation"),
        result=task.result.model_json_schema(mode="serialization"),
    )
