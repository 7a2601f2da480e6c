"""Task provisions: what each attempt at a task is given, the variables of the server that the task names."""

import os
from collections.abc import Callable

from perdure.drivers.task_registry import TaskRegistry
from perdure.drivers.task_spec import TaskSpec
from perdure.errors import PerdureError
from perdure.execution.body import Provision
from perdure.run import Execution, Run

__all__ = ["TaskProvisions"]


class TaskProvisions:
    """Prepares attempts.

    Parameters
    ----------
    registry
        The tasks that are served.
    """

    def __init__(self, registry: TaskRegistry) -> None:
        self._registry = registry

    def provide(self, run: Run, execution: Execution, called_off: Callable[[], bool]) -> Provision:
        """Prepare an attempt at a run; what is wrong with its task, the attempt finds out and says."""
        try:
            task = self._registry.get(TaskSpec.from_blob(run.spec).task)
        except PerdureError:
            return Provision()
        return Provision(
            environment={name: os.environ[name] for name in task.environment if name in os.environ}
        )
