"""The registry of tasks: those of installed packages, by entry point, and those named by the operator.

A child process finds a task again by what the registry knows it by, so tasks are named, never handed over.
"""

import importlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import structlog

from perdure.errors import InvalidTask, PerdureError, TaskNotFound, nearest
from perdure.spawned import SpawnedImports
from perdure.tasks import Task

__all__ = ["TaskRegistry", "find_task"]

GROUP = "perdure.tasks"

_files: dict[str, str] = {}  # those that were imported, by the names they have as modules

log = structlog.get_logger(__name__)


class TaskRegistry:
    """The tasks that are served, by name.

    Those of installed packages are loaded when they are asked for: one may import what is large.

    Parameters
    ----------
    sources
        What `add` takes, one after another; they go before installed ones of the same name.

    Examples
    --------
    >>> registry = TaskRegistry(["my_tasks.py", "package.module:TASK"])  # doctest: +SKIP
    """

    def __init__(self, sources: Iterable[str] = ()) -> None:
        self._installed = {point.name: point for point in entry_points(group=GROUP)}
        self._named: dict[str, tuple[Task[Any, Any], str]] = {}
        for source in sources:
            self.add(source)

    def add(self, source: str) -> None:
        """Register the tasks of a source.

        Parameters
        ----------
        source
            ``module:name`` or ``file.py:name`` of a `Task` or several; without ``:name``, all of the module.

        Raises
        ------
        InvalidTask
            If there is no such thing, or it is no task; the message says why.
        """
        place = _absolute(source)
        for task in _tasks_of(place):
            self._named[task.name] = task, place

    def __iter__(self) -> Iterator[Task[Any, Any]]:
        for name in sorted({*self._named, *self._installed}):
            try:
                yield self.get(name)
            except InvalidTask as error:  # another package's mistake must not hide the other tasks
                log.error("task_left_out", task=name, reason=str(error))

    def get(self, name: str) -> Task[Any, Any]:
        """Return a task; `TaskNotFound` if none has the name, `InvalidTask` if it can't be loaded."""
        if name in self._named:
            return self._named[name][0]
        if name in self._installed:
            return _installed(self._installed[name])
        raise TaskNotFound(task=name, suggestion=nearest(name, {*self._named, *self._installed}))

    def source(self, name: str) -> str | None:
        """Return what a task that is served was registered from; None for an installed one."""
        return self._named[name][1] if name in self._named else None


def find_task(name: str, source: str | None) -> Task[Any, Any]:
    """Return a task by what a registry knew it by; raise `TaskNotFound` or `InvalidTask` if it is gone."""
    if source is not None:
        found = [task for task in _tasks_of(source) if task.name == name]
    else:
        found = [_installed(point) for point in entry_points(group=GROUP, name=name)]
    if not found:
        raise TaskNotFound(
            f"No task is called {name!r}. It was once found in {source or 'an installed package'}.", task=name
        )
    return found[0]


def _installed(point: EntryPoint) -> Task[Any, Any]:
    try:
        task = point.load()
    except (Exception, SystemExit) as error:
        raise InvalidTask(task=point.name, reason=f"{point.value}: {_words(error)}") from error
    if not isinstance(task, Task) or task.name != point.name:
        raise InvalidTask(
            task=point.name, reason=f"the entry point leads to {task!r}, not to a Task of its name"
        )
    return task


def _tasks_of(source: str) -> list[Task[Any, Any]]:
    """Return the tasks of a source."""
    place, separator, attribute = source.partition(":")
    module = _load(source, place)
    if not separator:
        found: Any = [value for value in vars(module).values() if isinstance(value, Task)]
    else:
        try:
            found = getattr(module, attribute)
        except AttributeError:
            raise InvalidTask(task=source, reason=f"{place} has no {attribute!r}") from None
    tasks = list(found) if isinstance(found, Iterable) else [found]
    if not tasks or not all(isinstance(task, Task) for task in tasks):
        raise InvalidTask(task=source, reason="there is no perdure.tasks.Task")
    return tasks


def _load(source: str, place: str) -> ModuleType:
    is_file = place.endswith(".py")
    for folder in (Path.cwd(), Path(place).parent) if is_file else (Path.cwd(),):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    try:
        return _import_file(Path(place)) if is_file else importlib.import_module(place)
    except PerdureError:
        raise
    except (Exception, SystemExit) as error:
        raise InvalidTask(task=source, reason=f"it can't be loaded: {_words(error)}") from error


def _import_file(path: Path) -> ModuleType:
    name = f"perdure_tasks_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where pydantic looks for what a model's annotations name
    if not _files:
        SpawnedImports(_files).begin()
    _files[name] = str(path)
    spec.loader.exec_module(module)
    return module


def _absolute(source: str) -> str:
    """Return a source with the whole path of its file, if it is in one: a child may work elsewhere."""
    place, separator, attribute = source.partition(":")
    return f"{Path(place).resolve()}{separator}{attribute}" if place.endswith(".py") else source


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".rstrip(".")
