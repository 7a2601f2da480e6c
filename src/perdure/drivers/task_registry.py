"""The registry of tasks: those of installed packages, by entry point, and those that the operator names.

A child process finds a task with the source that its server's registry has recorded; a file travels with its
run.
"""

import importlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

from msgspec.structs import replace

from perdure.drivers.computed_by import ComputedBy, hash_of, installed, python_version
from perdure.drivers.task_files import module_name, travelling
from perdure.drivers.task_spec import TaskSpec
from perdure.errors import InvalidTask, PerdureError, TaskNotFound, nearest
from perdure.numerics import HERE, Numerics
from perdure.spawned import SpawnedImports
from perdure.tasks import Task

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint, EntryPoints

__all__ = ["TaskRegistry", "find_task"]

GROUP = "perdure.tasks"

_files: dict[str, str] = {}  # imported files, by module name


class _Found(NamedTuple):
    """A loaded task: its source, the content of its files or module at that time, and its package."""

    task: Task[Any, Any]
    source: str | None
    held: Mapping[str, bytes]
    package: str | None = None


class TaskRegistry:
    """The tasks that are served, by name.

    Tasks of installed packages are loaded on demand, since one may import large libraries.

    Parameters
    ----------
    sources
        Sources as `add` takes them; their tasks take precedence over installed ones with the same name.
    numerics
        The arithmetic of this process.

    Examples
    --------
    >>> registry = TaskRegistry(["my_tasks.py", "package.module:TASK"])  # doctest: +SKIP
    """

    def __init__(self, sources: Iterable[str] = (), numerics: Numerics = HERE) -> None:
        self.numerics = numerics
        self._installed = {point.name: point for point in _installed_points()}
        self._found: dict[str, _Found] = {}
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
            If the source doesn't exist, has no task, or its files are too large to travel with a run; the
            message says which.
        """
        place = _absolute(source)
        tasks = _tasks_of(place)
        held = _held(place)
        self._found.update((task.name, _Found(task, place, held)) for task in tasks)

    def __iter__(self) -> Iterator[Task[Any, Any]]:
        for name in sorted({*self._found, *self._installed}):
            try:
                yield self.get(name)
            except InvalidTask as error:  # one package's error must not hide the other tasks
                import structlog  # takes long, and the process of a task has no use for it

                structlog.get_logger(__name__).error("task_left_out", task=name, reason=str(error))

    def get(self, name: str) -> Task[Any, Any]:
        """Return a task; raise `TaskNotFound` if none has the name, `InvalidTask` if it can't be loaded."""
        return self._find(name).task

    def source(self, name: str) -> str | None:
        """Return the source from which a served task was registered; None for an installed one."""
        return self._find(name).source

    def spec(self, name: str, given: bytes) -> tuple[TaskSpec, Mapping[str, bytes]]:
        """Return the spec of a task's run, and the current files that travel with it."""
        found = self._find(name)
        if not _is_file(found.source):
            return TaskSpec(task=name, source=found.source, input=given), {}
        now = self._held_now(found)
        spec = TaskSpec(
            task=name,
            source=Path(found.source).name,
            input=given,
            sha256=hash_of(now),
            version=found.task.version if now == found.held else "",
            environment=found.task.environment,
        )
        return spec, now

    def folder(self, spec: TaskSpec) -> str | None:
        """Return the folder of a run's files on this host, if this server serves the same task."""
        found = self._found.get(spec.task)
        if found is None or not _is_file(found.source) or Path(found.source).name != spec.source:
            return None
        return str(Path(found.source).parent)

    def version(self, name: str) -> ComputedBy:
        """Return the version in which a task is served now.

        It is unknown if the task's file or module has changed since it was loaded: the next child imports the
        new one.
        """
        found = self._find(name)
        now = self._held_now(found)
        return ComputedBy(
            task=name,
            version=found.task.version if now == found.held else "",
            packages={} if found.package is None else installed([found.package]),
            sha256=hash_of(now),
            python=python_version(),
        )

    def computed_by(self, spec: TaskSpec) -> ComputedBy:
        """Return what computes a run in this process now, besides the files that travel with it."""
        if spec.needs or spec.source is None:
            return self.version(spec.task)
        where_it_was = "" if spec.sha256 else hash_of(_held(spec.source))
        return ComputedBy(version=spec.version, sha256=where_it_was, python=python_version())

    def lacks(self, needs: str) -> str:
        """Return a sentence that says what this process lacks to compute a run with these needs.

        Empty if nothing.
        """
        needed = ComputedBy.from_text(needs)
        otherwise = self.numerics.differ(needed.numerics)
        if not needed.task:
            return needed.differs(replace(needed, python=python_version())) or otherwise
        try:
            if needed.python:
                return needed.differs(self.version(needed.task)) or otherwise
            self.get(needed.task)  # in any version
            return ""
        except TaskNotFound:
            return f"No task {needed.task!r} is served here. Serve it again (--tasks), or stop the run."
        except InvalidTask as error:
            return str(error)

    def _find(self, name: str) -> _Found:
        if name not in self._found and name in self._installed:
            point = self._installed[name]
            package = None if point.dist is None else point.dist.name
            self._found[name] = _Found(_installed(point), None, _held(point.module), package)
        if name not in self._found:
            raise TaskNotFound(task=name, suggestion=nearest(name, {*self._found, *self._installed}))
        return self._found[name]

    def _held_now(self, found: _Found) -> Mapping[str, bytes]:
        """Return the current content of a task's files or module.

        The loaded content if they can't be read any more.
        """
        try:
            return _held(self._installed[found.task.name].module if found.source is None else found.source)
        except OSError:
            return found.held


