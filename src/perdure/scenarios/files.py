"""Files: those that define scenarios, and how a name in them or on the command line becomes a model."""

import hashlib
import importlib
import importlib.util
import inspect
import json
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from perdure.engines.agents import Model as AgentsModel
from perdure.engines.reference import EngineReference
from perdure.engines.system_dynamics import Model
from perdure.errors import InvalidScenario, PerdureError, with_article
from perdure.scenarios.agent_model import AgentModel
from perdure.scenarios.code_identity import LIBRARIES
from perdure.scenarios.engine_model import EngineModel
from perdure.scenarios.model import ServedModel
from perdure.scenarios.model_files import is_model_file, load_model_file
from perdure.scenarios.system_dynamics import SystemDynamicsModel

__all__ = [
    "GivenModel",
    "load_agents",
    "load_attribute",
    "load_model",
    "load_system_dynamics",
    "model_of",
    "model_source",
    "read_definitions",
    "scenario_files",
    "served",
    "users_code",
]

GivenModel = Model | EngineModel | AgentModel
"""What users register."""

MODEL_NAMES = ("simulation_model", "model")


def scenario_files(folder: Path) -> list[Path]:
    """Return the scenario files of a folder by name; hidden ones, such as macOS writes, are none."""
    return sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))


def read_definitions(path: Path) -> dict[str, Any]:
    """Return the managers that a scenario file defines, by name.

    Raises
    ------
    InvalidScenario
        If the file can't be read, isn't an object of objects, or has an object with one key twice.
    """
    try:
        definitions = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_distinct)
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidScenario(reason=f"{path} can't be read: {error}") from error
    if not isinstance(definitions, dict) or not all(isinstance(d, dict) for d in definitions.values()):
        raise InvalidScenario(reason=f"{path} is not an object of scenario managers")
    return definitions


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in made if names.count(name) > 1)
        raise ValueError(f"an object has the key {twice!r} twice")
    return made


def load_model(name: str, folder: Path | None = None) -> GivenModel:
    """Return the model that a name stands for.

    Parameters
    ----------
    name
        ``package.module.attribute``, or ``folder/file`` (with or without ``.py``), whose ``simulation_model``
        or ``model`` is taken. What is found may be a model, or a class or function that makes one. Or the
        path of a model file, such as ``folder/file.stmx``, whose elements get BPTK-Py's names.
    folder
        Where ``folder/file`` begins, and where packages are looked for too; by default the working folder.
    """
    if is_model_file(name):
        return load_model_file((folder or Path()) / name)
    found, _ = _found(name, folder)
    return model_of(found, name)


def load_agents(given: object, manager: str, place: str, folder: Path | None = None) -> AgentModel:
    """Return the model of agents of a manager.

    Parameters
    ----------
    given
        A model, its class, or the name of one; see `load_model`.
    manager
        The manager's name.
    place
        The manager in words.
    folder
        As for `load_model`.
    """
    found: Any = given
    reference = None
    if isinstance(given, str):
        found, reference = _found(given, folder)
    made = found if isinstance(found, type) else type(found)
    if not issubclass(made, AgentsModel):
        raise InvalidScenario(
            reason=f"the model of {place} is {with_article(made.__name__)}, not a Model of perdure.bptk"
        )
    name = made.__name__ if isinstance(found, type) else found.name
    return AgentModel(found, name or made.__name__, manager, reference=reference)


def _found(name: str, folder: Path | None) -> tuple[Any, EngineReference]:
    """Return what a name stands for, a model, or a class or function that makes one, and where it is."""
    path = _path(name, folder)
    if path.is_file():
        module = _import_file(path)
        attribute = next((known for known in MODEL_NAMES if getattr(module, known, None) is not None), None)
        if attribute is None:
            raise InvalidScenario(reason=f"{path} defines neither {' nor '.join(MODEL_NAMES)}")
        return getattr(module, attribute), _reference(path, attribute)
    module_name, _, attribute = name.rpartition(".")
    if not module_name:
        raise InvalidScenario(reason=f"there is no model {name!r}: neither the file {path} nor a module")
    found = load_attribute(module_name, attribute, folder)
    file = Path(module_name)
    if file.suffix == ".py":
        return found, _reference(file, attribute)
    return found, EngineReference(module=module_name, attribute=attribute)


