"""The conformance check of tasks: the law that every task must obey.

*Ended anywhere, and called again from the start or with the state of any savepoint, the function returns the
same result.*
"""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from perdure.execution.context import RunContext
from perdure.execution.progress_slot import check_size
from perdure.state.codec import pack
from perdure.state.savepoint import Savepoint
from perdure.tasks import Task, TaskContext

__all__ = ["TaskConformance"]


class TaskConformance:
    """Checks a task against its law, for one input.

    The function is called in this process, once for each savepoint that it makes and twice besides: choose
    an input for which it makes a few savepoints.

    Parameters
    ----------
    task
        The task.
    given
        Its input.

    Examples
    --------
    >>> class Number(BaseModel):
    ...     value: int
    >>> def add_up(given: Number, context: TaskContext) -> Number:
    ...     done, total = context.resumed or (0, 0)
    ...     for number in range(done + 1, given.value + 1):
    ...         total += number
    ...         context.savepoint([number, total])
    ...     return Number(value=total)
    >>> task = Task(name="sum", input=Number, result=Number, function=add_up)
    >>> TaskConformance(task, Number(value=5)).check()
    """

    def __init__(self, task: Task[Any, Any], given: BaseModel) -> None:
        self._task = task
        self._given = given.model_dump_json()
        self._result, self._savepoints = self._call()

    def check(self) -> None:
        """Check everything; raise `AssertionError` with what is wrong, and at which savepoint."""
        self.check_repeats()
        self.check_resumes()

    def check_repeats(self) -> None:
        """Check that the function returns the same result and savepoints when it is called again."""
        result, savepoints = self._call()
        assert result == self._result, f"a second call returns {result!r:.300}, not {self._result!r:.300}"
        assert savepoints == self._savepoints, "a second call makes other savepoints"

    def check_resumes(self) -> None:
        """Check the law at every savepoint; `AssertionError` if the function made none."""
        assert self._savepoints, "the function made no savepoint; choose an input for which it makes some"
        for number, savepoint in enumerate(self._savepoints, 1):
            result, savepoints = self._call(savepoint)
            where = f"resumed at savepoint {number} of {len(self._savepoints)}"
            assert result == self._result, f"{where} it returns {result!r:.300}, not {self._result!r:.300}"
            assert savepoints == self._savepoints[number:], f"{where} it makes other savepoints"

    def _call(self, savepoint: Savepoint | None = None) -> tuple[Any, list[Savepoint]]:
        """Return the result of a call, as JSON says it, and the savepoints that the call made."""
        given = self._task.input.model_validate_json(self._given)
        run = _RecordedRun(savepoint)
        answer = self._task.function(given, TaskContext(self._task.name, run))
        result: BaseModel = self._task.result.model_validate(answer)
        return json.loads(result.model_dump_json()), run.saved


class _RecordedRun(RunContext):
    """A run without a process, which keeps the savepoints that are made."""

    def __init__(self, savepoint: Savepoint | None) -> None:
        self.savepoint = savepoint
        self.attempt = 1 if savepoint is None else 2
        self.saved: list[Savepoint] = []

    @property
    def stopping(self) -> bool:
        """Whether the end was asked for: never."""
        return False

    def progress(self, report: Mapping[str, Any]) -> None:
        """Refuse what a real run would refuse."""
        check_size(pack(dict(report)))

    def save(self, savepoint: Savepoint) -> None:
        """Keep a savepoint."""
        self.saved.append(savepoint)
