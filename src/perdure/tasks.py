"""The task: a long computation with a name, that takes one model and answers with another.

What is here is all that the author of a task imports. A task's function runs in a child process of its own;
queueing it is the driver's, and finding it by its name is the registry's.
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
from perdure.state.codec import State, decode, encode
from perdure.state.savepoint import Savepoint

__all__ = ["Task", "TaskContext", "TaskFailed"]

ENTITY = "task"  # the one entity of a task's savepoints

Input = TypeVar("Input", bound=BaseModel)
Result = TypeVar("Result", bound=BaseModel)


class TaskContext:
    """What a task's function sees of the world while it works.

    Parameters
    ----------
    name
        The task's name.
    run
        The run that it works on.

    Attributes
    ----------
    attempt
        Which attempt this is, from 1; the ones before were ended from outside.
    resumed
        The state of the last savepoint; None if there is none, and the work begins at its beginning.
    """

    def __init__(self, name: str, run: RunContext) -> None:
        self._name = name
        self._run = run
        self._timestamp = 0 if run.savepoint is None else run.savepoint.timestamp
        self._report: dict[str, Any] = {}
        self.attempt = run.attempt
        self.resumed: Any = None if run.savepoint is None else _state(run.savepoint)

    @property
    def cancelled(self) -> bool:
        """Whether the end was asked for: a function that doesn't return or raise at once is ended."""
        return self._run.stopping

    def progress(self, **fields: Any) -> None:
        """Report how far it got; the latest report wins, and takes the place of the one before as a whole.

        Parameters
        ----------
        fields
            Whatever JSON can say, integers of up to 4,300 digits and NumPy's numbers too; a float that is not
            finite becomes null.

        Raises
        ------
        Invalid
            If JSON can't say it; the report before stays.
        LimitExceeded
            If it has more than 256 KiB; the report before stays.
        """
        try:
            report = from_json(to_json(fields, inf_nan_mode="null", fallback=_number))
        except ValueError as error:  # pydantic's errors are such
            raise Invalid(f"A report of progress is what JSON can say: {error}.") from None
        self._tell(progress=report)

    def partial(self, result: BaseModel) -> None:
        """Keep what there is of the result; it is the answer if the task is ended from outside.

        Parameters
        ----------
        result
            The task's result model, or one of its own. It takes the place of the one before.

        Raises
        ------
        LimitExceeded
            If it has more than 256 KiB, together with the report; the one before stays.
        """
        self._tell(partial=json.loads(result.model_dump_json(), parse_constant=lambda _: None))

    def _tell(self, **part: Any) -> None:
        report = {**self._report, **part}
        self._run.progress(report)
        self._report = report

    def savepoint(self, state: State) -> None:
        """Keep a state to go on from, should the process end; it is durable when this returns.

        Parameters
        ----------
        state
            None, bool, int of any size, float, str, bytes, NumPy array or scalar, or a tuple, list or dict of
            these.

        Raises
        ------
        NotSnapshotable
            If a part of the state is of another type; the message says where. The savepoint before stays.
        """
        try:
            blob = encode(state)
        except NotSnapshotable as error:
            what = f"the task {self._name!r} (at {error.values['what']})"
            raise NotSnapshotable(what=what, reason=error.values["reason"]) from None
        self._timestamp += 1
        self._run.save(Savepoint(timestamp=self._timestamp, entities={ENTITY: blob}))


class TaskFailed(Exception):
    """Raised by a task's function that can say why it failed, and that may have a part of the result.

    Parameters
    ----------
    code, message
        A short name for programs, and a sentence for people.
    result
        What there is of the result: a model, of its own if the whole one doesn't fit, or names with values.
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
        What it is called in requests, from 1 to 200 characters.
    input, result
        The pydantic models of what it takes and what it answers with.
    function
        What does it: takes the input and a `TaskContext`, returns the result. It has to give the same result
        when it is ended anywhere and called again, from the start or with the state of its last savepoint.
    timeout
        Seconds of running time that it has where a request names none; None leaves that to the setting
        ``task_timeout``.
    environment
        Names of variables of the server's environment that the function needs; of the others it sees only
        what `docs/execution.md` lists. Settings of Perdure itself can't be named.
    version
        What its author calls this version of it, up to 100 characters. A run that has a savepoint goes on
        only with the version that it has begun with. Without one, the task's source, its package and
        Python's version have to be the same.

    Raises
    ------
    InvalidTask
        If one of these is none of that.
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
            raise InvalidTask(task=self.name, reason="a name has 1 to 200 characters")
        if self.timeout is not None and not self.timeout > 0:
            raise InvalidTask(task=self.name, reason=f"a timeout is above 0, not {self.timeout}")
        if not isinstance(self.version, str) or len(self.version) > 100:
            raise InvalidTask(task=self.name, reason="a version is a text of up to 100 characters")
        if isinstance(self.environment, str):
            raise InvalidTask(task=self.name, reason="environment is a tuple of names, not one text")
        for name in self.environment:
            if name.startswith("PERDURE_"):
                reason = f"{name} is a setting of the server, which a task never sees"
                raise InvalidTask(task=self.name, reason=reason)


def _number(value: object) -> int | float:
    """Return the number that a value of another library is, NumPy's for example."""
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    raise ValueError(f"{type(value).__name__} is no number, text, list or dict")


def _state(savepoint: Savepoint) -> Any:
    if ENTITY not in savepoint.entities:
        raise CorruptBlob(reason=f"the savepoint {savepoint.timestamp} is not that of a task")
    return decode(savepoint.entities[ENTITY])