def _reference(path: Path, attribute: str) -> EngineReference:
    return EngineReference(module=_module_name(path), attribute=attribute, file=str(path.resolve()))


def load_system_dynamics(name: str, folder: Path | None = None) -> Model:
    """Return the model of system dynamics that a name stands for; see `load_model`."""
    model = load_model(name, folder)
    if not isinstance(model, Model):
        raise InvalidScenario(reason=f"{name!r} is no model of system dynamics")
    return model


def served(model: GivenModel) -> ServedModel:
    """Return a model as the catalogue has it."""
    return SystemDynamicsModel(model) if isinstance(model, Model) else model


def model_of(found: Any, name: str) -> GivenModel:
    """Return a model that is given, or made by a class or function, with its elements built.

    Parameters
    ----------
    found
        A model; a class, which is called with those of the keywords `name`, `scheduler` and `data_collector`
        that it takes; or a function.
    name
        What it is called in errors.
    """
    made = found
    with users_code(name):
        if isinstance(found, type):
            made = found(**_keywords(found))
        elif callable(found) and not isinstance(found, GivenModel):
            made = found()
        if isinstance(made, Model):
            made.instantiate()
    if not isinstance(made, GivenModel):
        raise InvalidScenario(reason=f"{name!r} is {with_article(type(made).__name__)}, not a Model")
    return made


def _keywords(made: type) -> dict[str, Any]:
    """Return those of BPTK's keywords that a class of models takes."""
    parameters = inspect.signature(made).parameters
    given = {"name": made.__name__, "scheduler": None, "data_collector": None}
    every = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return {key: value for key, value in given.items() if every or key in parameters}


def model_source(name: str, folder: Path | None = None) -> str:
    """Return what a name stands for, so that two can be compared: a file's whole path, or the name itself."""
    path = _path(name, folder)
    return str(path.resolve()) if path.is_file() else name


def _path(name: str, folder: Path | None) -> Path:
    whole = name.endswith(".py") or is_model_file(name)
    return (folder or Path()) / (name if whole else f"{name}.py")


def load_attribute(module_name: str, attribute: str, folder: Path | None = None) -> Any:
    """Import a module, also from the working folder or another, and return one of its attributes.

    ``folder/file.py`` is a module, too; others of its folder are found by it.
    """
    file = Path(module_name)
    if file.suffix == ".py" and folder is None:
        folder = file.parent
    for place in (str(Path.cwd()), *([] if folder is None else [str(folder.resolve())])):
        if place not in sys.path:
            sys.path.insert(0, place)
    if file.suffix == ".py":
        return _attribute(_import_file(file), module_name, attribute)
    with users_code(module_name):
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if not f"{module_name}.".startswith(f"{error.name}."):
                raise
            raise InvalidScenario(
                reason=f"there is no module {module_name!r}; call it from its folder"
            ) from error
    return _attribute(module, module_name, attribute)


def _attribute(module: ModuleType, name: str, attribute: str) -> Any:
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise InvalidScenario(reason=f"the module {name!r} has no {attribute!r}") from None


def _module_name(path: Path) -> str:
    # The same in every process: a model's hash may have the names of classes in it.
    return f"perdure_model_{path.stem}_{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:16]}"


def _import_file(path: Path) -> ModuleType:
    name = _module_name(path)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InvalidScenario(reason=f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # A model's functions are looked up in their module when the model's hash is made.
    sys.modules[name] = module
    try:
        with users_code(str(path)):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def users_code(what: str) -> Iterator[None]:
    """Raise `InvalidScenario`, with file and line, for whatever the user's code raises within."""
    try:
        yield
    except PerdureError:
        raise
    except (Exception, SystemExit) as error:
        reason = f"{what} can't be loaded: {_place(error)}{type(error).__name__}: {_words(error)}"
        raise InvalidScenario(reason=reason) from error


def _place(error: BaseException) -> str:
    """Return the last line of the user's own that an error came by."""
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f"{error.filename}, line {error.lineno}: "
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith(("<frozen ", *LIBRARIES)):
            return f"{frame.filename}, line {frame.lineno}: "
    return ""


def _words(error: BaseException) -> str:
    return (error.msg if isinstance(error, SyntaxError) else str(error)).rstrip(".")
