"""What other packages may build on: the ports, and the values that appear in their signatures.

The names of this module are stable: a release that changes one says so in CHANGELOG.md, and keeps the former
one working for a release where that is possible. So are `perdure.errors`, the conformance suites of
`perdure.testing`, and all names that the examples of the documentation import. Everything else is internal
and changes without notice.

Each name is imported when it is first used, so that an engine in a child process doesn't load a database.
docs/extending.md says for each kind of extension what to write and which conformance suite to run.

========== ==================== =============================================================
extension  entry-point group    its port
========== ==================== =============================================================
engine     ``perdure.engines``  `Engine`; optional `Asking`, `Observable`, `Modular`, `Identified`
store      ``perdure.stores``   `StoreScheme`, which opens a `Store`
dialect    ``perdure.dialects`` `Dialect`, a value with its `Route`s
executor   none                 `Executor`, an argument of `perdure.api.create_app`
task       ``perdure.tasks``    `Task`
========== ==================== =============================================================
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perdure.drivers.experiments.experiment_requests import NewExperiment
    from perdure.drivers.session_requests import Answer, NewSession, StepRequest, StepRows
    from perdure.drivers.session_spec import ScenarioSpec, SessionSpec
    from perdure.drivers.tasks import NewTask, TaskView
    from perdure.engines.base import Asking, Engine, Identified, Modular, Observable
    from perdure.engines.run_specs import RunSpecs
    from perdure.execution.body import Body, Provision
    from perdure.execution.child_limits import ChildLimits
    from perdure.execution.context import BodyFailed, BodyInterrupted, RunBody, RunContext
    from perdure.execution.executor import Executor
    from perdure.execution.local import LocalExecutor
    from perdure.lifecycle import DesiredState, Outcome, RunStatus
    from perdure.run import Entry, Execution, Key, Label, LogLine, Run, Step
    from perdure.scenarios.engine_model import EngineModel
    from perdure.state.codec import State
    from perdure.state.savepoint import Savepoint, SavepointInfo
    from perdure.stores.base import Store, Version
    from perdure.stores.chain import Chain, ChainLink
    from perdure.stores.commands import (
        Answers,
        Command,
        Committed,
        Decision,
        Document,
        Moment,
        Notice,
        Query,
        Retention,
        Use,
        Write,
    )
    from perdure.stores.commands.base import Rows
    from perdure.stores.commands.creation import Created
    from perdure.stores.commands.documents import Touch
    from perdure.stores.commands.locks import Lock
    from perdure.stores.commit_times import CommitTimes, CommitTimesCounter
    from perdure.stores.memory import MemoryStore
    from perdure.stores.options import StoreOptions
    from perdure.stores.queue import QueueCount, QueueGroup, QueueState, QueueWait
    from perdure.stores.quota import Quota, Slots
    from perdure.stores.run_list import Cursor, OrderPosition, RunFilter, RunOrder
    from perdure.stores.schemes import StoreScheme
    from perdure.stores.sqlite import SqliteStore
    from perdure.tasks import Task, TaskContext, TaskFailed
    from perdure.web.dialect import Call, Dialect, Route
    from perdure.web.failures import Failure, HttpError
    from perdure.web.services import ExperimentDriver, Services, SessionDriver, TaskDriver
    from perdure.web.tokens import Caller

__all__ = [
    "Answer",
    "Answers",
    "Asking",
    "Body",
    "BodyFailed",
    "BodyInterrupted",
    "Call",
    "Caller",
    "Chain",
    "ChainLink",
    "ChildLimits",
    "Command",
    "CommitTimes",
    "CommitTimesCounter",
    "Committed",
    "Created",
    "Cursor",
    "Decision",
    "DesiredState",
    "Dialect",
    "Document",
    "Engine",
    "EngineModel",
    "Entry",
    "Execution",
    "Executor",
    "ExperimentDriver",
    "Failure",
    "HttpError",
    "Identified",
    "Key",
    "Label",
    "LocalExecutor",
    "Lock",
    "LogLine",
    "MemoryStore",
    "Modular",
    "Moment",
    "NewExperiment",
    "NewSession",
    "NewTask",
    "Notice",
    "Observable",
    "OrderPosition",
    "Outcome",
    "Provision",
    "Query",
    "QueueCount",
    "QueueGroup",
    "QueueState",
    "QueueWait",
    "Quota",
    "Retention",
    "Route",
    "Rows",
    "Run",
    "RunBody",
    "RunContext",
    "RunFilter",
    "RunOrder",
    "RunSpecs",
    "RunStatus",
    "Savepoint",
    "SavepointInfo",
    "ScenarioSpec",
    "Services",
    "SessionDriver",
    "SessionSpec",
    "Slots",
    "SqliteStore",
    "State",
    "Step",
    "StepRequest",
    "StepRows",
    "Store",
    "StoreOptions",
    "StoreScheme",
    "Task",
    "TaskContext",
    "TaskDriver",
    "TaskFailed",
    "TaskView",
    "Touch",
    "Use",
    "Version",
    "Write",
]

_RUNS = {
    "perdure.lifecycle": ("Outcome", "RunStatus", "DesiredState"),
    "perdure.run": ("Entry", "Execution", "Key", "Label", "LogLine", "Run", "Step"),
    "perdure.state.codec": ("State",),
    "perdure.state.savepoint": ("Savepoint", "SavepointInfo"),
}
_ENGINES = {
    "perdure.engines.base": ("Asking", "Engine", "Identified", "Modular", "Observable"),
    "perdure.scenarios.engine_model": ("EngineModel",),
}
_STORES = {
    "perdure.stores.base": ("Store", "Version"),
    "perdure.stores.chain": ("Chain", "ChainLink"),
    "perdure.stores.commit_times": ("CommitTimes", "CommitTimesCounter"),
    "perdure.stores.commands.base": (
        *("Answers", "Command", "Committed", "Decision", "Moment", "Notice"),
        *("Query", "Retention", "Rows", "Write"),
    ),
    "perdure.stores.commands.documents": ("Document", "Use"),
    "perdure.stores.memory": ("MemoryStore",),
    "perdure.stores.options": ("StoreOptions",),
    "perdure.stores.queue": ("QueueCount", "QueueGroup", "QueueState", "QueueWait"),
    "perdure.stores.quota": ("Quota", "Slots"),
    "perdure.stores.run_list": ("Cursor", "OrderPosition", "RunFilter", "RunOrder"),
    "perdure.stores.schemes": ("StoreScheme",),
    "perdure.stores.sqlite": ("SqliteStore",),
}
_EXECUTORS = {
    "perdure.execution.body": ("Body", "Provision"),
    "perdure.execution.context": ("BodyFailed", "BodyInterrupted", "RunBody", "RunContext"),
    "perdure.execution.executor": ("Executor",),
    "perdure.execution.child_limits": ("ChildLimits",),
    "perdure.execution.local": ("LocalExecutor",),
}
_DIALECTS = {
    "perdure.drivers.session_requests": ("Answer", "NewSession", "StepRequest", "StepRows"),
    "perdure.drivers.session_spec": ("ScenarioSpec", "SessionSpec"),
    "perdure.drivers.experiments.experiment_requests": ("NewExperiment",),
    "perdure.drivers.tasks": ("NewTask", "TaskView"),
    "perdure.stores.commands.creation": ("Created",),
    "perdure.stores.commands.documents": ("Touch",),
    "perdure.stores.commands.locks": ("Lock",),
    "perdure.engines.run_specs": ("RunSpecs",),
    "perdure.web.dialect": ("Call", "Dialect", "Route"),
    "perdure.web.failures": ("Failure", "HttpError"),
    "perdure.web.services": ("ExperimentDriver", "Services", "SessionDriver", "TaskDriver"),
    "perdure.web.tokens": ("Caller",),
}
_TASKS = {"perdure.tasks": ("Task", "TaskContext", "TaskFailed")}

_MODULES = {
    name: module
    for modules in (_RUNS, _ENGINES, _STORES, _EXECUTORS, _DIALECTS, _TASKS)
    for module, names in modules.items()
    for name in names
}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