def find_task(name: str, source: str | None) -> Task[Any, Any]:
    """Return a task by the source that a registry recorded.

    Raise `TaskNotFound` or `InvalidTask` if it is missing.

    A file without a folder is one that travels with the run, and is `importable`.
    """
    if source is not None:
        found = [task for task in _tasks_of(source) if task.name == name]
    else:
        found = [_installed(point) for point in _installed_points().select(name=name)]
    if not found:
        raise TaskNotFound(
            f"No task is called {name!r}. It was once found in {source or 'an installed package'}.", task=name
        )
    return found[0]


def _installed_points() -> "EntryPoints":
    from importlib.metadata import entry_points  # takes long, and a task with a source needs none

    return entry_points(group=GROUP)


def _installed(point: "EntryPoint") -> Task[Any, Any]:
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
        raise InvalidTask(task=source, reason="it contains no perdure.tasks.Task")
    return tasks


def _load(source: str, place: str) -> ModuleType:
    file = Path(place)
    for folder in (Path.cwd(), file.parent) if file.is_absolute() else (Path.cwd(),):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    try:
        if file.is_absolute():
            return _import_file(file)
        return importlib.import_module(module_name(place) if place.endswith(".py") else place)
    except PerdureError:
        raise
    except (Exception, SystemExit) as error:
        raise InvalidTask(task=source, reason=f"it can't be loaded: {_words(error)}") from error


def _import_file(path: Path) -> ModuleType:
    name = module_name(path.name)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pydantic resolves the annotations of models there
    if not _files:
        SpawnedImports(_files).begin()
    _files[name] = str(path)
    spec.loader.exec_module(module)
    return module


def _absolute(source: str) -> str:
    """Return a source with the absolute path of its file, since a child may work in another folder."""
    place, separator, attribute = source.partition(":")
    return f"{Path(place).resolve()}{separator}{attribute}" if place.endswith(".py") else source


def _is_file(source: str | None) -> TypeGuard[str]:
    return source is not None and source.partition(":")[0].endswith(".py")


def _held(source: str) -> Mapping[str, bytes]:
    """Return the content of the files of a loaded source, or of the file of its module."""
    place = source.partition(":")[0]
    if _is_file(source):
        return travelling(Path(place))
    file = getattr(sys.modules.get(place), "__file__", None)
    with suppress(OSError):  # a module may have no file
        return {} if file is None else {place: Path(file).read_bytes()}
    return {}


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".rstrip(".")
