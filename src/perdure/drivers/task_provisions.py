"""Task provisions: the source of the task and the environment variables for each attempt."""

import os
from collections.abc import Callable

import msgspec

from perdure.drivers.computed_by import ComputedBy
from perdure.drivers.kept_files import KeptFiles
from perdure.drivers.task_body import FILES, FOLDER, SOURCE
from perdure.drivers.task_registry import TaskRegistry
from perdure.drivers.task_spec import TaskSpec
from perdure.errors import NotComputable
from perdure.execution.body import Provision
from perdure.run import Execution, Run
from perdure.stores.base import Store

__all__ = ["TaskProvisions"]


class TaskProvisions:
    """Prepares attempts.

    Parameters
    ----------
    registry
        The tasks that are served.
    store
        Holds the runs, and the files that travel with them.
    """

    def __init__(self, registry: TaskRegistry, store: Store) -> None:
        self._registry = registry
        self._files = KeptFiles(store)

    def provide(self, run: Run, execution: Execution, called_off: Callable[[], bool]) -> Provision:
        """Prepare an attempt at a run; raise `NotComputable` if this process can't compute it.

        Raises `Damaged` if the files that travel with it can't be read.
        """
        spec = TaskSpec.from_blob(run.spec)
        if missing := self._registry.lacks(execution.needs or spec.needs):  # it may have been edited since
            raise NotComputable(run=run.id, missing=missing)
        environment, given = spec.environment, {}
        if spec.needs:
            environment = self._registry.get(spec.task).environment
            given = {SOURCE: self._registry.source(spec.task) or ""}
        elif spec.sha256:
            given = {FILES: msgspec.json.encode(self._files.read(spec.sha256)).decode()}
            if folder := self._registry.folder(spec):
                given[FOLDER] = folder
        return Provision(
            environment={name: os.environ[name] for name in environment if name in os.environ},
            given=given,
            computed_by=self._registry.computed_by(spec)
            .at(self._registry.numerics.fingerprint, ComputedBy.from_text(execution.needs))
            .to_text(),
        )
