"""Errors of names that nothing has; HTTP answers 404."""

from perdure.errors.base import PerdureError


class NotFound(PerdureError):
    """Nothing has that name."""


class StoreNotFound(NotFound):
    """There is no store at {store}; name one with --store, or start `perdure serve`."""


class RunNotFound(NotFound):
    """No run has the id {run!r}; list the runs to see those that exist."""


class InstanceNotFound(NotFound):
    """expecting a valid instance id to be given"""


class ScenarioNotFound(NotFound):
    """There is no {what} {name!r}.{suggestion}"""


class ManagerUnusable(ScenarioNotFound):
    """The scenario manager {name!r} can't be served: {reason}"""


class OutputNotFound(NotFound):
    """No selected scenario has an element {name!r}.{suggestion}"""


class TaskNotFound(NotFound):
    """No task is called {task!r}; list the tasks to see those that are served.{suggestion}"""


class StepNotFound(NotFound):
    """The run {run!r} has no step {step}; it has {position}."""


class SavepointNotFound(NotFound):
    """The run {run!r} has no savepoint {savepoint!r}; list its savepoints to see those that exist."""


class ExperimentNotFound(NotFound):
    """There is no experiment {experiment!r}; list the experiments to see those that exist."""


class ArtifactNotFound(NotFound):
    """There is no file {path!r} in {what}; list its files to see those that exist."""


class ConfigurationNotFound(NotFound):
    """The run {run!r} has no configuration {number}; it has found {found}."""


class SceneNotFound(NotFound):
    """The run {run!r} has no scene of an engine {engine!r}; list its scenes to see those that exist."""


class NoSavepoint(NotFound):
    """The run {run!r} has no intact savepoint to restore from."""
