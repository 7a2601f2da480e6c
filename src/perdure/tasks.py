"""The task: a long computation with a name, an input model and a result model.

This module contains everything that the author of a task imports. A task's function runs in a child process;
the driver queues it, and the registry finds it by its name.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Generic, TypeVar

from pydantic import BaseModel
from pydantic_core import from_json, to_json

from perdure.errors import CorruptBlob, Invalid, InvalidTask, NotSnapshotable
from perdure.execution.context import RunContext
from perdure.state.codec import Packed, State, decode, encode, pack
from perdure.state.savepoint import Savepoint

__all__ = ["Task", "TaskContext", "TaskFailed"]

ENTITY = "task"  # the one entity of a task's savepoints

Input = TypeVar("Input", bound=BaseModel)
Result = TypeVar("Result", bound=BaseModel)


class TaskContext:
    """What a task's function receives besides its input.

    Parameters
    ----------
    name
        The task's name.
    run
        The context of its run.

    Attributes
    ----------
    attempt
        Number of this attempt, from 1; earlier ones were interrupted.
    resumed
        The state of the last savepoint; None if there is none, so that the work begins at its beginning.
    """

    def __init__(self, name: str, run: RunContext) -> None:
        self._name = name
        self._run = run
        self._timestamp = 0 if run.savepoint is None else run.savepoint.timestamp
        self._report: dict[str, Packed] = {}
        self.attempt = run.attempt
        self.resumed: Any = None if run.savepoint is None else _state(run.savepoint)

    @property
    def cancelled(self) -> bool:
        """Whether an end was requested: a function that doesn't return soon is killed."""
        return self._run.stopping

    @property
    def preempted(self) -> bool:
        """Whether the worker is about to end: a function that can make a savepoint makes one now.

        The process is killed as soon as the savepoint is durable, or after three seconds, and the task goes
        on elsewhere. A function that has never made a savepoint and never reads this is killed at once.
        """
        return self._run.preempted

    def progress(self, **fields: Any) -> None:
        """Report the progress; each report replaces the previous one completely.

        Parameters
        ----------
        fields
            JSON values, including integers of up to 4,300 digits and NumPy's numbers; a float that isn't
            finite becomes null.

        Raises
        ------
        Invalid
            If a value can't be written as JSON; the previous report stays.
        LimitExceeded
            If the report has more than 256 KiB; the previous report stays.
        """
        try:
            report = from_json(to_json(fields, inf_nan_mode="null", fallback=_number))
        except ValueError as error:  # the base class of pydantic's errors
            raise Invalid(f"A report of progress must be JSON values: {error}.") from None
        self._send(progress=report)

    def partial(self, result: BaseModel) -> None:
        """Set the partial result, which becomes the result if the task is ended from outside.

        Parameters
        ----------
        result
            An instance of the task's result model, or of another model. It replaces the previous one.

        Raises
        ------
        LimitExceeded
            If it has more than 256 KiB, together with the report; the previous one stays.
        """
        self._send(partial=json.loads(result.model_dump_json(), parse_constant=lambda _: None))

    def _send(self, **part: Any) -> None:
        # The other part stays packed: a large partial result must not make each report of progress slow.
        report = {**self._report, **{name: Packed(pack(value)) for name, value in part.items()}}
        self._run.progress(report)
        self._report = report

    def savepoint(self, state: State) -> None:
        """Store a state to resume from if the process ends; it is durable on return.

        Parameters
        ----------
        state
            None, bool, int of any size, float, str, bytes, NumPy array or scalar, or a tuple, list or dict of
            these.

        Raises
        ------
        NotSnapshotable
            If a part of the state has another type; the message names the part. The previous savepoint stays.
        """
        try:
            blob = encode(state)
        except NotSnapshotable as error:
            what = f"the task {self._name!r} (at {error.values['what']})"
            raise NotSnapshotable(what=what, reason=error.values["reason"]) from None
        self._timestamp += 1
        self._run.save(Savepoint(timestamp=self._timestamp, entities={ENTITY: blob}))


class TaskFailed(Exception):
    """Raised by a task's function to give the reason of its failure, and a partial result if there is one.

    Parameters
    ----------
    code, message
        A short name for programs, and a sentence for people.
    result
        The partial result: an instance of any model, or names with values.
    """

    def __init__(self, code: str, message: str, result: BaseModel | Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.result = result


@dataclass(frozen=True, kw_only=True)
class Task(Generic[Input, Result]):
    """A task.

    Attributes
    ----------
    name
        Its name in requests, 1 to 200 characters.
    input, result
        The pydantic models of its input and its result.
    function
        Takes the input and a `TaskContext`, returns the result. If it is interrupted anywhere and called
        again, from the start or with the state of its last savepoint, it must return the same result.
    timeout
        Default time-out of its requests, in seconds of running time; None leaves it to the setting
        ``task_timeout``.
    environment
        Names of variables of the server's environment that the function needs, besides those that
        `docs/execution.md` lists. Settings of Perdure can't be named.
    version
        The author's name of this version, up to 100 characters. A run with a savepoint is only continued by
        the version that it began with. Without a name, the task's source, its package and Python's version
        must be the same.

    Raises
    ------
    InvalidTask
        If one of these is invalid.
    """

    name: str
    input: type[Input]
    result: type[Result]
    function: Callable[[Input, TaskContext], Result]
    timeout: float | None = None
    environment: tuple[str, ...] = ()
    version: str = ""

    def __post_init__(self) -> None:
        for model in (self.input, self.result):
            if not (isinstance(model, type) and issubclass(model, BaseModel)):
                raise InvalidTask(task=self.name, reason=f"{model!r} is not a pydantic model")
        if not 1 <= len(self.name) <= 200:
            raise InvalidTask(task=self.name, reason="its name must have 1 to 200 characters")
        if self.timeout is not None and not self.timeout > 0:
            raise InvalidTask(task=self.name, reason=f"its timeout must be above 0, not {self.timeout}")
        if not isinstance(self.version, str) or len(self.version) > 100:
            raise InvalidTask(task=self.name, reason="its version must be a text of up to 100 characters")
        if isinstance(self.environment, str):
            raise InvalidTask(task=self.name, reason="its environment must be a tuple of names, not a text")
        for name in self.environment:
            if name.startswith("PERDURE_"):
                reason = f"{name} is a setting of the server, which tasks can't read"
                raise InvalidTask(task=self.name, reason=reason)


def _number(value: object) -> int | float:
    """Convert a number of another library, for example NumPy."""
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    raise ValueError(f"{type(value).__name__} is no number, text, list or dict")


def _state(savepoint: Savepoint) -> Any:
    if ENTITY not in savepoint.entities:
        raise CorruptBlob(reason=f"the savepoint {savepoint.timestamp} doesn't belong to a task")
    return decode(savepoint.entities[ENTITY])
