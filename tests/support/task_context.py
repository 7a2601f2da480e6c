"""A run context without a process: it keeps what a body does."""

from collections.abc import Mapping
from typing import Any, cast

from perdure.drivers.task_spec import TaskSpec
from perdure.execution.context import RunContext
from perdure.state.codec import pack, unpack
from perdure.state.savepoint import Savepoint


class Kept:
    """What `RunContext` offers to a body of a task, and what came of it."""

    def __init__(
        self, spec: TaskSpec | None = None, savepoint: Savepoint | None = None, attempt: int = 1
    ) -> None:
        self.spec = b"" if spec is None else spec.to_blob()
        self.savepoint = savepoint
        self.attempt = attempt
        self.given: Mapping[str, str] = {}
        self.stopping = False
        self.reports: list[Mapping[str, Any]] = []
        self.saved: list[Savepoint] = []

    def progress(self, report: Mapping[str, Any]) -> None:
        self.reports.append(unpack(pack(dict(report))))

    def save(self, savepoint: Savepoint) -> None:
        self.saved.append(savepoint)

    @property
    def context(self) -> RunContext:
        return cast("RunContext", self)
